# SimMIM (arXiv 2111.09886) on SwinV2-T: the tokens of 60 % of the units of 32 x 32 pixels are
# replaced by the mask token, and the last map predicts their pixels, normalized by their 47 x 47
# surroundings. At 192 pixels the last map has 6 x 6 tokens, so its window of 12 becomes 6, as in
# the official checkpoints.
custom_imports = dict(
    imports=['swinv2_dense', 'swinv2_dense.pretraining', 'swinv2_dense.transforms'],
    allow_failed_imports=False,
)
model = dict(
    type='SimMIM',
    data_preprocessor=dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='SwinTransformerV2',
        arch='t',
        window_size=12,
        pretrained_window_sizes=[12, 12, 12, 6],
        drop_path_rate=0.1,
    ),
)
