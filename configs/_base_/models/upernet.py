# mmseg's UperNet (arXiv 1807.10221) for Swin V1, with an auxiliary FCN head and SyncBN, on SwinV2-T
# for crops of 512 x 512 and ADE20K's 150 classes.
_base_ = 'mmseg::_base_/models/upernet_swin.py'
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.seg'], allow_failed_imports=False)
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        _delete_=True,
        type='SwinTransformerV2',
        arch='t',
        window_size=16,
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window16_256.pth',
        ),
    ),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
