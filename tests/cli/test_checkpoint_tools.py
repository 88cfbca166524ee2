"""The commands for checkpoints, and the errors of all commands about unsuitable checkpoints."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from checkpoint_files import Payload
from commands import run_here, succeed
from layouts import TABLES, depths_of, hugging_face, official, timm, with_tables
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_models import TINY, tiny
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.checkpoints.reading import read_checkpoint_file

SUFFIXES = ['.safetensors', '.pth']


def saved(path: Path, checkpoint: object) -> Path:
    torch.save(checkpoint, path)
    return path


def window12(path: Path, model: SwinTransformerV2 | None = None) -> Path:
    """An official file, fine-tuned from window 12 to 24."""
    ours = dict((model or tiny()).state_dict())
    state = official(ours)
    windows, pretrained_windows = [24, 24, 24, 12], [12, 12, 12, 6]
    return saved(
        path,
        {
            'model': with_tables(
                state, TABLES['official'], depths_of(ours), windows, pretrained_windows
            )
        },
    )


# ------------------------------------------------------------------------------------- conversion


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_convert(tmp_path: Path, suffix: str) -> None:
    source = tiny(pretrained_window_sizes=[12, 12, 12, 6])
    path, target = window12(tmp_path / 'swinv2_x.pth', source), tmp_path / f'ours{suffix}'
    printed = succeed('convert_checkpoint', path, target)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for line in ('source                  swinv2_x.pth', f'sha256                  {digest}'):
        assert line in printed
    assert f"init_cfg=dict(type='Pretrained', checkpoint='{target}')" in printed
    checkpoint = read_checkpoint_file(target)
    meta = checkpoint['meta']['swinv2_dense']
    assert meta['pretrained_window_sizes'] == [[12, 12]] * 3 + [[6, 6]]
    assert meta['format'] == 'official' and 'embed_dims": 8' in meta['arch']
    model = SwinTransformerV2(TINY, window_size=4)
    report = load_pretrained(model, str(target))
    assert report.format.startswith('swinv2_dense') and len(report.reinitialized) == 6
    assert report.windows_from == 'its metadata'
    expected = dict(source.state_dict())
    for key in report.matched:
        assert torch.equal(model.state_dict()[key], expected[key])
    strict = torch.nn.Module()
    strict.backbone = SwinTransformerV2(TINY, window_size=4)
    missing = strict.backbone.load_state_dict(checkpoint['state_dict'], strict=False)
    assert sorted(missing.unexpected_keys) == ['head.fc.bias', 'head.fc.weight']  # of classifiers
    assert strict.backbone.pretrained_window_sizes == [(12, 12)] * 3 + [(6, 6)]

    again = run_here('convert_checkpoint', path, target)
    assert again.returncode == 2 and again.stderr == (
        f'error: {target} exists; remove it or choose another name\n'
    )


def test_convert_keeps_the_dtype_and_takes_pretrained_windows(tmp_path: Path) -> None:
    half = {k: v.half() for k, v in timm(dict(tiny().state_dict())).items()}
    path, target = saved(tmp_path / 'x.pth', half), tmp_path / 'deep' / 'ours.safetensors'
    result = run_here('convert_checkpoint', path, target)
    assert result.returncode == 2 and 'does not say which windows' in result.stderr
    assert result.stderr.count('\n') == 1 and not target.parent.exists()
    for windows, message in (('[8,8', "invalid windows value: '[8,8'"), ('[8,8]', '2 entries')):
        result = run_here('convert_checkpoint', path, target, '--pretrained-window-sizes', windows)
        assert result.returncode == 2 and message in result.stderr
    run_here('convert_checkpoint', path, target, '--pretrained-window-sizes', '[8,8,8,4]')
    assert [p.name for p in target.parent.iterdir()] == ['ours.safetensors']
    model = tiny()
    assert load_pretrained(model, str(target)).pretrained_window_sizes == [(8, 8)] * 3 + [(4, 4)]
    state = read_checkpoint_file(target)['state_dict']
    assert {v.dtype for v in state.values()} == {torch.float16}


def test_inspect(tmp_path: Path) -> None:
    with torch.device('meta'):
        state = official(dict(SwinTransformerV2('b').state_dict()))
    state = {k: torch.zeros(1).expand(v.shape) for k, v in state.items()}
    depths = [2, 2, 18, 2]
    state = with_tables(state, TABLES['official'], depths, [24, 24, 24, 12], [12, 12, 12, 6])
    path = saved(tmp_path / 'b.pth', {'model': state})
    printed = run_here('convert_checkpoint', path, '--inspect').stdout
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for row in (
        "format      official (in 'model')",
        'arch        SwinV2-B',
        'depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)',
        'parameters  86,893,816 in the backbone',  # published 87,918,816 with head
        'dtype       float32',
        'windows     [(24, 24), (24, 24), (24, 24), (12, 12)] (from the stored tables)',
        'pretrained  windows [(12, 12), (12, 12), (12, 12), (6, 6)] (from its stored',
        f'sha256      {digest}',
    ):
        assert row in printed
    path = saved(tmp_path / 'hf.bin', hugging_face(dict(tiny().state_dict())))
    printed = run_here('convert_checkpoint', path, '--inspect').stdout
    assert "format      Hugging Face (under 'swinv2.')" in printed
    assert 'pretrained  windows unknown: set pretrained_window_sizes when loading' in printed
    assert 'windows     not stored' in printed


@pytest.mark.parametrize('name', ['convert_checkpoint', 'publish_checkpoint'])
def test_mistakes_end_in_one_line(tmp_path: Path, name: str) -> None:
    page = tmp_path / 'page.pth'
    page.write_bytes(b'<html>')
    vit = {'cls_token': torch.zeros(1)}
    vit = saved(tmp_path / 'vit.pth', vit if name == 'publish_checkpoint' else {'model': vit})
    code = saved(tmp_path / 'code.pth', dict(state_dict={}, meta=Payload(open, 'trace', 'w')))
    for source, target, message in [
        (page, 'x.pth', 'is a web page'),
        (code, 'x.pth', 'could run code'),
        (tmp_path / 'none.pth', 'x.pth', 'does not exist'),
        (page, 'x.bin', 'the output file must end in .safetensors or .pth'),
        (vit, 'x.pth', 'is not a Swin Transformer|has no state_dict'),
    ]:
        result = run_here(name, source, tmp_path / target)
        assert result.returncode == 2
        assert result.stderr.startswith('error: ') and result.stderr.count('\n') == 1
        assert any(words in result.stderr for words in message.split('|'))
    assert sorted(p.name for p in tmp_path.iterdir()) == ['code.pth', 'page.pth', 'vit.pth']
    assert not Path('trace').exists()


# -------------------------------------------------------------- training, testing, publishing


CONFIG = f"""
_base_ = ['mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['swinv2_dense'])
data_preprocessor = dict(
    type='SegDataPreProcessor', mean=[127] * 3, std=[60] * 3, size=(64, 64), seg_pad_val=255)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(type='SwinTransformerV2', arch={TINY}, window_size=4, drop_path_rate=0.0),
    decode_head=dict(
        type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, num_classes=3,
        dropout_ratio=0.0, norm_cfg=dict(type='GN', num_groups=2)),
    train_cfg=dict(), test_cfg=dict(mode='whole'),
)
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
            dict(type='PackSegInputs')]
