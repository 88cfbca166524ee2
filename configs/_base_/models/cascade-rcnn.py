# Cascade R-CNN (arXiv 1712.00726) on SwinV2-T: cascade-mask-rcnn.py without masks, for data with
# boxes only.
_base_ = './cascade-mask-rcnn.py'
model = dict(
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
