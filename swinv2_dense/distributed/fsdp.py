"""Sharded training (FSDP) of SwinV2 models; see configs/_base_/schedules/fsdp.py.

No process holds the whole model or optimizer, neither on its device nor in its memory:

    build, initialize   rank 0, in files that are mapped into memory (unallocated.py)
    shard               block by block: broadcast from rank 0, each rank keeps its rows
    load, resume        each rank maps the file into memory and reads its rows
    train               the running block and the next one are gathered, and all outside of blocks
    save                tensor by tensor: gathered, written by rank 0

torch's helpers for state dicts (`torch.distributed.checkpoint`) are not used. For full files, they
need the full state dict in the memory of rank 0, drop its metadata, and number parameters in
another way; its own format is a second one, which other tools do not read.
"""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import barrier, broadcast, get_rank, get_world_size, is_main_process
from mmengine.fileio import get_file_backend
from mmengine.model import BaseDataPreprocessor
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import STRATEGIES
from mmengine.utils import get_git_hash
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ..atomic_files import draft_of, remove, replacing
from ..checkpoints import shards, streaming
from ..checkpoints.sharded_tensors import placed_like
from ..errors import CheckpointError, ConfigError, truncate
from ..models.blocks import SwinBlock
from ..resilience.atomic_checkpoints import full_disk_explained
from ..shared_errors import shared_errors
from .mapped_checkpoints import MappedCheckpoints
from .parameters import init_on_rank0_only, unsharded_shapes
from .sync_batch_norm import convert_sync_batchnorm
from .unallocated import parameters_out_of_memory

# Of configs that earlier versions saved. It means what this strategy does.
EARLIER_WRAPPER = dict(
    type='MMFullyShardedDataParallel', use_orig_params=True, auto_wrap_policy='swin_block_policy'
)


def swin_block_policy(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """`auto_wrap_policy` of FSDP1 for SwinV2 blocks, kept for one release."""
    return recurse or isinstance(module, SwinBlock)


@STRATEGIES.register_module()
class ShardedStrategy(MappedCheckpoints, DDPStrategy):
    """Parameters, gradients and optimizer state sharded over the processes (torch's FSDP2).

    Args:
        state_dict_cfg: Format of checkpoints. 'full': one file, written by rank 0. 'local': a
            folder with a file per rank (checkpoints/shards.py).
        model_wrapper: Accepted in configs of earlier versions.
        settings: Further arguments of `DDPStrategy`.

    Raises:
        ConfigError: `state_dict_cfg` is neither, or `model_wrapper` changes what is sharded.
    """

    def __init__(
        self, *, state_dict_cfg: str = 'full', model_wrapper: dict | None = None, **settings: Any
    ) -> None:
        if state_dict_cfg not in ('full', 'local'):
            raise ConfigError(
                f"strategy.state_dict_cfg={state_dict_cfg!r}: 'full' writes a file, 'local' a "
                'folder with a file per process'
            )
        for key, value in (model_wrapper or {}).items():
            if EARLIER_WRAPPER.get(key) != value:
                raise ConfigError(
                    f'strategy.model_wrapper.{key}={value!r}: models are sharded without a '
                    'wrapper; drop model_wrapper'
                )
        super().__init__(**settings)
        self.in_shards = state_dict_cfg == 'local'

    # ------------------------------------------------------------------------------ model

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        with shared_errors(), parameters_out_of_memory(Path(self.work_dir)):
            return super().build_model(model)

    def _init_model_weights(self, model: nn.Module) -> nn.Module:
        init_on_rank0_only(model)
        return model

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Shard a model that rank 0 has initialized, one block at a time."""
        check_parameters(model)
        device = torch.device(get_device())
        if device.type == 'cpu':
            convert_sync_batchnorm(model)
        model = self.convert_model(model)
        for module in model.modules():
            if isinstance(module, BaseDataPreprocessor):
                module.to(device)
        broadcast_buffers(model)
        mesh = init_device_mesh(device.type, (get_world_size(),))
        blocks = [module for module in model.modules() if isinstance(module, SwinBlock)]
        for unit in (*blocks, model):
            broadcast_parameters(unit, device)
            # Otherwise the parameters of the root stay gathered after a forward pass without a
            # backward pass, in validation.
            fully_shard(unit, mesh=mesh, reshard_after_forward=True)
        return model

    def build_optim_wrapper(
        self, optim_wrapper: Any, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(wrapper, 'clip_func', None) is nn.utils.clip_grad_norm_:
            wrapper.clip_func = clip_by_global_norm
        return wrapper

    # ------------------------------------------------------------------------------ checkpoints

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the full state of an optimizer, as training without FSDP stores it."""
        groups = self.optim_wrapper.optimizer.param_groups
        params = [param for group in groups for param in group['params']]
        count = sum(len(group['params']) for group in state_dict['param_groups'])
        if count != len(params):
            raise CheckpointError(
                f'the optimizer state of the checkpoint has {count} parameters, and the optimizer '
                f'of this training {len(params)}: resume with the config that wrote it'
            )
        state = {
            number: {
                key: placed_like(value, params[number])
                if isinstance(value, Tensor) and value.shape == params[number].shape
                else value
                for key, value in values.items()
            }
            for number, values in state_dict['state'].items()
        }
        self.optim_wrapper.load_state_dict(state_dict | dict(state=state))

    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: dict | None = None,
        callback: Callable | None = None,
    ) -> None:
        """Write a checkpoint atomically; all ranks must call this together.

        Raises:
            CheckpointError: The disk is full; on all ranks.
        """
        checkpoint: dict[str, Any] = dict(state_dict=self.model.state_dict())
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            checkpoint['optimizer'] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        checkpoint.update(extra_ckpt or {})
        version = mmengine.__version__ + get_git_hash()
        now = time.strftime('%Y%m%d_%H%M%S', time.localtime())
        checkpoint.setdefault('meta', {}).update(seed=self.seed, time=now, mmengine=version)
        if callback is not None:
            callback(checkpoint)
        if self.in_shards:
            self._save_shards(checkpoint, Path(filename))
        else:
            save_whole(checkpoint, filename)

    def _save_shards(self, checkpoint: dict, folder: Path) -> None:
        shapes = {name: list(shape) for name, shape in unsharded_shapes(self.model).items()}
        names = {param: name for name, param in self.model.named_parameters()}
        groups = self.optim_wrapper.optimizer.param_groups
        optimized = [names[param] for group in groups for param in group['params']]
        layout = dict(count=get_world_size(), shapes=shapes, optimized=optimized)
        draft = draft_of(folder, 'shards')  # one for all ranks; `replacing` would give each its own
        if is_main_process():
            remove(draft)
        barrier()
        with shared_errors():  # one rank's disk may be full
            file = draft / shards.FILE.format(get_rank())
            write_file(file, *streaming.pickled(checkpoint | {shards.KEY: layout}, own_piece))
        with shared_errors():
            if is_main_process():
                remove(folder)  # a rename replaces no folder that holds files
                draft.rename(folder)


