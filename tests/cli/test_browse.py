"""Pictures of augmented samples: their content, and that they are reproducible."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import succeed, tool
from mmengine.registry import DefaultScope

pytest.importorskip('mmdet')

from swinv2_dense.cli import browse_dataset as browsing
from swinv2_dense.cli.common import read_config
from swinv2_dense.errors import ConfigError

SIZE = 64
FACTOR = 8  # of enlargement, to 512 pixels
SIDE, GAP = FACTOR * SIZE, 8
DETECTION = """
default_scope = 'mmdet'
data = dict(
    type='CocoDataset',
    data_root={root!r},
    ann_file='a.json',
    metainfo=dict(classes=('box', 'crowded')),
    data_prefix=dict(img='img', seg='map'),
)
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True),
]
flip = dict(type='RandomFlip', prob=0.5)
train_dataloader = dict(dataset=dict(**data, pipeline=[*load, flip, dict(type='PackDetInputs')]))
val_dataloader = dict(dataset=dict(**data, pipeline=[*load, dict(type='PackDetInputs')]))
"""
SEGMENTATION = """
_base_ = 'mmseg::_base_/datasets/ade20k.py'
default_scope = 'mmseg'
val_dataloader = dict(dataset=dict(data_root={root!r}))
"""


@pytest.fixture(scope='module')
def detection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 images of noise with one object, 5 with a crowd; the last 16 rows of the map are 255."""
    root = tmp_path_factory.mktemp('detection')
    for name in ('img', 'map'):
        (root / name).mkdir()
    labels = np.full((SIZE, SIZE), 7, np.uint8)
    labels[-16:] = 255
    images, annotations = [], []
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        cv2.imwrite(str(root / 'img' / f'{i}.png'), noise)
        cv2.imwrite(str(root / 'map' / f'{i}.png'), labels)
        images.append(dict(id=i, file_name=f'{i}.png', width=SIZE, height=SIZE))
        box = dict(image_id=i, iscrowd=0, bbox=[8, 24, 16, 12], area=192, category_id=1)
        annotations.append(dict(box, id=i, segmentation=[[8, 24, 24, 24, 24, 36, 8, 36]]))
        if i:
            crowd = dict(image_id=i, iscrowd=1, bbox=[36, 4, 20, 10], area=200, category_id=2)
            counts = [SIZE * 40, SIZE * 10, SIZE * 14]
            rle = dict(size=[SIZE, SIZE], counts=counts)
            annotations.append(dict(crowd, id=10 + i, segmentation=rle))
    categories = [dict(id=1, name='box'), dict(id=2, name='crowded')]
    coco = dict(images=images, annotations=annotations, categories=categories)
    (root / 'a.json').write_text(json.dumps(coco))
    (root / 'config.py').write_text(DETECTION.format(root=str(root)))
    return root / 'config.py'


def browse(config: Path, folder: Path, *args: str) -> dict[str, np.ndarray]:
    scope = 'mmseg' if 'mmseg::' in config.read_text() else 'mmdet'
    with DefaultScope.overwrite_default_scope(scope):  # and restore that of other tests
        browsing.main([str(config), '--output-dir', str(folder), *args])
    return {path.name: cv2.imread(str(path)) for path in folder.glob('*.png')}


def enlarged(pixels: np.ndarray) -> np.ndarray:
    return np.kron(pixels, np.ones((FACTOR, FACTOR, 1), np.uint8))


def test_only_pixels_of_objects_change(detection, tmp_path):
    pictures = browse(detection, tmp_path, '--split', 'val')
    assert sorted(pictures) == [f'{i:06d}_{i}.png' for i in range(6)]
    for i, picture in enumerate(pictures[name] for name in sorted(pictures)):
        title = len(picture) - SIDE
        assert 28 <= title < 64 and picture.shape[1] == 2 * SIDE + GAP
        assert (picture[:title] < 128).any()  # the name of the file
        image = cv2.imread(str(detection.parent / 'img' / f'{i}.png'))
        left = picture[title:, :SIDE]
        drawn = (left != enlarged(image)).any(-1)
        inside = np.s_[25 * FACTOR : 35 * FACTOR, 9 * FACTOR : 23 * FACTOR]
        crowd = np.s_[:, 32 * FACTOR :]  # its mask is a column
        assert drawn[inside].mean() > 0.9
        assert drawn[crowd].any() == (i > 0)
        drawn[20 * FACTOR : 40 * FACTOR, 4 * FACTOR : 28 * FACTOR] = False
        drawn[crowd] = False
        assert not drawn.any()


