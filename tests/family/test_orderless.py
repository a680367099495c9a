"""Multi-scale orderless pooling against patches that are cut out one by one."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.reference.family import descriptors as oracle
from tests.family import same

RNG = np.random.default_rng(20)
MATRIX = RNG.standard_normal((3 * 64, 6))


def features(patches):
    """A toy extractor that is the same for every size: mean colours of 8 x 8 cells, mixed. Patches (n, H, W, 3)."""
    n, height, width, _ = patches.shape
    cells = patches[:, : height // 8 * 8, : width // 8 * 8].reshape(n, 8, height // 8, 8, width // 8, 3)
    return np.tanh(cells.mean(axis=(2, 4)).reshape(n, -1) @ MATRIX)


def unit(v):
    return v / np.linalg.norm(v)


def expected(image, centers, levels, stride, project=None, reduce=None, steps=("sqrt", "l2"), weigh=None):
    parts = []
    for size in levels:
        if size is None:
            parts.append(unit(features(image[None])[0]))
            continue
        rows = []
        for top in range(0, image.shape[0] - size + 1, stride):
            for left in range(0, image.shape[1] - size + 1, stride):
                rows.append(features(image[None, top : top + size, left : left + size])[0])
        rows = np.array(rows) if project is None else np.array(rows) @ project
        distances = ((rows[:, None] - centers) ** 2).sum(axis=-1)
        weights = oracle.one_hot(distances.argmin(axis=1), len(centers)) if weigh is None else weigh(distances)
        v = oracle.vlad(rows[None], centers, weights[None], steps)[0]
        parts.append(unit(v if reduce is None else v @ reduce))
    return unit(np.concatenate(parts))


def test_patches_cut_one_by_one():
    for _ in range(100):
        image = RNG.uniform(0, 1, (int(RNG.integers(32, 70)), int(RNG.integers(32, 70)), 3))
        centers = 0.3 * RNG.standard_normal((4, 6))
        levels = [(None, 32, 16), (32,), (16, None), (24, 16, 8)][int(RNG.integers(4))]
        stride = int(RNG.integers(3, 20))
        kept = {"levels": levels, "stride": stride}
        y = fastpool.mop_pool(image, features, centers, layout="HWC", batch=int(RNG.integers(1, 9)), **kept)
        np.testing.assert_allclose(y, expected(image, centers, **kept), rtol=1e-9, atol=1e-12)
        first = np.ascontiguousarray(np.moveaxis(image, -1, 0))
        again = fastpool.mop_pool(first, lambda p: features(np.moveaxis(p, 1, -1)), centers, **kept)
        np.testing.assert_allclose(again, y, rtol=1e-12, atol=1e-14)


def test_projections():
    image = RNG.uniform(0, 1, (48, 40, 3))
    project, reduce = RNG.standard_normal((6, 4)), RNG.standard_normal((12, 5))
    centers = RNG.standard_normal((3, 4))
    kept = {"levels": (None, 16), "stride": 8}
    wanted = expected(image, centers, project=project, reduce=reduce, **kept)
    given = {**kept, "layout": "HWC"}
    y = fastpool.mop_pool(image, features, centers, project=project, reduce=reduce, **given)
    assert y.shape == (6 + 5,)
    np.testing.assert_allclose(y, wanted, rtol=1e-9, atol=1e-12)
    ways = {"project": (lambda rows: rows @ project,), "reduce": lambda rows: rows @ reduce}
    np.testing.assert_allclose(fastpool.mop_pool(image, features, (centers,), **ways, **given), wanted, rtol=1e-9)


def test_several_centres():
    image = RNG.uniform(0, 1, (48, 40, 3))
    centers = RNG.standard_normal((6, 6))

    def weigh(distances):
        powers = np.exp(-distances / (2 * 0.7**2))
        powers[distances > np.sort(distances, axis=1)[:, 2:3]] = 0
        return powers / powers.sum(axis=1, keepdims=True)

    kept = {"levels": (16,), "stride": 8}
    y = fastpool.mop_pool(image, features, centers, nearest=3, sigma=0.7, layout="HWC", **kept)
    np.testing.assert_allclose(y, expected(image, centers, weigh=weigh, **kept), rtol=1e-9, atol=1e-12)
    fastpool.mop_pool(image, features, centers, nearest=99, layout="HWC", **kept)


def test_patches_are_views():
    image = np.zeros((64, 64))
    image.setflags(write=False)
    shapes = []

    def extract(patches):
        assert np.shares_memory(patches, image)
        shapes.append(patches.shape)
        return np.ones((len(patches), 2))

    fastpool.mop_pool(image, extract, np.zeros((1, 2)), levels=(None, 32), stride=8, batch=3)
    assert shapes == [(1, 64, 64), *[(3, 32, 32), (2, 32, 32)] * 5]


def test_torch_extractor():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 5, 7, 4)

    def extract(patches):
        with torch.no_grad():
            return layer(patches).amax(dim=(2, 3))

    image = torch.rand(3, 64, 80)
    centers = torch.rand(4, 5)
    y = fastpool.mop_pool(image, extract, centers, levels=(None, 32, 16), stride=16)
    assert isinstance(y, torch.Tensor)
    assert y.shape == (5 + 20 + 20,)
    assert abs(float(y.norm()) - 1) < 1e-6
    in_numpy = fastpool.mop_pool(
        image.numpy(), lambda p: extract(torch.tensor(p)).numpy(), centers.numpy(), levels=(None, 32, 16), stride=16
    )
    np.testing.assert_allclose(y.numpy(), in_numpy, rtol=1e-4, atol=1e-6)


def test_same_bits_for_any_batch():
    image = RNG.uniform(0, 255, (64, 48, 3)).astype(np.uint8)
    centers = np.eye(3, 3)

    def call(batch):
        return fastpool.mop_pool(
            image, lambda p: p.mean(axis=(1, 2)), centers, levels=(32,), stride=8, batch=batch, layout="HWC"
        )

    for batch in (1, 2, 100):
        same.assert_same_bits(call(batch), call(64))


def ones(patches):
    return np.ones((len(patches), 2))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"image": np.ones((1, 3, 40, 40))}, ValueError, "two axes, or three"),
        ({"image": np.ones((40, 30))}, ValueError, "a patch of 32 x 32: the image has 40 x 30"),
        ({"extract": 3}, TypeError, "function of patches"),
        ({"extract": lambda p: np.ones(len(p))}, ValueError, "one row of features a patch"),
        ({"extract": lambda p: np.ones((len(p) + 1, 2))}, ValueError, "one row of features a patch"),
        ({"extract": lambda p: np.ones((len(p), 2), int)}, TypeError, "float32 or float64"),
        ({"extract": lambda p: [[1.0]]}, TypeError, "an array is needed"),
        ({"centers": np.ones((4, 3))}, ValueError, "the features are 2 numbers"),
        ({"centers": np.ones((4, 2), np.float32)}, ValueError, "dtype float64"),
        ({"centers": (np.ones((4, 2)),) * 3}, ValueError, "3 entries for 2 sizes"),
        ({"centers": None}, TypeError, "needs an array"),
        ({"centers": np.ones((0, 2))}, TypeError, "needs an array"),
        ({"project": np.ones((3, 2))}, ValueError, "there are 2 features"),
        ({"reduce": np.ones((3, 2))}, ValueError, "there are 8 features"),
        ({"levels": ()}, TypeError, "a level at least"),
        ({"levels": 64}, TypeError, "must be a tuple"),
        ({"levels": (0,)}, ValueError, "at least 1"),
        ({"stride": 0}, ValueError, "at least 1"),
        ({"batch": 0}, ValueError, "at least 1"),
        ({"nearest": 0}, ValueError, "at least 1"),
        ({"sigma": 0.0}, ValueError, "from 1e-150"),
        ({"normalize": "max"}, ValueError, "unknown word"),
        ({"out": np.full(17, 7.0)}, ValueError, "the result has shape"),
        ({"out": np.full(18, 7.0, np.float32)}, TypeError, "float32"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"image": np.ones((40, 40)), "extract": ones, "centers": np.zeros((4, 2)), "levels": (None, 32, 16)}
    given |= {"stride": 8, "out": np.full(18, 7.0)} | change
    with pytest.raises(error, match=words):
        fastpool.mop_pool(given.pop("image"), given.pop("extract"), given.pop("centers"), **given)
    assert (given["out"] == 7).all()
