"""What the README says, run."""

from __future__ import annotations

import re
import subprocess

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

README = (ROOT / 'README.md').read_text()
SNIPPETS = dict(re.findall(r'^(\w+):\n```python\n(.*?)```', README, re.S | re.M))
INPUTS = {
    'mmdet': (1, 3, 70, 90),
    'mmsegmentation': (1, 3, 70, 90),
    'mmaction2': (1, 1, 3, 4, 40, 56),
}
SCOPES = {'mmdet': 'mmdet', 'mmsegmentation': 'mmseg', 'mmaction2': 'mmaction'}


def test_there_are_three_snippets():
    assert set(SNIPPETS) == set(INPUTS)


@pytest.mark.parametrize('library', INPUTS)
def test_snippet_builds_and_extracts_features(library, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(SNIPPETS[library])
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(SCOPES[library]):
        model = MODELS.build(cfg.model).eval()
        with torch.no_grad():
            features = model.extract_feat(torch.randn(INPUTS[library]))
    maps = features[0] if isinstance(features[0], (list, tuple)) else features
    assert maps[0].isfinite().all()
    assert type(model.backbone).__module__.startswith('swinv2_dense')


def test_paths_that_it_names_exist():
    names = re.findall(r'(?:swinv2_dense|tools|tests|configs|docs|data)/[\w./+-]*\w', README)
    missing = [name for name in set(names) if not (ROOT / name).exists()]
    by_users = {'data/shapes', 'data/coco', 'data/kinetics400', 'data/own', 'data/own/own.py'}
    assert set(missing) <= by_users


@pytest.mark.parametrize('script', ['quickstart', 'run_tests'])
def test_shell_commands_explain_themselves(script):
    command = ['bash', f'tools/{script}.sh', '--help']
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0
    assert 'Usage: bash tools/' in result.stdout
