# SwinV2-T for 1000 classes: mean of the last map after its norm, and one linear layer. Label
# smoothing, mixup and CutMix as in the official code (config.py, timm's `Mixup` in batch mode).
# Images are normalized by ImageNet's mean and deviation.
custom_imports = dict(
    imports=['swinv2_dense', 'swinv2_dense.classification'], allow_failed_imports=False
)
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='SwinTransformerV2', arch='t', window_size=8, drop_path_rate=0.2, out_indices=(3,)
    ),
    head=dict(
        type='LinearHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='SmoothedCrossEntropy', label_smoothing=0.1),
    ),
    train_augment=dict(type='MixupCutmix', mixup=0.8, cutmix=1.0, prob=1.0, switch_prob=0.5),
)
