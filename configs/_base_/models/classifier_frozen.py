# A linear probe: classifier.py with a frozen backbone, so that only the linear layer learns. No
# stochastic depth, mixing or smoothing. Give the weights with `init_cfg` of the backbone, or with
# --cfg-options load_from=CHECKPOINT.
_base_ = './classifier.py'
model = dict(
    backbone=dict(frozen_stages=4, drop_path_rate=0.0),
    head=dict(loss=dict(label_smoothing=0.0)),
    train_augment=None,
)
