# Kinetics-700 with the pipelines of Kinetics-400; set num_classes=700 in the head.
_base_ = './kinetics400.py'
data_root = 'data/kinetics700/'
train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='kinetics700_train_list_videos.txt')
)
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='kinetics700_val_list_videos.txt'))
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='kinetics700_val_list_videos.txt')
)
