# Swin V1's reference: box AP 50.4, mask AP 43.7 (Cascade Mask R-CNN, Swin-T, window 7), from the
# official detection code: its heads, 3x, AdamW with lr 1e-4 and weight decay 0.05, batch 16, drop
# path 0.2, resizes to 480..800 and crops. Assumed equal to it: everything in the config below.
_base_ = '../detection/cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco.py'
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
