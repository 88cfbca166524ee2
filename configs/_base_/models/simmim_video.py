# SimMIM for video, an extension of this package: units of 2 frames x 32 x 32 pixels, the temporal
# patch times the stride of the last stage. With one frame it is simmim.py.
_base_ = './simmim.py'
custom_imports = dict(
    imports=[
        *('swinv2_dense', 'swinv2_dense.pretraining', 'swinv2_dense.transforms'),
        'swinv2_dense.video',
    ],
    allow_failed_imports=False,
)
model = dict(
    data_preprocessor=dict(type='ClipDataPreprocessor', bgr_to_rgb=False),
    backbone=dict(
        type='VideoSwinTransformerV2',
        window_size=(8, 12, 12),
        pretrained_window_sizes=[(8, 12, 12), (8, 12, 12), (8, 12, 12), (8, 6, 6)],
    ),
)
