"""A classifier's head loads with its backbone, from every format that has one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import run_here
from layouts import LAYOUTS, TABLES, depths_of, simmim, timm, with_tables
from tiny_models import TINY, randomized, tiny
from torch import Tensor
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.classifiers import load_classifier
from swinv2_dense.checkpoints.formats import convert
from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.classification import ImageClassifier
from swinv2_dense.errors import CheckpointError

PWS = [6, 6, 6, 3]
WITH_HEAD = [name for name in LAYOUTS if name != 'SimMIM']


def classifier(num_classes: int = 7, init_cfg: dict | None = None, **backbone) -> ImageClassifier:
    """Random, with all parts of the last layers different from their initial values."""
    torch.manual_seed(2)
    model = ImageClassifier(
        dict(type='SwinTransformerV2', arch=TINY, window_size=4, out_indices=(3,), **backbone),
        dict(type='LinearHead', num_classes=num_classes, in_channels=64),
        init_cfg=init_cfg,
    )
    torch.nn.init.normal_(model.head.fc.bias)
    randomized(model.backbone)
    return model.eval()


def source_state(model: ImageClassifier) -> dict[str, Tensor]:
    """Parameters as the functions of `layouts` take them."""
    return dict(model.backbone.state_dict()) | {
        f'head.{k}': v for k, v in model.head.state_dict().items()
    }


def saved(folder: Path, layout: str, model: ImageClassifier, wrap: object = None) -> str:
    ours = source_state(model)
    state = LAYOUTS[layout](ours)
    if layout in TABLES:
        state = with_tables(state, TABLES[layout], depths_of(ours), [8, 8, 8, 4], PWS)
    torch.save(wrap(state) if wrap else state, folder / 'model.pth')
    return str(folder / 'model.pth')


def logits(model: ImageClassifier) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return model(torch.randn(2, 3, 52, 71, generator=generator))


@pytest.mark.parametrize('layout', WITH_HEAD)
def test_init_cfg_loads_the_head(tmp_path: Path, layout: str) -> None:
    source = classifier(pretrained_window_sizes=PWS)
    path = saved(tmp_path, layout, source)
    given = {} if layout in TABLES else dict(pretrained_window_sizes=PWS)
    model = classifier(init_cfg=dict(type='Pretrained', checkpoint=path), **given)
    torch.nn.init.zeros_(model.head.fc.weight)
    model.init_weights()
    assert torch.equal(logits(model), logits(source))
    assert logits(model).std() > 0.1


@pytest.fixture(scope='module')
def ours() -> dict[str, Tensor]:
    return source_state(classifier())


@pytest.mark.parametrize('layout', WITH_HEAD)
@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: dict(model=state),
        lambda state: dict(state_dict={f'module.{k}': v for k, v in state.items()}),
        lambda state: dict(model_ema={f'_orig_mod.{k}': v for k, v in state.items()}, model={}),
        lambda state: {f'student.model.{k}': v for k, v in state.items()},
    ],
    ids=['model', 'DDP', 'EMA', 'deep'],
)
def test_heads_in_containers(layout: str, wrap: object, ours: dict[str, Tensor]) -> None:
    weights = convert(wrap(LAYOUTS[layout](ours)), 'x')
    assert weights.num_classes == 7 and len(weights.head_keys) == 2
    assert torch.equal(weights.head['weight'], ours['head.fc.weight'])
    assert torch.equal(weights.head['bias'], ours['head.fc.bias'])
    assert not any('head' in key or 'classifier' in key for key in weights.ignored)


def test_other_layers_are_not_mistaken_for_a_head() -> None:
    ours = dict(classifier().backbone.state_dict())
    for extra in (
        {'head.weight': torch.zeros(5, 64, 1, 1), 'head.bias': torch.zeros(5)},
        {'head.weight': torch.zeros(5, 64)},
        {'bbox_head.fc_cls.weight': torch.zeros(5, 64), 'bbox_head.fc_cls.bias': torch.zeros(5)},
        {'head.weight': torch.zeros(5, 64), 'head.bias': torch.zeros(6)},
    ):
        weights = convert(ours | extra, 'x')
        assert weights.num_classes is None and {*extra} <= {*weights.ignored, *weights.state}


def test_the_report_names_the_head(tmp_path: Path) -> None:
    path = saved(tmp_path, 'official', classifier())
    report = load_classifier(classifier(), path)
    assert {'head.fc.weight', 'head.fc.bias'} <= {*report.matched}
    assert report.missing == report.unexpected == []
    backbone = load_pretrained(SwinTransformerV2(TINY, window_size=4, out_indices=(3,)), path)
    assert {'head.weight', 'head.bias'} <= {*backbone.ignored}


def test_a_head_for_other_classes_stops(tmp_path: Path) -> None:
    path = saved(tmp_path, 'official', classifier(9))
    model = classifier(7, init_cfg=dict(type='Pretrained', checkpoint=path))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        model.init_weights()
    assert str(error.value) == (
        f'checkpoint {path} has a head of 9 classes, the config one of 7: set '
        'model.head.num_classes=9, or load only the backbone with '
        f"model.backbone.init_cfg=dict(type='Pretrained', checkpoint={path!r}), and train the "
        'head; head_rows=FILE in model.init_cfg chooses the classes to keep, one number per line'
    )
    backbone = {k: v for k, v in before.items() if k.startswith('backbone')}
    assert all(torch.equal(model.state_dict()[k], v) for k, v in backbone.items())


def test_another_architecture_is_named_before_the_head(tmp_path: Path) -> None:
    path = saved(tmp_path, 'official', classifier(9))
    model = classifier(7)
    model.backbone = SwinTransformerV2(TINY | dict(embed_dims=16), out_indices=(3,))
    with pytest.raises(CheckpointError, match='Set arch of the backbone'):
        load_classifier(model, path)


def test_a_checkpoint_without_head(tmp_path: Path) -> None:
    ours = source_state(classifier())
    state = with_tables(simmim(ours), TABLES['SimMIM'], depths_of(ours), [8, 8, 8, 4], PWS)
    torch.save(state, tmp_path / 'simmim.pth')
    settings = dict(type='Pretrained', checkpoint=str(tmp_path / 'simmim.pth'))
    with pytest.raises(CheckpointError, match=r'SimMIM.*has no classification head; load only the'):
        classifier(init_cfg=settings).init_weights()
    model = classifier(init_cfg=settings | dict(allow_missing=True))
    model.init_weights()
    assert torch.equal(model.backbone.norm3.weight, ours['norm3.weight'])


def test_head_rows_choose_classes(tmp_path: Path) -> None:
    """As in fine-tuning from ImageNet-22K to 1K."""
    source = classifier(9)
    path, rows = saved(tmp_path, 'official', source), tmp_path / 'map.txt'
    rows.write_text('8\n0\n3\n')
    settings = dict(type='Pretrained', checkpoint=path, head_rows=str(rows))
    model = classifier(3, init_cfg=settings)
    model.init_weights()
    assert torch.equal(model.head.fc.weight, source.head.fc.weight[[8, 0, 3]])
    assert torch.equal(model.head.fc.bias, source.head.fc.bias[[8, 0, 3]])
    for text, message in (
        ('8\n9\n1\n', "entry 2: '9' is not a class of .*model.pth, whose head has 9 classes"),
        ('8\n-1\n1\n', "entry 2: '-1' is not a class"),
        ('', "entry 1: '' is not a class"),
        ('0\n1\n', 'has a head of 2 classes, the config one of 3'),
    ):
        rows.write_text(text)
        with pytest.raises(CheckpointError, match=message):
            classifier(3, init_cfg=settings).init_weights()
    with pytest.raises(CheckpointError, match='none.txt.* cannot be read: No such file'):
        load_classifier(model, path, head_rows=str(tmp_path / 'none.txt'))


def test_rows_of_imagenet_1k_have_a_name(tmp_path: Path) -> None:
    """Row 359 of a head for ImageNet-22K is tench, and 21817 toilet tissue."""
    source = classifier(21841)
    settings = dict(type='Pretrained', checkpoint=saved(tmp_path, 'official', source))
    model = classifier(1000, init_cfg=settings | dict(head_rows='imagenet1k'))
    model.init_weights()
    assert torch.equal(model.head.fc.weight[[0, 999]], source.head.fc.weight[[359, 21817]])
    small = dict(type='Pretrained', checkpoint=saved(tmp_path, 'official', classifier(9)))
    with pytest.raises(
        CheckpointError, match=r"^head_rows, entry 1: '359' is not a class of .* 9 "
    ):
        classifier(1000, init_cfg=small | dict(head_rows='imagenet1k')).init_weights()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('layout', ['official', 'Hugging Face'])
def test_conversion_keeps_the_head(tmp_path: Path, layout: str, suffix: str) -> None:
    source = classifier(pretrained_window_sizes=PWS)
    path, target = saved(tmp_path, layout, source), tmp_path / f'ours{suffix}'
    result = run_here('convert_checkpoint', path, target)
    assert result.returncode == 0 and 'num_classes             7' in result.stdout
    assert read_checkpoint_file(target)['meta']['swinv2_dense']['num_classes'] == 7
    model = classifier()
    report = load_classifier(model, str(target))
    assert report.format.startswith('swinv2_dense')
    assert torch.equal(logits(model), logits(source))
    printed = run_here('convert_checkpoint', target, '--inspect').stdout
    assert 'head        7 classes (head.fc.weight, head.fc.bias)' in printed
    backbone = SwinTransformerV2(TINY, window_size=4)
    assert {'head.fc.weight', 'head.fc.bias'} <= {*load_pretrained(backbone, str(target)).ignored}


def test_conversion_of_a_backbone_says_that_there_is_no_head(tmp_path: Path) -> None:
    state = {k: v for k, v in timm(dict(tiny().state_dict())).items() if 'head' not in k}
    torch.save(state, tmp_path / 'x.pth')
    printed = run_here('convert_checkpoint', tmp_path / 'x.pth', '--inspect').stdout
    assert 'head        none' in printed


def test_logits_are_those_of_transformers(tmp_path: Path) -> None:
    """A random `Swinv2ForImageClassification`, saved by transformers."""
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    settings = dict(embed_dim=8, depths=[2, 2, 1, 2], num_heads=[1, 2, 2, 4], window_size=4)
    config = transformers.Swinv2Config(
        image_size=64, pretrained_window_sizes=PWS, num_labels=7, drop_path_rate=0.0, **settings
    )
    theirs = transformers.Swinv2ForImageClassification(config).eval()
    randomized(theirs)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if 'layernorm' in name or name.startswith('classifier'):
                parameter.add_(torch.randn_like(parameter) * 0.5)
    theirs.save_pretrained(tmp_path)
    model = classifier(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path)))
    model.init_weights()
    assert model.backbone.pretrained_window_sizes == [(6, 6)] * 3 + [(3, 3)]
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours, reference = model.eval()(image), theirs(image).logits
    assert reference.std() > 0.1
    assert_close(ours, reference, atol=1e-5, rtol=1e-5)
