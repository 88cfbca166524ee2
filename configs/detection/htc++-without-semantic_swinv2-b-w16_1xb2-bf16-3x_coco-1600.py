# The config of the same name without the semantic branch, for data without stuff maps.
_base_ = './htc++_swinv2-b-w16_1xb2-bf16-3x_coco-1600.py'
model = dict(
    data_preprocessor=dict(pad_seg=False),
    roi_head=dict(semantic_roi_extractor=None, semantic_head=None),
)
train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(_delete_=True, img='train2017/'), pipeline=train_pipeline)
)
