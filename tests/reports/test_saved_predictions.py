"""Saved predictions: tensors and arrays are read, code is not run."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from swinv2_dense.errors import ConfigError
from swinv2_dense.reports.saved import read_predictions


class Bomb:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def test_tensors_and_arrays_are_read(tmp_path):
    sample = dict(
        pred=dict(boxes=torch.rand(3, 4), labels=np.arange(3), score=np.float32(0.5)),
        size=(4, 5),
        counts=b'abc',
    )
    path = tmp_path / 'predictions.pkl'
    path.write_bytes(pickle.dumps([sample]))
    (found,), are_records = read_predictions(path)
    assert not are_records
    assert torch.equal(found['pred']['boxes'], sample['pred']['boxes'])
    assert found['pred']['labels'].tolist() == [0, 1, 2] and found['pred']['score'] == 0.5
    assert found['size'] == (4, 5) and found['counts'] == b'abc'


@pytest.mark.parametrize('inside_storage', [False, True])
def test_code_is_not_run(tmp_path, inside_storage):
    folder, path = tmp_path / 'made', tmp_path / 'predictions.pkl'
    content = pickle.dumps([dict(a=Bomb(str(folder)))])
    if inside_storage:  # what torch's own _load_from_bytes would run

        class Storage:
            def __reduce__(self) -> tuple:
                from torch.storage import _load_from_bytes

                return _load_from_bytes, (content,)

        content = pickle.dumps([dict(a=Storage())])
    path.write_bytes(content)
    with pytest.raises(ConfigError, match='predictions.pkl cannot be read'):
        read_predictions(path)
    assert not folder.exists()


@pytest.mark.parametrize('content', [b'', b'[1, 2', b'{}', b'[]', b'[1]'])
def test_other_files(tmp_path, content):
    path = tmp_path / 'predictions.json'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r'predictions\.json'):
        read_predictions(path)
