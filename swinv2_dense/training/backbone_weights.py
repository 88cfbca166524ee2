"""Checks of the backbone's weights when checkpoints are saved and loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..checkpoints.formats import METADATA_KEY
from ..checkpoints.loading import check_arch, check_values
from ..checkpoints.low_rank import is_adapter, merge_adapters
from ..checkpoints.pretrained_windows import attach_pretrained_windows, windows_from_coords_table
from ..distributed.parameters import unsharded_shapes, unwrapped_model, unwrapped_name
from ..errors import CheckpointError, truncate


@HOOKS.register_module()
class BackboneWeightsHook(Hook):
    """Guard the backbone's weights where mmengine would lose something silently.

    Saving: the windows that the weights were trained with (`pretrained_window_sizes`) are written
    to all state dicts of a checkpoint, including averaged ones (mmengine's EMAHook copies the model
    before its weights are loaded) and consolidated ones. Loading: mmengine logs missing parameters
    and continues, but a block without its norms is the identity.

    Raises:
        CheckpointError: A checkpoint lacks parameters of the backbone, or the training state that
            resuming needs.
    """

    priority = 'VERY_LOW'  # after EMAHook

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        model = unwrapped_model(runner.model)
        for key, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
            if key in checkpoint:
                checkpoint[key] = attach_pretrained_windows(checkpoint[key], model, prefix)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        source = source_of(runner)
        if not isinstance(checkpoint, Mapping):
            raise CheckpointError(f'checkpoint {source} holds a {type(checkpoint).__name__}')
        if runner._resume and 'message_hub' not in checkpoint:
            raise CheckpointError(
                f'checkpoint {source} holds weights without a training state; instead of resuming, '
                f'start from them with --cfg-options load_from={source}'
            )
        state, metadata = _cleaned(checkpoint.get('state_dict', checkpoint))
        shapes = unsharded_shapes(runner.model)
        for wrapped_name, module in runner.model.named_modules():
            if hasattr(module, 'set_pretrained_window_sizes'):
                name = unwrapped_name(wrapped_name)
                own = _below(name, shapes)
                if not any(map(is_adapter, own)):
                    _merge_adapters(name, state, source)
                part = _below(name, state)
                _check_backbone(module, name, own, part, state, source)
                known = METADATA_KEY in metadata.get(name, {}) or module.pretrained_windows_given
                if not known and windows_from_coords_table(part, len(module.layers)) is None:
                    raise CheckpointError(
                        f'checkpoint {source} does not say which windows the weights of '
                        f'model.{name} were trained with (copying a state dict entry by entry '
                        f'drops them); set model.{name}.pretrained_window_sizes'
                    )
                # torch.compile and activation checkpointing add their prefixes to the parameters,
                # but not to the metadata.
                metadata[wrapped_name] = metadata.get(name, {})
        state._metadata = metadata
        checkpoint['state_dict'] = state


def _cleaned(state: Mapping) -> tuple[OrderedDict, OrderedDict]:
    """Parameters and metadata without the prefixes of wrappers; mmengine strips `module.` from the
    parameters only.
    """
    metadata = getattr(state, '_metadata', None) or {}
    metadata = OrderedDict((unwrapped_name(f'{k}.').rstrip('.'), v) for k, v in metadata.items())
    return OrderedDict((unwrapped_name(str(k)), v) for k, v in state.items()), metadata


def _below(name: str, named: Mapping) -> dict:
    """The entries of module `name`, with that prefix removed."""
    return {k[len(name) + 1 :]: v for k, v in named.items() if k.startswith(f'{name}.')}


def _merge_adapters(name: str, state: OrderedDict, source: str) -> None:
    count = merge_adapters(state, f'{name}.')
    if count:
        print_log(f'{source}: {count} low-rank adapters added to the weights of {name}', 'current')


def _check_backbone(
    module: Any, name: str, own: dict, part: dict, state: dict, source: str
) -> None:
    norms = tuple(f'norm{i}.' for i in module.out_indices)
    essential = [key for key in own if not key.startswith(norms) and not is_adapter(key)]
    missing = [key for key in essential if key not in part]
    if any('.blocks.' in key for key in part):
        check_arch(module, part, source)
    if missing:
        message = (
            f'checkpoint {source} lacks {len(missing)} of {len(essential)} parameters of '
            f'model.{name}: {truncate(missing)}'
        )
        if len(missing) < len(essential):
            raise CheckpointError(f'{message}. Does model.{name} match what was trained?')
        raise CheckpointError(
            f'{message}. Its keys are {truncate(sorted(state), 3)}. If it is a backbone alone, or '
            f"of another library, load it with model.{name}.init_cfg=dict(type='Pretrained', "
            f'checkpoint={source!r})'
        )
    check_values(own, {key: part[key] for key in own if key in part}, source)


def source_of(runner: Any) -> str:
    """The checkpoint that a runner loads, for messages."""
    return str(runner._load_from or runner.work_dir)
