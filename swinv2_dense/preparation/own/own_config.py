"""Write own.py, a config for a prepared folder that a person can read and change.

Its last base is dataset.py, a copy of the fragment in `configs/_base_/datasets` that reads the
folder in which it lies. Batch, warm-up and length follow from the number of training samples.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...errors import ConfigError
from .bands import Bands

ROOT_LINE = "data_root = '{{$OWN_DATA:data/own}}/'"
HERE = "data_root = '{{ fileDirname }}/'"
FRAGMENTS = dict(
    boxes='own_boxes',
    masks='own_instance',
    maps='own_semantic',
    clips='own_videos',
    images='own_images',
)


class Recipe(NamedTuple):
    """What a target is trained with on a kind of device."""

    model: str
    schedule: str
    runtime: str
    batch: int
    samples: int  # seen in the training of a small set
    shortest: int  # epochs, however large the set is
    longest: int = 100  # epochs, however small it is


class Plan(NamedTuple):
    """How long and with which batches a dataset is trained."""

    batch: int
    length: int  # epochs, or iterations for maps
    warmup: int  # iterations
    interval: int  # between validations, in units of `length`
    steps: int  # iterations per epoch

    def checkpoint(self, target: str) -> str:
        """Name of the last one."""
        return f'{"iter" if target == "maps" else "epoch"}_{self.length}.pth'


DET = 'mmdet::_base_/default_runtime.py'
RECIPES = {
    ('boxes', 'cuda'): Recipe('faster-rcnn', 'adamw_1x', DET, 4, 40_000, 12),
    ('masks', 'cuda'): Recipe('mask-rcnn', 'adamw_1x', DET, 4, 40_000, 12),
    ('maps', 'cuda'): Recipe('upernet', 'adamw_160k', 'segmentation', 8, 80_000, 40),
    ('clips', 'cuda'): Recipe('recognizer', 'adamw_30e', 'video', 4, 30_000, 30),
    ('boxes', 'cpu'): Recipe('faster-rcnn_small', 'adamw_1x', DET, 8, 4_000, 12),
    ('masks', 'cpu'): Recipe('mask-rcnn_small', 'adamw_1x', DET, 8, 4_000, 12),
    ('maps', 'cpu'): Recipe('upernet_small', 'adamw_160k', 'segmentation', 8, 2_400, 10),
    ('clips', 'cpu'): Recipe('recognizer_small', 'adamw_30e', 'video', 8, 3_200, 10),
    ('images', 'cuda'): Recipe('classifier', 'adamw_30e_22kto1k', 'classification', 32, 60_000, 30),
    ('images', 'cpu'): Recipe('classifier', 'adamw_30e_22kto1k', 'classification', 16, 6_400, 10),
}
METRICS = dict(
    boxes='coco/bbox_mAP', masks='coco/segm_mAP', maps='mIoU', clips='acc/top1', images='acc/top1'
)
# What the small models need besides: pipelines in their sizes.
SMALLER = {
    'boxes': """
smaller = dict(type='Resize', scale=(256, 256), keep_ratio=True)  # as much as a CPU can take
train_pipeline, test_pipeline = (
    [smaller if step['type'] in ('Resize', 'RandomResize') else step for step in pipeline]
    for pipeline in (_base_.train_pipeline, _base_.test_pipeline)
)
""",
    'maps': """
smaller = dict(  # as much as a CPU can take
    Resize=dict(type='Resize', scale=(512, 128), keep_ratio=True),
    RandomResize=dict(
        type='RandomResize', scale=(512, 128), ratio_range=(0.5, 2.0), keep_ratio=True
    ),
    RandomCrop=dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.75),
)
train_pipeline, test_pipeline = (
    [smaller.get(step['type'], step) for step in pipeline]
    for pipeline in (_base_.train_pipeline, _base_.test_pipeline)
)
""",
    'clips': """
