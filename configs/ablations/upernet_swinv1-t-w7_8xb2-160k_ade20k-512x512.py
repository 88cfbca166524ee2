# Swin V1's reference: mIoU 44.51, multi-scale 45.81 (UperNet, Swin-T, window 7), from the official
# segmentation code: AdamW with lr 6e-5 and weight decay 0.01, no layer decay, linear decay after
# 1500 iterations of warm-up, batch 16, 160K iterations, drop path 0.3.
# Assumed: the rest of the log-CPB row's config, which follows the same code.
_base_ = '../segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
model = dict(
    backbone=dict(
        type='SwinTransformerV1',
        window_size=7,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_tiny_patch4_window7_224.pth'
        ),
    )
)
optim_wrapper = dict(
    optimizer=dict(lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(_delete_=True),
)
