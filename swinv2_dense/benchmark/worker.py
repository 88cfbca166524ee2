"""Runs one model in a process of its own: python -m swinv2_dense.benchmark.worker.

Arguments: a Case as JSON, the library, a file of weights, the library to match, and a folder for
feature maps. Reads commands from standard input, one per line, and answers each with a line of JSON
that begins with '@': run (seconds), peak (MB above the model), maps (the file they are saved to).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import (
    SwinTransformerV1,
    SwinTransformerV2,
    VideoSwinTransformerV1,
    VideoSwinTransformerV2,
    choices,
)
from ..arguments import ARCHS
from ..checkpoints.loading import load_pretrained
from . import peers, peers_v1
from .peers import Maps


@dataclass
class Case:
    """The settings of a measurement. `size` and `window` have one number per axis."""

    arch: str | dict
    size: tuple[int, ...]
    window: tuple[int, ...]
    phase: str  # 'forward', or 'training': forward and backward
    dtype: str  # 'fp32', or 'bf16' or 'fp16' by autocast
    weights: str  # dtype of the parameters, 'fp32' or 'bf16'
    device: str
    batch: int
    with_cp: bool = False
    sequential_attention: bool = False
    attention_backend: str = 'auto'
    version: int = 2  # of Swin Transformer

    def compares_maps_with(self, library: str) -> bool:
        """Whether the model of a library is the same; for video, other libraries have V1 only."""
        return self.version == 1 or library not in peers_v1.VIDEO_PEERS

    @property
    def title(self) -> str:
        size, window = ('x'.join(map(str, _short(s))) for s in (self.size, self.window))
        extras = [self.dtype] if self.dtype != 'fp32' else []
        extras += [f'{self.weights} weights'] if self.weights != 'fp32' else []
        extras += ['ours with checkpointing'] if self.with_cp else []
        extras += ['ours sequential'] if self.sequential_attention else []
        extras += [f'ours {self.attention_backend}'] if self.attention_backend != 'auto' else []
        extras += [f'batch {self.batch}'] if self.batch > 1 else []
        name = f'{self.arch.upper()}{" V1" if self.version == 1 else ""}'
        return ', '.join([f'{name} {size}, window {window}, {self.phase}', *extras])


BACKBONES = {  # by version and number of axes
    (1, 2): SwinTransformerV1,
    (1, 3): VideoSwinTransformerV1,
    (2, 2): SwinTransformerV2,
    (2, 3): VideoSwinTransformerV2,
}
DTYPES = {name: getattr(torch, full) for name, full in choices.DTYPES.items()}


def _short(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return sizes[:1] if len(sizes) == 2 and sizes[0] == sizes[1] else sizes


def build_ours(case: Case, weights: Path | None, like: str | None) -> tuple[nn.Module, Maps]:
    """Our backbone, with weights and output norms as in the library `like`, if any."""
    cls = BACKBONES[case.version, len(case.size)]
    pretrained = dict(pretrained_window_sizes=case.window) if case.version == 2 else {}
    default = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[case.weights])  # avoids a copy in another dtype
    try:
        model = cls(
            case.arch,
            window_size=case.window,
            drop_path_rate=0.0,
            out_indices=(0, 1, 2, 3),
            with_cp=case.with_cp,
            sequential_attention=case.sequential_attention,
            attention_backend=case.attention_backend,
            **pretrained,
        )
    finally:
        torch.set_default_dtype(default)
    if weights is not None:
        load_pretrained(model, str(weights))
        known = peers_v1 if case.version == 1 else peers
        if like not in known.WITH_OUTPUT_NORMS:
            for i in model.out_indices:
                setattr(model, f'norm{i}', nn.Identity())
    return model, model


def build_peer(case: Case, library: str, weights: Path | None) -> tuple[nn.Module, Maps]:
    """A model of another library with random weights, saved to `weights` if ours can load them."""
    model, maps = _peer(case, library)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.LayerNorm):  # with weights of zero, blocks are identities
                nn.init.normal_(module.weight, 1.0, 0.1)
                nn.init.normal_(module.bias, 0.0, 0.1)
            elif isinstance(module, nn.Linear) and ('cpb' in name or 'continuous' in name):
                nn.init.normal_(module.weight, 0.0, 0.3)  # makes maps depend on the position bias
        for name, parameter in model.named_parameters():
            if 'relative_position_bias_table' in name:
                nn.init.normal_(parameter, 0.0, 0.3)
    if weights is not None:
        torch.save(model.state_dict(), weights)
    return model, maps


def _peer(case: Case, library: str) -> tuple[nn.Module, Maps]:
    arch, video = ARCHS[case.arch], len(case.size) == 3
    if library in peers_v1.VIDEO_PEERS:
        if not video:
            raise ValueError(f'{library} needs clips, such as --size 16x224x224, not {case.title}')
        return peers_v1.VIDEO_PEERS[library](arch, case.window)
    found = peers_v1.IMAGE_PEERS if case.version == 1 else peers.PEERS
    if library not in found:
        raise ValueError(
            f'{library} has no V{case.version}: compare it with {", ".join(found)}, or choose '
            f'another --version'
        )
    side, window = set(case.size), set(case.window)
    if video or len(side) != 1 or len(window) != 1:
        raise ValueError(f'{library} needs square images and windows, not {case.title}')
    if case.version == 1:
        return peers_v1.IMAGE_PEERS[library](arch, side.pop(), case.window[0])
    return peers.PEERS[library](arch, side.pop(), case.window[0], case.window[:1] * 4)


class Memory:
    """Peak memory above what is allocated now, of the process or of a CUDA device."""

    def __init__(self, device: str) -> None:
        self.cuda = device == 'cuda'
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.base = torch.cuda.memory_allocated()
        else:
            self._reset()
            self.base = self._status('VmRSS')

    def peak(self) -> float:
        """Megabytes (MiB)."""
        peak = torch.cuda.max_memory_allocated() if self.cuda else self._status('VmHWM')
        return (peak - self.base) / 2**20

    @staticmethod
    def _reset() -> None:
        """Return freed memory to the system, and reset the peak (Linux)."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            Path('/proc/self/clear_refs').write_text('5')

    @staticmethod
    def _status(key: str) -> int:
        """Bytes; on other systems than Linux both keys give the peak since the start."""
        try:
            lines = Path('/proc/self/status').read_text().splitlines()
        except OSError:
            import resource

            scale = 1 if sys.platform == 'darwin' else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


