# Mask2Former (semantic segmentation) on SwinV2-T, window 16, on ADE20K at 512 x 512. Not in the
# paper. The number to beat is mIoU 48.66, of Swin V1-T (mmseg's model zoo). mmseg's recipe for
# Swin V1, with SwinV2's weight decay.
_base_ = '../_base_/models/mask2former_semantic.py'
auto_scale_lr = dict(base_batch_size=16)
