# HTC++ (see htc++.py) on SwinV2-B for data with boxes only: without the mask branch, as in the
# Objects365 stage of the SwinV2 paper (appendix A2.2), and without the semantic branch.
# interleaved=False: with True, mmdet refines boxes between stages only in the mask branch. Without
# that branch, stages 2 and 3 would train on unrefined boxes.
_base_ = './htc++.py'
model = dict(
    data_preprocessor=dict(pad_mask=False, pad_seg=False),
    roi_head=dict(
        interleaved=False,
        mask_roi_extractor=None,
        mask_head=None,
        semantic_roi_extractor=None,
        semantic_head=None,
    ),
)
