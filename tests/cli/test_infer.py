"""The command infer: predictions equal those of the command test; handling of inputs."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from bombs import bomb
from clips import write_cut, write_sound
from coco_tree import write_tree
from commands import succeed, tool
from mmengine.config import Config
from narrow import narrow_model, shrink_images, use_data
from narrow_recognizer import write_clip
from narrow_segmentor import narrow_segmentor, shrink, use_tree, write_segmentation_tree
from PIL import Image
from random_models import save_random
from video_config import VIDEO

import swinv2_dense
from swinv2_dense.cli.infer import find_inputs, other_files
from swinv2_dense.cli.infer import main as infer
from swinv2_dense.drawing.files import names_below
from swinv2_dense.errors import ConfigError
from swinv2_dense.inference.video_files import read_frames

DETECTOR = 'detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py'
SEGMENTOR = 'segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'


@pytest.fixture(scope='module')
def detector(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from mmdet.datasets import CocoDataset

    root = tmp_path_factory.mktemp('detector')
    cfg = Config.fromfile(swinv2_dense.config_path(DETECTOR))
    narrow_model(cfg.model)
    shrink_images(cfg, 8)
    use_data(cfg, write_tree(root / 'coco', CocoDataset.METAINFO['classes']))
    return save_random(cfg, root)


@pytest.fixture(scope='module')
def segmentor(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp('segmentor')
    cfg = Config.fromfile(swinv2_dense.config_path(SEGMENTOR))
    narrow_segmentor(cfg.model)
    shrink(cfg, 8)
    use_tree(cfg, write_segmentation_tree(root / 'ade', 'ADE20KDataset'))
    return save_random(cfg, root)


@pytest.fixture(scope='module')
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two clips in time and three crops of each, whose scores must be averaged."""
    root = tmp_path_factory.mktemp('recognizer')
    rng = np.random.default_rng(0)
    lines = []
    for index in range(2):
        blocks = rng.integers(0, 256, (20 + index, 6, 8, 3), dtype=np.uint8)
        write_clip(root / f'clips/{index}.mp4', blocks.repeat(8, axis=1).repeat(8, axis=2))
        lines.append(f'{index}.mp4 {index}\n')
    (root / 'list.txt').write_text(''.join(lines))
    text = VIDEO.replace('LIST', str(root / 'list.txt')).replace('VIDEOS', str(root / 'clips'))
    text = text.replace('num_clips=1', 'num_clips=2, test_mode=True')
    text = text.replace('scale=(64, 48), keep_ratio=False', 'scale=(-1, 32)')
    crops = "dict(type='ThreeCrop', crop_size=32)"
    text = text.replace("    dict(type='FormatShape'", f"    {crops},\n    dict(type='FormatShape'")
    (root / 'base.py').write_text(text)
    return save_random(Config.fromfile(root / 'base.py'), root)


def predictions(folder: Path) -> dict[str, dict]:
    """The written predictions by name."""
    root = folder / 'predictions'
    return {
        str(path.relative_to(root)).removesuffix('.json'): json.loads(path.read_text())
        for path in sorted(root.rglob('*.json'))
    }


@pytest.mark.slow
def test_objects_are_those_of_the_test_tool(detector, tmp_path):
    config, checkpoint = detector
    work = ['--work-dir', tmp_path / 'work']
    succeed('test', config, checkpoint, '--out', tmp_path / 'tested.pkl', *work)
    pictures = config.parent / 'coco' / 'val2017'
    out = tmp_path / 'out'
    infer([str(config), str(checkpoint), str(pictures), '--score-thr', '0', '--out-dir', str(out)])
    found = predictions(out)
    tested = pickle.loads((tmp_path / 'tested.pkl').read_bytes())
    assert len(tested) == len(found) == 2
    for expected in tested:
        own, expected_of = found[Path(expected['img_path']).name], expected['pred_instances']
        assert len(own['labels']) == 5
        assert own['labels'] == expected_of['labels'].tolist()
        np.testing.assert_allclose(own['scores'], expected_of['scores'], rtol=1e-5)
        np.testing.assert_allclose(own['bboxes'], expected_of['bboxes'], atol=1e-3)
        assert own['masks'] == [
            dict(size=list(m['size']), counts=m['counts'].decode()) for m in expected_of['masks']
        ]
        assert own['names'][0] == dataset_classes('mmdet')[own['labels'][0]]
        assert (own['height'], own['width']) == (96, 128)
    between = sorted(s for own in found.values() for s in own['scores'])[4:6]
    args = [str(config), str(checkpoint), str(pictures), '--out-dir', str(tmp_path / 'best')]
    infer([*args, '--score-thr', str(sum(between) / 2)])
    kept = [s for own in predictions(tmp_path / 'best').values() for s in own['scores']]
    assert len(kept) == 5 and min(kept) == between[1]
    drawn = cv2.imread(str(out / 'pictures' / '000000000000.jpg'))
    image = np.kron(cv2.imread(str(pictures / '000000000000.jpg')), np.ones((4, 4, 1), np.uint8))
    above = len(drawn) - len(image)  # a caption; 128 x 96 pixels are enlarged to 512 x 384
    assert 0 < above < 64 and drawn.shape[1:] == image.shape[1:]
    assert (abs(drawn[above:].astype(int) - image) > 100).any()


