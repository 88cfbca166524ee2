"""The contract of configs/detection."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from coco_tree import write_tree
from mmengine.config import Config, ConfigDict
from narrow import narrow_model, shrink_images, use_data

from . import Contract, Recipe, as_list, folder_of, published, train_one_iteration

FOLDER = folder_of('detection')
GRAMMAR = re.compile(
    r'(?P<method>[a-z+-]+)_swinv2-(?P<arch>[tsblg])-w(?P<window>\d+)_'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<tricks>(?:(?:bf16|fsdp|test)-)*)(?P<length>\d+)'
    r'(?P<unit>x|it)_(?P<dataset>coco|objects365v2)(?:-(?P<size>\d+))?'
)
METHODS = {  # model, box heads, with masks, with the semantic branch, with global attention
    'mask-rcnn': ('MaskRCNN', 'Shared2FCBBoxHead', True, False, False),
    'cascade-mask-rcnn': ('CascadeRCNN', 'Shared4Conv1FCBBoxHead', True, False, False),
    'htc': ('HybridTaskCascade', 'Shared2FCBBoxHead', True, False, False),
    'htc++': ('HybridTaskCascade', 'Shared4Conv1FCBBoxHead', True, True, True),
    'htc++-without-semantic': ('HybridTaskCascade', 'Shared4Conv1FCBBoxHead', True, False, True),
    'htc++-without-mask': ('HybridTaskCascade', 'Shared4Conv1FCBBoxHead', False, False, True),
    'faster-rcnn': ('FasterRCNN', 'Shared2FCBBoxHead', False, False, False),
    'cascade-rcnn': ('CascadeRCNN', 'Shared4Conv1FCBBoxHead', False, False, False),
    'atss': ('ATSS', 'ATSSHead', False, False, False),
}
# Table 3; appendices A1, A2: lr, images per step, multiplier of the backbone's lr, epochs or
# iterations, shortest side at test.
LARGE, GIANT = (4e-4, 64, 0.1, 36, 1100), (6e-4, 96, 0.1, 45000, 1100)
RECIPES = {
    'cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco': (1e-4, 16, 1.0, 36, 800),
    'cascade-mask-rcnn_swinv2-t-w32_8xb2-3x_coco': (1e-4, 16, 1.0, 36, 800),
    'htc++_swinv2-l-w32_32xb2-3x_coco-1536': LARGE,
    'htc++_swinv2-l-w32_32xb2-fsdp-3x_coco-1536': LARGE,
    'htc++_swinv2-l-w48_32xb2-test-3x_coco-1536': LARGE,
    'htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536': GIANT,
    'htc++_swinv2-g-w48_48xb2-bf16-fsdp-test-45000it_coco-1536': GIANT,
    'htc++-without-mask_swinv2-g-w32_48xb2-bf16-fsdp-67500it_objects365v2-1024': (
        *(1.2e-3, 96, 0.1, 67500, 1024),
    ),
}
METRICS = ('coco/bbox_mAP', 'coco/segm_mAP')
PUBLISHED = {  # box AP / mask AP of single-scale and of multi-scale tests (Tables 1 and 3)
    'cascade-mask-rcnn_swinv2-t-w16_8xb2-3x_coco': '51.1 / -',
    'cascade-mask-rcnn_swinv2-t-w32_8xb2-3x_coco': '51.8 / -',
    'htc++_swinv2-l-w32_32xb2-3x_coco-1536': '58.8 / 51.1',
    'htc++_swinv2-l-w32_32xb2-fsdp-3x_coco-1536': '58.8 / 51.1',
    'htc++_swinv2-l-w48_32xb2-test-3x_coco-1536': '58.9 / 51.2; 60.2 / 52.1',
    'htc++_swinv2-g-w32_48xb2-bf16-fsdp-45000it_coco-1536': '61.7 / 53.3',
    'htc++_swinv2-g-w48_48xb2-bf16-fsdp-test-45000it_coco-1536': '61.9 / 53.4; 62.5 / 53.7',
}


def settings(name: str) -> tuple:
    """Configs of our own use the optimizer of the paper's ablation."""
    length = CONTRACT.load(name).train_cfg.get('max_epochs')
    return RECIPES.get(name, (1e-4, 16, 1.0, length, 1400 if 'htc++' in name else 800))


def recipe(name: str) -> Recipe:
    lr, batch, multiplier, length, _ = settings(name)
    return Recipe(lr, batch, 0.05, {} if multiplier == 1.0 else dict(backbone_lr_mult=0.1), length)


