# mask-rcnn_small.py without masks, for data with boxes only.
_base_ = './mask-rcnn_small.py'
model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
