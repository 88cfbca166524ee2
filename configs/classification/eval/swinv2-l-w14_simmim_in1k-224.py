# SimMIM's fine-tuned files of SwinV2-L at 224 pixels and window 14, on ImageNet-1K; `expected` has
# the value of each file. To test another one, give it as CHECKPOINT. Assumed: the official
# fine-tuning's preprocessing and window for all files, as published for B.
_base_ = [
    '../../_base_/models/classifier.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/preprocessing/microsoft_224.py',
    '../../_base_/runtime/classification.py',
]
load_from = 'hf://zdaxie/SimMIM/simmim_swinv2_finetune_models/finetune_swinv2_large_22k_500k.pth'
model = dict(backbone=dict(arch='l', window_size=14), head=dict(in_channels=1536))
test_dataloader = dict(dataset=dict(pipeline=_base_.eval_pipeline))
test_cfg = dict(type='TestLoop')
published = dict(metric='acc/top1', tolerance=0.0005, source='MODELHUB.md')
expected = [
    dict(published, value=0.8369, checkpoint='finetune_swinv2_large_1kper10_125k'),
    dict(published, value=0.8366, checkpoint='finetune_swinv2_large_1kper10_250k'),
    dict(published, value=0.835, checkpoint='finetune_swinv2_large_1kper10_500k'),
    dict(published, value=0.8438, checkpoint='finetune_swinv2_large_1kper20_125k'),
    dict(published, value=0.8471, checkpoint='finetune_swinv2_large_1kper20_250k'),
    dict(published, value=0.8459, checkpoint='finetune_swinv2_large_1kper20_500k'),
    dict(published, value=0.8478, checkpoint='finetune_swinv2_large_1kper50_125k'),
    dict(published, value=0.8538, checkpoint='finetune_swinv2_large_1kper50_250k'),
    dict(published, value=0.858, checkpoint='finetune_swinv2_large_1kper50_500k'),
    dict(published, value=0.8498, checkpoint='finetune_swinv2_large_1k_125k'),
    dict(published, value=0.8545, checkpoint='finetune_swinv2_large_1k_250k'),
    dict(published, value=0.8591, checkpoint='finetune_swinv2_large_1k_500k'),
    dict(published, value=0.8461, checkpoint='finetune_swinv2_large_22k_125k'),
    dict(published, value=0.8539, checkpoint='finetune_swinv2_large_22k_250k'),
    dict(published, value=0.8581, checkpoint='finetune_swinv2_large_22k_500k'),
]
