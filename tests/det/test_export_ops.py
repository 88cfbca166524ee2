"""The operators of exported detectors, in ONNX Runtime and beside mmcv's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from swinv2_dense.det.export_ops import METHODS, align_levels, nms, soft_nms
from swinv2_dense.export.translations import translations
from swinv2_dense.export.writing import OPSET, quiet

ort = pytest.importorskip('onnxruntime', reason='needs the extra "export"')
pytest.importorskip('onnxscript', reason='needs the extra "export"')


class Call(nn.Module):
    """Calls a function with tensors."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors):
        return self.function(*tensors)


def boxes_and_scores(groups: int = 3, count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    corner = torch.rand(groups, count, 2) * 40
    size = torch.rand(groups, count, 2) * 30 + 2
    return torch.cat([corner, corner + size], dim=-1), torch.rand(groups, count)


def check(function, *tensors, path) -> list[torch.Tensor]:
    """ONNX Runtime agrees with the operators; returns their outputs."""
    module = Call(function)
    with quiet():
        program = torch.onnx.export(
            torch.export.export(module, tensors),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            custom_translation_table=translations(),
        )
    program.save(path)
    session = ort.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    names = [item.name for item in session.get_inputs()]
    found = session.run(None, {n: t.numpy() for n, t in zip(names, tensors)})
    expected = module(*tensors)
    expected = [expected] if isinstance(expected, torch.Tensor) else list(expected)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)
    return expected


def test_nms_by_hand():
    """The second box overlaps the first by 2/3, the third is of another group."""
    boxes = torch.tensor([[[0.0, 0, 10, 10], [2, 0, 12, 10]], [[0, 0, 10, 10], [50, 50, 60, 60]]])
    scores = torch.tensor([[0.9, 0.8], [0.7, 0.1]])
    assert nms(boxes, scores, 0.5, 0.2, 4).tolist() == [0, 2, -1, -1]
    assert nms(boxes, scores, 0.7, 0.0, 4).tolist() == [0, 1, 2, 3]
    assert nms(boxes, scores, 0.7, 0.0, 2).tolist() == [0, 1]
    places, found = soft_nms(boxes, scores, 0.5, 0.5, 1e-3, METHODS['linear'], 0.2, 4)
    assert places.tolist() == [0, 2, 1, -1]
    torch.testing.assert_close(found, torch.tensor([0.9, 0.7, 0.8 / 3, 0.0]))


def test_nms_in_onnx(tmp_path):
    (found,) = check(
        lambda b, s: nms(b, s, 0.5, 0.3, 20), *boxes_and_scores(), path=tmp_path / 'a.onnx'
    )
    assert (found >= 0).all()
    boxes, scores = boxes_and_scores()
    scores[0, 3] = 1.5
    (found,) = check(lambda b, s: nms(b, s, 0.5, 1.0, 20), boxes, scores, path=tmp_path / 'b.onnx')
    assert found.tolist() == [3] + [-1] * 19


@pytest.mark.parametrize(
    'method',
    ['linear', *(pytest.param(name, marks=pytest.mark.slow) for name in ('naive', 'gaussian'))],
)
def test_soft_nms_in_onnx(method, tmp_path):
    """More results are asked for than there are boxes above the threshold."""

    def run(boxes, scores):
        return soft_nms(boxes, scores, 0.5, 0.5, 1e-3, METHODS[method], 0.3, 200)

    places, found = check(run, *boxes_and_scores(), path=tmp_path / 'a.onnx')
    assert 20 < (places >= 0).sum() < 200 and (found[:-1] >= found[1:]).all()


@pytest.mark.parametrize(
    ('ratio', 'aligned'), [(0, True), pytest.param(2, False, marks=pytest.mark.slow)]
)
def test_roi_align_in_onnx(ratio, aligned, tmp_path):
    """Two levels, one of which has no region in the second call; an empty box."""
    (boxes,), _ = boxes_and_scores(1, 30)
    rois = torch.cat([torch.zeros(30, 1), boxes], dim=1)
    rois[3, 1:] = 0
    maps = torch.randn(1, 4, 20, 20), torch.randn(1, 4, 10, 10)

    def run(fine, coarse, rois, levels):
        scales = [0.25, 0.125]
        return align_levels([fine, coarse], rois, levels, scales, [5, 7], ratio, aligned)

    check(run, *maps, rois, torch.arange(30) % 2, path=tmp_path / 'a.onnx')
    check(run, *maps, rois, torch.zeros(30, dtype=torch.long), path=tmp_path / 'b.onnx')