loader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset', data_root='ROOT', metainfo=dict(
            classes=('a', 'b', 'c'), palette=[[0, 0, 0], [1, 1, 1], [2, 2, 2]]),
        data_prefix=dict(img_path='images', seg_map_path='maps'), pipeline=pipeline,
        img_suffix='.png'))
train_dataloader = val_dataloader = test_dataloader = loader
val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-2))
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1))
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentor after one step from a window-12 file; no config has its pretrained windows."""
    pytest.importorskip('mmseg')
    folder = tmp_path_factory.mktemp('trained')
    (folder / 'mine.py').write_text(CONFIG.replace('ROOT', str(folder)))
    generator = np.random.default_rng(0)
    for name, shape in (('images', (64, 64, 3)), ('maps', (64, 64))):
        (folder / name).mkdir()
        for i in range(2):
            pixels = generator.integers(0, 3 if name == 'maps' else 256, shape, dtype=np.uint8)
            cv2.imwrite(str(folder / name / f'{i}.png'), pixels)
    source = tiny()
    for name, parameter in source.named_parameters():  # at first the position bias is constant
        if 'logit_scale' not in name:
            torch.nn.init.normal_(parameter)
    window12(folder / 'source.pth', source)
    succeed(
        'train',
        folder / 'mine.py',
        '--work-dir',
        folder / 'work',
        '--cfg-options',
        'model.backbone.init_cfg.type=Pretrained',
        f'model.backbone.init_cfg.checkpoint={folder / "source.pth"}',
    )
    return folder


def logits(folder: Path, checkpoint: Path, *options: str) -> torch.Tensor:
    """The predictions of tools/test.py, in a new process."""
    arguments = [folder / 'mine.py', checkpoint, '--work-dir', folder / 'test']
    succeed('test', *arguments, '--out', folder / 'out.pkl', *options)
    predictions = pickle.loads((folder / 'out.pkl').read_bytes())
    return torch.stack([p['seg_logits']['data'] for p in predictions])


@pytest.fixture(scope='module')
def tested(trained: Path) -> torch.Tensor:
    return logits(trained, trained / 'work' / 'iter_1.pth')


def test_pretrained_windows_survive_training_and_testing(
    trained: Path, tested: torch.Tensor
) -> None:
    """Compared with a model that gets pretrained windows and values directly, without hooks."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(trained / 'mine.py')
    import mmseg.models  # noqa: F401
    from mmseg.registry import MODELS

    model = MODELS.build(
        dict(cfg.model, backbone=dict(cfg.model.backbone, pretrained_window_sizes=[12, 12, 12, 6]))
    )
    checkpoint = torch.load(trained / 'work' / 'iter_1.pth', weights_only=False)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            value.copy_(checkpoint['state_dict'][key])
    images = [cv2.imread(str(trained / 'images' / f'{i}.png')) for i in range(2)]
    inputs = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    inputs = (inputs - 127) / 60  # BGR, as the config leaves it
    with torch.no_grad():
        expected = model.eval().encode_decode(inputs, [dict(img_shape=(64, 64))] * 2)
    assert_close(tested, expected, atol=1e-6, rtol=1e-5)
    model.backbone.pretrained_windows_given = False
    model.backbone.set_pretrained_window_sizes([4, 4, 4, 4], 'a wrong guess')
    with torch.no_grad():
        wrong = model.encode_decode(inputs, [dict(img_shape=(64, 64))] * 2)
    assert (wrong - expected).abs().max() > 1e-4  # so the pretrained windows matter here


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_publish(trained: Path, tested: torch.Tensor, tmp_path: Path, suffix: str) -> None:
    checkpoint = trained / 'work' / 'iter_1.pth'
    printed = succeed('publish_checkpoint', checkpoint, tmp_path / f'release{suffix}')
    (path,) = tmp_path.iterdir()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'release-{digest[:8]}{suffix}' and path.name in printed
    published, whole = read_checkpoint_file(path), read_checkpoint_file(checkpoint)
    assert set(published) == {'state_dict', 'meta'}
    assert published['state_dict'].keys() == whole['state_dict'].keys()
    assert published['meta']['dataset_meta']['classes'][0] == 'a'
    assert path.stat().st_size < 0.6 * checkpoint.stat().st_size
    assert torch.equal(logits(trained, path), tested)
    again = run_here('publish_checkpoint', checkpoint, tmp_path / f'release{suffix}')
    assert again.returncode == 2 and f'{path} exists' in again.stderr


