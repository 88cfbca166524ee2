"""Broken videos, images, maps and annotations: replaced and counted, or named in tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from commands import SUPPORT, tool
from forked import run_ranks

import swinv2_dense  # noqa: F401  patches imports of mmaction2

pytest.importorskip('mmaction')
pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
pytest.importorskip('av')

import mmseg.datasets  # noqa: F401
from broken_data import (
    BROKEN,
    boxes,
    pairs,
    runner,
    videos,
    write_boxes,
    write_pairs,
    write_videos,
)
from mmengine.registry import TRANSFORMS

import swinv2_dense.video  # noqa: F401
from swinv2_dense.resilience.unreadable_samples import (
    DataFaultsError,
    Records,
    UnreadableSampleError,
)

ACCURACY = dict(type='AccMetric')


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    return write_videos(tmp_path_factory.mktemp('clips'))


def listed(work_dir: Path) -> dict[str, dict]:
    """The records that a run wrote, by file name."""
    (path,) = work_dir.glob('*/data_faults.jsonl')
    return {Path(r['sample']).name: r for r in map(json.loads, path.read_text().splitlines())}


@pytest.mark.parametrize('workers, epochs', [(0, 2), (2, 2), (2, 3)])  # persistent for 2 epochs
def test_broken_videos_are_replaced_counted_and_listed(clips, tmp_path, workers, epochs):
    run = runner('mmaction', tmp_path, train=videos(clips), workers=workers, epochs=epochs)
    run.train()
    assert run.iter == 6 * epochs  # all batches are full
    found = listed(tmp_path)
    assert set(found) == set(BROKEN)
    # Each is drawn once per epoch, and may be drawn again to replace another.
    assert all(record['times'] >= epochs for record in found.values())
    assert 'one.mp4 has 1 frames' in found['one.mp4']['reason']
    assert 'sound.mp4 is not a video' in found['sound.mp4']['reason']


def test_iteration_based_training_with_workers(clips, tmp_path):
    loop = dict(type='ResumableIterLoop', max_iters=8)
    run = runner('mmaction', tmp_path, train=videos(clips), workers=2, train_cfg=loop)
    run.train()
    assert set(listed(tmp_path)) == set(BROKEN)


def test_each_file_is_logged_once_and_summed_up(clips, tmp_path):
    runner('mmaction', tmp_path, train=videos(clips), epochs=3).train()
    (log,) = tmp_path.glob('*/*.log')
    text = log.read_text()
    for name in BROKEN:
        assert text.count(f'{name} cannot be read and is replaced by another sample') == 1
    assert '4 of 12 samples of the training set could not be read' in text
    assert f'All are listed in {tmp_path}' in text


def test_replacements_depend_on_the_seed_only(clips, tmp_path):
    counts = []
    for name in ('a', 'b'):
        runner('mmaction', tmp_path / name, train=videos(clips), epochs=2).train()
        counts.append({k: r['times'] for k, r in listed(tmp_path / name).items()})
    assert counts[0] == counts[1]


@pytest.mark.parametrize('workers', [0, 2])
def test_images_maps_and_annotations(tmp_path, workers):
    root = write_pairs(tmp_path / 'pairs')
    runner('mmseg', tmp_path / 'seg', train=pairs(root), workers=workers).train()
    assert set(listed(tmp_path / 'seg')) == {'2.png', '5.png'}  # as "images/2.jpg with maps/2.png"
    root = write_boxes(tmp_path / 'boxes')
    repeated = dict(type='RepeatDataset', times=2, dataset=boxes(root))
    joined = dict(type='ConcatDataset', datasets=[repeated, boxes(root)])
    runner('mmdet', tmp_path / 'det', train=joined, workers=workers, epochs=1).train()
    assert set(listed(tmp_path / 'det')) == {'3.jpg', '6.jpg'}


def test_inner_samples_of_a_mixed_dataset_are_guarded(tmp_path):
    mixed = dict(
        type='MultiImageMixDataset',
        dataset=boxes(write_boxes(tmp_path / 'boxes')),
        pipeline=[dict(type='RandomFlip', prob=0.5)],
    )
    mixed['dataset']['pipeline'].pop()
    mixed['pipeline'].append(dict(type='PackDetInputs', meta_keys=('img_id',)))
    runner('mmdet', tmp_path / 'run', train=mixed).train()
    assert set(listed(tmp_path / 'run')) == {'3.jpg', '6.jpg'}


def test_more_faults_than_allowed_end_the_training_with_names_and_the_first_error(clips, tmp_path):
    run = runner('mmaction', tmp_path, train=videos(clips), hook=dict(tolerated=3, interval=2))
    with pytest.raises(DataFaultsError) as error:
        run.train()
    message = str(error.value)
    assert '4 of 12 samples' in message
    assert all(name in message for name in BROKEN)
    assert 'Traceback' in message
    assert 'decoding.py' in message
    run = runner('mmaction', tmp_path / 'ok', train=videos(clips), hook=dict(max_fraction=0.34))
    run.train()


@TRANSFORMS.register_module()
class Failing:
    """A transform with a bug, or one that runs out of memory."""

    def __init__(self, error: type = KeyError) -> None:
        self.error = error

    def __call__(self, results: dict) -> dict:
        raise self.error('a slip of the pen')


@pytest.mark.parametrize('workers', [0, 2])
def test_a_bug_in_a_transform_surfaces_as_what_it_is(clips, tmp_path, workers):
    dataset = videos(clips, 'whole.txt')
    dataset['pipeline'].insert(0, dict(type='Failing'))
    with pytest.raises(DataFaultsError, match='10 samples in a row cannot be read') as error:
        runner('mmaction', tmp_path, train=dataset, workers=workers).train()
    cause = error.value.__cause__
    text = str(error.value)
    assert isinstance(cause, KeyError) if workers == 0 else "KeyError: 'a slip of the pen'" in text


@pytest.mark.parametrize(
    'kind', [MemoryError, torch.cuda.OutOfMemoryError, ImportError, KeyboardInterrupt]
)
def test_errors_not_caused_by_a_sample_are_not_caught(clips, tmp_path, kind):
    dataset = videos(clips)
    dataset['pipeline'].insert(0, dict(type='Failing', error=kind))
    with pytest.raises(kind, match='a slip of the pen'):
        runner('mmaction', tmp_path, train=dataset).train()


def test_validation_during_training_stops_at_the_first(clips, tmp_path):
    run = runner(
        'mmaction',
        tmp_path,
        train=videos(clips, 'whole.txt'),
        val=videos(clips, test_mode=True),
        val_evaluator=ACCURACY,
    )
    with pytest.raises(UnreadableSampleError, match=r'^val_dataloader: .*cut.mp4 cannot be read'):
        run.train()


@pytest.mark.parametrize('workers', [0, 2])
def test_a_test_stops_at_the_first_with_one_line(clips, tmp_path, workers):
    data = videos(clips, test_mode=True)
    run = runner('mmaction', tmp_path, test=data, test_evaluator=ACCURACY, workers=workers)
    with pytest.raises(UnreadableSampleError) as error:
        run.test()
    message = str(error.value)
    assert message.startswith(f'test_dataloader: {clips}/cut.mp4 cannot be read: ValueError')
    assert '\n' not in message


@pytest.mark.parametrize('workers', [0, 2])
def test_skipping_gives_the_metrics_of_the_others(clips, tmp_path, workers):
    def run(name: str, ann_file: str, **hook: bool) -> tuple[dict, str]:
        data = videos(clips, ann_file, test_mode=True)
        parts = dict(test=data, test_evaluator=ACCURACY, workers=workers, hook=hook)
        metrics = runner('mmaction', tmp_path / name, **parts).test()
        (log,) = (tmp_path / name).glob('*/*.log')
        return metrics, log.read_text()

    expected, _ = run('whole', 'whole.txt')
    metrics, text = run('skipping', 'all.txt', skip_in_test=True)
    assert 0 < expected['acc/top1'] < 1
    assert metrics == expected
    assert '4 samples could not be read; the results are those of the other 8' in text
    assert all(name in text for name in BROKEN)


@pytest.mark.slow
def test_skipped_images_do_not_count_as_missed(tmp_path):
    root = write_boxes(tmp_path / 'boxes')
    metric = dict(type='CocoMetric', ann_file=str(root / 'all.json'), metric='bbox')
    data = dict(type='ConcatDataset', datasets=[boxes(root, test_mode=True)])
    run = runner(
        'mmdet',
        tmp_path / 'run',
        test=data,
        test_evaluator=metric,
        hook=dict(skip_in_test=True),
    )
    metrics = run.test()
    assert metrics['coco/bbox_mAP'] == 1.0  # of the boxes of 6 images; all 8 would give 0.75


CONFIG = """
custom_imports = dict(imports=['broken_data'], allow_failed_imports=False)
default_scope = 'mmaction'
model = dict(type='FrameMeans')
test_dataloader = dict(batch_size=3, num_workers=1, dataset={data},
    sampler=dict(type='DefaultSampler', shuffle=False))