def check_content(name: str, cfg: Config, said: re.Match) -> None:
    kind, box_head, with_masks, with_semantic, with_attention = METHODS[said['method']]
    model, roi_head = cfg.model, heads_of(cfg)
    assert model.type == kind
    assert {head.type for head in as_list(roi_head.bbox_head)} == {box_head}
    assert bool(roi_head.get('mask_head')) == with_masks
    assert bool(roi_head.get('semantic_head')) == with_semantic
    necks = ['GlobalAttention'] * with_attention + ['FPN']
    assert [part.type for part in as_list(model.neck)] == necks
    assert ('test' in said['tricks'].split('-')) == ('tta_model' in cfg)
    length = int(said['length']) * (12 if said['unit'] == 'x' else 1)
    assert length == cfg.train_cfg['max_epochs' if said['unit'] == 'x' else 'max_iters']
    kind = 'CocoDataset' if said['dataset'] == 'coco' else 'Objects365V2Dataset'
    assert cfg.train_dataloader.dataset.type == kind
    assert longest_side(cfg, said['dataset']) == int(said['size'] or 1333)
    loads = [step for step in cfg.train_dataloader.dataset.pipeline if 'with_bbox' in step]
    assert [bool(step.get('with_mask')) for step in loads] == [with_masks]
    assert ('segm' in cfg.val_evaluator.metric) == with_masks


def heads_of(cfg: Config) -> ConfigDict:
    """The RoI heads of a detector with two stages, or the detector with one itself."""
    return cfg.model.get('roi_head', cfg.model)


def longest_side(cfg: Config, dataset: str) -> int:
    """Of training images in pixels; Objects365 is named by the paper's range of short sides."""
    side = min if dataset == 'objects365v2' else max
    return max(side(size) for size in sizes(cfg.train_dataloader.dataset.pipeline))


def sizes(pipeline: list) -> list[tuple]:
    """All (width, height) in the resizes of a pipeline."""
    text = repr([step for step in pipeline if 'Flip' not in step['type']])
    pairs = re.findall(r"'scales?': (\(\d+, \d+\)|\[[^\]]*\])", text)
    values = [ast.literal_eval(pair) for pair in pairs]
    return [p for value in values for p in ([value] if isinstance(value, tuple) else value)]


def check_schedule(name: str, cfg: Config, parts: int) -> None:
    *_, length, short_side = settings(name)
    assert length == cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('max_iters'))
    (warm_up, steps) = cfg.param_scheduler
    assert (warm_up.end, steps.end) == (1000 * parts, length)
    shares = [8 / 12, 11 / 12] if length == 12 else [27 / 36, 33 / 36]
    assert all(abs(m / length - s) < 1e-6 for m, s in zip(steps.milestones, shares, strict=True))
    (resize,) = [s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'Resize']
    assert min(resize.scale) == short_side


def check_comment(name: str, comment: str) -> None:
    if '-test-' in name or name in RECIPES:
        assert 'Table 1' in comment or 'Table 3' in comment or 'No AP is published' in comment
    if name in RECIPES and 'test' not in name and 'fsdp-3x' not in name:
        assert re.search('Assumed|assumed', comment) or 'No AP is published' in comment


def write_data(root: Path) -> dict[str, Path]:
    import mmdet.datasets as datasets

    kinds = (datasets.CocoDataset, datasets.Objects365V2Dataset)
    return {
        kind.__name__: write_tree(root / kind.__name__, kind.METAINFO['classes']) for kind in kinds
    }


def shrink(cfg: Config, trees: dict[str, Path]) -> None:
    narrow_model(cfg.model)
    shrink_images(cfg, 12)
    assert longest_side(cfg, '') <= 152
    use_data(cfg, trees[cfg.train_dataloader.dataset.type])
    train_one_iteration(cfg)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1000)
    cfg.train_dataloader.update(sampler=dict(type='InfiniteSampler'), batch_size=2)
    cfg.train_dataloader.batch_sampler = None
    cfg.default_hooks.logger.interval = 1


def parts(cfg: Config) -> list[str]:
    if 'roi_head' not in cfg.model:
        return ['neck', 'bbox_head']
    heads = [key for key in ('mask_head', 'semantic_head') if cfg.model.roi_head.get(key)]
    return ['neck', 'rpn_head', 'roi_head.bbox_head', *(f'roi_head.{key}' for key in heads)]


def check_test(name: str, cfg: Config, runner: Any, metrics: dict) -> None:
    kinds = ['bbox', 'segm'] if heads_of(cfg).get('mask_head') else ['bbox']
    assert all(f'coco/{kind}_mAP' in metrics for kind in kinds)


def check_row(name: str, cfg: Config, row: re.Match, entry: dict) -> None:
    assert row['metric'] == PUBLISHED.get(name, '- / -')
    numbers = re.findall(r'[\d.]+', PUBLISHED.get(name, ''))
    assert [str(v) for k, v in entry.get('Paper', {}).items() if 'AP' in k] == numbers
    single, multi = (published(cfg, METRICS, tta) for tta in (False, True))
    assert PUBLISHED.get(name, '- / -') == (single if multi == '- / -' else f'{single}; {multi}')


CONTRACT = Contract(
    folder=FOLDER,
    scope='mmdet',
    grammar=GRAMMAR,
    recipe=recipe,
    check_content=check_content,
    check_schedule=check_schedule,
    check_comment=check_comment,
    write_data=write_data,
    shrink=shrink,
    parts=parts,
    check_test=check_test,
    row=re.compile(
        r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<metric>.+?) \| '
        r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<size>\d+ x \d+) \| '
        r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
    ),
    check_row=check_row,
)
