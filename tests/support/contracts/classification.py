"""The contract of configs/classification."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config
from narrow import shrink_images
from narrow_classifier import (
    CLASSES,
    narrow_classifier,
    use_folders,
    write_class_folders,
    write_image,
)

from swinv2_dense.costs.input_size import training_size
from swinv2_dense.tasks import task_of

from . import Contract, Recipe, folder_of, train_one_iteration
from . import published as expected_of_tests

FOLDER = folder_of('classification')
GRAMMAR = re.compile(
    r'swinv2-(?P<arch>[tsbl])-w(?P<window>\d+)_(?:(?P<weights>in22k|simmim)-pre_)?'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<tricks>bf16)-(?P<epochs>\d+)e_'
    r'(?P<dataset>in1k|in22k)-(?P<size>\d+)'
)
CLASSES_OF = {'in1k': 1000, 'in22k': 21841}
WIDTHS = dict(t=768, s=768, b=1024, l=1536)
# Appendices A1 and A2.1, and SimMIM's config: lr, images per step, weight decay, layer decay,
# epochs, epochs of warm-up.
SCRATCH, LARGE = (1e-3, 1024, 0.05, None, 300, 20), (1e-3, 4096, 0.1, None, 90, 5)
TUNED, SIMMIM = (4e-5, 1024, 1e-8, None, 30, 5), (5e-3, 2048, 0.05, 0.75, 100, 20)
DROP_PATH = dict(t=0.2, s=0.3, b=0.5)  # from scratch; 0.2 with ImageNet-22K, 0.1 after SimMIM
EVALUATED = {  # shorter side to which a test resizes before it crops; 384 is not cropped
    256: 292, 224: 256, 192: 219, 384: None,
}  # fmt: skip
PUBLISHED = {  # top-1 / top-5 of the released models
    'swinv2-t-w8_8xb128-bf16-300e_in1k-256': '81.8 / 95.9',
    'swinv2-s-w8_8xb128-bf16-300e_in1k-256': '83.7 / 96.6',
    'swinv2-b-w8_8xb128-bf16-300e_in1k-256': '84.2 / 96.9',
    'swinv2-t-w16_8xb128-bf16-300e_in1k-256': '82.8 / 96.2',
    'swinv2-s-w16_8xb128-bf16-300e_in1k-256': '84.1 / 96.8',
    'swinv2-b-w16_8xb128-bf16-300e_in1k-256': '84.6 / 97.0',
    'swinv2-b-w16_in22k-pre_8xb128-bf16-30e_in1k-256': '86.2 / 97.9',
    'swinv2-b-w24_in22k-pre_16xb64-bf16-30e_in1k-384': '87.1 / 98.2',
    'swinv2-l-w16_in22k-pre_8xb128-bf16-30e_in1k-256': '86.9 / 98.0',
    'swinv2-l-w24_in22k-pre_16xb64-bf16-30e_in1k-384': '87.6 / 98.3',
    'swinv2-s-w14_simmim-pre_16xb128-bf16-100e_in1k-224': '84.08 / -',
    'swinv2-b-w14_simmim-pre_16xb128-bf16-100e_in1k-224': '85.04 / -',
    'swinv2-l-w14_simmim-pre_16xb128-bf16-100e_in1k-224': '85.91 / -',
}


def settings(name: str) -> tuple:
    said = GRAMMAR.fullmatch(name)
    if said['dataset'] == 'in22k':
        return LARGE
    return {None: SCRATCH, 'in22k': TUNED, 'simmim': SIMMIM}[said['weights']]


def recipe(name: str) -> Recipe:
    lr, batch, decay, layer_decay, epochs, _ = settings(name)
    paramwise = dict(layer_decay=layer_decay) if layer_decay else {}
    return Recipe(lr, batch, decay, paramwise, epochs)


def check_content(name: str, cfg: Config, said: re.Match) -> None:
    model, size = cfg.model, int(said['size'])
    assert cfg.default_scope == 'swinv2_classification'
    assert cfg.train_cfg.max_epochs == int(said['epochs'])
    assert model.head.num_classes == CLASSES_OF[said['dataset']]
    assert model.head.in_channels == WIDTHS[said['arch']]
    init_cfg = model.get('init_cfg') or model.backbone.get('init_cfg') or {}
    weights = init_cfg.get('checkpoint', '')
    marks = {None: '', 'in22k': 'window12_192_22k.pth', 'simmim': '_1k_500k.pth'}
    assert bool(weights) == bool(said['weights']) and weights.endswith(marks[said['weights']])
    assert init_cfg.get('head_rows') == ('imagenet1k' if said['weights'] == 'in22k' else None)
    train = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert train['RandomResizedCrop'].size == size and train['RandomFlip'].prob == 0.5
    assert (train['RandAugment'].magnitude, train['RandAugment'].magnitude_std) == (9, 0.5)
    assert train['RandomErasing'].prob == 0.25
    assert model.head.loss.label_smoothing == 0.1
    assert (model.train_augment.mixup, model.train_augment.cutmix) == (0.8, 1.0)
    assert (model.train_augment.prob, model.train_augment.switch_prob) == (1.0, 0.5)
    for split in ('val', 'test'):
        test = {step.type: step for step in cfg[f'{split}_dataloader'].dataset.pipeline}
        if EVALUATED[size] is None:
            assert test['Resize'].scale == (size, size) and 'CenterCrop' not in test
        else:
            assert test['ResizeShorterSide'].size == EVALUATED[size] == int(256 / 224 * size)
            assert test['CenterCrop'].crop_size == size
        assert {'RandAugment', 'RandomFlip'}.isdisjoint(test)


def check_schedule(name: str, cfg: Config, parts: int) -> None:
    *_, epochs, warm_up = settings(name)
    first, second = cfg.param_scheduler
    assert (first.type, first.begin, first.end) == ('LinearLR', 0, warm_up)
    assert (second.type, second.begin, second.end) == ('CosineAnnealingLR', warm_up, epochs)
    assert second.T_max == epochs - warm_up
    assert first.convert_to_iter_based and second.convert_to_iter_based
    shares = (2e-4, 2e-4) if 'simmim' in name else (1e-3, 0.01)
    assert (first.start_factor, second.eta_min_ratio) == shares
    assert cfg.optim_wrapper.clip_grad.max_norm == 5.0
    drop_path = 0.1 if 'simmim' in name else 0.2 if 'in22k' in name else DROP_PATH[name[7]]
    assert cfg.model.backbone.drop_path_rate == drop_path


def check_comment(name: str, comment: str) -> None:
    assert 'Assumed' in comment
    numbers = re.findall(r'\d+\.\d+', PUBLISHED.get(name, ''))
    assert all(number in comment for number in numbers)
    if 'simmim' in name or ('w16' in name and 'in22k' not in name):
        assert re.search(r'not\W+in\W+the\W+paper', comment)
    else:
        assert 'Table' in comment or 'appendix A2.1' in comment


def write_data(root: Path) -> Path:
    """Class folders as in ImageNet, and the lists of ImageNet-22K with its first and last label."""
    names = [f'n0144076{i}' for i in range(CLASSES)]
    write_class_folders(root, names, dict(train=1, val=1))
    for split in ('train', 'val'):
        entries = []
        for label in (0, 21840):
            name = f'fall11_whole/n{label:08}/{split}.jpg'
            write_image(root / name, (200, label % 255, 60), label)
            entries.append([name, label])
        (root / f'ILSVRC2011fall_whole_map_{split}.txt').write_text(json.dumps(entries))
    return root


def shrink(cfg: Config, root: Path) -> None:
    narrow_classifier(cfg.model)
    shrink_images(cfg, 4)
    use_folders(cfg, root)
    if cfg.model.head.num_classes == 1000:
        cfg.model.head.num_classes = CLASSES
    train_one_iteration(cfg)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.dataset.indices = 2


def check_test(name: str, cfg: Config, runner: Any, metrics: dict) -> None:
    assert 0 <= metrics['acc/top1'] <= metrics['acc/top5'] <= 1


def check_row(name: str, cfg: Config, row: re.Match, entry: dict) -> None:
    published = PUBLISHED.get(name, '- / -')
    paper = entry.get('Published', {})
    assert row['metric'] == published
    assert published == expected_of_tests(cfg, ('acc/top1', 'acc/top5'), tta=False)
    numbers = [paper.get(f'Top {k} Accuracy') for k in (1, 5)]
    assert [str(n) if n is not None else '-' for n in numbers] == published.split(' / ')
    assert entry['Metadata']['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    assert entry['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    assert entry['Metadata']['Training Size'] == list(training_size(cfg, task_of(cfg)))


CONTRACT = Contract(
    folder=FOLDER,
    scope='swinv2_classification',
    grammar=GRAMMAR,
    recipe=recipe,
    check_content=check_content,
    check_schedule=check_schedule,
    check_comment=check_comment,
    write_data=write_data,
    shrink=shrink,
    parts=lambda cfg: ['head'],
    check_test=check_test,
    row=re.compile(
        r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<metric>[-\d. /]+) \| '
        r'(?P<params>[\d.]+) \| (?P<macs>[\d.]+) at (?P<size>\d+ x \d+) \| '
        r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
    ),
    check_row=check_row,
)
