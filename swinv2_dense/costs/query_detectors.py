"""Costs of detectors that have no RoI head, such as DETRs and Mask2Former, from shapes.

The whole model runs on tensors without storage. What happens within a module counts for the child
of the detector that it belongs to.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from . import counts
from .detectors import FAKE, ModuleCosts, detector_parts, parameters_of

Outputs = Callable[[nn.Module, Tensor, Sequence[int]], Any]
NUM_OBJECTS = 7  # of a training image, about COCO's mean; DINO adds noisy queries for them


def parts_of_any_detector(
    model: nn.Module, test_size: Sequence[int], train_size: Sequence[int]
) -> list[ModuleCosts]:
    """`detector_parts` of detectors with and without an RoI head."""
    if hasattr(model, 'roi_head'):
        return detector_parts(model, test_size, train_size)
    return whole_model_parts(model, test_size, train_size, _outputs)


def whole_model_parts(
    model: nn.Module,
    test_size: Sequence[int],
    train_size: Sequence[int],
    outputs: Outputs,
) -> list[ModuleCosts]:
    """Costs of the children of a model on the meta device, at sizes (H, W) in pixels.

    `outputs` computes what the losses need, from the model, an image (1, 3, H, W) and its size.

    Deformable attention counts as it is composed of PyTorch's operators; its CUDA kernel keeps
    less. Losses are not counted.
    """
    with FAKE:
        model._apply(lambda t: torch.empty(t.shape, dtype=t.dtype))
    macs = dict.fromkeys(parameters_of(model), 0)
    learned = [param for param in model.parameters() if param.requires_grad]
    model.requires_grad_(False)  # the counter expects graphs of views of parameters
    counter = FlopCounterMode(display=False)  # does not know the fused attention of CPUs
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        image = _image(test_size)
        run = partial(outputs, model.eval(), image, test_size)
        _run(model, run, macs, _increase_of(counter.get_total_flops))
    for param in learned:
        param.requires_grad_()
    # The backbone's attention is a custom operator, which is not counted.
    macs = {name: number // 2 for name, number in macs.items()}
    macs['backbone'] = sum(part.macs for part in counts.count(model.backbone, test_size))
    kept, largest = dict.fromkeys(macs, 0), dict.fromkeys(macs, 0)
    hooks = counts.Kept(model)
    with torch.enable_grad(), hooks.hooks:
        run = partial(outputs, model.train(), _image(train_size), train_size)
        _run(model, run, kept, hooks.take, largest, lambda: hooks.largest)
    return [
        ModuleCosts(name, params, macs[name], kept[name], largest[name])
        for name, params in parameters_of(model).items()
    ]


def _increase_of(total: Callable[[], int]) -> Callable[[], int]:
    """A function that returns what was added to a total since its last call."""
    last = 0

    def increase() -> int:
        nonlocal last
        before, last = last, total()
        return last - before

    return increase


def _run(
    model: nn.Module,
    run: Callable[[], Any],
    sums: dict[str, int],
    take: Callable[[], int],
    peaks: dict[str, int] | None = None,
    peak: Callable[[], int] = int,
) -> None:
    """Call `run`, and add what `take` returns to the children within which it arose."""
    owners = [next(reversed(sums))]  # what is in no child belongs to the last, the head

    def book() -> None:
        sums[owners[-1]] += take()
        if peaks is not None:
            peaks[owners[-1]] = max(peaks[owners[-1]], peak())

    with _entered(model, sums, owners, book):
        outs = run()
    book()
    del outs


def _image(size: Sequence[int]) -> Tensor:
    with FAKE:
        return torch.empty(1, 3, *size)


def _outputs(model: nn.Module, image: Tensor, size: Sequence[int]) -> Any:
    sample = _sample(size)
    maps = model.extract_feat(image)
    if not hasattr(model, 'forward_transformer'):
        return model.panoptic_head(maps, [sample])
    inputs = model.forward_transformer(maps, [sample])
    wanted = inspect.signature(model.bbox_head.forward).parameters
    return model.bbox_head(**{key: value for key, value in inputs.items() if key in wanted})


@contextmanager
def _entered(
    model: nn.Module, names: Sequence[str] | dict, owners: list[str], book: Callable[[], None]
) -> Iterator[None]:
    """Keep the child that is running on top of `owners`; `book` runs before it changes."""

    def enter(name: str) -> Callable:
        def hook(*_: Any) -> None:
            book()
            owners.append(name)

        return hook

    def leave(*_: Any) -> None:
        book()
        owners.pop()

    handles = []
    for name in names:
        for module in getattr(model, name).modules():
            handles.append(module.register_forward_pre_hook(enter(name)))
            handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _sample(size: Sequence[int]) -> Any:
    """A sample of an unpadded image with some objects."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    height, width = size
    meta = dict(img_shape=(height, width), batch_input_shape=(height, width))
    sample = DetDataSample(metainfo=dict(meta, ori_shape=(height, width), scale_factor=(1.0, 1.0)))
    boxes = torch.tensor([[0.1, 0.1, 0.9, 0.9]]) * torch.tensor([width, height] * 2)
    sample.gt_instances = InstanceData(
        bboxes=boxes.repeat(NUM_OBJECTS, 1), labels=torch.zeros(NUM_OBJECTS, dtype=torch.long)
    )
    return sample
