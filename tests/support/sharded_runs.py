"""Trainings of sharded_training.py in two processes, and the same in a plain loop in one."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path

import torch
from forked import run_scripts
from mmengine.optim import build_optim_wrapper
from sharded_training import OPTIM_WRAPPER, WORLD_SIZE, Classifier, Samples
from torch import nn

WINDOWS = [(12, 12), (6, 6)]  # pretrained windows, which no config names


def initial_state() -> OrderedDict:
    """Weights of another task, with five classes, whose backbone was trained with WINDOWS."""
    torch.manual_seed(0)
    model = Classifier(num_classes=5)
    for name, param in model.named_parameters():
        if 'logit_scale' not in name:
            nn.init.normal_(param, std=0.5)
    model.backbone.set_pretrained_window_sizes(WINDOWS, 'the test')
    return model.state_dict()


def alone(steps: int, parts: int = 1) -> tuple[Classifier, dict, list[float]]:
    """A plain loop over the images of both processes; returns model, groups and losses.

    Args:
        steps: Passes, of which each `parts` make one step of the optimizer.
    """
    model = Classifier(num_classes=3)
    model.init_weights()
    weights = {k: v for k, v in initial_state().items() if 'head' not in k}
    model.load_state_dict(weights, strict=False)
    model.backbone.set_pretrained_window_sizes(WINDOWS, 'the test')
    optimizer = build_optim_wrapper(model, dict(OPTIM_WRAPPER)).optimizer
    names = {param: name for name, param in model.named_parameters()}
    groups = {
        names[param]: [group['lr'], group['weight_decay']]
        for group in optimizer.param_groups
        for param in group['params']
    }
    losses = []
    for step in range(steps):
        batch = [Samples()[WORLD_SIZE * step + i] for i in range(WORLD_SIZE)]
        columns = {key: [sample[key] for sample in batch] for key in ('inputs', 'label')}
        loss = model(**columns, mode='loss')['loss']
        (loss / parts).backward()
        losses.append(loss.item())
        if (step + 1) % parts == 0:
            norm = nn.utils.clip_grad_norm_(model.parameters(), **OPTIM_WRAPPER['clip_grad'])
            assert norm > 2 * OPTIM_WRAPPER['clip_grad']['max_norm']  # so clipping has an effect
            optimizer.step()
            optimizer.zero_grad()
    return model, groups, losses


def run_in_two(folder: Path, kind: str) -> Path:
    """Make the trainings of `kind`, fsdp or zero, from `initial.pth`; all else is in `folder`."""
    torch.save(dict(state_dict=initial_state()), folder / 'initial.pth')
    args = [(rank, folder, kind) for rank in range(WORLD_SIZE)]
    script = Path(__file__).with_name('sharded_training.py')
    results = run_scripts(script, args, [os.environ] * WORLD_SIZE)
    for rank, result in enumerate(results):
        printed = result.stdout + result.stderr
        assert result.returncode == 0, printed[-4000:]
        (folder / f'log_{rank}.txt').write_text(printed)
    return folder


def written(folder: Path, name: str) -> list[dict]:
    """The records of each process of a training."""
    return [json.loads((folder / f'{name}_{rank}.json').read_text()) for rank in range(WORLD_SIZE)]


def mean_losses(folder: Path, name: str) -> torch.Tensor:
    return torch.tensor([entry['losses'] for entry in written(folder, name)]).mean(0)
