# Tests of timm at 384 pixels with crop_pct 1: the shorter side is resized to 384, bicubic, and the
# center is cut out.
eval_pipeline = [
    dict(
        type='LoadImageFromFile',
        imdecode_backend='pillow',
        color_type='color_ignore_orientation',
    ),
    dict(type='ResizeShorterSide', size=384),
    dict(type='CenterCrop', crop_size=384),
    dict(type='PackClassificationInputs'),
]
