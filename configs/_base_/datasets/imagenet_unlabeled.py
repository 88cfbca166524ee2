# ImageNet-1K without its labels: trained on data/imagenet/train, validated on data/imagenet/val,
# with the pipelines of own_unlabeled.py. The folders inside do not matter.
_base_ = './own_unlabeled.py'
train_dataloader = dict(dataset=dict(data_root='data/imagenet/train', part='all'))
val_dataloader = dict(dataset=dict(data_root='data/imagenet/val', part='all'))
test_dataloader = val_dataloader
