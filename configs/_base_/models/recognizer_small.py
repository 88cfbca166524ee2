# The recognizer (see recognizer.py), sized for clips of 8 frames at 64 pixels on a CPU: two stages,
# and patches of 8 pixels instead of 4, so that a clip is 4 x 8 x 8 tokens.
custom_imports = dict(
    imports=['swinv2_dense', 'swinv2_dense.video', 'swinv2_dense.quickstart.frame_order'],
    allow_failed_imports=False,
)
model = dict(
    type='Recognizer3D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW',
    ),
    backbone=dict(
        type='VideoSwinTransformerV2',
        arch=dict(embed_dims=64, depths=(2, 2), num_heads=(2, 4)),
        patch_size=(2, 8, 8),
        window_size=(4, 8, 8),
        out_indices=(1,),
        drop_path_rate=0.0,
        # As in htc++_small.py: the usual initialization is too small for so few channels, and
        # zero-initialized norms leave the blocks idle at first.
        init_cfg=[
            dict(type='Xavier', layer='Linear'),
            dict(type='Constant', layer='LayerNorm', val=1.0),
        ],
    ),
    cls_head=dict(
        type='I3DHead', in_channels=128, num_classes=6, dropout_ratio=0.0, average_clips='prob'
    ),
)
