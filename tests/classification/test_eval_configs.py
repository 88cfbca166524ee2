"""One config per released classifier: its file, its published accuracy, and its preprocessing."""

from __future__ import annotations

import ast
import copy
import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from commands import ROOT
from contracts import bases, top_comment
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from narrow import shrink_images
from narrow_classifier import narrow_classifier, use_folders, write_image
from PIL import Image

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.pretrained_windows import release_name
from swinv2_dense.checks.expected_values import expected_values
from swinv2_dense.cli.common import check_config, read_config

FOLDER = ROOT / 'configs/classification/eval'
PATHS = sorted(FOLDER.glob('*.py'))
NAME = re.compile(
    r'swinv2-(?P<arch>[tsblh]|giant)-w(?P<window>\d+)(?P<pre>_in22k-pre)?_'
    r'(?P<publisher>microsoft|timm|torchvision|simmim)_(?P<data>in1k|in1kv2)-(?P<size>\d+)'
)
MODELS_OF_INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Models']
INDEX = {model['Weights']: model for model in MODELS_OF_INDEX}
MIRRORS = {mirror: model for model in INDEX.values() for mirror in model.get('Mirrors', [])}
PAGE = (ROOT / 'docs/model_zoo.md').read_text()
SLOW = pytest.mark.slow
each = pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
load = functools.cache(Config.fromfile)


def released(path: Path) -> dict | None:
    """The entry of model-index.yml for the checkpoint of a config; None for fine-tuned SimMIM."""
    source = load(path).load_from
    return INDEX.get(source) or MIRRORS.get(source)


def test_every_released_classifier_has_a_config() -> None:
    """All but ImageNet-22K's, for which nothing is published, and mirrors that share a config."""
    found = {load(path).load_from for path in PATHS}
    classifiers = {
        weights
        for weights, model in INDEX.items()
        if model.get('Results') and not model['Name'].startswith('simmim')
    }
    classifiers |= {m for m, model in MIRRORS.items() if 'hf://timm' in m and model.get('Results')}
    assert len(classifiers) == 13 + 10
    finetuned = {source for source in found if 'simmim_swinv2_finetune_models' in source}
    assert len(finetuned) == 5 and found == classifiers | finetuned


@each
def test_model_and_size_are_those_of_the_release(path: Path) -> None:
    cfg, said = load(path), NAME.fullmatch(path.stem)
    assert said, f'does not match {NAME.pattern}'
    entry, window = released(path), int(said['window'])
    assert cfg.model.backbone.window_size == window
    if entry is None:
        assert said['publisher'] == 'simmim' and (said['size'], window) == ('224', 14)
    else:
        metadata = entry['Metadata']
        assert metadata['Architecture'] == f'SwinV2-{said["arch"].upper()}'
        assert (metadata['Resolution'], metadata['Window'][0]) == (int(said['size']), window)
    channels, count = built(repr(cfg.model.backbone.arch))
    assert channels == [cfg.model.head.in_channels] and cfg.model.head.num_classes == 1000
    if entry is not None:
        assert count + 1000 * (channels[0] + 1) == entry['Metadata']['Parameters']
    elif said['arch'] in ('h', 'giant'):  # published: 655 M and 1.06 B
        assert round(count / 1e6, -1) in (660, 1060)


@functools.cache
def built(arch: str) -> tuple[list[int], int]:
    """Output channels and number of parameters of a backbone, whatever its window."""
    with torch.device('meta'):
        backbone = SwinTransformerV2(ast.literal_eval(arch), out_indices=(3,))
    return backbone.out_channels, sum(p.numel() for p in backbone.parameters())


# timm, results/results-imagenet.csv and results/results-imagenetv2-matched-frequency.csv: top-1
TIMM = {
    't-w8': (81.824, 70.45),
    't-w16': (82.828, 71.91),
    's-w8': (83.844, 73.20),
    's-w16': (84.216, 73.40),
    'b-w8': (84.246, 73.67),
    'b-w16': (84.608, 74.18),
    'b-w16_in22k-pre': (86.270, 77.27),
    'b-w24_in22k-pre': (87.142, 78.37),
    'l-w16_in22k-pre': (86.934, 77.91),
    'l-w24_in22k-pre': (87.474, 78.31),
}


@each
def test_expected_values_are_published(path: Path) -> None:
    """Those of the model zoo, within the digits that its source gives."""
    said, entry = NAME.fullmatch(path.stem), released(path)
    expected = expected_values(load(path))
    assert all(e.tolerance <= 0.002 for e in expected)
    first = round(100 * expected[0].value, 3)
    if said['publisher'] == 'simmim':
        size = dict(s='small', b='base', l='large', h='huge', giant='giant')[said['arch']]
        table = dict(re.findall(rf'\b(swinv2_{size}_\w+_\d+k) (\d\d\.\d\d)\b', PAGE))
        found = {e.checkpoint.removeprefix('finetune_'): f'{100 * e.value:.2f}' for e in expected}
        assert found == table
        assert release_name(load(path).load_from) in {e.checkpoint for e in expected}
    elif said['publisher'] == 'timm':
        key = path.stem.removeprefix('swinv2-').partition('_timm')[0]
        assert first == TIMM[key][said['data'] == 'in1kv2']
    elif said['data'] == 'in1kv2':
        assert first == dict(b=78.08, l=78.31)[said['arch']]
    else:
        metrics = entry['Results'][0]['Metrics']
        assert first == metrics['Top 1 Accuracy']
        if 'Top 5 Accuracy' in metrics:
            assert round(100 * expected[1].value, 3) == metrics['Top 5 Accuracy']
        for other in expected[2:]:  # of mmpretrain: the same weights, more digits
            assert other.source == 'mmpretrain' and abs(100 * other.value - first) <= 0.051


