"""SimMIM against plain loops written from its equations."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import nn
from torch.testing import assert_close

from swinv2_dense.pretraining import ClipDataPreprocessor, RandomUnitMask, SimMIM
from swinv2_dense.pretraining.simmim import masked_l1, normalize_locally, pixel_shuffle

ARCH = dict(embed_dims=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4))
BACKBONE = dict(type='SwinTransformerV2', arch=ARCH, window_size=4)
VIDEO = dict(
    type='VideoSwinTransformerV2',
    arch=ARCH,
    patch_size=(1, 4, 4),
    window_size=(1, 4, 4),
)


def build(**backbone: object) -> SimMIM:
    """A model whose norms do not make blocks the identity."""
    torch.manual_seed(1)
    model = SimMIM({**BACKBONE, **backbone}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def sample(mask: np.ndarray) -> BaseDataElement:
    element = BaseDataElement()
    element.set_field(torch.as_tensor(mask), 'mask')
    return element


def masks(count: int, *units: int) -> list[BaseDataElement]:
    rng = np.random.RandomState(3)
    return [sample(RandomUnitMask(ratio=0.6).draw(units, rng)) for _ in range(count)]


def normalized_by_loops(image: np.ndarray, window: int) -> np.ndarray:
    """(C, H, W): each pixel by the unbiased variance of what lies around it, in float64."""
    result, half = np.zeros_like(image), window // 2
    for c, y, x in np.ndindex(image.shape):
        around = image[c, max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
        deviation = math.sqrt(around.var(ddof=1) + 1e-6)
        result[c, y, x] = (image[c, y, x] - around.mean()) / deviation
    return result


def test_targets_are_normalized_by_their_surroundings():
    image = torch.randn(2, 3, 13, 17, generator=torch.Generator().manual_seed(0)) * 3 + 1
    expected = np.stack([normalized_by_loops(i, 7) for i in image.double().numpy()])
    assert_close(normalize_locally(image, 7).double().numpy(), expected, atol=2e-5, rtol=2e-5)


def test_targets_of_a_clip_are_those_of_its_frames():
    clip = torch.randn(2, 3, 4, 20, 24)
    frames = [normalize_locally(frame) for frame in clip.unbind(2)]
    assert_close(normalize_locally(clip), torch.stack(frames, 2))


def test_the_shuffle_of_two_axes_is_that_of_torch():
    x = torch.randn(2, 3 * 16, 5, 3)
    assert_close(pixel_shuffle(x, (4, 4)), nn.PixelShuffle(4)(x), atol=0, rtol=0)


def test_the_shuffle_of_three_axes_by_loops():
    x, factors = torch.arange(2 * 2 * 3 * 2 * 3 * 2.0).reshape(1, 12, 2, 3, 2), (2, 3, 2)
    found = pixel_shuffle(x, factors)
    assert found.shape == (1, 1, 4, 9, 4)
    for t, h, w in product(range(4), range(9), range(4)):
        channel = (t % 2) * 6 + (h % 3) * 2 + w % 2
        assert found[0, 0, t, h, w] == x[0, channel, t // 2, h // 3, w // 2]


def test_the_loss_is_the_mean_over_masked_pixels():
    torch.manual_seed(0)
    predicted, target = torch.randn(2, 2, 3, 8, 8).unbind()
    pixels = torch.zeros(2, 1, 8, 8)
    pixels[0, :, :4], pixels[1, :, :, 2:3] = 1, 1
    expected = [
        (predicted[0, :, :4] - target[0, :, :4]).abs().mean(),
        (predicted[1, :, :, 2] - target[1, :, :, 2]).abs().mean(),
    ]
    assert_close(masked_l1(predicted, target, pixels), torch.stack(expected), atol=1e-6, rtol=1e-5)


def test_the_model_is_the_official_computation():
    """Mask token for masked tokens, last normalized map, 1 x 1 convolution, pixel shuffle, L1."""
    model, data = build(), masks(2, 3, 4)
    image = torch.randn(2, 3, 96, 128)
    tokens = model.backbone.patch_embed(image)
    for i, element in enumerate(data):
        for y, x in product(range(24), range(32)):
            if element.mask[y // 8, x // 8]:
                tokens[i, y, x] = model.mask_token[0, 0]
    (features,) = model.backbone.forward_tokens(tokens)
    predicted = nn.PixelShuffle(32)(model.decoder(features))
    assert_close(model(image, data), predicted, atol=0, rtol=0)
    target, total, count = normalize_locally(image), 0.0, 0
    for i, element in enumerate(data):
        for y, x in product(range(3), range(4)):
            if element.mask[y, x]:
                part = (i, slice(None), slice(32 * y, 32 * y + 32), slice(32 * x, 32 * x + 32))
                total, count = total + (predicted[part] - target[part]).abs().sum(), count + 1
    expected = total / (count * 32 * 32 + 1e-5) / 3
    assert_close(model(image, data, mode='loss')['loss'], expected, atol=1e-6, rtol=1e-5)


def test_masked_pixels_are_not_seen():
    model, data = build(), masks(1, 2, 2)
    image = torch.randn(1, 3, 64, 64)
    changed = torch.where(model.pixels_of(data[0].mask[None]).bool(), 7.0, image)
    assert_close(model(changed, data), model(image, data), atol=0, rtol=0)


def test_a_clip_of_one_frame_is_an_image():
    image_model = build()
    video_model = SimMIM(VIDEO).eval()
    state = dict(image_model.state_dict())  # without the windows of images in its metadata
    own = video_model.state_dict()
    for key, value in state.items():
        if value.shape != own[key].shape:
            is_table = key.endswith('cpb_mlp.0.weight')  # offsets in time come first
            zeros = torch.zeros_like(value[:, :1])
            state[key] = torch.cat([zeros, value], 1) if is_table else value.unsqueeze(2)
    video_model.load_state_dict(state)
    image, data = torch.randn(2, 3, 64, 96), masks(2, 2, 3)
    clips = [sample(element.mask[None]) for element in data]
    assert_close(video_model(image.unsqueeze(2), clips), image_model(image, data).unsqueeze(2))
    loss = video_model(image.unsqueeze(2), clips, mode='loss')['loss']
    assert_close(loss, image_model(image, data, mode='loss')['loss'])


@pytest.mark.parametrize(
    'units, ratio, count', [((6, 6), 0.6, 22), ((6, 6), 0.5, 18), ((1, 2), 0.01, 1)]
)
def test_the_number_of_masked_units_is_rounded_up(units, ratio, count):
    step = RandomUnitMask(ratio=ratio)
    drawn = [step.draw(units, np.random.RandomState(seed)) for seed in range(50)]
    assert {int(mask.sum()) for mask in drawn} == {count}
    shares = np.mean(drawn, axis=0)  # every unit is as likely as any other
    assert np.abs(shares - count / math.prod(units)).max() < 0.3


def test_masks_of_validation_depend_on_the_name_of_the_file_alone():
    step = RandomUnitMask(fixed=True)
    image = np.zeros((192, 192, 3), np.uint8)
    first, again, other = (
        step(dict(img=image, img_path=name))['mask'] for name in ('x/a.jpg', 'y/a.jpg', 'x/b.jpg')
    )
    assert (first == again).all() and (first != other).any()


def test_an_image_smaller_than_a_unit_is_an_error():
    """Even if a crop has enlarged it."""
    results = dict(img=np.zeros((64, 64, 3), np.uint8), ori_shape=(31, 500))
    with pytest.raises(ValueError, match='500 x 31 pixels are fewer than a unit .* 32 x 32'):
        RandomUnitMask()(results)


def test_a_perfect_prediction_restores_the_image():
    """Masked pixels from the normalized prediction, the others from the image."""
    model, data = build(), masks(2, 2, 3)
    image = 3 * torch.randn(2, 3, 64, 96) + 1
    pixels = model.pixels_of(torch.stack([element.mask for element in data]))
    restored = model.restore(image, normalize_locally(image), pixels)
    assert_close(restored, image, atol=1e-4, rtol=1e-4)
    wrong = model.restore(image, torch.zeros_like(image), pixels)
    assert (wrong != image).any(1).equal(pixels[:, 0].bool())


def test_predictions_hold_the_pixels_of_the_file():
    """Image and reconstruction are RGB values; the loss is that of each image."""
    model, data = build(), masks(2, 2, 2)
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    preprocess = ImgDataPreprocessor(mean=mean, std=std, bgr_to_rgb=True)
    model.data_preprocessor = preprocess
    files = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in data]
    found = model.test_step(dict(inputs=files, data_samples=data))
    for file, element in zip(files, found):
        assert element.image.equal(file.flip(0))
        seen = ~model.pixels_of(element.mask[None])[0, 0].bool()
        assert element.reconstruction[:, seen].equal(file.flip(0)[:, seen])
    inputs = preprocess(dict(inputs=files))['inputs']
    losses = torch.stack([element.masked_l1 for element in found])
    assert_close(losses.mean(), model(inputs, data, mode='loss')['loss'])


def test_clips_are_normalized_as_their_frames():
    settings = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=True)
    clips = [torch.randint(0, 256, (3, 2, 4, 5), dtype=torch.uint8) for _ in range(2)]
    found = ClipDataPreprocessor(**settings)(dict(inputs=clips))['inputs']
    frames = ImgDataPreprocessor(**settings)
    for t in range(2):
        expected = frames(dict(inputs=[clip[:, t] for clip in clips]))['inputs']
        assert_close(found[:, :, t], expected, atol=0, rtol=0)


def test_bf16_changes_the_loss_by_rounding_only():
    model, data = build(), masks(2, 2, 2)
    image = torch.randn(2, 3, 64, 64)
    expected = model(image, data, mode='loss')['loss']
    with torch.autocast('cpu', torch.bfloat16):
        loss = model(image, data, mode='loss')['loss']
    assert loss.dtype == torch.float32
    assert_close(loss, expected, atol=0, rtol=0.01)


def test_tubes_mask_the_same_places_at_all_times():
    mask = RandomUnitMask((2, 32, 32), tubes=True).draw((4, 6, 6), np.random.RandomState(0))
    assert (mask == mask[:1]).all() and mask[0].sum() == 22


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(ratio=1.0), 'ratio=1.0 must be above 0 and below 1'),
        (dict(unit=0), 'unit=0 must be pixels'),
    ],
)
def test_arguments_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        RandomUnitMask(**change)


def test_sizes_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match='input of 100 x 192 does not divide into units'):
        RandomUnitMask()(dict(img=np.zeros((100, 192, 3), np.uint8)))
    model = build()
    with pytest.raises(ValueError, match='images of 64 x 100 do not divide'):
        model(torch.zeros(1, 3, 64, 100), masks(1, 2, 3))
    with pytest.raises(ValueError, match='which have \\(2, 3\\) units'):
        model(torch.zeros(1, 3, 64, 96), masks(1, 2, 2))
