# Generated clips (swinv2_dense/quickstart/motions.py) of 16 frames at 64 x 64; every second frame
# is used. No flip, because it turns a motion into another class.
data_root = 'data/motions/'
classes = ('right', 'left', 'down', 'up', 'growing', 'shrinking')
pack = [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]
train_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=2, num_clips=1),
    dict(type='VideoDecode'),
    *pack,
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=2, num_clips=1, test_mode=True),
    dict(type='VideoDecode'),
    *pack,
]


def loader(split, pipeline, **settings):
    return dict(
        batch_size=16,
        num_workers=1,
        persistent_workers=True,
        dataset=dict(
            type='VideoDataset',
            data_root=data_root,
            ann_file=f'motions_{split}_list_videos.txt',
            data_prefix=dict(video=f'videos_{split}'),
            metainfo=dict(classes=classes),
            pipeline=pipeline,
            test_mode=split == 'val',
        ),
        **settings,
    )


train_dataloader = loader('train', train_pipeline, sampler=dict(type='InfiniteSampler'))
val_dataloader = loader('val', test_pipeline, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [dict(type='AccMetric'), dict(type='PairMetric')]
test_evaluator = val_evaluator
