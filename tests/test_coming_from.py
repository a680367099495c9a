"""The equivalences that the README gives to users of other libraries."""

import numpy as np
import pytest

import fastpool


@pytest.fixture
def image():
    return np.random.default_rng(2).integers(0, 256, (45, 70), np.uint8)


def test_torch_max_pool():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 3, 21, 20)))
    expected = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    assert torch.equal(fastpool.max_pool2d(x, 3, 2, 1), expected)


def test_torch_channels_last():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 3, 21, 20)))
    x = x.contiguous(memory_format=torch.channels_last)
    y = fastpool.max_pool2d(x, 3, 2, 1)
    assert torch.equal(y, torch.nn.functional.max_pool2d(x, 3, 2, 1))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_torch_adaptive_average():
    torch = pytest.importorskip("torch")
    x = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    expected = torch.nn.functional.adaptive_avg_pool2d(x, 1)
    assert torch.equal(fastpool.global_avg_pool(x, keepdims=True), expected)


def test_flax_same(image):
    """SAME: ceil(n / s) windows, an odd padding's extra element at the end, which is never a maximum."""
    x = image[None, :, :, None].astype(np.float32)
    padded = np.pad(image.astype(np.float32), ((1, 1), (0, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[::2, ::2]
    y = fastpool.max_pool2d(x, 3, 2, "same", layout="NHWC")
    np.testing.assert_array_equal(y[0, :, :, 0], windows.max(axis=(2, 3)))


def test_scikit_image_block_reduce(image):
    measure = pytest.importorskip("skimage.measure")
    photo = np.stack([image, image[::-1], image[:, ::-1]], axis=-1)
    dropped = measure.block_reduce(photo[:44], (2, 2, 1), np.max)
    np.testing.assert_array_equal(fastpool.pool(photo, (2, 2), "max", axes=(0, 1)), dropped)
    # of unsigned values, the zeros that block_reduce fills in are never the larger ones
    kept = measure.block_reduce(photo, (2, 2, 1), np.max)
    np.testing.assert_array_equal(fastpool.pool(photo, (2, 2), "max", axes=(0, 1), ceil_mode=True), kept)


def test_scipy_maximum_filter(image):
    ndimage = pytest.importorskip("scipy.ndimage")
    y = fastpool.pool(image, 5, "max", stride=1, padding="same")
    np.testing.assert_array_equal(y, ndimage.maximum_filter(image, 5))


def test_scipy_uniform_filter(image):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = image.astype(np.float64)
    y = fastpool.pool(x, 5, "mean", stride=1, padding="same")
    # sums of integers are exact here; what differs is SciPy's division per axis and its running sum
    expected = ndimage.correlate(x, np.ones((5, 5)), mode="constant") / 25
    np.testing.assert_array_equal(y, expected)
    running = ndimage.uniform_filter(x, 5, mode="constant")
    np.testing.assert_allclose(running, y, rtol=0, atol=70 * 256 * 2**-52)


def test_xarray_coarsen():
    x = np.random.default_rng(2).normal(size=(3, 9, 10)).astype(np.float32)
    x[x > 1] = np.nan
    blocks = x[:, :8, :8].reshape(3, 2, 4, 2, 4).astype(np.float64)
    y = fastpool.pool(x, (4, 4), "mean", nan="ignore")
    unit = np.spacing(np.nanmean(np.abs(blocks), axis=(2, 4)).astype(np.float32))
    assert np.all(np.abs(y - np.nanmean(blocks, axis=(2, 4))) <= 4 * unit)
