# SimMIM's fine-tuned files of SwinV2-H at 224 pixels and window 14, on ImageNet-1K; `expected` has
# the value of each file. To test another one, give it as CHECKPOINT. Assumed: the official
# fine-tuning's preprocessing and window for all files, as published for B. Untested. Assumed: 32
# channels per head, no extra norms, which the official code does not have. If that is wrong, the
# error shows the arch=dict(...) to set.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/microsoft_224.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://zdaxie/SimMIM/simmim_swinv2_finetune_models/finetune_swinv2_huge_22k_500k.pth'
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=352, depths=(2, 2, 18, 2), num_heads=(11, 22, 44, 88)),
        window_size=14,
    ),
    head=dict(in_channels=2816),
)
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
published = dict(metric='acc/top1', tolerance=0.0005, source='MODELHUB.md')
expected = [
    dict(published, value=0.8435, checkpoint='finetune_swinv2_huge_1kper20_125k'),
    dict(published, value=0.8416, checkpoint='finetune_swinv2_huge_1kper20_250k'),
    dict(published, value=0.8344, checkpoint='finetune_swinv2_huge_1kper20_500k'),
    dict(published, value=0.8509, checkpoint='finetune_swinv2_huge_1kper50_125k'),
    dict(published, value=0.8564, checkpoint='finetune_swinv2_huge_1kper50_250k'),
    dict(published, value=0.8569, checkpoint='finetune_swinv2_huge_1kper50_500k'),
    dict(published, value=0.8523, checkpoint='finetune_swinv2_huge_1k_125k'),
    dict(published, value=0.859, checkpoint='finetune_swinv2_huge_1k_250k'),
    dict(published, value=0.8634, checkpoint='finetune_swinv2_huge_1k_500k'),
    dict(published, value=0.8514, checkpoint='finetune_swinv2_huge_22k_125k'),
    dict(published, value=0.8586, checkpoint='finetune_swinv2_huge_22k_250k'),
    dict(published, value=0.8627, checkpoint='finetune_swinv2_huge_22k_500k'),
]
