# Kinetics-400 for the second stage of SwinV2-G: kinetics400_16.py at 320 x 320.
_base_ = './kinetics400.py'
load, decode = dict(type='VideoInit'), dict(type='VideoDecode')
sample = dict(type='SampleFrames', clip_len=16, frame_interval=4, num_clips=1)
pack = [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]
train_pipeline = [
    load,
    sample,
    decode,
    dict(type='Resize', scale=(-1, 366)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    *pack,
]
test_pipeline = [
    load,
    dict(test_mode=True, **sample),
    decode,
    dict(type='Resize', scale=(-1, 320)),
    dict(type='CenterCrop', crop_size=320),
    *pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
