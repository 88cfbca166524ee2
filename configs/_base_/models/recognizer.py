# SwinV2-T in three dimensions, inflated from its image weights, with I3D's head (average over all
# positions, dropout 0.5, one linear layer), as mmaction2 has it for Video Swin (arXiv 2106.13230).
# Window (8, 8, 8) in tokens: 16 frames, and in space the window of the weights. Test views go
# through the model 4 at a time.
_base_ = 'mmaction::_base_/models/swin_tiny.py'
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.video'], allow_failed_imports=False)
model = dict(
    type='ChunkedRecognizer3D',
    backbone=dict(
        _delete_=True,
        type='VideoSwinTransformerV2',
        arch='t',
        window_size=(8, 8, 8),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window8_256.pth',
        ),
    ),
    test_cfg=dict(max_testing_views=4),
)
