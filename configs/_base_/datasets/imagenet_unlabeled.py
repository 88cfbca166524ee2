# ImageNet-1K without its labels: trained on data/imagenet/train, validated on data/imagenet/val,
# with the pipelines of own_unlabeled.py. The folders inside do not matter.
_base_ = './own_unlabeled.py'
data_root = 'data/imagenet/'
train_dataloader = dict(
    dataset=dict(data_root=data_root, data_prefix=dict(img_path='train'), part='all')
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, data_prefix=dict(img_path='val'), part='all')
)
test_dataloader = val_dataloader
