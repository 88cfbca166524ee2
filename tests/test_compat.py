"""Every patched defect: fails without the patch, works with it, untouched where it is absent."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import Payload
from commands import ROOT
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.utils import digit_version
from torch import nn

from swinv2_dense import compat
from swinv2_dense.checkpoints.reading import read_checkpoint_file

ONEDL = 'onedl-mmengine' in {d.metadata['Name'] for d in metadata.distributions()}
NUMPY2 = digit_version(np.__version__) >= digit_version('2.0.0')


def run_python(code: str) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter, where nothing has been imported yet."""
    return subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)


# ---------------------------------------------------------------------------- reading checkpoints


class TinyModel(BaseModel):
    """One linear layer that learns to output ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, inputs: torch.Tensor, mode: str = 'loss') -> dict[str, torch.Tensor]:
        return dict(loss=(self.layer(inputs) - 1).square().mean())


def train(work_dir: Path, max_iters: int, resume: bool) -> Runner:
    runner = Runner(
        model=TinyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            dataset=[dict(inputs=torch.ones(4))] * 8,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=8),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)),
        custom_hooks=[dict(type='EMAHook')],
        resume=resume,
        default_scope='mmengine',
        experiment_name=f'{work_dir.name}_{max_iters}',
    )
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp('trained')
    train(work_dir, max_iters=2, resume=False)
    return work_dir


def test_training_resumes(trained: Path) -> None:
    runner = train(trained, max_iters=4, resume=True)
    assert runner.iter == 4
    steps = {int(s['step']) for s in runner.optim_wrapper.optimizer.state.values()}
    assert steps == {4}
    losses = runner.message_hub.get_scalar('train/loss')
    assert len(losses.data[0]) == 4
    assert losses.mean(4) == pytest.approx(losses.data[0].mean())


def test_mmengine_alone_cannot_read_its_checkpoint(trained: Path) -> None:
    if ONEDL:
        pytest.skip('onedl-mmengine reads its own checkpoints')
    with pytest.raises(Exception, match='HistoryBuffer|Weights only'):
        mmengine_checkpoint.load_from_local(str(trained / 'iter_2.pth'), 'cpu')


def test_process_wide_allow_list_stays(trained: Path) -> None:
    before = torch.serialization.get_safe_globals()
    read_checkpoint_file(trained / 'iter_2.pth')
    assert set(torch.serialization.get_safe_globals()) == set(before)
    with pytest.raises(Exception, match='Weights only'):
        torch.load(trained / 'iter_2.pth', weights_only=True)


def test_onedl_mmengine_alone_runs_the_payload(tmp_path: Path) -> None:
    if not ONEDL:
        pytest.skip('classic mmengine has no fallback')
    trace, path = tmp_path / 'trace', tmp_path / 'payload.pth'
    torch.save(dict(meta=Payload(open, str(trace), 'w')), path)
    run_python(f"""
from mmengine.runner.checkpoint import load_from_local
load_from_local({str(path)!r}, 'cpu')
""")
    assert trace.exists()


# --------------------------------------------------------------------------------------- mmaction


def test_mmaction_models_import() -> None:
    mmcv = pytest.importorskip('mmcv')
    version = mmcv.__version__
    pytest.importorskip('mmaction')
    import mmaction.models as models

    assert mmcv.__version__ == version
    with pytest.raises(ImportError, match='mmaction2#2714'):
        models.localizers.DRN()


@pytest.mark.parametrize(
    'patch, error',
    [
        ('stub_missing_drn', "No module named 'mmaction.models.localizers.drn'"),
        ('disable_multimodal_models', 'vindlu'),
    ],
)
def test_mmaction_models_fail_without(patch: str, error: str) -> None:
    pytest.importorskip('mmaction')
    if patch == 'disable_multimodal_models':
        pytest.importorskip('transformers')
    off = f'from swinv2_dense import compat; compat.{patch} = lambda *args: None;'
    result = run_python(off + 'import mmaction.models')
    assert result.returncode and error in result.stderr


def test_mmaction_refuses_newer_mmcv_without() -> None:
    mmcv = pytest.importorskip('mmcv')
    pytest.importorskip('mmaction')
    if digit_version(mmcv.__version__) < digit_version('2.2.0'):
        pytest.skip(f'mmaction accepts mmcv {mmcv.__version__}')
    off = "from swinv2_dense import compat; del compat.IMPORT_PATCHES['mmaction'];"
    result = run_python(off + 'import mmaction')
    assert result.returncode and 'is used but incompatible' in result.stderr


def test_hue_jitter() -> None:
    pytest.importorskip('mmaction')
    from mmaction.datasets.transforms.processing import ColorJitter

    red = np.zeros((2, 3, 3), np.float32)
    red[..., 0] = 200
    magenta = ColorJitter.adjust_hue(red, -30.5 / 255)  # 30 steps of 2 degrees back from red
    np.testing.assert_array_equal(magenta, red + red[..., ::-1])
    if not NUMPY2:
        assert ColorJitter.adjust_hue.__module__ == 'mmaction.datasets.transforms.processing'
        pytest.skip('numpy 1 adds a negative number to uint8')
    name = 'mmaction.datasets.transforms.processing'
    code = f"""