class Worker:
    """A model and an input, on the device of a case."""

    def __init__(self, case: Case, library: str, weights: Path | None, like: str | None) -> None:
        torch.manual_seed(0)
        if library == 'ours':
            model, maps = build_ours(case, weights, like)
        else:
            model, maps = build_peer(case, library, weights)
        self.case, self.maps = case, maps
        self.model = model.to(case.device)
        self.model.train(case.phase == 'training')
        generator = torch.Generator().manual_seed(1)
        image = torch.randn(case.batch, 3, *case.size, generator=generator)
        self.image = image.to(case.device, DTYPES[case.weights])
        self.memory = Memory(case.device)

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.case.dtype == 'fp32':
            return contextlib.nullcontext()
        return torch.autocast(self.case.device, DTYPES[self.case.dtype])

    def step(self) -> None:
        """One forward pass, or a forward and a backward pass."""
        if self.case.phase == 'forward':
            with torch.no_grad(), self._autocast():
                self.maps(self.image)
            return
        with self._autocast():
            maps = self.maps(self.image)
        sum(m.float().square().mean() for m in maps).backward()

    def reset(self) -> None:
        """Drop the gradients of the step before."""
        self.model.zero_grad(set_to_none=True)

    def run(self) -> float:
        """Seconds of one `step`."""
        self.reset()
        self._wait()
        start = time.perf_counter()
        self.step()
        self._wait()
        return time.perf_counter() - start

    def peak(self) -> float:
        """Megabytes above the model since the start."""
        return self.memory.peak()

    def save_maps(self, path: Path) -> str:
        """Save the feature maps for comparison, computed without autocast."""
        with torch.no_grad():
            maps: list[Tensor] = [m.float().cpu() for m in self.maps(self.image)]
        torch.save(maps, path)
        return str(path)

    def _wait(self) -> None:
        if self.case.device == 'cuda':
            torch.cuda.synchronize()


def main() -> None:
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # libraries must not print between answers

    def answer(value: object) -> None:
        print('@', json.dumps(value), file=out, flush=True)

    case, library, weights, like, folder = sys.argv[1:]
    settings = json.loads(case)
    settings.update(size=tuple(settings['size']), window=tuple(settings['window']))
    worker = Worker(Case(**settings), library, Path(weights) if weights else None, like or None)
    answers = dict(
        run=worker.run,
        peak=worker.peak,
        maps=lambda: worker.save_maps(Path(folder) / f'maps_{library}.pth'),
    )
    answer('ready')
    for line in sys.stdin:
        answer(answers[line.strip()]())


if __name__ == '__main__':
    main()
