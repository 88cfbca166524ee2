"""Hooks of the command lines that mmengine lacks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS

from ..checkpoints.formats import METADATA_KEY, shortened
from ..checkpoints.loading import check_arch, check_values
from ..checkpoints.pretrained_windows import attach_divisors, from_tables
from ..checks.files import missing_files
from ..config_parts import is_local, leaf_datasets
from ..distributed.fsdp import full_shapes, plain_name
from ..errors import CheckpointError, ConfigError
from ..resilience.shared_errors import shared_errors

FILE_KEYS = ('img_path', 'seg_map_path', 'filename')  # of mmdet and mmseg; of mmaction2


@HOOKS.register_module()
class CheckFilesHook(Hook):
    """Look for every image, map and video of the data sets before the first iteration.

    Raises:
        ConfigError: Files are missing; says how many, and names the first.
    """

    def before_train(self, runner: Any) -> None:
        check_files('train_dataloader', runner.train_loop.dataloader.dataset)
        if runner.val_loop is not None:
            check_files('val_dataloader', runner.val_loop.dataloader.dataset)

    def before_test(self, runner: Any) -> None:
        check_files('test_dataloader', runner.test_loop.dataloader.dataset)


@HOOKS.register_module()
class BackboneWeightsHook(Hook):
    """Guard the backbone's weights where mmengine would lose something without a word.

    Saving: the windows that weights were trained with (`pretrained_window_sizes`) are written to
    all state dicts of a checkpoint, also averaged ones (mmengine's EMAHook copies the model before
    its weights are loaded) and consolidated ones. Loading: mmengine logs missing parameters and
    goes on; a block whose norms are missing is the identity.

    Raises:
        CheckpointError: A checkpoint lacks parameters of the backbone, or to resume from, has no
            training state.
    """

    priority = 'VERY_LOW'  # after EMAHook

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        model = unwrapped(runner.model)
        for key, prefix in (('state_dict', ''), ('ema_state_dict', 'module.')):
            if key in checkpoint:
                checkpoint[key] = attach_divisors(checkpoint[key], model, prefix)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        source = source_of(runner)
        if not isinstance(checkpoint, Mapping):
            raise CheckpointError(f'checkpoint {source} holds a {type(checkpoint).__name__}')
        if runner._resume and 'message_hub' not in checkpoint:
            raise CheckpointError(
                f'checkpoint {source} holds weights without a training state; start from them with '
                f'--cfg-options load_from={source} instead of resuming'
            )
        state, metadata = _cleaned(checkpoint.get('state_dict', checkpoint))
        shapes = full_shapes(runner.model)
        for wrapped_name, module in runner.model.named_modules():
            if hasattr(module, 'set_pretrained_window_sizes'):
                name = plain_name(wrapped_name)
                own, part = _below(name, shapes), _below(name, state)
                _check_backbone(module, name, own, part, state, source)
                known = METADATA_KEY in metadata.get(name, {}) or module.divisors_given
                if not known and from_tables(part, len(module.layers)) is None:
                    raise CheckpointError(
                        f'checkpoint {source} does not say which windows the weights of '
                        f'model.{name} were trained with (a state dict copied entry by entry loses '
                        f'it); set model.{name}.pretrained_window_sizes'
                    )
                # FSDP adds its names to the parameters, but not to the metadata.
                metadata[wrapped_name] = metadata.get(name, {})
        state._metadata = metadata
        checkpoint['state_dict'] = state


def _cleaned(state: Mapping) -> tuple[OrderedDict, OrderedDict]:
    """Parameters and metadata without the names of wrappers: mmengine drops `module.` from the
    parameters alone.
    """
    metadata = getattr(state, '_metadata', None) or {}
    metadata = OrderedDict((plain_name(f'{k}.').rstrip('.'), v) for k, v in metadata.items())
    return OrderedDict((plain_name(str(k)), v) for k, v in state.items()), metadata


def _below(name: str, named: Mapping) -> dict:
    """The entries of module `name`, by their names in it."""
    return {k[len(name) + 1 :]: v for k, v in named.items() if k.startswith(f'{name}.')}


def _check_backbone(
    module: Any, name: str, own: dict, part: dict, state: dict, source: str
) -> None:
    norms = tuple(f'norm{i}.' for i in module.out_indices)
    essential = [key for key in own if not key.startswith(norms)]
    missing = [key for key in essential if key not in part]
    if any('.blocks.' in key for key in part):
        check_arch(module, part, source)
    if missing:
        message = (
            f'checkpoint {source} lacks {len(missing)} of {len(essential)} parameters of '
            f'model.{name}: {shortened(missing)}'
        )
        if len(missing) < len(essential):
            raise CheckpointError(f'{message}. Does model.{name} match what was trained?')
        raise CheckpointError(
            f'{message}. Its keys are {shortened(sorted(state), 3)}. If it is a backbone alone, or '
            f"of another library, load it with model.{name}.init_cfg=dict(type='Pretrained', "
            f'checkpoint={source!r})'
        )
    check_values(own, {key: part[key] for key in own if key in part}, source)


def source_of(runner: Any) -> str:
    """What a runner loads, for messages."""
    return str(runner._load_from or runner.work_dir)


def unwrapped(model: Any) -> Any:
    """The model within wrappers for distributed training and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


@HOOKS.register_module()
class ResultsHook(Hook):
    """Print the last metrics as a table when a run ends, and where its files are."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        self.metrics = dict(metrics or {})

    def after_test_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        self.metrics = dict(metrics or {})

    @master_only
    def after_run(self, runner: Any) -> None:
        if self.metrics:
            runner.logger.info(f'Results\n{metrics_table(self.metrics)}')
        runner.logger.info(f'Checkpoints, logs and results are in {runner.work_dir}')


def metrics_table(metrics: dict[str, float]) -> str:
    """Two aligned columns, name and value."""
    width = max(map(len, metrics))
    shown = {k: f'{v:.4f}' if isinstance(v, float) else v for k, v in metrics.items()}
    rows = [f'  {name:<{width}}  {value}' for name, value in shown.items()]
    rule = '  ' + '-' * (width + 10)
    return '\n'.join([rule, *rows, rule])


def check_files(name: str, dataset: Any) -> None:
    """Raise a `ConfigError` if local files that `dataset` lists do not exist.

    All processes of a run must call this together, and all raise the error.
    """
    with shared_errors():
        paths = [path for _, path in _files(dataset)]
    found = set(missing_files(paths))
    missing = [(key, path) for key, path in _files(dataset) if path in found] if found else []
    if missing:
        if all(key == 'seg_map_path' for key, _ in missing):
            raise ConfigError(
                f'{name}: {len(missing)} images have no label map, first {missing[0][1]}. Write '
                'it, or take its image out of the data set (of ann_file where there is one). Check '
                'data_root and data_prefix.'
            )
        message = (
            f'{name}: {len(missing)} files that the annotations list do not exist, first '
            f'{missing[0][1]}. Check data_root, data_prefix and ann_file of the data set, and that '
            'it is complete.'
        )
        raise ConfigError(message)


def _files(dataset: Any) -> Iterator[tuple[str, str]]:
    """The local files of a data set, each with its key in FILE_KEYS."""
    for part in leaf_datasets(dataset):
        if not hasattr(part, 'get_data_info') or not is_local(getattr(part, 'backend_args', None)):
            continue
        for index in range(len(part)):
            info = part.get_data_info(index)
            for key in FILE_KEYS:
                path = info.get(key)
                if isinstance(path, str) and '://' not in path:
                    yield key, path
