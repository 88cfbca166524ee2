"""Atomic checkpoint writes, and the latest complete checkpoint of a work directory.

mmengine writes into the final file, removes the old checkpoint before it writes the new one, and
resumes from whatever `last_checkpoint` names. Here the order of events is, with `--keep 1`:

    time ---------------------------------------------------------------------------->
    iter_1.pth        complete ......................................... removed
    iter_2.pth                  draft ... fsync, rename: complete ...............
    last_checkpoint   iter_1 ............................ iter_2 ................

A process may be killed at any of these moments: a complete checkpoint exists, and either
`last_checkpoint` names it or `latest_complete` finds it.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..atomic_files import remove, write_bytes
from ..checks.main_metric import main_metric
from ..errors import CheckpointError, ConfigError
from ..shared_errors import shared_errors

LAST = 'last_checkpoint'  # mmengine's file that names the last checkpoint
PREEMPTED = 'preempted.pth'
TEMPLATES = ('epoch_{}.pth', 'iter_{}.pth', PREEMPTED)


class AtomicFileBackend(LocalBackend):
    """mmengine's local file backend with atomic, durable writes."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes.

        Raises:
            CheckpointError: The disk is full; the old file is intact.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        with full_disk_explained(path, len(obj)):
            write_bytes(path, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        self.put(obj.encode(encoding), filepath)


@contextmanager
def full_disk_explained(path: Path, size: int | None = None) -> Iterator[None]:
    """Raise a CheckpointError if the disk is full when `path`, of `size` bytes, is written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(path.parent).free
        needed = f'it takes {size / 2**20:.1f} MiB and ' if size is not None else ''
        raise CheckpointError(
            f'{path} cannot be written: {error.strerror}; {needed}{free / 2**20:.1f} MiB are free. '
            'Files written before are intact. Free some space and continue with --resume; --keep N '
            'limits the number of checkpoints.'
        ) from error


class DeferredRemoval:
    """A file backend that records removals instead of performing them."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.removals: list[str] = []
        self.remove = self.rmtree = self.removals.append

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)


@HOOKS.register_module(
    name=['AtomicCheckpointHook', 'WholeCheckpointHook']
)  # the old name, for one release
class AtomicCheckpointHook(CheckpointHook):
    """CheckpointHook that removes old checkpoints after it has written the new one, not before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keep = self.max_keep_ckpts
        # mmengine removes old checkpoints before it saves. With one more to keep, it never does:
        # `_remove_old` does, after the save. Until then the old one stays listed in the state of
        # the new one, so that a run that was killed in between still removes it after resuming.
        self.max_keep_ckpts = self.keep + 1 if self.keep > 0 else -1

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')  # of a resumed run
        if is_main_process():
            for folder in {Path(self.out_dir), Path(runner.work_dir)}:
                for draft in (*folder.glob('.*.pth*.part'), *folder.glob(f'.{LAST}*.part')):
                    runner.logger.info(f'Removing {draft}, an incomplete write of an earlier run.')
                    remove(draft)
        self._remove_old()

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        if self.keep > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.save_as(runner, self.filename_tmpl.format(step), meta, self.by_epoch)
        self._remove_old()

    def save_as(self, runner: Any, name: str, meta: dict, by_epoch: bool) -> None:
        """Save a checkpoint to resume from, and let `last_checkpoint` name it.

        Args:
            name: File name, in the folder of checkpoints.
            meta: `epoch` and `iter` at which training continues.
            by_epoch: Whether an epoch has just ended.
        """
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        # Rank 0 writes, and its disk may be full. The other ranks must hear of it here: else they
        # wait for it in the next collective.
        with shared_errors():
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
            if is_main_process():  # last, so that it never names an incomplete checkpoint
                AtomicFileBackend().put_text(str(self.last_ckpt), Path(runner.work_dir, LAST))

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        main = main_metric(metrics)
        if main is not None:  # save_best='auto' takes the first
            metrics = {main: metrics[main], **metrics}
        # mmengine removes the previous best checkpoint, then saves the new one.
        deferred = self.file_backend = DeferredRemoval(self.file_backend)
        try:
            with shared_errors():
                super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = deferred.backend
        best = {getattr(self, 'best_ckpt_path', None)}
        best.update(getattr(self, 'best_ckpt_path_dict', {}).values())
        for path in deferred.removals:
            if path not in best:
                self._remove(path)

    def _remove_old(self) -> None:
        while self.keep > 0 and len(self.keep_ckpt_ids) > self.keep:
            name = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            if is_main_process():
                self._remove(self.file_backend.join_path(self.out_dir, name))

    def _remove(self, path: str) -> None:
        """Remove a checkpoint, but only from the folder of checkpoints.

        The path comes from the state of the resumed checkpoint, which may name any file.
        """
        if os.path.dirname(os.path.abspath(path)) != os.path.abspath(self.out_dir):
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # sharded
            self.file_backend.rmtree(path)


def use_atomic_checkpoints(cfg: Config, keep: int | None = None) -> None:
    """Make the writes of a run atomic, and keep the last `keep` checkpoints besides the best.

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
    """Resume from the latest complete checkpoint of the work directory, if there is one."""
    last = latest_complete(cfg)
    cfg.resume = last is not None
    if last is not None:
        cfg.load_from = last
    else:
        _warn(f'No checkpoint to resume in {cfg.work_dir}: training starts from the beginning')


def share_resume(runner: Any) -> None:
    """Let all ranks resume what rank 0 found.

    Each rank ran `resume_last` before the ranks were connected. Network file systems cache folders,
    so another machine may have seen an older checkpoint, or none, and would train on other weights.
    """
    chosen = [(runner._resume, runner._load_from)]
    broadcast_object_list(chosen)
    runner._resume, runner._load_from = chosen[0]


def latest_complete(cfg: Config) -> str | None:
    """The checkpoint that `last_checkpoint` names, or the newest complete one if that is not."""
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
        instead = f'resuming from {newest}, the newest complete one' if newest else 'no other found'
        _warn(f'{pointer} names {named!r}, which is missing or incomplete; {instead}')
    return newest and str(newest)


def is_complete(path: Path) -> bool:
    """Whether a checkpoint was written to its end, where zip files keep their table of contents."""
    if path.is_dir():  # sharded; `ShardedStrategy` renames the folder when it is complete
        return True
    try:
        with zipfile.ZipFile(path):
            return True
    except (OSError, zipfile.BadZipFile):
        return False


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
