# Tests of the official code (TEST.CROP False) and of mmpretrain at 384 pixels: the whole image is
# resized to a square, bicubic, which changes its shape.
eval_pipeline = [
    dict(
        type='LoadImageFromFile',
        imdecode_backend='pillow',
        color_type='color_ignore_orientation',
    ),
    dict(type='Resize', scale=(384, 384), backend='pillow', interpolation='bicubic'),
    dict(type='PackClassificationInputs'),
]
