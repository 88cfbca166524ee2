# ImageNet-22K (fall 2011, 21841 classes, 14 million images) at 192 x 192, from the lists of the
# official code; data/README.md shows the layout. Pipelines as in imagenet.py. WordNet names the
# classes. Assumed: the paths in the lists begin with fall11_whole/, which lies beside them. Looking
# for all files takes minutes at each start, so it is left out.
_base_ = './imagenet.py'
data_root = 'data/imagenet22k/'
added_hooks = dict(CheckFilesHook=False)
train_pipeline = [
    _base_.load,
    dict(type='RandomResizedCrop', size=192),
    *_base_.train_pipeline[2:],
]
test_pipeline = [
    _base_.load,
    dict(type='ResizeShorterSide', size=219),
    dict(type='CenterCrop', crop_size=192),
    dict(type='PackClassificationInputs'),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageNet22K',
        data_root=data_root,
        ann_file='ILSVRC2011fall_whole_map_train.txt',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageNet22K',
        data_root=data_root,
        ann_file='ILSVRC2011fall_whole_map_val.txt',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
