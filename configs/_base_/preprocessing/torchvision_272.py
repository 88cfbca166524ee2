# Tests of torchvision's swin_v2_b: the shorter side is resized to 272, bicubic, and the center of
# 256 pixels is cut out.
eval_pipeline = [
    dict(
        type='LoadImageFromFile',
        imdecode_backend='pillow',
        color_type='color_ignore_orientation',
    ),
    dict(type='ResizeShorterSide', size=272),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackClassificationInputs'),
]
