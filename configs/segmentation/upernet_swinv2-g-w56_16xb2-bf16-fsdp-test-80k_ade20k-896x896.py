# Table 4, SwinV2-G (UperNet), train 640(40): tests a checkpoint of
# upernet_swinv2-g-w40_16xb2-bf16-fsdp-80k_ade20k-640x640.py at 896 pixels and window 56; log-CPB
# extrapolates. Rows 896(56) and multi-scale 896(56) (tools/test.py ... --tta).
# Assumed: sliding windows of 896 pixels with a stride of 2/3 of that, and scales as at 640.
_base_ = './upernet_swinv2-g-w40_16xb2-bf16-fsdp-80k_ade20k-640x640.py'
model = dict(
    backbone=dict(window_size=56),
    test_cfg=dict(crop_size=(896, 896), stride=(597, 597)),
)
resize = [dict(type='Resize', scale=(4 * s, s), keep_ratio=True) for s in range(448, 1569, 224)]
flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
load, maps, pack = (
    dict(type=name) for name in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')
)
val_dataloader = dict(dataset=dict(pipeline=[load, resize[2], maps, pack]))
test_dataloader = val_dataloader
tta_pipeline = [
    load,
    dict(type='TestTimeAug', transforms=[resize, flips, [maps], [pack]]),
]
expected = [
    dict(metric='mIoU', value=59.3, tolerance=0.5, source='Table 4, G, 896(56)'),
    dict(metric='mIoU', value=59.9, tolerance=0.5, tta=True, source='Table 4, G, ms 896(56)'),
]