@each
def test_the_page_links_the_value_to_the_config(path: Path) -> None:
    said = NAME.fullmatch(path.stem)
    digits = dict(microsoft=1, timm=3, torchvision=3)
    if said['publisher'] == 'simmim':
        shown = path.stem
    elif said['data'] == 'in1kv2':
        shown = f'{100 * expected_values(load(path))[0].value:.2f}'
    else:
        shown = f'{100 * expected_values(load(path))[0].value:.{digits[said["publisher"]]}f}'
    assert f'[{shown}](../configs/classification/eval/{path.name})' in PAGE


SIDES = {  # fragment: shorter side after the resize, None for the whole image, and the crop
    'microsoft_224': (256, 224),
    'microsoft_256': (292, 256),
    'microsoft_384': (None, 384),
    'timm_256': (284, 256),
    'timm_384': (384, 384),
    'torchvision_260': (260, 256),
    'torchvision_272': (272, 256),
}


@each
def test_fragments_are_those_of_publisher_and_data(path: Path) -> None:
    said = NAME.fullmatch(path.stem)
    publisher = 'microsoft' if said['publisher'] == 'simmim' else said['publisher']
    size = said['size']
    if publisher == 'torchvision':
        size = '272' if said['arch'] == 'b' else '260'
    data = dict(in1k='imagenet_val', in1kv2='imagenetv2_test')[said['data']]
    names = ('models/classifier', f'datasets/{data}', f'preprocessing/{publisher}_{size}')
    expected = [f'../../_base_/{name}.py' for name in (*names, 'runtime/classification')]
    assert bases(path) == expected
    assert load(path).test_dataloader.dataset.pipeline == load(path).eval_pipeline


def published_preprocessing(image: Image.Image, side: int | None, size: int) -> np.ndarray:
    """torchvision's Resize, with an int or a pair, and CenterCrop, written with Pillow alone."""
    if side is None:
        return np.asarray(image.resize((size, size), Image.BICUBIC))
    width, height = image.size
    long = int(side * max(width, height) / min(width, height))
    new = (side, long) if width <= height else (long, side)
    image = image.resize(new, Image.BICUBIC)
    left, top = (int(round((extent - size) / 2.0)) for extent in image.size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize('fragment', SIDES)
def test_preprocessing_is_that_of_the_publisher(fragment: str, tmp_path: Path) -> None:
    """Pixel by pixel, for a wide JPEG and a tall one with an orientation tag."""
    steps = load(ROOT / f'configs/_base_/preprocessing/{fragment}.py').eval_pipeline
    pipeline = [TRANSFORMS.build(step) for step in steps]
    for height, width, tag in ((133, 200, 1), (201, 127, 6)):
        noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.fromarray(noise).save(tmp_path / 'x.jpg', quality=95, exif=exif)
        results: Any = dict(img_path=str(tmp_path / 'x.jpg'))
        for step in pipeline:
            results = step(results)
        found = results['inputs'].numpy()[::-1].transpose(1, 2, 0)  # RGB
        image = Image.open(tmp_path / 'x.jpg').convert('RGB')
        np.testing.assert_array_equal(found, published_preprocessing(image, *SIDES[fragment]))


@pytest.fixture(scope='module')
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three classes of ImageNet and of ImageNet-V2."""
    root = tmp_path_factory.mktemp('data')
    for wnid, index in (('n01440764', 2), ('n01484850', 10), ('n15075141', 999)):
        write_image(root / 'in1k' / 'val' / wnid / 'x.jpeg', (10, 200, 90), index)
        variant = root / 'in1kv2' / 'imagenetv2-matched-frequency-format-val'
        write_image(variant / str(index) / 'x.jpeg', (10, 200, 90), index)
    return {name: root / name for name in ('in1k', 'in1kv2')}


# One config per dataset and preprocessing; the others differ in arch and window.
STEPPED = {(bases(path)[1], bases(path)[2]): path for path in reversed(PATHS)}


@pytest.mark.parametrize(
    'path',
    [path if path in STEPPED.values() else pytest.param(path, marks=SLOW) for path in PATHS],
    ids=lambda path: path.stem,
)
def test_one_test_step(path: Path, roots: dict[str, Path]) -> None:
    cfg, data = copy.deepcopy(read_config(str(path))), NAME.fullmatch(path.stem)['data']
    narrow_classifier(cfg.model)
    shrink_images(cfg, 4)
    use_folders(cfg, roots[data])
    cfg.load_from = None
    if data == 'in1k':
        cfg.model.head.num_classes = 3  # one per folder
    check_config(cfg, ('test',))
    model, dataset = MODELS.build(cfg.model).eval(), DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator | dict(topk=(1,)))
    metric.dataset_meta = dataset.metainfo
    with torch.no_grad():
        samples = model.test_step(pseudo_collate([dataset[i] for i in range(3)]))
    labels = dict(in1k=[0, 1, 2], in1kv2=[2, 10, 999])[data]
    assert [int(sample.gt_label) for sample in samples] == labels
    named = [dataset.metainfo['classes'][label] for label in labels]
    assert named[-1] == 'toilet tissue' and 'great white shark' in named
    metric.process(None, [sample.to_dict() for sample in samples])
    assert 0 <= metric.evaluate(3)['acc/top1'] <= 1


@each
def test_a_config_is_short_and_says_what_it_is(path: Path) -> None:
    comment = top_comment(path)
    assert len(path.read_text().splitlines()) <= 45 and len(bases(path)) == 4
    publisher = NAME.fullmatch(path.stem)['publisher']
    assert dict(microsoft='official').get(publisher, publisher.lower()) in comment.lower()
    if publisher == 'simmim' or 'microsoft_in1kv2' in path.stem:
        assert 'Assumed' in comment