def dataset_classes(library: str) -> tuple[str, ...]:
    if library == 'mmdet':
        from mmdet.datasets import CocoDataset as Dataset
    else:
        from mmseg.datasets import ADE20KDataset as Dataset
    return Dataset.METAINFO['classes']


@pytest.mark.slow
def test_label_maps_are_those_of_the_test_tool(segmentor, tmp_path):
    config, checkpoint = segmentor
    work = ['--work-dir', tmp_path / 'work']
    succeed('test', config, checkpoint, '--out', tmp_path / 'maps', *work)
    images = config.parent / 'ade' / 'images' / 'validation'
    out = tmp_path / 'out'
    infer([str(config), str(checkpoint), str(images / '*.jpg'), '--out-dir', str(out)])
    found = predictions(out)
    assert sorted(found) == ['0000.jpg', '0001.jpg']
    for name, own in found.items():
        labels = np.asarray(Image.open(out / 'label_maps' / f'{name}.png'))
        tested = np.asarray(Image.open(tmp_path / 'maps' / f'{Path(name).stem}.png'))
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, tested - 1)  # ADE20K's own ids begin at 1
        assert len(own['areas']) > 1
        for area in own['areas']:
            assert area['pixels'] == (labels == area['label']).sum()
            assert area['name'] == dataset_classes('mmseg')[area['label']]
        assert sum(area['pixels'] for area in own['areas']) == labels.size
        assert (out / 'pictures' / name).stat().st_size > 1000


def test_scores_are_those_of_the_test_tool_over_all_views(recognizer, tmp_path):
    config, checkpoint = recognizer
    work = ['--work-dir', tmp_path / 'work']
    succeed('test', config, checkpoint, '--dump', tmp_path / 'scores.pkl', *work)
    clips = config.parent / 'clips'
    (tmp_path / 'names.txt').write_text('\n'.join(f'motion {i}' for i in range(400)))
    args = ['--classes', str(tmp_path / 'names.txt'), '--out-dir', str(tmp_path / 'out')]
    infer([str(config), str(checkpoint), str(clips), *args])
    found = predictions(tmp_path / 'out')
    for index, expected in enumerate(pickle.loads((tmp_path / 'scores.pkl').read_bytes())):
        scores = np.asarray(expected['pred_score'])
        best = np.argsort(-scores)[:5]
        top = found[f'{index}.mp4']['top']
        np.testing.assert_allclose([entry['score'] for entry in top], scores[best], rtol=1e-5)
        assert [entry['label'] for entry in top] == best.tolist()
        assert [entry['name'] for entry in top] == [f'motion {i}' for i in best]
        drawn = np.stack(list(read_frames(tmp_path / f'out/pictures/{index}.mp4'))).astype(int)
        frames = np.stack(list(read_frames(clips / f'{index}.mp4'))).astype(int)
        assert frames.shape == (20 + index, 48, 64, 3)
        assert drawn.shape == (20 + index, 6 * 48, 6 * 64, 3)  # or no letters would fit
        below_text = drawn[:, : 6 * 12, : 6 * 20].mean()
        assert below_text < frames[:, :12, :20].mean() - 30


