# HTC++ (see htc++.py), sized for images of about 128 pixels on a CPU: every part of the method at a
# tenth of its usual width. In contrast to htc++.py, neck, semantic and mask heads have group norm,
# because they learn from scratch; the box heads learn as well without it.
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.det'], allow_failed_imports=False)
num_classes = 6
num_labels = 10  # in the semantic maps: things, then stuff
in_channels = [32, 64, 128, 256]
channels = 48
strides = [4, 8, 16, 32]
norm = dict(type='GN', num_groups=8)


def roi_extractor(size, strides):
    return dict(
        type='SingleRoIExtractor',
        out_channels=channels,
        featmap_strides=strides,
        finest_scale=24,  # pixels; larger boxes are pooled from coarser maps
        roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=1),
    )


def coder(x):
    return dict(type='DeltaXYWHBBoxCoder', target_stds=[x, x, 2 * x, 2 * x])


def assigner(positive, negative, low_quality=False):
    return dict(
        type='MaxIoUAssigner',
        pos_iou_thr=positive,
        neg_iou_thr=negative,
        min_pos_iou=negative,
        match_low_quality=low_quality,
    )


def sampler(num, fraction, add_gt):
    return dict(
        type='RandomSampler',
        num=num,
        pos_fraction=fraction,
        neg_pos_ub=-1,
        add_gt_as_proposals=add_gt,
    )


proposals = dict(
    nms_pre=100, max_per_img=48, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0
)
model = dict(
    type='HybridTaskCascade',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='SwinTransformerV2',
        arch=dict(embed_dims=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8)),
        window_size=8,
        drop_path_rate=0.0,
        # The usual initialization (standard deviation 0.02) is far too small for so few channels,
        # and zero-initialized norms, right for deep models, leave the blocks idle at first.
        init_cfg=[
            dict(type='Xavier', layer='Linear'),
            dict(type='Constant', layer='LayerNorm', val=1.0),
        ],
    ),
    neck=[
        dict(type='GlobalAttention', in_channels=in_channels, num_heads=8),
        dict(type='FPN', in_channels=in_channels, out_channels=channels, num_outs=4, norm_cfg=norm),
    ],
    rpn_head=dict(
        type='RPNHead',
        in_channels=channels,
        feat_channels=channels,
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.03),  # scaled up for few channels
        anchor_generator=dict(
            type='AnchorGenerator', scales=[4], ratios=[0.5, 1.0, 2.0], strides=strides
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9),
    ),
    roi_head=dict(
        type='MaskEnsembleHTCRoIHead',
        interleaved=True,
        mask_info_flow=True,
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_roi_extractor=roi_extractor(7, strides[:3]),
        bbox_head=[
            dict(
                type='Shared4Conv1FCBBoxHead',
                in_channels=channels,
                conv_out_channels=24,
                fc_out_channels=256,
                roi_feat_size=7,
                num_classes=num_classes,
                reg_class_agnostic=True,
                bbox_coder=coder(x),
                loss_cls=dict(type='CrossEntropyLoss'),
                loss_bbox=dict(type='SmoothL1Loss'),
            )
            for x in (0.1, 0.05, 0.033)
        ],
        mask_roi_extractor=roi_extractor(10, strides[:3]),
        mask_head=[
            dict(
                type='HTCMaskHead',
                with_conv_res=stage > 0,
                num_convs=1,
                in_channels=channels,
                conv_out_channels=channels,
                num_classes=num_classes,
                norm_cfg=norm,
                loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
            )
            for stage in range(3)
        ],
        # Coarser than for masks: pooling is slow on a CPU, and objects cover few of its pixels.
        semantic_roi_extractor=roi_extractor(7, strides[1:2]),
        semantic_head=dict(
            type='FusedSemanticHead',
            num_ins=len(strides),
            fusion_level=1,
            seg_scale_factor=1 / strides[1],
            num_convs=2,
            in_channels=channels,
            conv_out_channels=channels,
            num_classes=num_labels,
            norm_cfg=norm,
            loss_seg=dict(type='CrossEntropyLoss', ignore_index=255, loss_weight=0.2),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=assigner(0.7, 0.3, low_quality=True),
            sampler=sampler(128, 0.5, False),
            allowed_border=-1,
            pos_weight=-1,
        ),
        rpn_proposal=proposals,
        rcnn=[
            dict(
                assigner=assigner(iou, iou),
                sampler=sampler(32, 0.5, True),
                mask_size=20,
                pos_weight=-1,
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
    test_cfg=dict(
        rpn=proposals,
        rcnn=dict(
            score_thr=0.05,
            nms=dict(type='soft_nms', iou_threshold=0.5),
            max_per_img=30,
            mask_thr_binary=0.5,
        ),
    ),
)