test_cfg = dict()
test_evaluator = [dict(type='AccMetric'), dict(type='DumpResults', out_file_path={out!r})]
"""


@pytest.fixture
def command(clips, tmp_path, monkeypatch) -> list[str]:
    """Arguments of tools/test.py."""
    monkeypatch.setenv('PYTHONPATH', str(SUPPORT))
    data, out = videos(clips, test_mode=True), str(tmp_path / 'out.pkl')
    (tmp_path / 'config.py').write_text(CONFIG.format(data=data, out=out))
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / 'weights.pth')
    paths = [tmp_path / 'config.py', tmp_path / 'weights.pth']
    return [*map(str, paths), '--work-dir', str(tmp_path / 'run')]


def test_the_tool_names_the_file_in_one_line(command):
    result = tool('test', *command)
    assert result.returncode == 2, result.printed[-3000:]
    # The worker's decoder writes to stderr, too, and not always full lines.
    (line,) = re.findall('error: test_dataloader: .*', result.stderr)
    assert 'cut.mp4 cannot be read' in line and '--skip-unreadable' in line


def test_two_processes_skip_and_evaluate_the_rest_once(command, clips, tmp_path):
    flags = ('--launcher', 'pytorch', '--skip-unreadable')
    result = run_ranks('tools/test.py', *command, *flags)
    assert result.returncode == 0, result.stdout[-3000:]
    assert '4 samples could not be read' in result.stdout
    from mmengine.fileio import load

    dumped = [Path(sample['filename']).name for sample in load(tmp_path / 'out.pkl')]
    assert sorted(dumped) == sorted(line.split()[0] for line in (clips / 'whole.txt').open())


def test_records_of_several_processes_are_read_line_by_line(tmp_path):
    def line(name: str) -> str:
        return json.dumps(dict(sample=name, reason='r', traceback='t'))

    (tmp_path / 'a_1.jsonl').write_text(f'{line("x")}\n{line("y")}\n{line("z")[:9]}')
    (tmp_path / 'b_1.jsonl').write_text(f'{line("x")}\n')
    records = Records(tmp_path)
    assert [r['sample'] for r in records.update()] == ['x', 'y']
    with (tmp_path / 'a_1.jsonl').open('a') as file:
        file.write(f'{line("z")[9:]}\n')
    assert [r['sample'] for r in records.update()] == ['z']
    assert records.counts == dict(x=2, y=1, z=1)
