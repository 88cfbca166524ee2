"""tools/train.py --log-to: TensorBoard gets the same scalars as the JSON lines."""

from __future__ import annotations

import json

import pytest
import toy_training
from mmengine.config import Config

from swinv2_dense.errors import ConfigError
from swinv2_dense.training.log_backends import log_to


def test_tensorboard_has_the_scalars_of_the_json_lines(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = toy_training.write_config(tmp_path, **toy_training.BY_STEP)
    argv = [config, '--work-dir', tmp_path / 'work', '--log-to', 'tensorboard']
    assert toy_training.train(argv, tmp_path / 'log') == 0, (tmp_path / 'log').read_text()[-3000:]
    (folder,) = (tmp_path / 'work').glob('*/vis_data')
    written = EventAccumulator(str(folder)).Reload()
    lines = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    losses = {line['step']: line['loss'] for line in lines if 'loss' in line}
    assert len(losses) == 28
    found = {event.step: event.value for event in written.Scalars('loss')}
    assert found == pytest.approx(losses, rel=1e-6)
    assert len(written.Scalars('score')) == 4


def test_a_backend_is_added_once_and_must_be_installed(monkeypatch):
    cfg = Config(dict(visualizer=dict(type='Visualizer', vis_backends=[dict(type='X')])))
    pytest.importorskip('tensorboard')
    log_to(cfg, ['tensorboard'])
    log_to(cfg, ['tensorboard'])
    assert [b.type for b in cfg.visualizer.vis_backends] == ['X', 'TensorboardVisBackend']
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ConfigError, match='--log-to wandb: not installed; pip install wandb'):
        log_to(cfg, ['wandb'])
    log_to(empty := Config(dict()), [])
    assert [b.type for b in empty.visualizer.vis_backends] == ['LocalVisBackend']
