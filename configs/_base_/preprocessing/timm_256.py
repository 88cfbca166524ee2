# Tests of timm at 256 pixels with crop_pct 0.9: the shorter side is resized to 284, 256 / 0.9
# rounded down, bicubic, and the center is cut out.
eval_pipeline = [
    dict(
        type='LoadImageFromFile',
        imdecode_backend='pillow',
        color_type='color_ignore_orientation',
    ),
    dict(type='ResizeShorterSide', size=284),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackClassificationInputs'),
]
