# Kinetics-400 without its labels, clips of 16 frames, every second one, at 192 x 192: trained on
# data/kinetics400/videos_train, validated on the middle of the clips in videos_val. The same places
# are masked in all frames (tubes): otherwise a masked unit could be copied from the next frame.
data_root = 'data/kinetics400/'
mask = dict(type='RandomUnitMask', unit=(2, 32, 32), ratio=0.6, tubes=True)
train_pipeline = [
    dict(type='mmaction.VideoInit'),
    dict(type='mmaction.SampleFrames', clip_len=16, frame_interval=2, num_clips=1),
    dict(type='mmaction.VideoDecode'),
    dict(
        type='mmaction.RandomResizedCrop',
        area_range=(0.67, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
    ),
    dict(type='mmaction.Resize', scale=(192, 192), keep_ratio=False),
    dict(type='mmaction.Flip', flip_ratio=0.5),
    mask,
    dict(type='PackMaskedInputs'),
]
test_pipeline = [
    dict(type='mmaction.VideoInit'),
    dict(type='mmaction.SampleFrames', clip_len=16, frame_interval=2, num_clips=1, test_mode=True),
    dict(type='mmaction.VideoDecode'),
    dict(type='mmaction.Resize', scale=(-1, 192)),
    dict(type='mmaction.CenterCrop', crop_size=192),
    dict(mask, fixed=True),
    dict(type='PackMaskedInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='UnlabeledVideos',
        data_root=data_root,
        data_prefix=dict(video='videos_train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='UnlabeledVideos',
        data_root=data_root,
        data_prefix=dict(video='videos_val'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MaskedL1')
test_evaluator = val_evaluator
