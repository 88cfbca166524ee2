# Pre-training quickstart: as the config below, from what SimMIM learned without labels. Measured
# in 5 runs (tools/quickstart_spread.py --task pretraining, seeds 0 to 4): mIoU 0.863 to 0.900.
_base_ = './few-labels_upernet_swinv2-c32-w8_1xb8-160it_surfaces-64.py'
pretrained = (
    'work_dirs/quickstart/pretraining/simmim/iter_1000.pth'  # tools/quickstart.py sets its own
)
model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=pretrained)))
