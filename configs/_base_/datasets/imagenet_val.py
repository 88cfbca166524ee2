# The 50,000 validation images of ImageNet-1K, for tests only; data/README.md shows the layout. The
# pipeline is that of a fragment in _base_/preprocessing.
data_root = 'data/imagenet/'
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageNet',
        data_root=data_root,
        data_prefix=dict(img_path='val'),
        test_mode=True,
    ),
)
test_evaluator = dict(type='ClassificationAccuracy', topk=(1, 5))
