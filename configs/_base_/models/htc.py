# Hybrid Task Cascade (arXiv 1901.07518) without the semantic branch, on SwinV2-T. Heads, losses,
# assignment and testing are those of mmdet's htc-without-semantic_r50_fpn_1x_coco, except that test
# masks are averaged over all three stages, as in the paper.
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.det'], allow_failed_imports=False)
custom_hooks = [dict(type='DetectorFp32Hook')]
num_classes = 80
strides = [4, 8, 16, 32]


def roi_extractor(size):
    return dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=0),
        out_channels=256,
        featmap_strides=strides,
    )


def assigner(positive, negative, lowest, **kwargs):
    return dict(
        type='MaxIoUAssigner',
        pos_iou_thr=positive,
        neg_iou_thr=negative,
        min_pos_iou=lowest,
        ignore_iof_thr=-1,
        **kwargs,
    )


def sampler(num, fraction, add_gt):
    return dict(
        type='RandomSampler',
        num=num,
        pos_fraction=fraction,
        neg_pos_ub=-1,
        add_gt_as_proposals=add_gt,
    )


def proposals(num):
    return dict(
        nms_pre=num, max_per_img=num, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0
    )


model = dict(
    type='HybridTaskCascade',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='SwinTransformerV2',
        arch='t',
        window_size=16,
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_tiny_patch4_window16_256.pth',
        ),
    ),
    neck=dict(type='FPN', in_channels=[96, 192, 384, 768], out_channels=256, num_outs=5),
    rpn_head=dict(
        type='RPNHead',
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[*strides, 64]
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
        bbox_roi_extractor=roi_extractor(7),
        bbox_head=[
            dict(
                type='Shared2FCBBoxHead',
                in_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=num_classes,
                reg_class_agnostic=True,
                bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[xy, xy, wh, wh]),
                loss_cls=dict(type='CrossEntropyLoss'),
                loss_bbox=dict(type='SmoothL1Loss'),
            )
            for xy, wh in [(0.1, 0.2), (0.05, 0.1), (0.033, 0.067)]
        ],
        mask_roi_extractor=roi_extractor(14),
        mask_head=[
            dict(
                type='HTCMaskHead',
                with_conv_res=stage > 0,
                num_convs=4,
                in_channels=256,
                conv_out_channels=256,
                num_classes=num_classes,
                loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
            )
            for stage in range(3)
        ],
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=assigner(0.7, 0.3, 0.3),
            sampler=sampler(256, 0.5, False),
            allowed_border=0,
            pos_weight=-1,
        ),
        rpn_proposal=proposals(2000),
        rcnn=[
            dict(
                assigner=assigner(iou, iou, iou),
                sampler=sampler(512, 0.25, True),
                mask_size=28,
                pos_weight=-1,
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
    test_cfg=dict(
        rpn=proposals(1000),
        rcnn=dict(
            score_thr=0.001,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=100,
            mask_thr_binary=0.5,
        ),
    ),
)
