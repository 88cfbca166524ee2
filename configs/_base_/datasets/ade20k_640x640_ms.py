# ADE20K at 640 pixels with multi-scale testing (tools/test.py --tta). Assumed, because the paper
# does not give its scales: Swin V1's, 0.5 to 1.75 times the size of the single-scale test, with
# flips. (mmseg's fragment scales the original image, which is mostly 512 pixels high.)
_base_ = 'mmseg::_base_/datasets/ade20k_640x640.py'
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(4 * side, side), keep_ratio=True)
                for side in (320, 480, 640, 800, 960, 1120)
            ],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
