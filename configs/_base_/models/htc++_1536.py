# HTC++ on SwinV2-L as in the paper's system-level comparison (appendix A2): images, masks and stuff
# maps padded to 1536 x 1536, window 32, activation checkpointing, and sequential attention in the
# first two stages (section 3.5). Assumed: weights of ImageNet-22K before fine-tuning; HTC++ and its
# drop path 0.2 as in Swin V1.
_base_ = './htc++.py'
channels = [192, 384, 768, 1536]
model = dict(
    data_preprocessor=dict(
        batch_augments=[
            dict(
                type='BatchFixedSizePad',
                size=(1536, 1536),
                pad_mask=True,
                pad_seg=True,
                seg_pad_value=255,
            )
        ]
    ),
    backbone=dict(
        arch='l',
        window_size=32,
        with_cp=True,
        sequential_attention=[True, True, False, False],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12_192_22k.pth'
        ),
    ),
    neck=[
        dict(type='GlobalAttention', in_channels=channels, num_heads=48),
        dict(type='FPN', in_channels=channels, out_channels=256, num_outs=5),
    ],
)
