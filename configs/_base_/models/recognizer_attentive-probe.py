# An attentive probe (V-JEPA, arXiv 2404.08471): recognizer.py with a frozen backbone; one learned
# query attends to all tokens of the last map. Use it with schedules/adamw_30e.py; its lower lr for
# the backbone has no effect then.
_base_ = './recognizer.py'
model = dict(
    backbone=dict(frozen_stages=4, drop_path_rate=0.0),
    cls_head=dict(
        _delete_=True,
        type='AttentiveProbeHead',
        num_classes=400,
        in_channels=768,
        num_heads=12,
        average_clips='prob',
    ),
)
