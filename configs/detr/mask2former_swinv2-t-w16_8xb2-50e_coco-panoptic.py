# Mask2Former (panoptic segmentation) on SwinV2-T, window 16, for 50 epochs. Not in the paper. The
# number to beat is PQ 53.4, of Swin V1-T (mmdet's model zoo). Assumed: mmdet's recipe for Swin
# V1, with SwinV2's weight decay.
_base_ = '../_base_/models/mask2former_panoptic.py'
train_dataloader = dict(batch_size=2)
