# Tests of the official code and of mmpretrain at 256 pixels: the shorter side is resized to 292,
# 256 times 256/224 rounded down, bicubic, and the center is cut out.
eval_pipeline = [
    dict(
        type='LoadImageFromFile',
        imdecode_backend='pillow',
        color_type='color_ignore_orientation',
    ),
    dict(type='ResizeShorterSide', size=292),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackClassificationInputs'),
]
