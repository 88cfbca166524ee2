# mmdet's Faster R-CNN (arXiv 1506.01497) with an FPN, on SwinV2-T: mask-rcnn.py without masks, for
# data with boxes only.
_base_ = './mask-rcnn.py'
model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