frames = dict(clip_len=8, frame_interval=8, num_clips=1)  # of 64 x 64 pixels: what a CPU can take
pack = [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]
train_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', **frames),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 72)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    *pack,
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFrames', **frames, test_mode=True),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 64)),
    dict(type='CenterCrop', crop_size=64),
    *pack,
]
""",
}
SMALLER['masks'] = SMALLER['boxes']
SMALLER['images'] = """
train_pipeline = [  # 64 x 64 pixels: what a CPU can take
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', size=64, scale=(0.35, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackClassificationInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeShorterSide', size=72),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackClassificationInputs'),
]
"""
# Changes of the model, after its classes are set.
MODELS = {
    ('images', 'cuda'): """model['backbone']['init_cfg'] = dict(
    type='Pretrained',
    checkpoint='https://github.com/SwinTransformer/storage/releases/download/v2.0.0/'
    'swinv2_tiny_patch4_window8_256.pth',
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.05), paramwise_cfg=dict(backbone_lr_mult=0.1)
)
""",
    ('images', 'cpu'): """model['backbone'].update(
    arch=dict(_delete_=True, embed_dims=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8)),
    drop_path_rate=0.0,
    init_cfg=[
        dict(type='Xavier', layer='Linear'),
        dict(type='Constant', layer='LayerNorm', val=1.0),
    ],
)
model['head']['in_channels'] = 256
model['train_augment'] = None
""",
}
FROM_SCRATCH = """
optim_wrapper = dict(  # the small model learns from scratch
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0),
    clip_grad=dict(max_norm=5.0),
)
"""
SCHEDULES = {
    'boxes': """max_epochs = {length}
train_cfg = dict(max_epochs=max_epochs, val_interval={interval})
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end={warmup}),
    dict(
        type='MultiStepLR',
        begin=0,
        end=max_epochs,
        by_epoch=True,
        milestones=[max_epochs * 2 // 3, max_epochs * 11 // 12],
        gamma=0.1,
    ),
]
""",
    'maps': """max_iters = {length}
train_cfg = dict(max_iters=max_iters, val_interval={interval})
param_scheduler = [
    dict(_base_.param_scheduler[0], end={warmup}),
    dict(_base_.param_scheduler[1], begin={warmup}, end=max_iters),
]
""",
    'clips': """max_epochs = {length}
