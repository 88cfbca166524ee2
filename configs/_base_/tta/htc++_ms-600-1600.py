# Multi-scale testing of HTC++ (tools/test.py --tta). Assumed, because the paper does not give its
# scales: those of the only public HTC++ (ViT-Adapter), six short sides with flips. Each view
# detects objects of the sizes that it shows best, in COCO's terms of small, medium and large.
small_medium, medium_large, large = (0, 96), (32, 1e5), (96, 1e5)  # sqrt of the area in pixels
sides = [600, 800, 1000, 1200, 1400, 1600]
tta_model = dict(
    type='InstanceSegTTAModel',
    size_ranges=[large, large, medium_large, small_medium, small_medium, small_medium],
)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(3000, side), keep_ratio=True) for side in sides],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=(
                        *('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
                        *('flip', 'flip_direction'),
                    ),
                )
            ],
        ],
    ),
]
