# Testing of classifiers with ten crops of 256 pixels (tools/test.py --tta): center and corners of
# the image with a shorter side of 292 pixels, and their mirror images. Scores are averaged.
tta_model = dict(type='ClassifierTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeShorterSide', size=292),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='PlacedCrop', crop_size=256, place=place)
                for place in ('center', 'top left', 'top right', 'bottom left', 'bottom right')
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='PackClassificationInputs')],
        ],
    ),
]
