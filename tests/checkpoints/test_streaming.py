"""Checkpoints written tensor by tensor, compared with those of `torch.save`."""

from __future__ import annotations

import gc
import io
import struct
import weakref
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from swinv2_dense.checkpoints.reading import Share, read_checkpoint_file
from swinv2_dense.checkpoints.streaming import pickled, write
from swinv2_dense.errors import CheckpointError


def checkpoint() -> dict:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(6, 5, generator=generator)
    state = OrderedDict(
        matrix=values,
        transposed=values[:4, :3].t(),
        scalar=torch.tensor(2.5, dtype=torch.float64),
        half=values.to(torch.bfloat16),
        counter=torch.tensor(7),
        mask=values > 0,
        empty=torch.empty(0, 3),
        bytes=torch.arange(5, dtype=torch.uint8),
        parameter=nn.Parameter(values[0]),
    )
    state._metadata = OrderedDict(backbone=dict(pretrained_window_sizes=[(12, 12)]))
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    meta = dict(iter=3, spread=np.arange(3.0), names=('a', 'b'))
    optimizer = dict(state={0: dict(exp_avg=values * 2)})
    hub = dict(log_scalars=dict(loss=history))
    return dict(state_dict=state, optimizer=optimizer, meta=meta, message_hub=hub)


@pytest.mark.parametrize('mapped', [False, True])
def test_it_is_what_torch_writes(tmp_path, mapped):
    write(tmp_path / 'ours.pth', *pickled(checkpoint()))
    torch.save(checkpoint(), tmp_path / 'torch.pth')
    ours, theirs = (
        read_checkpoint_file(tmp_path / f'{name}.pth', mapped=mapped) for name in ('ours', 'torch')
    )
    assert list(ours) == list(theirs)
    found, expected = ours['state_dict'], theirs['state_dict']
    assert list(found) == list(expected) and found._metadata == expected._metadata
    pairs = [(found[name], expected[name]) for name in expected]
    pairs.append((ours['optimizer']['state'][0]['exp_avg'],) * 2)
    for value, like in pairs:
        assert value.dtype == like.dtype and torch.equal(value, like)
        assert value.data_ptr() % 64 == 0 and value.is_contiguous()
    assert ours['meta'].pop('spread').tolist() == [0, 1, 2]
    theirs['meta'].pop('spread')
    assert ours['meta'] == theirs['meta']
    assert ours['message_hub']['log_scalars']['loss'].data[0].tolist() == [1, 2]


def test_torch_reads_it_and_checksums_are_right(tmp_path):
    write(tmp_path / 'a.pth', *pickled(checkpoint()['state_dict']))
    with zipfile.ZipFile(tmp_path / 'a.pth') as archive:
        assert archive.testzip() is None
    read = torch.load(io.BytesIO((tmp_path / 'a.pth').read_bytes()), weights_only=True)
    assert torch.equal(read['matrix'], checkpoint()['state_dict']['matrix'])


def test_one_tensor_is_held_at_a_time(tmp_path):
    content, tensors = pickled([torch.zeros(3, 2) for _ in range(5)])
    created: list[weakref.ref] = []

    def values() -> Iterator[Tensor]:
        for number, like in enumerate(tensors):
            gc.collect()
            assert sum(ref() is not None for ref in created) <= 1
            value = torch.full_like(like, number)
            created.append(weakref.ref(value))
            yield value
            del value

    write(tmp_path / 'a.pth', content, values())
    read = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert [value[0, 0].item() for value in read] == [0, 1, 2, 3, 4]


def test_other_values_can_be_written(tmp_path):
    write(tmp_path / 'a.pth', *pickled(dict(a=torch.ones(2, 3)), lambda value: value[:1].flatten()))
    assert torch.equal(torch.load(tmp_path / 'a.pth', weights_only=True)['a'], torch.ones(3))


def test_shares_verify_everything_together(tmp_path):
    path = tmp_path / 'a.pth'
    write(path, *pickled({str(i): torch.full((40,), float(i)) for i in range(7)}))
    intact = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    for entry in entries:
        lengths = struct.unpack_from('<HH', intact, entry.header_offset + 26)
        start = entry.header_offset + 30 + sum(lengths)  # of the content, in a zip file
        path.write_bytes(intact[:start] + bytes([intact[start] ^ 1]) + intact[start + 1 :])
        assert sum(_is_refused(path, Share(number, 3)) for number in range(3)) == 1, entry.filename


def _is_refused(path: Path, share: Share) -> bool:
    try:
        read_checkpoint_file(path, mapped=True, share=share)
    except CheckpointError as error:
        return 'checksum' in str(error)
    return False
