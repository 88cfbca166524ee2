# HTC++ (Swin V1, arXiv 2103.14030, appendix A2.2) on SwinV2-B: HTC with the semantic branch, four
# shared convolutions before one fully connected layer in each box head, a global self-attention
# layer after the last stage, soft-NMS, drop path 0.2. Its code was never released. Assumed, because
# nothing else gives the published number of parameters (160 M with Swin-B, 284 M with Swin-L): the
# box heads are class-agnostic, and the attention layer has an MLP. Also assumed: box heads without
# norms, as in ViT-Adapter's HTC++, and SmoothL1, as in HTC.
_base_ = './htc.py'
channels = [128, 256, 512, 1024]
model = dict(
    data_preprocessor=dict(pad_seg=True, seg_pad_value=255),
    backbone=dict(
        arch='b',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
            'swinv2_base_patch4_window12_192_22k.pth'
        ),
    ),
    neck=[
        dict(type='GlobalAttention', in_channels=channels, num_heads=32),
        dict(type='FPN', in_channels=channels, out_channels=256, num_outs=5),
    ],
    roi_head=dict(
        bbox_head=[
            dict(
                type='Shared4Conv1FCBBoxHead',
                in_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=80,
                reg_class_agnostic=True,
                bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[xy, xy, wh, wh]),
                loss_cls=dict(type='CrossEntropyLoss'),
                loss_bbox=dict(type='SmoothL1Loss'),
            )
            for xy, wh in [(0.1, 0.2), (0.05, 0.1), (0.033, 0.067)]
        ],
        semantic_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8],
        ),
        semantic_head=dict(
            type='FusedSemanticHead',
            num_ins=5,
            fusion_level=1,
            seg_scale_factor=1 / 8,
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=183,  # as in mmdet and the publication; the maps hold 0 to 181 and 255
            loss_seg=dict(type='CrossEntropyLoss', ignore_index=255, loss_weight=0.2),
        ),
    ),
    test_cfg=dict(rcnn=dict(nms=dict(type='soft_nms', iou_threshold=0.5))),
)
