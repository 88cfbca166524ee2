# Mask R-CNN (see mask-rcnn.py), sized for images of about 256 pixels on a CPU: every part at a
# quarter of its usual width, and a small backbone that learns from scratch.
_base_ = './mask-rcnn.py'
channels = 64
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8)),
        window_size=8,
        drop_path_rate=0.0,
        # As in htc++_small.py: the usual initialization is too small for so few channels, and
        # zero-initialized norms leave the blocks idle at first.
        init_cfg=[
            dict(type='Xavier', layer='Linear'),
            dict(type='Constant', layer='LayerNorm', val=1.0),
        ],
    ),
    neck=dict(
        in_channels=[32, 64, 128, 256],
        out_channels=channels,
        norm_cfg=dict(type='GN', num_groups=8),
    ),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[4]),
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.03),  # scaled up for few channels
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, roi_layer=dict(sampling_ratio=1)),
        bbox_head=dict(in_channels=channels, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=channels, roi_layer=dict(sampling_ratio=1)),
        mask_head=dict(
            in_channels=channels,
            conv_out_channels=channels,
            norm_cfg=dict(type='GN', num_groups=8),
        ),
    ),
    train_cfg=dict(
        rpn=dict(allowed_border=-1, sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
)
