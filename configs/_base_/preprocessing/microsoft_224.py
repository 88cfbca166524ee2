# Tests of the official code at 224 pixels: the shorter side is resized to 256, bicubic, and the
# center is cut out. Images are decoded by Pillow, which ignores their orientation tag.
eval_pipeline = [
    dict(
        type='LoadImageFromFile',
        imdecode_backend='pillow',
        color_type='color_ignore_orientation',
    ),
    dict(type='ResizeShorterSide', size=256),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackClassificationInputs'),
]
