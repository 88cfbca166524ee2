# Tests of torchvision's swin_v2_t and swin_v2_s: the shorter side is resized to 260, bicubic, and
# the center of 256 pixels is cut out.
eval_pipeline = [
    dict(
        type='LoadImageFromFile',
        imdecode_backend='pillow',
        color_type='color_ignore_orientation',
    ),
    dict(type='ResizeShorterSide', size=260),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackClassificationInputs'),
]