train_cfg = dict(max_epochs=max_epochs, val_interval={interval})
param_scheduler = [
    dict(_base_.param_scheduler[0], end=max_epochs / 12),
    dict(_base_.param_scheduler[1], T_max=max_epochs, end=max_epochs),
]
""",
}
SCHEDULES['masks'] = SCHEDULES['boxes']
SCHEDULES['images'] = """max_epochs = {length}
train_cfg = dict(max_epochs=max_epochs, val_interval={interval})
param_scheduler = [
    dict(_base_.param_scheduler[0], end=max_epochs / 10),
    dict(
        _base_.param_scheduler[1],
        T_max=max_epochs * 9 / 10,
        begin=max_epochs / 10,
        end=max_epochs,
    ),
]
"""
TEST_FILES = {
    'boxes': "ann_file='annotations/test.json', data_prefix=dict(img='test/')",
    'maps': "data_prefix=dict(img_path='images/test', seg_map_path='masks/test')",
    'clips': "data_prefix=dict(video='test')",
}
TEST_FILES['masks'] = TEST_FILES['boxes']
TEST_FILES['images'] = "data_prefix=dict(img_path='test')"


class Needs(NamedTuple):
    """What the config depends on besides target and device."""

    count: int  # training samples
    classes: int
    has_negatives: bool = False  # training images without objects
    has_test: bool = False
    bands: Bands | None = None  # if images are read by `LoadBands`


def plan_of(recipe: Recipe, count: int, target: str) -> Plan:
    """Batch and lengths for `count` training samples.

    A small set is seen `recipe.longest` times, a large one at least `recipe.shortest` times. The
    warm-up takes a tenth of the training, at most 1000 iterations.
    """
    batch = max(1, min(recipe.batch, count // 2))
    epochs = min(recipe.longest, max(recipe.shortest, recipe.samples // max(1, count)))
    steps = -(-count // batch)
    warmup = max(1, min(1000, epochs * steps // 10))
    if target != 'maps':
        return Plan(batch, epochs, warmup, max(1, epochs // 12), steps)
    iterations = max(100, epochs * steps // 100 * 100)
    return Plan(batch, iterations, max(1, min(1000, iterations // 10)), iterations // 10, steps)


def write_own_config(
    folder: Path, target: str, device: str, needs: Needs, work_dir: str, find: Callable[[str], str]
) -> Plan:
    """Write dataset.py and own.py.

    Args:
        folder: The prepared folder.
        target: One of `found.TARGETS`.
        device: 'cuda' or 'cpu'.
        work_dir: Of the training.
        find: Maps the name of a config to its path, raising FileNotFoundError.

    Raises:
        ConfigError: There is no base config for the target.
    """
    fragment = f'_base_/datasets/{FRAGMENTS[target]}.py'
    try:
        text = Path(find(fragment)).read_text('utf-8')
        recipe = RECIPES[target, device]
    except (FileNotFoundError, KeyError) as error:
        raise ConfigError(
            f'--target={target}: there is no base config for it on {device} ({fragment})'
        ) from error
    plan = plan_of(recipe, needs.count, target)
    body = text[text.index(ROOT_LINE) :].replace(ROOT_LINE, HERE)
    head = f'# How own.py reads this folder: a copy of configs/{fragment}.\n'
    (folder / 'dataset.py').write_text(head + body, 'utf-8')
    (folder / 'own.py').write_text(own_config(target, device, needs, work_dir), 'utf-8')
    return plan


def own_config(target: str, device: str, needs: Needs, work_dir: str) -> str:
    """The text of own.py."""
    recipe = RECIPES[target, device]
    plan = plan_of(recipe, needs.count, target)
    runtime = recipe.runtime
    bases = [f'_base_/models/{recipe.model}.py', './dataset.py']
    bases += [f'_base_/schedules/{recipe.schedule}.py']
    bases += [runtime if '::' in runtime else f'_base_/runtime/{runtime}.py']
    shown = [
        f"    __import__('swinv2_dense').config_path({name!r}),"
        if name.startswith('_base_')
        else f'    {name!r},'
        for name in bases
    ]
    is_small = device == 'cpu'
    unit = 'videos' if target == 'clips' else 'images'
    parts = [
        f'# Written by prepare_data for {needs.count} training {unit} and {needs.classes} classes. '
        'Change whatever you like.\n',
        '\n'.join(['_base_ = [', *shown, ']\n']),
        f'work_dir = {work_dir!r}\n',
        "model = __import__('swinv2_dense').own_data.set_num_classes(_base_.model, "
        'len(_base_.classes))\n',
        MODELS.get((target, device), ''),
        SMALLER[target] if is_small else '',
        needs.bands.config(is_small) if needs.bands else '',
        _loaders(target, is_small, needs, plan),
        FROM_SCRATCH if is_small else '',
        f'\n# {plan.steps} iterations show each training sample once.\n',
        SCHEDULES[target].format(**plan._asdict()),
        f'default_hooks = dict(\n    checkpoint=dict(interval={plan.interval}, max_keep_ckpts=2, '
        f'save_best={METRICS[target]!r})\n)\n',
    ]
    return ''.join(parts)


def _loaders(target: str, is_small: bool, needs: Needs, plan: Plan) -> str:
    is_changed = is_small or needs.bands is not None
    train = ['pipeline=train_pipeline'] if is_changed else []
    val = ['pipeline=test_pipeline'] if is_changed else []
    test = list(val)
    if needs.has_negatives and target in ('boxes', 'masks'):
        train.append('filter_cfg=dict(filter_empty_gt=False)')  # images without objects count
    if needs.has_test:
        test.append(TEST_FILES[target])
    lines = ['\n', _loader('train', [f'batch_size={plan.batch}'], train)]
    if val:
        lines.append(_loader('val', [], val))
    if test:
        lines.append(_loader('test', [], test))
    if needs.has_test and target in ('boxes', 'masks'):
        lines.append("test_evaluator = dict(ann_file=_base_.data_root + 'annotations/test.json')\n")
    return ''.join(lines)


def _loader(split: str, settings: list[str], dataset: list[str]) -> str:
    items = settings + ([f'dataset=dict({", ".join(dataset)})'] if dataset else [])
    line = f'{split}_dataloader = dict({", ".join(items)})\n'
    if len(line) <= 100:
        return line
    return f'{split}_dataloader = dict(\n' + ''.join(f'    {item},\n' for item in items) + ')\n'
