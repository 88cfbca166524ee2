"""The parts of Plain-DETR against plain loops and hand calculations."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

pytest.importorskip('mmdet')
from swinv2_dense.det.plain_detr.box_rpb import BoxRPB  # noqa: E402
from swinv2_dense.det.plain_detr.coordinates import (  # noqa: E402
    NormalizedBoxes,
    PixelBoxes,
    deltas_between,
)
from swinv2_dense.det.plain_detr.cross_attention import GlobalCrossAttention  # noqa: E402
from swinv2_dense.det.plain_detr.decoder import (  # noqa: E402
    PlainDETRDecoder,
    PlainDETRDecoderLayer,
)
from swinv2_dense.det.plain_detr.position_encoding import (  # noqa: E402
    CellSinePositionalEncoding,
)
from swinv2_dense.det.plain_detr.proposals import MultiStrideProposals  # noqa: E402
from swinv2_dense.det.plain_detr.upsampling import MapUpsampling, steps_between  # noqa: E402


def random_boxes(*shape: int) -> torch.Tensor:
    """(..., 4) as (x1, y1, x2, y2) in pixels."""
    corners = torch.rand(*shape, 2, 2, dtype=torch.float64) * 80
    return torch.cat([corners.amin(-2), corners.amax(-2)], -1)


def mlp(module: torch.nn.Module, first: float, second: float) -> torch.Tensor:
    """Two layers by hand."""
    hidden = module[0].weight[:, 0] * first + module[0].weight[:, 1] * second + module[0].bias
    return module[2].weight @ (hidden * (hidden > 0))


def test_box_rpb_equals_plain_loops_with_gradients():
    rpb = BoxRPB(num_heads=3, stride=8, hidden_dims=7).double()
    boxes, (height, width) = random_boxes(2, 4), (3, 5)
    expected = torch.zeros(2, 3, 4, height * width, dtype=torch.float64)
    for b, q, y, x in itertools.product(range(2), range(4), range(height), range(width)):
        x1, y1, x2, y2 = boxes[b, q]
        center_x, center_y = 8 * x + 4, 8 * y + 4
        of_x = mlp(rpb.cpb_mlp_x, x1 - center_x, x2 - center_x)
        of_y = mlp(rpb.cpb_mlp_y, y1 - center_y, y2 - center_y)
        expected[b, :, q, y * width + x] = of_x + of_y
    out = rpb(boxes, height, width)
    assert_close(out, expected, atol=1e-10, rtol=1e-10)
    weights, params = torch.randn_like(out), list(rpb.parameters())
    grads = torch.autograd.grad((out * weights).sum(), params)
    assert_close(grads, torch.autograd.grad((expected * weights).sum(), params))


def attend(q, k, v, bias, heads: int) -> torch.Tensor:
    """Attention of one head and query after the other; (Q, C), (N, C), (N, C), (nH, Q, N)."""
    out, dims = torch.zeros_like(q), q.shape[1] // heads
    for head, i in itertools.product(range(heads), range(len(q))):
        part = slice(head * dims, (head + 1) * dims)
        logits = torch.stack([(q[i, part] * key[part]).sum() / math.sqrt(dims) for key in k])
        weights = (logits + bias[head, i]).exp()
        out[i, part] = (weights / weights.sum()) @ v[:, part]
    return out


def test_a_decoder_layer_equals_plain_loops():
    layer = PlainDETRDecoderLayer(8, 2, 12, BoxRPB(2, 8, hidden_dims=5)).double()
    for param in layer.parameters():
        param.data.normal_(std=0.4)
    query, query_pos = torch.randn(2, 1, 4, 8, dtype=torch.float64)
    memory, memory_pos = torch.randn(2, 1, 2, 3, 8, dtype=torch.float64)
    boxes = random_boxes(1, 4)
    padding = torch.tensor([[[False, False, True], [False, False, True]]])
    apart = torch.tensor([0, 0, 1, 1])[:, None] != torch.tensor([0, 0, 1, 1])
    out = layer(query, query_pos, boxes, memory, memory_pos, padding, apart)
    # section 3: norm, attention, residual; norm, attention to the map, residual; norm, FFN
    x, pos, cells = query[0], query_pos[0], memory[0].flatten(0, 1)
    attn = layer.self_attn
    normed = layer.norm1(x)
    weights, offsets = attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3)
    inputs = normed + pos, normed + pos, normed
    q, k, v = (t @ w.T + b for t, w, b in zip(inputs, weights, offsets))
    hidden = torch.zeros(2, 4, 4).masked_fill(apart, -math.inf)
    x = x + attend(q, k, v, hidden, 2) @ attn.out_proj.weight.T + attn.out_proj.bias
    cross = layer.cross_attn
    bias = layer.box_rpb(boxes, 2, 3)[0].masked_fill(padding[0].flatten(), -math.inf)
    keys = cells + memory_pos[0].flatten(0, 1)
    mixed = attend(cross.q(layer.norm2(x) + pos), cross.k(keys), cross.v(cells), bias, 2)
    x = x + cross.proj(mixed)
    x = x + layer.ffn[2](layer.ffn[0](layer.norm3(x)).clamp(min=0))
    assert_close(out[0], x, atol=1e-10, rtol=1e-10)


def test_cross_attention_with_biases_of_hundreds_is_precise_in_bf16():
    """Adjacent bf16 numbers near 300 differ by 2, which would decide the softmax."""
    attention = GlobalCrossAttention(16, 2)
    query, key = torch.randn(1, 3, 16), torch.randn(1, 9, 16)
    bias = 300 + torch.rand(1, 2, 3, 9)
    with torch.autocast('cpu', torch.bfloat16):
        rounded = attention(query, key, key, bias)
    assert_close(rounded.float(), attention(query, key, key, bias), atol=0.03, rtol=0)


class Recorded(NormalizedBoxes):
    """Records the boxes that layers are given."""

    def __init__(self):
        self.seen = []

    def to_map(self, boxes, extents):
        self.seen.append(boxes)
        return super().to_map(boxes, extents)


def test_the_decoder_looks_forward_twice():
    """Boxes of layer i depend on deltas i and i - 1 in the graph, but on all of them in value."""
    torch.manual_seed(0)
    decoder = PlainDETRDecoder(3, 8, 2, 12, rpb_hidden_dims=5, map_stride=8)
    branches = torch.nn.ModuleList(torch.nn.Linear(8, 4) for _ in range(3))
    coordinates, extents = Recorded(), torch.tensor([[24.0, 16.0]])
    references = torch.rand(1, 4, 4)
    hidden, before = decoder(
        torch.randn(1, 4, 8),
        references,
        coordinates,
        extents,
        branches,
        query_pos=torch.randn(1, 4, 8),
        memory=torch.randn(1, 2, 3, 8),
        memory_pos=torch.randn(1, 2, 3, 8),
        padding=torch.zeros(1, 2, 3, dtype=torch.bool),
        self_attn_mask=None,
    )
    assert [not boxes.requires_grad for boxes in coordinates.seen] == [True] * 3
    expected = references
    for i in range(3):
        assert_close(before[i], expected)
        assert_close(coordinates.seen[i], expected)
        deltas = branches[i](hidden[i])
        expected = (torch.logit(expected) + deltas).sigmoid().detach()
    (grad,) = torch.autograd.grad(before[2].sum(), branches[0].weight, allow_unused=True)
    assert grad is None or not grad.any()  # through hidden states alone, boxes being detached
    (grad,) = torch.autograd.grad(before[1].sum(), branches[0].weight)
    assert grad.any()


def test_pixel_deltas_lead_from_a_reference_to_a_box():
    references, boxes = torch.tensor([[40.0, 30, 20, 10]]), torch.tensor([[44.0, 27, 40, 5]])
    deltas = deltas_between(references, boxes)
    by_hand = [4 / 20.1, -3 / 10.1, math.log(40 / 20.1), math.log(5 / 10.1)]
    assert_close(deltas, torch.tensor([by_hand]))
    found = PixelBoxes().decode(references[None], deltas[None], torch.tensor([[100.0, 100]]))
    by_hand = [40 + 20 * 4 / 20.1, 30 - 10 * 3 / 10.1, 20 * 40 / 20.1, 10 * 5 / 10.1]
    assert_close(found[0], torch.tensor([by_hand]))


def test_pixel_boxes_are_clipped_to_the_map_and_to_a_largest_step():
    references = torch.tensor([[[10.0, 10, 20, 20]]])
    deltas = torch.tensor([[[0.0, 0, 9, -9]]])  # both beyond the largest step, ln(62.5)
    found = PixelBoxes().decode(references, deltas, torch.tensor([[64.0, 32]]))
    height = 20 / 62.5
    assert_close(found, torch.tensor([[[32.0, 10, 64, height]]]))


def test_normalized_boxes_by_hand():
    boxes, extents = NormalizedBoxes(), torch.tensor([[200.0, 100]])
    box = torch.tensor([[[0.5, 0.25, 0.2, 0.1]]])
    moved = boxes.refine(box, torch.tensor([[[0.0, math.log(3), 0, 0]]]), extents)
    assert_close(moved, torch.tensor([[[0.5, 0.5, 0.2, 0.1]]]))  # odds of 1/3 times 3
    assert_close(boxes.to_map(box, extents), torch.tensor([[[80.0, 20, 120, 30]]]))
    assert_close(boxes.to_image(box[0], (50, 100)), torch.tensor([[40.0, 10, 60, 15]]))
    _, target = boxes.regression(box[0], None, None, torch.tensor([[40.0, 10, 60, 15]]), (50, 100))
    assert_close(target, box[0])


@pytest.mark.parametrize('kind', [NormalizedBoxes, PixelBoxes])
def test_anchors_of_every_level_by_loops(kind):
    """Of an image of 26 x 6 cells at stride 16 in a padded map of 28 x 8."""
    proposals = MultiStrideProposals(4, 16, (8, 16, 32, 64), kind())
    found = proposals(torch.randn(1, 4, 8, 28), torch.tensor([[26, 6]]))
    anchors, inside, used = [], [], []
    for level, stride in enumerate((8, 16, 32, 64)):
        own = 26 * 16 // stride, 6 * 16 // stride
        for y, x in itertools.product(range(128 // stride), range(448 // stride)):
            if kind is PixelBoxes:
                anchor = [(x + 0.5) * stride, (y + 0.5) * stride, *[50 * 2**level] * 2]
                limits = [416, 96] * 2
            else:
                anchor = [(x + 0.5) / own[0], (y + 0.5) / own[1], *[0.05 * 2**level] * 2]
                limits = [1] * 4
            inside.append(x < own[0] and y < own[1])
            used.append(all(0.01 * s < a < 0.99 * s for a, s in zip(anchor, limits)))
            anchors.append(anchor)
    anchors, used = torch.tensor(anchors), torch.tensor(used)
    if kind is NormalizedBoxes:
        anchors = torch.logit(anchors)
    fill = 416.0 if kind is PixelBoxes else math.inf
    rows = torch.tensor(inside)
    assert found.inside[0].tolist() == inside
    assert 0 < int((used & rows).sum()) < int(rows.sum())
    assert_close(found.anchors[0][rows & used], anchors[rows & used])
    assert (found.anchors[0][rows & ~used] == fill).all()
    blank = proposals.norm(proposals.linear.bias)  # of features that are masked
    assert_close(found.features[0][~(rows & used)], blank.expand((~(rows & used)).sum(), -1))


@pytest.mark.parametrize('normalize', [True, False])
def test_cells_are_encoded_at_their_centers(normalize):
    encoding = CellSinePositionalEncoding(4, normalize)
    padding = torch.zeros(1, 2, 3, dtype=torch.bool)
    padding[..., 2] = True
    out = encoding(padding)
    y, x = (1.5 / (2 + 1e-6), 0.5 / (2 + 1e-6)) if normalize else (1.5, 0.5)
    by_hand = []
    for value in (y, x):
        for frequency in (1, 100):
            angle = 2 * math.pi * value / frequency
            by_hand += [math.sin(angle), math.cos(angle)]
    assert_close(out[0, :, 1, 0], torch.tensor(by_hand), atol=1e-5, rtol=0)


def test_upsampling_halves_stride_and_channels():
    neck = MapUpsampling(32, in_stride=32, out_stride=8)
    (out,) = neck([torch.randn(1, 8, 4, 4), torch.randn(1, 32, 2, 3)])
    assert out.shape == (1, 8, 8, 12)
    with pytest.raises(ValueError, match='stride 24 is not a power of two times stride 32'):
        steps_between(32, 24)
