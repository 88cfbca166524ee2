"""Checkpoints that are whole or not there, and the last whole one of a work directory.

mmengine opens the file of a checkpoint and writes into it, removes the old checkpoint before the
new one is written, and resumes from whatever `last_checkpoint` names.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..atomic_files import write_file
from ..checks.main_metric import main_metric
from ..errors import ConfigError
from ..shared_errors import shared_errors

LAST = 'last_checkpoint'  # the file in which mmengine names the last checkpoint
PREEMPTED = 'preempted.pth'
TEMPLATES = ('epoch_{}.pth', 'iter_{}.pth', PREEMPTED)


class AtomicFileBackend(LocalBackend):
    """mmengine's local disk, with `write_file`."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text. Every process writes the metrics of a test (mmengine's LoggerHook)."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, obj.encode(encoding), f'.{os.getpid()}')


class DeferredRemoval:
    """A file backend that only notes what is to be removed."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.noted: list[str] = []
        self.remove = self.rmtree = self.noted.append

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)


@HOOKS.register_module(
    name=['AtomicCheckpointHook', 'WholeCheckpointHook']
)  # the old name, for one release
class AtomicCheckpointHook(CheckpointHook):
    """CheckpointHook that removes an old checkpoint after the new one is written, not before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keep = self.max_keep_ckpts
        # Until it is removed, the old one is listed in the new one, so that a run that was killed
        # in between still knows of it.
        self.max_keep_ckpts = self.keep + 1 if self.keep > 0 else -1

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')  # of a resumed run
        if is_main_process():
            for folder in {Path(self.out_dir), Path(runner.work_dir)}:
                for part in (*folder.glob('.*.pth.part'), *folder.glob(f'.{LAST}.part')):
                    runner.logger.info(f'Removing {part}, left half-written by a run that ended.')
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
        self._remove_old()

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        if self.keep > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.save_as(runner, self.filename_tmpl.format(step), meta, self.by_epoch)
        self._remove_old()

    def save_as(self, runner: Any, name: str, meta: dict, by_epoch: bool) -> None:
        """Save what a resumed run needs, and name it as the last checkpoint.

        Args:
            name: The file, in the folder of checkpoints.
            meta: `epoch` and `iter` at which training goes on.
            by_epoch: Whether an epoch has just ended.
        """
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        with shared_errors():  # process 0 writes, and its disk may be full
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                write_file(Path(runner.work_dir, LAST), str(self.last_ckpt).encode())

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        main = main_metric(metrics)
        if main is not None:  # save_best='auto' takes the first
            metrics = {main: metrics[main], **metrics}
        late = self.file_backend = DeferredRemoval(self.file_backend)
        try:
            with shared_errors():
                super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = late.backend
        best = {getattr(self, 'best_ckpt_path', None)}
        best.update(getattr(self, 'best_ckpt_path_dict', {}).values())
        for path in late.noted:
            if path not in best:
                self._remove(path)

    def _remove_old(self) -> None:
        while self.keep > 0 and len(self.keep_ckpt_ids) > self.keep:
            name = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            if is_main_process():
                self._remove(self.file_backend.join_path(self.out_dir, name))

    def _remove(self, path: str) -> None:
        """Remove a checkpoint. A resumed one may name any file as its predecessor."""
        if os.path.dirname(os.path.abspath(path)) != os.path.abspath(self.out_dir):
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # sharded
            self.file_backend.rmtree(path)


def use_atomic_checkpoints(cfg: Config, keep: int | None = None) -> None:
    """Let runs of `cfg` write files whole, and keep the last `keep` checkpoints beside the best.

    Raises:
        ConfigError: `keep` is less than one, or the config writes no checkpoints.
    """
    register_backend('local', AtomicFileBackend, force=True, prefixes='')
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    hook = hooks.setdefault('checkpoint', ConfigDict(type='CheckpointHook', interval=1))
    if keep is not None:
        if keep < 1:
            raise ConfigError(f'--keep={keep}: at least one checkpoint must be kept')
        if not hook:
            raise ConfigError(f'--keep={keep} needs default_hooks.checkpoint in the config')
        hook.max_keep_ckpts = keep
    if hook and hook.type in ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook):
        hook.type = 'AtomicCheckpointHook'


def resume_last(cfg: Config) -> None:
    """Resume the last whole checkpoint of the work directory, if there is one."""
    last = latest_complete(cfg)
    cfg.resume = last is not None
    if last is not None:
        cfg.load_from = last
    else:
        _warn(f'There is no checkpoint to resume in {cfg.work_dir}: training begins')


def latest_complete(cfg: Config) -> str | None:
    """The checkpoint that `last_checkpoint` names, or if it is not whole, the newest that is."""
    work_dir = Path(cfg.work_dir)
    pointer = work_dir / LAST
    named = pointer.read_text().strip() if pointer.exists() else ''
    if '://' in named or (named and is_complete(Path(named))):
        return named
    hook = cfg.get('default_hooks', {}).get('checkpoint') or {}
    templates = [*TEMPLATES, hook.get('filename_tmpl') or PREEMPTED]
    pattern = re.compile('|'.join(re.sub(r'\\{.*?\\}', r'\\d+', re.escape(t)) for t in templates))
    folders = {work_dir, Path(named).parent} if named else {work_dir}
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    found = [path for path in found if pattern.fullmatch(path.name)]
    found = sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    newest = next(filter(is_complete, found), None)
    if pointer.exists():
        instead = f'resuming from {newest}, the newest that is whole' if newest else 'nor any other'
        _warn(f'{pointer} names {named!r}, which is missing or incomplete; {instead}')
    return newest and str(newest)


def is_complete(path: Path) -> bool:
    """Whether a checkpoint was written to its end, where torch keeps the list of its contents."""
    if path.is_dir():  # sharded
        return True
    try:
        with zipfile.ZipFile(path):
            return True
    except (OSError, zipfile.BadZipFile):
        return False


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
