# Kinetics-400 for SwinV2-G: clips of 16 frames, every fourth one, at 256 x 256. The paper writes
# "256 x 256 x 8" and gives neither frames nor stride (Table 5, appendix A2.2). Assumed: 8 counts
# tokens, because "16(8)" of its Swin V1 row is for 32 frames in patches of 2, so there are 16
# frames; an interval of 4, so that a clip spans 64 frames like Video Swin's 32 x 2. Tested with one
# view.
_base_ = './kinetics400.py'
load, decode = dict(type='VideoInit'), dict(type='VideoDecode')
sample = dict(type='SampleFrames', clip_len=16, frame_interval=4, num_clips=1)
pack = [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]
train_pipeline = [
    load,
    sample,
    decode,
    dict(type='Resize', scale=(-1, 293)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    *pack,
]
test_pipeline = [
    load,
    dict(test_mode=True, **sample),
    decode,
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=256),
    *pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
