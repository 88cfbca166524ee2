# SimMIM's fine-tuned files of the model of 1.06 B parameters at 224 pixels and window 14, on
# ImageNet-1K; `expected` has the value of each file. To test another one, give it as CHECKPOINT.
# Assumed: the official fine-tuning's preprocessing and window for all files, as published for B.
# Untested. Assumed: 32 channels per head, no extra norms, which the official code does not have,
# 448 channels. If that is wrong, the error shows the arch=dict(...) to set.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/microsoft_224.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://zdaxie/SimMIM/simmim_swinv2_finetune_models/finetune_swinv2_giant_22k_500k.pth'
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=448, depths=(2, 2, 18, 2), num_heads=(14, 28, 56, 112)),
        window_size=14,
    ),
    head=dict(in_channels=3584),
)
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
published = dict(metric='acc/top1', tolerance=0.0005, source='MODELHUB.md')
expected = [
    dict(published, value=0.8544, checkpoint='finetune_swinv2_giant_1kper50_125k'),
    dict(published, value=0.8576, checkpoint='finetune_swinv2_giant_1kper50_250k'),
    dict(published, value=0.8551, checkpoint='finetune_swinv2_giant_1kper50_500k'),
    dict(published, value=0.8557, checkpoint='finetune_swinv2_giant_1k_125k'),
    dict(published, value=0.8612, checkpoint='finetune_swinv2_giant_1k_250k'),
    dict(published, value=0.8646, checkpoint='finetune_swinv2_giant_1k_500k'),
    dict(published, value=0.8539, checkpoint='finetune_swinv2_giant_22k_125k'),
    dict(published, value=0.8596, checkpoint='finetune_swinv2_giant_22k_250k'),
    dict(published, value=0.8653, checkpoint='finetune_swinv2_giant_22k_500k'),
]
