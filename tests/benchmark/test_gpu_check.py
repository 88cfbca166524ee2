"""benchmark --check on a CPU: what is right, wrong, broken or missing, and what is recommended."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from commands import run_here

from swinv2_dense.benchmark import check, check_report, timing
from swinv2_dense.benchmark.check_worker import CheckWorker
from swinv2_dense.benchmark.compare import ChildError, ChildKilledError
from swinv2_dense.benchmark.correctness import errors
from swinv2_dense.cli.benchmark import check_backends
from swinv2_dense.models import attention_backends

NARROW = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 2))


def settings(**changes) -> check.Settings:
    given = dict(windows=[3], dtypes=['fp32'], phases=[], backends=['plain'], arch=NARROW)
    given |= dict(pixels=32, least=1, budget=0.0)
    return check.Settings('cpu', **{**given, **changes})


def run(**changes) -> dict:
    """In this process, without processes of workers."""
    return check.check(settings(**changes), in_process, lambda line: None)


def in_process(library: str) -> CheckWorker:
    return CheckWorker('cpu', library)


def status(record: dict, backend: str) -> set[str]:
    return {row['status'] for row in record['errors'] if row['backend'] == backend}


def test_every_backend_is_right_and_measured():
    backends = ['plain', 'tiled', 'sdpa']
    record = run(backends=backends, phases=['forward', 'frozen'])
    assert check_report.passed(record)
    assert [(r['backend'], r['dtype'], r['status']) for r in record['errors']] == [
        (backend, dtype, 'ok') for backend in backends for dtype in ('fp32', 'bf16')
    ]
    for row in record['errors']:
        assert set(row['errors']) >= {'out', 'x', 'logit_scale', 'qkv.weight'}
        assert ('cpb_mlp.0.weight' in row['errors']) == (row['backend'] != 'sdpa')
    measured = [(r['backend'], r['phase']) for r in record['measurements']]
    assert measured == [(b, phase) for b in backends for phase in ('forward', 'frozen')]
    assert all(row['median'] > 0 and row['peak_mb'] >= 0 for row in record['measurements'])
    uses = [row['use'] for row in check_report.recommendations(record)]
    assert uses == ['training with a frozen position bias', 'inference']
    assert 'All numbers are within their bounds.' in check_report.text(record)


@pytest.mark.slow
def test_interpreted_kernels_are_checked_but_not_timed():
    pytest.importorskip('triton', reason='pip install swinv2_dense[triton]')
    if torch.cuda.is_available():
        pytest.skip('on CUDA the kernels are compiled')
    record = run(backends=['triton'], phases=['forward'])
    assert status(record, 'triton') == {'ok'}
    assert record['measurements'] == []


WRONG = {
    'output': lambda q, k, v, table, window: (
        1.001 * attention_backends.plain(q, k, v, table, window)
    ),
    'bias of the other direction': lambda q, k, v, table, window: attention_backends.plain(
        q, k, v, table.flip(1, 2), window
    ),
    'gradient of the table alone': lambda q, k, v, table, window: attention_backends.plain(
        q, k, v, table + 0.001 * (table - table.detach()), window
    ),
}


@pytest.mark.parametrize('defect', WRONG)
def test_wrong_numbers_fail(defect, monkeypatch, tmp_path, capsys):
    """The command exits with 1, says what is wrong, and does not recommend it."""
    monkeypatch.setitem(attention_backends.BACKENDS, 'wrong', WRONG[defect])
    chosen = settings(backends=['wrong', 'plain'])
    with pytest.raises(SystemExit) as end:
        check_backends(chosen, tmp_path, in_process)
    assert end.value.code == 1
    printed = capsys.readouterr().out
    assert 'FAILED' in printed and 'WRONG' in printed
    assert 'wrong, wrong: ' in printed and ' times its bound (window 3 fp32 numbers' in printed
    record = json.loads((tmp_path / 'check.json').read_text())
    assert 'wrong' in status(record, 'wrong') and status(record, 'plain') == {'ok'}
    assert (tmp_path / 'check.txt').read_text() in printed


def test_not_a_number_is_wrong(monkeypatch):
    monkeypatch.setitem(
        attention_backends.BACKENDS,
        'nan',
        lambda q, *rest: attention_backends.plain(q, *rest) * float('nan'),
    )
    assert errors('nan', 2, 'fp32', 'cpu', False)['out'] == float('inf')


def test_memory_and_missing_packages_are_rows(monkeypatch):
    """They are not defects, and what cannot run is not measured."""

    def huge(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 9 GiB')

    monkeypatch.setitem(attention_backends.BACKENDS, 'huge', huge)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    record = run(backends=['huge', 'triton', 'plain'], phases=['forward'])
    assert check_report.passed(record)
    assert status(record, 'huge') == status(record, 'triton') == {'unavailable'}
    assert [row['backend'] for row in record['measurements']] == ['plain']
    text = check_report.text(record)
    assert 'huge, unavailable: out of memory (window 3 fp32 numbers and 1 more)' in text
    assert 'triton, unavailable: ' in text and 'pip install swinv2_dense[triton]' in text


class Dying:
    """A worker whose process ends at one backend, like CUDA after an illegal memory access."""

    def __init__(self, error: ChildError) -> None:
        self.error, self.alive, self.closed = error, True, False

    def ask(self, command: str) -> dict:
        assert self.alive
        if json.loads(command).get('backend') == 'bad':
            self.alive = False
            raise self.error
        return dict(out=0.5)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    'error, expected', [(ChildError('ours ended: boom'), 'failed')]
    + [(ChildKilledError('ours ended with status -9'), 'unavailable')],
    ids=['crash', 'killed'],
)  # fmt: skip
def test_a_crash_ends_one_row(error, expected):
    """The others go on in a new process; a crash is a defect, a lack of memory is not."""
    workers = []

    def start(library: str) -> Dying:
        workers.append(Dying(error))
        return workers[-1]

    record = check.check(settings(backends=['bad', 'good']), start, lambda line: None)
    assert status(record, 'bad') == {expected} and status(record, 'good') == {'ok'}
    assert record['errors'][0]['reason'] == str(error)
    assert len(workers) == 3 and all(worker.closed for worker in workers)
    assert check_report.passed(record) == (expected == 'unavailable')


def test_nothing_is_measured_after_the_deadline():
    record = run(backends=['plain'], phases=['forward'], deadline=1e-9)
    (row,) = record['measurements']
    assert row['status'] == 'unavailable'
    assert 'no time left after 0 seconds; add --window 3' in check_report.text(record)


def recorded(device: str, times: dict[str, float], phase: str, wrong: str = '') -> dict:
    """A record of one window with these medians."""
    return dict(
        settings=dict(device=device),
        errors=[
            dict(window=16, backend=name, status='wrong' if name == wrong else 'ok')
            for name in times
        ],
        measurements=[
            dict(window=16, backend=name, library='ours', dtype='bf16', phase=phase, status='ok')
            | dict(median=time)
            for name, time in times.items()
        ],
    )


@pytest.mark.parametrize(
    'device, times, phase, wrong, best',
    [
        ('cuda', dict(tiled=30, triton=20, plain=40), 'training', '', 'triton'),
        ('cuda', dict(tiled=30, triton=20, plain=25), 'training', 'triton', 'plain'),
        ('cuda', dict(tiled=30, triton=29), 'training', '', 'tiled'),  # not by 5 %
        ('cuda', dict(tiled=30, sdpa=29, triton=28.5), 'frozen', '', 'sdpa'),
        ('cpu', dict(tiled=30, sdpa=20), 'frozen', '', 'sdpa'),
        ('cuda', dict(triton=30, plain=31), 'forward', '', 'triton'),
    ],
)
def test_recommended(device, times, phase, wrong, best):
    (found,) = check_report.recommendations(recorded(device, times, phase, wrong))
    assert found['backend'] == best
    default = 'sdpa' if (device, phase) == ('cuda', 'frozen') else 'tiled'
    if best == default:
        assert found['config'] == f"leave attention_backend out ('auto' is '{best}')"
    else:
        assert found['config'] == f"model = dict(backbone=dict(attention_backend='{best}'))"


def test_nothing_right_is_not_recommended():
    assert check_report.recommendations(recorded('cuda', dict(tiled=1), 'forward', 'tiled')) == []


def test_images_have_whole_windows_in_each_stage():
    chosen = check.Settings('cuda', check.WINDOWS['cuda'], ['bf16'])
    sides = {window: chosen.side(window) for window in chosen.windows}
    assert sides == {
        7: 1120, 8: 1024, 12: 1152, 16: 1024, 20: 1280, 24: 768, 32: 1024, 48: 1536, 56: 1792
    }  # fmt: skip
    for window, side in sides.items():
        assert side // 32 % window == 0


@pytest.mark.parametrize('least, budget, timed', [(3, 0.0, 3), (1, 60.0, timing.MOST)])
def test_steps_are_warmed_up_and_repeated(least, budget, timed):
    calls = []
    times = timing.milliseconds(
        lambda: calls.append('step'), lambda: calls.append('reset'), 'cpu', least, budget
    )
    assert len(times) == timed and min(times) >= 0
    assert calls == ['reset', 'step'] * (timing.WARM_UPS['cpu'] + timed)


def test_the_command(tmp_path):
    """With a worker in a process of its own."""
    flags = ['--device', 'cpu', '--window', 3, '--size', 32, '--runs', 1, '--backend', 'tiled']
    result = run_here('benchmark', '--check', *flags, '--phase', 'training', '--out', tmp_path)
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / 'check.json').read_text())
    assert record['environment']['torch'] == torch.__version__
    assert record['settings']['windows'] == [3]
    assert [(row['window'], row['backend']) for row in record['recommended']] == [(3, 'tiled')] * 2
    gradients = 27_579_498 * 4 / 2**20  # of T
    assert all(row['peak_mb'] > 0.95 * gradients for row in record['measurements'])
    assert (tmp_path / 'check.txt').read_text() in result.stdout
    assert 'window 3, tiled, fp32 training: ' in result.stderr


@pytest.mark.slow
def test_the_command_with_a_peer(tmp_path, monkeypatch):
    """Not compiled: on a CPU this would take many minutes."""
    pytest.importorskip('transformers')
    monkeypatch.setenv('TORCH_COMPILE_DISABLE', '1')
    flags = ['--device', 'cpu', '--window', 2, '--size', 64, '--phase', 'forward', '--runs', 1]
    flags += ['--backend', 'tiled', '--against', 'hf', '--out', tmp_path]
    result = run_here('benchmark', '--check', *flags)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / 'check.json').read_text())['measurements']
    peer = [(row['phase'], row['status']) for row in rows if row['library'] == 'hf']
    assert peer == [('forward', 'ok')]
    assert 'hf, compiled' in result.stdout


@pytest.mark.slow
def test_a_process_that_ends_is_started_again(tmp_path):
    workers = check.Workers(check.processes('cpu', tmp_path))
    failed = workers.ask('ours', 'errors', nonsense=1)
    assert failed['status'] == 'failed'
    assert failed['reason'].startswith('ours ended with status 1: TypeError')
    arguments = dict(backend='tiled', window=3, dtype='fp32', frozen=False)
    assert workers.ask('ours', 'errors', **arguments)['status'] == 'ok'
    workers.close()


@pytest.mark.parametrize(
    'flags, message',
    [
        (['--device', 'cpu', '--version', '1'], '--version 1: --check measures --version 2 only'),
        (['--device', 'cpu', '--weights', 'bf16'], '--weights bf16: --check measures --weights fp'),
        (['--device', 'cpu', '--arch', 't', 's'], '--arch with 2 values: --check takes one'),
        (['--device', 'cpu', '--window', '8x4'], '--window 8x4: --check takes squares'),
        (['--device', 'cpu', '--size', '4x32x32'], '--size 4x32x32: --check takes squares'),
    ],
)
def test_options_that_do_not_fit_are_named(flags, message):
    result = run_here('benchmark', '--check', *flags)
    assert result.returncode == 2
    assert message in result.stderr


def test_a_missing_gpu_is_named():
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    result = run_here('benchmark', '--device', 'cuda', '--check')
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert '--device cuda: torch' in line and 'use --device cpu' in line
