# SimMIM's fine-tuned files of SwinV2-B at 224 pixels and window 14, on ImageNet-1K; `expected` has
# the value of each file. To test another one, give it as CHECKPOINT. Assumed: the official
# fine-tuning's preprocessing and window for all files, as published for B.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/microsoft_224.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://zdaxie/SimMIM/simmim_swinv2_finetune_models/finetune_swinv2_base_22k_500k.pth'
model = dict(backbone=dict(arch='b', window_size=14), head=dict(in_channels=1024))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
published = dict(metric='acc/top1', tolerance=0.0005, source='MODELHUB.md')
expected = [
    dict(published, value=0.8333, checkpoint='finetune_swinv2_base_1kper10_125k'),
    dict(published, value=0.836, checkpoint='finetune_swinv2_base_1kper10_250k'),
    dict(published, value=0.8341, checkpoint='finetune_swinv2_base_1kper10_500k'),
    dict(published, value=0.8386, checkpoint='finetune_swinv2_base_1kper20_125k'),
    dict(published, value=0.8437, checkpoint='finetune_swinv2_base_1kper20_250k'),
    dict(published, value=0.8461, checkpoint='finetune_swinv2_base_1kper20_500k'),
    dict(published, value=0.8404, checkpoint='finetune_swinv2_base_1kper50_125k'),
    dict(published, value=0.8457, checkpoint='finetune_swinv2_base_1kper50_250k'),
    dict(published, value=0.8495, checkpoint='finetune_swinv2_base_1kper50_500k'),
    dict(published, value=0.8413, checkpoint='finetune_swinv2_base_1k_125k'),
    dict(published, value=0.8465, checkpoint='finetune_swinv2_base_1k_250k'),
    dict(published, value=0.8504, checkpoint='finetune_swinv2_base_1k_500k'),
    dict(published, value=0.8411, checkpoint='finetune_swinv2_base_22k_125k'),
    dict(published, value=0.8457, checkpoint='finetune_swinv2_base_22k_250k'),
    dict(published, value=0.8511, checkpoint='finetune_swinv2_base_22k_500k'),
]
