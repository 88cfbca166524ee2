# ImageNet-V2 (arXiv 1902.10811), variant matched-frequency: 10,000 images; data/README.md shows the
# layout. For another variant: --cfg-options
# test_dataloader.dataset.data_prefix.img_path=imagenetv2-top-images-format-val. The pipeline is
# that of a fragment in _base_/preprocessing.
data_root = 'data/imagenetv2/'
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageNetV2',
        data_root=data_root,
        data_prefix=dict(img_path='imagenetv2-matched-frequency-format-val'),
        test_mode=True,
    ),
)
test_evaluator = dict(type='ClassificationAccuracy', topk=(1, 5))