def test_broken_inputs_are_reported_and_the_others_processed(segmentor, tmp_path):
    """Kinds of images that mmseg's loader reads; names with spaces, dashes and umlauts."""
    config, checkpoint = segmentor
    folder = tmp_path / 'in'
    (folder / 'ä b').mkdir(parents=True)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(image[..., 0]).save(folder / 'gray.png')
    Image.fromarray(rng.integers(0, 256, (40, 60, 4), dtype=np.uint8)).save(folder / 'rgba.png')
    cv2.imwrite(str(folder / 'deep.png'), image.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / '-x.BMP'), image)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.fromarray(image).save(folder / 'ä b' / 'gray.png', exif=exif)
    (folder / 'empty.jpg').touch()
    (folder / 'text.jpg').write_text('not an image')
    (folder / 'notes.txt').write_text('ignored')
    write_cut(folder / 'cut.mp4')  # its first frames can be read
    write_sound(folder / 'sound.mp4')
    bomb(folder / 'bomb.png')
    result = tool('infer', config, checkpoint, folder, '--out-dir', tmp_path / 'out')
    assert result.returncode == 1, result.printed
    printed = ' '.join(result.printed.replace('\n', ' ').split())
    for name in ('empty.jpg', 'text.jpg', 'cut.mp4', 'sound.mp4', 'bomb.png'):
        assert f'skipped {folder / name}: ' in printed
    assert 'bomb.png: has 20000 x 20000 pixels' in printed
    assert '5 of 10 inputs done, 5 skipped' in printed
    assert 'Traceback' not in printed
    found = predictions(tmp_path / 'out')
    assert sorted(found) == ['-x.BMP', 'deep.png', 'gray.png', 'rgba.png', 'ä b/gray.png']
    sizes = {name: (own['height'], own['width']) for name, own in found.items()}
    assert sizes.pop('ä b/gray.png') == (60, 40)
    assert set(sizes.values()) == {(40, 60)}
    assert found['deep.png']['areas'] == found['-x.BMP']['areas']  # 16 bits as 8
    files = [path for path in (tmp_path / 'out').rglob('*') if path.is_file()]
    assert len(files) == 5 * 3  # no drafts, nothing of the skipped
    pictures = {str(path.relative_to(tmp_path / 'out/pictures')) for path in files if 'pictures' in
                path.parts}  # fmt: skip
    assert pictures == {'-x.jpg', 'deep.png', 'gray.png', 'rgba.png', 'ä b/gray.png'}
    assert 'ignored files: 1 .txt' in printed


@pytest.mark.parametrize('task', ['detector', 'segmentor'])
def test_frames_of_a_video_are_predicted_like_images(task, request, tmp_path):
    config, checkpoint = request.getfixturevalue(task)
    frames = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), dtype=np.uint8)
    write_clip(tmp_path / 'a.mp4', frames.repeat(8, axis=1).repeat(8, axis=2))
    decoded = list(read_frames(tmp_path / 'a.mp4'))
    Image.fromarray(decoded[1]).save(tmp_path / 'second.png')
    args = [str(config), str(checkpoint), str(tmp_path / 'a.mp4'), str(tmp_path / 'second.png')]
    infer([*args, '--score-thr', '0', '--out-dir', str(tmp_path / 'out')])
    found = predictions(tmp_path / 'out')
    assert found['a.mp4']['frames_per_second'] == 25
    assert len(found['a.mp4']['frames']) == 3
    found['second.png'].pop('input')
    assert found['a.mp4']['frames'][1] == found['second.png']
    assert found['a.mp4']['frames'][0] != found['second.png']
    with av.open(str(tmp_path / 'out/pictures/a.mp4')) as container:
        assert container.streams.video[0].codec_context.name == 'h264'
        assert sum(1 for _ in container.decode(video=0)) == 3
    maps = sorted((tmp_path / 'out').glob('label_maps/a.mp4/*.png'))
    assert len(maps) == (3 if task == 'segmentor' else 0)