import numpy as np
from swinv2_dense import compat
del compat.IMPORT_PATCHES['{name}']
from {name} import ColorJitter
ColorJitter.adjust_hue(np.zeros((2, 2, 3), np.float32), -0.1)
"""
    result = run_python(code)
    assert result.returncode and 'out of bounds for uint8' in result.stderr


# --------------------------------------------------------------------------- InstaBoost, configs


def test_instaboost_keeps_ragged_contours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('instaboostfast')
    from instaboostfast import affine_transform, pycococreater

    mask = np.zeros((12, 16), np.uint8)
    mask[2:4, 3:5] = 1
    mask[7:10, 6:13] = 1
    small, large = affine_transform.binary_mask_to_polygon(mask)
    assert (min(small[::2]), max(small[::2])) == (2.5, 4.5)
    assert (min(large[::2]), max(large[::2])) == (5.5, 12.5)
    assert (min(large[1::2]), max(large[1::2])) == (6.5, 9.5)
    monkeypatch.setattr(pycococreater, 'measure', pycococreater.measure.measure)
    with pytest.raises(ValueError, match='inhomogeneous'):
        pycococreater.binary_mask_to_polygon(mask)
    others = [f for f in sys.meta_path if not isinstance(f, compat.PatchingFinder)]
    monkeypatch.setattr(sys, 'meta_path', others)
    compat.apply()  # after the import, as when the package is imported late
    assert len(affine_transform.binary_mask_to_polygon(mask)) == 2


def test_mmseg_config_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('mmseg')
    path = tmp_path / 'config.py'
    path.write_text("_base_ = 'mmseg::_base_/models/upernet_swin.py'\n")
    assert Config.fromfile(path).model.decode_head.type == 'UPerHead'
    if not ONEDL:
        assert MODULE2PACKAGE['mmseg'] == 'mmsegmentation'
        pytest.skip('the distribution of mmseg has its classic name')
    monkeypatch.setitem(MODULE2PACKAGE, 'mmseg', 'mmsegmentation')
    with pytest.raises(ModuleNotFoundError, match='mmsegmentation is not installed'):
        Config.fromfile(path)


# ------------------------------------------------------------------------ processes and their logs


@pytest.mark.skipif(torch.cuda.is_available(), reason='has a GPU')
def test_processes_connect_without_a_gpu() -> None:
    with pytest.raises((AssertionError, AttributeError, RuntimeError)):
        torch.cuda.set_device(0)  # the defect: mmengine's `init_dist` calls this with gloo, too
    original = torch.cuda.set_device
    with compat.without_cuda_device():
        torch.cuda.set_device(0)
    assert torch.cuda.set_device is original


def test_new_loggers_are_seen() -> None:
    seen: list[MMLogger] = []
    with compat.watch_new_loggers(seen.append):
        inside = MMLogger('inside the block')
    MMLogger('after the block')
    assert seen == [inside]


# ------------------------------------------------------------------------------------ the package


def test_import_needs_no_library_of_a_task() -> None:
    code = """
import sys
import swinv2_dense
names = 'mmcv mmdet mmseg mmaction instaboostfast torchvision'.split()
print([name for name in names if name in sys.modules])
"""
    result = run_python(code)
    assert result.stdout.strip() == '[]', result.stdout + result.stderr


def test_applying_twice_changes_nothing() -> None:
    finders, loaders = list(sys.meta_path), repr(vars(CheckpointLoader))
    compat.apply()
    assert sys.meta_path == finders
    assert repr(vars(CheckpointLoader)) == loaders