def save_whole(checkpoint: dict, filename: str) -> None:
    """Gather one tensor at a time, which rank 0 writes; all ranks must call this together.

    Args:
        checkpoint: Has the same sharded tensors in the same order on all ranks.
        filename: A path, or the name of a file in object storage.
    """
    content, sharded = streaming.pickled(checkpoint)
    whole = map(full_tensor, sharded)
    with shared_errors():
        try:
            if is_main_process():
                with local_file(filename) as path:
                    write_file(path, content, whole)
        finally:
            deque(whole, maxlen=0)  # these are collectives, also after rank 0 has failed


@contextmanager
def local_file(filename: str) -> Iterator[Path]:
    """The path to write for a file; one in object storage is copied there after the block."""
    if '://' not in filename:
        yield Path(filename)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'checkpoint.pth')
        yield path
        get_file_backend(filename).copyfrom_local(path, filename)


def write_file(path: Path, content: bytes, tensors: Iterable[Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with full_disk_explained(path), replacing(path) as draft:
        streaming.write(draft, content, tensors)


def own_piece(tensor: Tensor) -> Tensor:
    """The rows of this rank as a flat tensor, (n,), if a tensor is sharded."""
    return tensor.to_local().flatten() if isinstance(tensor, DTensor) else tensor


def full_tensor(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def clip_by_global_norm(params: list[nn.Parameter], **settings: Any) -> Tensor:
    return full_tensor(nn.utils.clip_grad_norm_(params, **settings))


def check_parameters(model: nn.Module) -> None:
    """Raise a ConfigError if a parameter cannot be sharded."""
    scalars = [name for name, param in model.named_parameters() if not param.dim()]
    if scalars:
        raise ConfigError(
            f"strategy.type='ShardedStrategy' cannot shard scalars, and {truncate(scalars)} of the "
            'model are; use configs/_base_/schedules/zero1.py instead'
        )


@torch.no_grad()
def broadcast_buffers(model: nn.Module) -> None:
    """Give all ranks the buffers of rank 0."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, value in model.state_dict().items():
        if name not in parameters:
            broadcast(value)


@torch.no_grad()
def broadcast_parameters(unit: nn.Module, device: torch.device) -> None:
    """Give all ranks the values of rank 0 of parameters that are not sharded yet, on `device`."""
    for param in unit.parameters():
        if not isinstance(param, DTensor):
            value = torch.empty(param.shape, dtype=param.dtype, device=device)
            if is_main_process():
                value.copy_(param)
            broadcast(value)
            param.data = value
