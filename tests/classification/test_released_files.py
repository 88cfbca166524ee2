"""tools/test.py and tools/infer.py take released files as they were downloaded."""

from __future__ import annotations

import json
import pickle
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from commands import run_here
from layouts import LAYOUTS, TABLES, depths_of, with_tables
from narrow_classifier import COLORS, write_image
from tiny_models import TINY, randomized
from torch.testing import assert_close

from swinv2_dense.classification import ImageClassifier, ImageNet
from swinv2_dense.cli.common import check_config, read_config
from swinv2_dense.errors import ConfigError

PWS = [6, 6, 6, 3]
CONFIG = """
_base_ = __import__('swinv2_dense').config_path(
    'classification/eval/swinv2-t-w8_microsoft_in1k-256.py'
)
eval_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeShorterSide', size=72),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackClassificationInputs'),
]
model = dict(
    backbone=dict(arch=dict(_delete_=True, **{tiny}), window_size=4, pretrained_window_sizes={pws}),
    head=dict(num_classes=3, in_channels=64),
)
test_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(data_root={root!r}, pipeline=eval_pipeline)
)
expected = [
    dict(metric='acc/top1', value=1.0, tolerance=0.0, source='all', checkpoint='model'),
]
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('imagenet')
    for label, wnid in enumerate(('n01440764', 'n02510455', 'n15075141')):
        write_image(root / 'val' / wnid / 'x.jpg', COLORS[label], label)
    return root


def write(folder: Path, root: Path, pws: list | None = PWS) -> Path:
    path = folder / f'{folder.name}.py'  # mmengine names a run by config and second
    text = CONFIG.replace('{tiny}', repr(TINY)).replace('{pws}', repr(pws))
    path.write_text(text.replace('{root!r}', repr(str(root))))
    return path


def source(num_classes: int = 3) -> ImageClassifier:
    torch.manual_seed(3)
    model = ImageClassifier(
        dict(
            type='SwinTransformerV2',
            arch=TINY,
            window_size=4,
            out_indices=(3,),
            pretrained_window_sizes=PWS,
        ),
        dict(type='LinearHead', num_classes=num_classes, in_channels=64),
        data_preprocessor=dict(
            type='ImgDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
        ),
    )
    torch.nn.init.normal_(model.head.fc.bias, std=0.1)
    randomized(model.backbone)
    return model.eval()


def released(folder: Path, layout: str, model: ImageClassifier, name: str = 'model') -> Path:
    ours = dict(model.backbone.state_dict())
    ours |= {f'head.{key}': value for key, value in model.head.state_dict().items()}
    state = LAYOUTS[layout](ours)
    if layout in TABLES:
        state = with_tables(state, TABLES[layout], depths_of(ours), [8, 8, 8, 4], PWS)
    torch.save(state if layout == 'torchvision' else dict(model=state), folder / f'{name}.pth')
    return folder / f'{name}.pth'


@pytest.mark.parametrize('layout', [name for name in LAYOUTS if name != 'SimMIM'])
def test_scores_are_those_of_the_source(tmp_path: Path, root: Path, layout: str) -> None:
    model = source()
    config = write(tmp_path, root, None if layout in TABLES else PWS)
    checkpoint, out = released(tmp_path, layout, model), tmp_path / 'out.pkl'
    result = run_here('test', config, checkpoint, '--work-dir', tmp_path / 'work', '--out', out)
    assert result.returncode == 0, result.stderr
    found = pickle.loads(out.read_bytes())
    dataset = read_config(str(config)).test_dataloader.dataset
    images = load_images(dataset)
    with torch.no_grad():
        scores = model(model.data_preprocessor(dict(inputs=images))['inputs']).softmax(1)
    assert scores.std(0).max() > 1e-3
    assert_close(torch.stack([sample['pred_score'] for sample in found]), scores)
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert f'is in the format of {layout}' in log.read_text()
    assert 'with a head of 3 classes' in log.read_text()
    assert 'acc/top1' in log.read_text().partition('Expected values')[2]


def load_images(dataset: dict) -> list[torch.Tensor]:
    from mmengine.registry import DATASETS

    built = DATASETS.build(dataset)
    return [built[i]['inputs'] for i in range(len(built))]


def test_a_head_for_other_classes_stops(tmp_path: Path, root: Path) -> None:
    checkpoint = released(tmp_path, 'official', source(9))
    result = run_here(
        'test', write(tmp_path, root, None), checkpoint, '--work-dir', tmp_path / 'work'
    )
    assert result.returncode == 2 and result.stderr == (
        f'error: checkpoint {checkpoint} does not fit the model, parts of which would be random: '
        'head.fc: 9 -> 3 rows: 9 -> 3 classes. Does the config match the one that was trained?\n'
    )


def test_a_backbone_without_head_stops(tmp_path: Path, root: Path) -> None:
    checkpoint = released(tmp_path, 'SimMIM', source())
    result = run_here(
        'test', write(tmp_path, root, None), checkpoint, '--work-dir', tmp_path / 'work'
    )
    assert result.returncode == 2
    assert 'would be random: head (2 parameters)' in result.stderr


def test_unknown_pretrained_windows_stop(tmp_path: Path, root: Path) -> None:
    checkpoint = released(tmp_path, 'timm', source())
    result = run_here(
        'test', write(tmp_path, root, None), checkpoint, '--work-dir', tmp_path / 'work'
    )
    assert result.returncode == 2
    assert 'set model.backbone.pretrained_window_sizes' in result.stderr


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(prefix='a', allow_missing=True), None),
        (
            dict(head_rows='none.txt'),
            r"^model.init_cfg.head_rows='none.txt': there is no such file",
        ),
        (
            dict(checkpoint='none.pth'),
            r"^model.init_cfg.checkpoint='none.pth': there is no such fil",
        ),
        (dict(head_row='x'), r"model.init_cfg.head_row='x': PretrainedInit takes no 'head_row'"),
    ],
)
def test_settings_of_init_cfg_are_checked_before_the_start(
    tmp_path: Path, root: Path, settings: dict, message: str | None
) -> None:
    path = write(tmp_path, root, None)
    init_cfg = dict(type='Pretrained', checkpoint=str(path)) | settings
    with pytest.raises(ConfigError, match=message) if message else nullcontext():
        check_config(read_config(str(path), {'model.init_cfg': init_cfg}), ('train',))


def test_infer_takes_the_file_too(tmp_path: Path, root: Path) -> None:
    """Names are ImageNet's, without its data."""
    model = source(1000)
    checkpoint, config = released(tmp_path, 'official', model), write(tmp_path, root, None)
    out, image = tmp_path / 'out', root / 'val/n02510455/x.jpg'
    options = ('--cfg-options', 'model.head.num_classes=1000')
    result = run_here(
        'infer', config, checkpoint, image, '--out-dir', out, '--device', 'cpu', *options
    )
    assert result.returncode == 0, result.stderr
    (path,) = (out / 'predictions').iterdir()
    top = json.loads(path.read_text())['top']
    names = ImageNet.METAINFO['classes']
    assert [entry['name'] for entry in top] == [names[entry['label']] for entry in top]
    images = load_images(read_config(str(config)).test_dataloader.dataset)
    with torch.no_grad():
        scores = model(model.data_preprocessor(dict(inputs=images[1:2]))['inputs']).softmax(1)[0]
    assert [entry['label'] for entry in top] == scores.topk(5).indices.tolist()
    assert top[0]['score'] == pytest.approx(float(scores.max()), abs=1e-5)