@pytest.mark.parametrize('change', ['DDP', 'given'])
def test_other_state_dicts_of_the_same_model(trained, tested, tmp_path, change: str) -> None:
    """Saved from a wrapped model, or without metadata, with pretrained windows in the config."""
    state = read_checkpoint_file(trained / 'work' / 'iter_1.pth')['state_dict']
    options = []
    if change == 'DDP':
        whole = torch.nn.Module()
        whole.module = torch.nn.Module()
        whole.module.backbone = tiny(pretrained_window_sizes=[12, 12, 12, 6])
        new = whole.state_dict()
        new.update({f'module.{key}': value for key, value in state.items()})
    else:
        new = dict(state)  # loses the metadata
        options = ['--cfg-options', 'model.backbone.pretrained_window_sizes=[12,12,12,6]']
    path = saved(tmp_path / 'x.pth', dict(state_dict=new))
    assert torch.equal(logits(trained, path, *options), tested)


@pytest.mark.filterwarnings('ignore')  # of the libraries, in a process that sees them first
def test_commands_say_what_is_wrong_with_a_checkpoint(trained: Path, tmp_path: Path) -> None:
    bad = {
        'code': saved(tmp_path / 'code.pth', dict(state_dict={}, meta=Payload(open, 'trace', 'w'))),
        'bare': trained / 'source.pth',
        'part': saved(tmp_path / 'part.pth', dict(state_dict={'backbone.norm0.bias': 0})),
        'page': tmp_path / 'page.pth',
        'weights': tmp_path / 'weights.pth',
    }
    bad['page'].write_bytes(b'<!doctype html>')
    checkpoint = read_checkpoint_file(trained / 'work' / 'iter_1.pth')
    torch.save(dict(state_dict=checkpoint['state_dict']), bad['weights'])
    deeper, wider = dict(TINY, depths=(2, 2, 2, 2)), dict(TINY, embed_dims=16)
    for name, arch in (('deeper', deeper), ('wider', wider)):
        whole = torch.nn.Module()
        whole.backbone = tiny(arch=arch, pretrained_window_sizes=[12, 12, 12, 6])
        bad[name] = saved(tmp_path / f'{name}.pth', dict(state_dict=whole.state_dict()))
    plain = dict(checkpoint['state_dict'])
    bad['plain'] = saved(tmp_path / 'plain.pth', dict(state_dict=plain))
    config = trained / 'mine.py'
    for command, message in [
        (['test', config, bad['deeper']], 'it is arch=dict(embed_dims=8, depths=(2, 2, 2, 2)'),
        (['test', config, bad['wider']], 'it is arch=dict(embed_dims=16'),
        (['test', config, bad['plain']], 'set model.backbone.pretrained_window_sizes'),
        (['test', config, bad['code']], 'could run code'),
        (['test', config, bad['page']], 'is a web page'),
        (['test', config, bad['bare']], 'load it with model.backbone.init_cfg='),
        (['test', config, bad['part']], 'lacks 132 of 132 parameters of model.backbone'),
        (['train', config, '--resume', bad['code']], 'could run code'),
        (['train', config, '--resume', bad['weights']], 'weights without a training state'),
        (['train', config, '--cfg-options', f'load_from={bad["code"]}'], 'could run code'),
        (
            [
                *['train', config, '--cfg-options', 'model.backbone.init_cfg.type=Pretrained'],
                f'model.backbone.init_cfg.checkpoint={bad["code"]}',
            ],
            'could run code',
        ),
    ]:
        result = run_here(*command[:2], '--work-dir', tmp_path / 'work', *command[2:])
        assert result.returncode == 2, result.stderr[-2000:]
        (line,) = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
        assert message in line
        assert 'Traceback' not in result.stderr + result.stdout
    assert not Path('trace').exists()
