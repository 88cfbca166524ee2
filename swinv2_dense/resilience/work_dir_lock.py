"""One training at a time in a work directory.

The lock is a file that names its holder. It is created with `link`, which is atomic on local and
network file systems alike; `flock` has no effect on some of the latter. A killed process leaves its
lock behind. On the same machine the kernel tells whether the holder is alive. From another machine
the age of the file decides, whose time the holder renews:

    holder   create ---- utime ---- utime ---- killed
    other                              |          |--- DEAD_AFTER ---| stale: take over
                                       refused: alive

Both times are those of the file server, so the clocks of the machines need not agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigError

NAME = '.training.lock'
HEARTBEAT = 30.0  # seconds between renewals
DEAD_AFTER = 300.0  # seconds without a heartbeat


@contextmanager
def lock_work_dir(work_dir: str | Path) -> Iterator[None]:
    """Hold the lock of a work directory. In a distributed run, only rank 0 takes it.

    Raises:
        ConfigError: Another training holds the lock; the message names it and the remedy. Or the
            folder cannot be written.
    """
    folder = Path(work_dir)
    existed = folder.is_dir()
    lock = folder / NAME
    me = dict(_identity(os.getpid()), token=secrets.token_hex(8), time=time.time())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, me)
    except OSError as error:
        raise ConfigError(
            f'work directory {folder} cannot be written: {error.strerror or error}; choose another '
            'with --work-dir'
        ) from error
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(lock, me, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            if _read(lock) == me:
                lock.unlink()
            if not existed:
                folder.rmdir()  # only if empty, as after an error in the config


def _acquire(lock: Path, me: dict[str, Any]) -> None:
    mine = lock.with_name(f'{NAME}.{me["token"]}')
    mine.write_text(json.dumps(me))
    try:
        while not _link(mine, lock):
            holder = _read(lock)
            if holder is None:
                continue  # released in the meantime
            age = _age(lock, mine)
            if not _is_dead(holder, age):
                raise ConfigError(_refusal(lock, holder, age))
            _remove_stale(lock, holder, mine)
    finally:
        mine.unlink(missing_ok=True)


def _link(mine: Path, lock: Path) -> bool:
    """Create the lock as a hard link to `mine`; False if another process holds it."""
    try:
        os.link(mine, lock)
    except FileExistsError:
        return False
    except OSError:  # no hard links, as on FAT and some network file systems
        try:
            with lock.open('x') as file:
                file.write(mine.read_text())
        except FileExistsError:
            return False
    return True


def _remove_stale(lock: Path, holder: dict[str, Any], mine: Path) -> None:
    """Remove the lock of a dead process.

    Two processes may find the same stale lock. Without the second lock, the slower one would remove
    the new lock of the faster one.
    """
    guard = lock.with_name(f'{NAME}.takeover')
    if not _link(mine, guard):
        if _age(guard, mine) > DEAD_AFTER:
            guard.unlink(missing_ok=True)
        time.sleep(0.05)
        return
    try:
        if _read(lock) == holder:
            lock.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _read(lock: Path) -> dict[str, Any] | None:
    """Content of a lock; {} if it is not one of ours, None if there is none."""
    try:
        content = json.loads(lock.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _age(lock: Path, mine: Path) -> float:
    """Seconds since the last renewal, by the clock of the file server."""
    os.utime(mine)
    try:
        return mine.stat().st_mtime - lock.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_dead(holder: dict[str, Any], age: float) -> bool:
    here = _identity(os.getpid())
    if holder.get('host') != here['host']:
        return age > DEAD_AFTER
    if holder.get('boot') != here['boot']:
        return True  # the machine was restarted
    if holder.get('namespace') != here['namespace']:  # another container has its own PIDs
        return age > DEAD_AFTER
    there = _identity(holder.get('pid', -1))
    return not there['alive'] or there['started'] != holder.get('started')


def _identity(pid: int) -> dict[str, Any]:
    """Identify a process on this machine: PIDs are reused, but not with the same start time."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
        started = stat.rpartition(')')[2].split()[19]  # in ticks since boot
        alive = stat.rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        started, alive = None, not Path('/proc/self/stat').exists() and _answers(pid)
    return dict(
        host=socket.gethostname(),
        boot=_read_line('/proc/sys/kernel/random/boot_id'),
        namespace=_link_of('/proc/self/ns/pid'),
        pid=pid,
        started=started,
        alive=alive,
    )


def _answers(pid: int) -> bool:
    """Whether a process exists, on systems without /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def _read_line(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _link_of(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _refusal(lock: Path, holder: dict[str, Any], age: float) -> str:
    since = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(holder.get('time', 0)))
    where = f'process {holder.get("pid")} on {holder.get("host")}, since {since}'
    text = f'work directory {lock.parent}: another training is running in it ({where}). '
    if holder.get('host') == socket.gethostname():
        return text + f'Stop it first, or choose another --work-dir; {lock} is its lock'
    return text + (
        f'Choose another --work-dir. Its last sign of life is {max(age, 0):.0f} s old; after '
        f'{DEAD_AFTER:.0f} s it counts as dead. If you know that it has ended, delete {lock}'
    )


def _beat(lock: Path, me: dict[str, Any], ended: threading.Event) -> None:
    """Renew the modification time of the lock until the training ends."""
    while not ended.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            if _read(lock) == me:
                os.utime(lock)