def test_arguments_name_files_once_and_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ('b/x.png', 'a/x.png', 'a/deep/y.JPG', 'a/.hidden.png', 'a/z.txt', 'q[1].png', 'q1.png')
    for name in (
        *names,
        'work_dirs/out/pictures/x.png.jpg',
        'work_dirs/out/predictions/x.png.json',
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()

    def find(*given: str, out: str = 'work_dirs/out') -> list[str]:
        return list(map(str, find_inputs(given, ('.png', '.jpg'), Path(out))))

    assert find('b/x.png', 'a') == ['b/x.png', 'a/deep/y.JPG', 'a/x.png']
    assert find('./a/x.png', 'a/../a/x.png', str(tmp_path / 'a/x.png')) == ['a/x.png']
    assert find('*/x.png') == ['a/x.png', 'b/x.png']
    assert find('a/*.txt') == ['a/z.txt']  # explicit patterns match any suffix
    assert find('q[1].png') == ['q[1].png']  # a file before a pattern
    assert find('q?.png') == ['q1.png']
    assert len(find('.')) == 5
    assert names_below([Path('b/x.png'), Path('a/x.png')]) == ['b/x.png', 'a/x.png']
    assert names_below([Path('b/x.png')]) == ['x.png']
    with pytest.raises(ConfigError, match=r"input 'no/\*': no such file"):
        find('b/x.png', 'no/*')
    (tmp_path / 'void').mkdir()
    with pytest.raises(ConfigError, match="input 'void' has no files that end in .png, .jpg"):
        find('void')


@pytest.mark.parametrize('out', ['in', 'in/', './in/../in', 'link', 'in/out', 'in/deep', '.'])
def test_outputs_are_not_inputs(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in/deep').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('in')
    names = ['in/a.png', 'in/deep/b.png']
    for name in names:
        Path(name).touch()

    def find(*given: str) -> list[str]:
        return sorted(map(str, find_inputs(given, ('.png', '.jpg'), Path(out))))

    assert find('in') == names
    for kind, name in dict(predictions='a.json', pictures='a.jpg', label_maps='c/0.png').items():
        file = Path(out, kind, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert find('in') == find('in/**/*') == find('in/') == names
    for given in (f'{out}/pictures', f'{out}/label_maps/c', f'{out}/pictures/a.jpg'):
        with pytest.raises(ConfigError, match='is in the results of --out-dir='):
            find('in', given)


def test_pictures_of_the_user_in_a_folder_for_outputs(tmp_path):
    """They are neither treated as outputs nor overwritten."""
    for name in ('a.png', 'pictures/a.png.jpg'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match='pictures has files that are not results'):
        find_inputs([str(tmp_path)], ('.png', '.jpg'), tmp_path)
    assert len(find_inputs([str(tmp_path)], ('.png', '.jpg'), tmp_path / 'out')) == 2


def test_wrong_use_ends_before_anything_is_written(detector, segmentor, tmp_path):
    config, checkpoint = detector
    image = str(config.parent / 'coco' / 'val2017' / '000000000000.jpg')
    out = ['--out-dir', str(tmp_path / 'out')]
    with pytest.raises(ValueError, match='random.pth lacks .* of model.backbone|does not fit'):
        infer([str(config), str(segmentor[1]), image, *out])
    with pytest.raises(ValueError, match=r'does not fit the model.*roi_head.*5 classes'):
        options = ['--cfg-options', 'model.roi_head.bbox_head.num_classes=5']
        infer([str(config), str(checkpoint), image, *out, *options])
    with pytest.raises(ConfigError, match='no_pth'):
        infer([str(config), 'no_pth', image, *out])
    with pytest.raises(ConfigError, match="--device='abacus' cannot be used"):
        infer([str(config), str(checkpoint), image, *out, '--device', 'abacus'])
    with pytest.raises(ConfigError, match='is a file; give a folder'):
        infer([str(config), str(checkpoint), image, '--out-dir', image])
    result = tool('infer', config, checkpoint, tmp_path / 'no.jpg', *out)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith('error: input ')
    assert 'Traceback' not in result.stderr
    assert not os.path.exists(tmp_path / 'out')


def test_images_that_would_be_misread_are_skipped(segmentor, tmp_path, capsys):
    config, checkpoint = segmentor
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16)  # 12 bits
    pixels[0, 0] = 4095
    for name, scale in (('dark', 1), ('full', 16)):
        assert cv2.imwrite(str(tmp_path / f'{name}.png'), pixels * scale)
    with pytest.raises(SystemExit):
        infer([str(config), str(checkpoint), str(tmp_path), '--out-dir', str(tmp_path / 'out')])
    printed = capsys.readouterr()
    assert 'dark.png: has 16 bits, but no value above 4095' in printed.err
    assert list(predictions(tmp_path / 'out')) == ['full.png']


def test_ignored_files_are_counted(tmp_path):
    for name in ('a.png', 'b.heic', 'c.HEIC', 'deep/d.txt', 'out/e.txt', 'none'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    given = [str(tmp_path), str(tmp_path / 'b.heic'), str(tmp_path / '*')]
    found = other_files(given, ('.png',), tmp_path / 'out')
    assert found == '2 .heic, 1 .txt, 1 without suffix'
    assert other_files([str(tmp_path / 'a.png')], ('.png',), tmp_path / 'out') == ''
