"""Small configs of the three tasks, below those of the quickstart, on five generated samples each.

What differs by chance, or with the number of processes, is left out: shuffled samples, flips and
dropout; the detector's samplers take all boxes.
"""

from __future__ import annotations

from pathlib import Path

from commands import ROOT

from swinv2_dense.quickstart import motions, shapes, surfaces

SAMPLES = 5  # of a test; not divisible by two processes
COMMON = """
steps = [step for step in _base_.train_dataloader.dataset.pipeline if step.type != 'RandomFlip']
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr={lr}))
param_scheduler = None
custom_hooks = [dict(type='RecordRankHook')]
default_hooks = dict(logger=dict(interval=1))
env_cfg = dict(dist_cfg=dict(backend='nccl'))
alone = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **alone,
    sampler=dict(type='InfiniteSampler', shuffle=False),
    dataset=dict(data_root='{root}/', pipeline=steps),
)
val_dataloader = test_dataloader = dict(**alone, batch_size=1, dataset=dict(data_root='{root}/'))
"""
DET = """
for stage in _base_.model.train_cfg.rcnn:
    stage.sampler.num = 10**6
model = dict(
    backbone=dict(
        arch=dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        with_cp=True,
        frozen_stages=1,
    ),
    neck=[
        dict(type='GlobalAttention', in_channels=[16, 32, 64, 128], num_heads=8),
        dict(
            type='FPN',
            in_channels=[16, 32, 64, 128],
            out_channels=48,
            num_outs=4,
            norm_cfg=dict(type='GN', num_groups=8),
        ),
    ],
    train_cfg=dict(
        rpn=dict(sampler=dict(num=10**6)),
        rcnn=_base_.model.train_cfg.rcnn,
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
val_evaluator = test_evaluator = dict(
    ann_file='{root}/annotations/instances_val.json', iou_thrs=[0.1, 0.2]
)
"""
SEG = """
norm = dict(_delete_=True, type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(
        arch=dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)), with_cp=True
    ),
    decode_head=dict(in_channels=[16, 32, 64, 128], dropout_ratio=0.0, norm_cfg=norm),
    auxiliary_head=dict(in_channels=64, dropout_ratio=0.0, norm_cfg=norm),
)
"""
VIDEO = """
model = dict(
    backbone=dict(
        arch=dict(embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4)),
        out_indices=(2,),
        with_cp=True,
        frozen_stages=1,
    ),
    cls_head=dict(in_channels=64, dropout_ratio=0.0),
)
test_evaluator = [
    dict(type='AccMetric', metric_options=dict(top_k_accuracy=dict(topk=(1, 3, 5)))),
]
"""
PARTS = dict(
    det=('htc++_*.py', shapes, shapes.ShapesSpec, DET, 0.01),
    seg=('upernet_*.py', surfaces, surfaces.SurfacesSpec, SEG, 0.1),
    video=('*_motions-rgb.py', motions, motions.MotionsSpec, VIDEO, 0.1),
)


def write_configs(folder: Path, data: Path) -> None:
    """FOLDER/{det,seg,video}.py; the samples go into `data`, if they are not there."""
    for task, (name, module, spec, text, lr) in PARTS.items():
        (base,) = (ROOT / 'configs' / 'quickstart').glob(name)
        root = data / task
        if not root.is_dir():
            module.write_dataset(root, spec(train=8, val=SAMPLES))
        changes = COMMON.replace('{lr}', str(lr)) + text
        changes = changes.replace('{root}', str(root))
        (folder / f'{task}.py').write_text(f"_base_ = '{base}'\n{changes}")