def test_objects_are_at_their_positions_in_a_resized_image(detection, tmp_path):
    """mmdet's test pipelines resize the image before they load annotations of the original."""
    double = "dict(type='Resize', scale=(128, 128), keep_ratio=True)"
    text = detection.read_text().replace(
        'val_dataloader = dict(dataset=dict(**data, pipeline=[*load, ',
        f'val_dataloader = dict(dataset=dict(**data, pipeline=[load[0], {double}, load[1], ',
    )
    (tmp_path / 'resized.py').write_text(text)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = browsing.build_dataset(read_config(str(tmp_path / 'resized.py')), 'val')
        sample = dataset[0]
    objects = sample['data_samples'].gt_instances
    assert sample['inputs'].shape[1:] == objects.masks.masks.shape[1:] == (128, 128)
    np.testing.assert_allclose(objects.bboxes.tensor, [[16, 48, 48, 72]])  # twice x, y, x, y
    assert objects.masks.masks[0, 50:70, 18:46].all()
    assert browse(tmp_path / 'resized.py', tmp_path / 'out', '--split', 'val', '--number', '1')


def test_the_map_colors_labels_and_hatches_what_is_ignored(detection, tmp_path):
    picture = browse(detection, tmp_path, '--split', 'val', '--number', '1')
    ((name, picture),) = picture.items()
    image = enlarged(cv2.imread(str(detection.parent / 'img' / name.partition('_')[2])))
    right = picture[-SIDE:, -SIDE:].astype(int)
    rows = 48 * FACTOR
    lightness = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None].astype(int)
    tint = right - lightness * 2 // 5  # 0.4 of the image, 0.6 of the label's color
    labelled = tint[: 10 * FACTOR].reshape(-1, 3)
    assert (labelled.max(0) - labelled.min(0) <= 2).all()
    ignored = right[rows:] - image[rows:].astype(int) // 3
    assert (ignored.max(-1) == ignored.min(-1)).all()  # gray
    assert len(np.unique(ignored)) == 2  # stripes


def test_a_seed_gives_the_same_pictures_whatever_the_number(detection, tmp_path):
    every = browse(detection, tmp_path / 'a', '--seed', '3')
    few = browse(detection, tmp_path / 'b', '--seed', '3', '--number', '3')
    assert len(every) == 6 and len(few) == 3
    assert all(np.array_equal(every[name], few[name]) for name in few)
    other = browse(detection, tmp_path / 'c', '--seed', '4')
    assert any(not np.array_equal(every[name], other[name]) for name in every)  # other flips


def test_pictures_of_a_segmentor(tmp_path):
    pytest.importorskip('mmseg')
    root = tmp_path / 'ade'
    for kind in ('images', 'annotations'):
        (root / kind / 'validation').mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (512, 600, 3)).astype(np.uint8)
    cv2.imwrite(str(root / 'images/validation/a.jpg'), image)
    labels = np.full((512, 600), 3, np.uint8)  # sky
    labels[400:] = 0  # other: ignored
    cv2.imwrite(str(root / 'annotations/validation/a.png'), labels)
    (tmp_path / 'seg.py').write_text(SEGMENTATION.format(root=str(root)))
    ((name, picture),) = browse(tmp_path / 'seg.py', tmp_path / 'out', '--split', 'val').items()
    assert name == '000000_a.png'
    picture = picture[-512:].astype(int)
    image = cv2.imread(str(root / 'images/validation/a.jpg')).astype(int)
    assert np.array_equal(picture[:, :600], image)
    picture = picture[:, : 1200 + GAP]  # without the legend
    picture = np.delete(picture, np.s_[600 : 600 + GAP], axis=1)
    sky = np.array([230, 230, 6])  # BGR, mmseg's color of it
    lightness = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_BGR2GRAY)[..., None]
    seen = picture[:100, 600:] - (lightness[:100] * 0.4 + sky * 0.6)
    assert np.abs(np.median(seen, axis=(0, 1))).max() <= 1
    ignored = picture[420:, 600:] - image[420:] // 3
    assert (ignored.max(-1) == ignored.min(-1)).all()

    path = root / 'annotations/validation/a.png'
    for wrong, message in (
        (np.zeros_like(labels), '1 label maps contain no class at all'),
        (image.astype(np.uint8), '1 label maps contain colors instead of class ids'),
    ):
        cv2.imwrite(str(path), wrong)
        with pytest.raises(ConfigError, match=message):  # as in a training
            browse(tmp_path / 'seg.py', tmp_path / 'out', '--split', 'val')


