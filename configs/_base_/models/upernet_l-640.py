# UperNet on SwinV2-L as in the paper's system-level comparison (appendix A2): crops of 640 x 640,
# window 40, activation checkpointing. Assumed, because the paper does not specify it:
# sliding-window tests at 640 x 640 pixels, because only then is stage 3 one attention window, as
# "640(40)" says; a stride of 426 pixels, as in mmseg's BEiT; weights of ImageNet-22K before
# fine-tuning.
_base_ = './upernet.py'
model = dict(
    data_preprocessor=dict(size=(640, 640)),
    backbone=dict(
        arch='l',
        window_size=40,
        with_cp=True,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_large_patch4_window12_192_22k.pth'
        ),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
    test_cfg=dict(mode='slide', crop_size=(640, 640), stride=(426, 426)),
)
