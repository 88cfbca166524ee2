"""What `benchmark --check` prints: a table, reasons, and the backend to choose for each window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..tables import text_table

DEFAULTS = {'forward': 'tiled', 'training': 'tiled', 'frozen': 'sdpa'}  # of 'auto' on CUDA
MARGIN = 1.05  # by which another backend must be faster than that of 'auto' to be recommended
USES = {
    'training': 'training',
    'frozen': 'training with a frozen position bias',
    'forward': 'inference',
}


def passed(record: dict[str, Any]) -> bool:
    """Whether no backend was wrong or failed. Other libraries are not judged."""
    rows = [*record['errors'], *(r for r in record['measurements'] if r['library'] == 'ours')]
    return all(row['status'] in ('ok', 'unavailable') for row in rows)


def recommendations(record: dict[str, Any]) -> list[dict[str, Any]]:
    """For each window, dtype and use: the fastest backend whose numbers are right.

    That of 'auto' stays unless another one is `MARGIN` times as fast.
    """
    good = {(row['window'], row['backend']): True for row in record['errors']}
    for row in record['errors']:
        good[row['window'], row['backend']] &= row['status'] == 'ok'
    cuda, found = record['settings']['device'] == 'cuda', []
    for window, dtype, phase in _groups(record):
        times = {
            row['backend']: row['median']
            for row in record['measurements']
            if (row['window'], row['dtype'], row['phase']) == (window, dtype, phase)
            and row['library'] == 'ours'
            and row['status'] == 'ok'
            and good[window, row['backend']]
        }
        if not times:
            continue
        default = DEFAULTS[phase] if cuda else 'tiled'
        best = min(times, key=times.__getitem__)
        if default in times and times[default] < MARGIN * times[best]:
            best = default
        found.append(
            dict(
                window=window,
                dtype=dtype,
                use=USES[phase],
                backend=best,
                milliseconds=times[best],
                auto=default,
                auto_milliseconds=times.get(default),
                config=config_line(best, default),
            )
        )
    return found


def config_line(best: str, default: str) -> str:
    """What to write into a config."""
    if best == default:
        return f"leave attention_backend out ('auto' is {default!r})"
    return f'model = dict(backbone=dict(attention_backend={best!r}))'


def _groups(record: dict[str, Any]) -> list[tuple[int, str, str]]:
    found = [(row['window'], row['dtype'], row['phase']) for row in record['measurements']]
    order = list(USES)
    return sorted(set(found), key=lambda g: (g[0], g[1], order.index(g[2])))


def text(record: dict[str, Any]) -> str:
    """Everything, for a terminal."""
    settings = record['settings']
    parts = [_table(record, dtype) for dtype in settings['dtypes']]
    if reasons := list(_reasons(record)):
        parts.append('\n'.join(reasons))
    rows = [
        (
            found['window'],
            found['dtype'],
            found['use'],
            found['backend'],
            _times_faster(found),
            found['config'],
        )
        for found in recommendations(record)
    ]
    if rows:
        header = 'window', 'dtype', 'for', 'fastest', "x 'auto'", 'config'
        parts.append(text_table(rows, header, left=(2, 3, 5)))
    verdict = 'All numbers are within their bounds.' if passed(record) else 'FAILED: see above.'
    parts.append(f'{verdict} {record["seconds"]:.0f} seconds on {settings["device"]}.')
    return '\n\n'.join(parts)


def _times_faster(found: dict[str, Any]) -> str:
    default = found['auto_milliseconds']
    return f'{default / found["milliseconds"]:.2f}' if default else '-'


def _table(record: dict[str, Any], timed: str) -> str:
    """A row per window and backend: errors in units of their bounds, times and memory."""
    settings, phases = record['settings'], record['settings']['phases']
    dtypes = list(dict.fromkeys(row['dtype'] for row in record['errors']))
    header = ['window', 'pixels', 'backend', *(f'{dtype} error' for dtype in dtypes)]
    for phase in phases:
        header += [f'{phase} ms', 'MB']
    errors = {(r['window'], r['backend'], r['dtype']): r for r in record['errors']}
    measured = {
        (r['window'], _name(r), r['phase']): r
        for r in record['measurements']
        if r['dtype'] == timed
    }
    rows = []
    peers = [f'{peer}, compiled' for peer in settings['peers']]
    for window, side in zip(settings['windows'], record['pixels']):
        for name in [*settings['backends'], *peers]:
            cells = [_error(errors.get((window, name, dtype))) for dtype in dtypes]
            for phase in phases:
                cells += _cost(measured.get((window, name, phase)))
            rows.append([window, side, name, *cells])
    title = (
        f'{str(settings["arch"]).upper()}, batch {settings["batch"]}, {timed}. Errors are in units '
        'of their bounds; memory is that above the model.'
    )
    return f'{title}\n{text_table(rows, header, left=(2,))}'


def _name(row: dict[str, Any]) -> str:
    return row['backend'] if row['library'] == 'ours' else f'{row["library"]}, compiled'


def _error(row: dict[str, Any] | None) -> str:
    if row is None:
        return '-'
    if 'errors' not in row:
        return row['status']
    worst = f'{max(row["errors"].values()):.2f}'
    return worst if row['status'] == 'ok' else f'WRONG {worst}'


def _cost(row: dict[str, Any] | None) -> Sequence[str]:
    if row is None:
        return '-', '-'
    if row['status'] != 'ok':
        return row['status'], '-'
    return f'{row["median"]:.1f}', f'{row["peak_mb"]:.0f}'


def _reasons(record: dict[str, Any]) -> Iterable[str]:
    """One line for each reason, with all the rows that it is given for."""
    found: dict[tuple, list[str]] = {}
    for row in [*record['errors'], *record['measurements']]:
        if row['status'] != 'ok':
            name = _name({'library': 'ours', **row})
            what = f'{row["dtype"]} {row.get("phase", "numbers")}'
            place = f'window {row["window"]} {what}'
            found.setdefault((name, row['status'], row['reason']), []).append(place)
    for (name, status, reason), places in found.items():
        where = places[0] if len(places) == 1 else f'{places[0]} and {len(places) - 1} more'
        yield f'{name}, {status}: {reason} ({where})'