def test_frames_of_a_clip(tmp_path):
    """Eight of ten frames, evenly spaced, in RGB as decoded; the class is in the title."""
    pytest.importorskip('mmaction')
    from narrow_recognizer import write_clip

    frames = np.zeros((10, 64, 64, 3), np.uint8)
    frames[..., 0] = 20 * np.arange(10)[:, None, None]  # red
    write_clip(tmp_path / 'own/train/wave/a.mp4', frames)
    write_clip(tmp_path / 'own/train/clap/b.mp4', frames)
    pipeline = [
        dict(type='VideoInit'),
        dict(type='SampleFrames', clip_len=10, frame_interval=1, num_clips=1, test_mode=True),
        dict(type='VideoDecode'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    (tmp_path / 'clips.py').write_text(f"""
default_scope = 'mmaction'
custom_imports = dict(imports=['swinv2_dense.video'])
train_dataloader = dict(dataset=dict(
    type='FolderVideoDataset', data_root={str(tmp_path / 'own')!r},
    data_prefix=dict(video='train'), pipeline={pipeline!r},
    metainfo=dict(classes=('clap', 'wave')),
))
""")
    with DefaultScope.overwrite_default_scope('mmaction'):
        browsing.main([str(tmp_path / 'clips.py'), '--output-dir', str(tmp_path / 'out')])
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['000000_b.png', '000001_a.png']
    picture = cv2.imread(str(tmp_path / 'out' / '000000_b.png'))
    side = 3 * 64  # enlarged
    assert picture.shape[1] == 8 * side + 7 * GAP
    assert (picture[:-side] < 128).any()  # name and class
    reds = [picture[-side // 2, side // 2 + i * (side + GAP)] for i in range(8)]
    expected = 20 * np.linspace(0, 9, 8).round()
    assert np.abs(np.array(reds)[:, 2] - expected).max() <= 6  # h264
    assert np.array(reds)[:, :2].max() <= 6


def test_more_classes_than_inherited_colors(detection, tmp_path):
    coco = json.loads((detection.parent / 'a.json').read_text())
    coco['categories'] = [dict(id=i + 1, name=f'c{i}') for i in range(100)]
    for annotation in coco['annotations']:
        annotation['category_id'] = 100
    (tmp_path / 'a.json').write_text(json.dumps(coco))
    options = [
        f'val_dataloader.dataset.ann_file={tmp_path / "a.json"}',
        f'val_dataloader.dataset.metainfo.classes={[f"c{i}" for i in range(100)]}'.replace(' ', ''),
    ]
    args = ['--split', 'val', '--number', '2', '--cfg-options', *options]
    assert len(browse(detection, tmp_path / 'out', *args)) == 2


@pytest.mark.parametrize(
    'args, message',
    [
        (['--split', 'test'], 'has no test_dataloader.dataset'),
        (['--number', '0'], '--number 0 must be at least 1'),
        (['--cfg-options', 'train_dataloader.dataset.data_root=gone'], "data_root='gone'"),
        (['--cfg-options', 'train_dataloader.dataset.pipeline.2.type=Flap'], "'Flap' is not a"),
    ],
)
def test_mistakes_are_named(detection, tmp_path, args, message):
    with pytest.raises(ConfigError) as error:
        browse(detection, tmp_path / 'out', *args)
    assert message in str(error.value)
    assert not (tmp_path / 'out').exists()


def test_the_command_line(detection, tmp_path):
    printed = succeed('browse_dataset', detection, '--output-dir', tmp_path / 'out', '--number', 2)
    assert f'Wrote 2 of 6 samples (train) to {tmp_path / "out"}' in printed
    assert len(list((tmp_path / 'out').iterdir())) == 2
    result = tool('browse_dataset', tmp_path / 'gone.py')
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == f"error: config '{tmp_path}/gone.py' does not exist"
