"""The programs in examples/ run, and what they return agrees with NumPy."""

import os
import runpy
import shutil

import numpy as np
import pytest

from fastpool import njit

pytestmark = pytest.mark.usefixtures("known_reductions")


@pytest.fixture
def example(repository, tmp_path):
    def run(name):
        # a copy: Numba caches what runs beside it, and finds no module for it in another process
        return runpy.run_path(shutil.copy(repository / "examples" / f"{name}.py", tmp_path))

    return run


def test_mipmaps(example, capsys):
    levels = example("mipmaps")["main"]()
    assert [level.shape[:2] for level in levels] == [
        (300, 200),
        (150, 100),
        (75, 50),
        (38, 25),
        (19, 13),
        (10, 7),
        (5, 4),
        (3, 2),
        (2, 1),
        (1, 1),
    ]
    assert {level.dtype for level in levels} == {np.dtype(np.uint8)}
    blocks = levels[0].reshape(150, 2, 100, 2, 3).astype(int)
    np.testing.assert_array_equal(levels[1], blocks.sum(axis=(1, 3)) // 4)
    # 75 rows: the last one stands alone
    np.testing.assert_array_equal(levels[3][37], levels[2][74].reshape(25, 2, 3).astype(int).sum(axis=1) // 2)
    assert len(capsys.readouterr().out.splitlines()) == len(levels)


def test_coarsen_raster(example):
    raster, mean, warmest, place = example("coarsen_raster")["main"]()
    blocks = raster.reshape(30, 24, 40, 36).transpose(0, 2, 1, 3).reshape(30, 40, -1)
    empty = np.isnan(blocks).all(axis=-1)
    assert empty.any()
    assert not empty.all()
    np.testing.assert_array_equal(np.isnan(mean), empty)
    np.testing.assert_array_equal(place == -1, empty)
    np.testing.assert_array_equal(warmest[~empty], np.nanmax(blocks[~empty], axis=-1))
    np.testing.assert_array_equal(raster.ravel()[place[~empty]], warmest[~empty])
    exact = np.nanmean(blocks[~empty].astype(np.float64), axis=-1)
    assert np.all(np.abs(mean[~empty] - exact) <= 4 * np.spacing(mean[~empty]))


def test_training_step(example, monkeypatch):
    """The loss falls, and its course is that of a gradient that NumPy computes."""
    program = example("training_step")
    losses = program["train"]()
    assert losses[-1] < 0.5 * losses[0]

    class InNumpy:
        max_pool2d = None

        @staticmethod
        def vjp(_, x, k):
            blocks = x.reshape(*x.shape[:2], 5, k, 5, k).swapaxes(3, 4)
            flat = blocks.reshape(*blocks.shape[:4], k * k)
            won = np.eye(k * k)[flat.argmax(axis=-1)]

            def pullback(dy):
                spread = (won * dy[..., None]).reshape(blocks.shape)
                return spread.swapaxes(3, 4).reshape(x.shape)

            return flat.max(axis=-1), pullback

    monkeypatch.setitem(program["train"].__globals__, "fastpool", InNumpy)
    np.testing.assert_array_equal(program["train"](), losses)


def test_star_finder(example, capsys):
    njit.init()
    counts, brightest, places, light = example("star_finder")["main"]()
    assert counts.tolist() == [len(light) - i for i in range(len(counts))]
    for i, place in enumerate(brightest):
        assert place.tolist() == places[np.argmax(light[: len(light) - i])].tolist()
    assert len(capsys.readouterr().out.splitlines()) == len(counts)


def test_train_digits(example, capsys, tmp_path):
    pytest.importorskip("sklearn")
    program = example("train_digits")
    here, missing = program["available"]()
    assert {"max", "avg", "lp", "own"} <= set(here)
    assert set(here) | set(missing) == set(program["POOLS"])
    for name in ("max", "avg", "own"):
        found = program["main"](["--pool", name, "--epochs", "4", "--count", "700"])
        assert found[name] > 0.6
        assert len(capsys.readouterr().err.splitlines()) == 1


SOME = ("max", "avg", "own", "gem", "mixed", "wavelet")


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [pytest.param(SOME, id="some"), pytest.param(None, id="others", marks=pytest.mark.exhaustive)]
)
def test_every_pooling_reads_digits(names, example, capsys):
    """At least 97 of 100, with every pooling that is here, in less than two minutes each on two processors.

    Workers of pytest share them: as many workers, as much longer.
    """
    pytest.importorskip("sklearn")
    program = example("train_digits")
    here, missing = program["available"]()
    assert set(here) | set(missing) == set(program["POOLS"])
    assert len(here) >= 8
    limit = 120 * int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for name in names or [name for name in here if name not in SOME]:
        found = program["main"](["--pool", name])
        assert found[name] >= 0.97, found
        (line,) = (line for line in capsys.readouterr().out.splitlines() if "held-out" in line)
        assert float(line.split()[-2]) < limit, line


def test_gradients_of_the_network(example):
    """The gradient of the loss is that of differences, through every layer, with a pooling that learns too."""
    pytest.importorskip("sklearn")
    program = example("train_digits")
    (images, labels), _ = program["digits"]()
    images, labels = images[:5].astype(np.float64), labels[:5]
    network = program["Network"](program["POOLS"]["lp"], (3, 4))
    rng = np.random.default_rng(3)
    # no bias of 0: where an image is empty its ReLU would stand on the edge
    network.values = {name: v + rng.uniform(0.05, 0.1, v.shape) for name, v in network.values.items()}

    def loss():
        scores = network.scores(images)
        return np.log(np.exp(scores).sum(axis=1)).mean() - scores[np.arange(5), labels].mean()

    before = {name: value.copy() for name, value in network.values.items()}
    slopes = {}
    for name, value in network.values.items():
        place = np.unravel_index(value.size // 2, value.shape)
        value[place] += 1e-6
        up = loss()
        value[place] -= 2e-6
        slopes[name] = place, (up - loss()) / 2e-6
        value[place] += 1e-6
    network.means = {name: (np.zeros_like(v), np.zeros_like(v)) for name, v in before.items()}
    network.learn(images, labels, 0.0)
    # the mean of Adam after one step is a tenth of the gradient
    for name, (place, slope) in slopes.items():
        np.testing.assert_allclose(10 * network.means[name][0][place], slope, rtol=1e-4, atol=1e-8, err_msg=name)


def test_picture_of_digits(example, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    path = tmp_path / "digits.png"
    example("train_digits")["main"](["--pool", "max", "--epochs", "1", "--count", "64", "--plot", str(path)])
    assert path.read_bytes()[:4] == b"\x89PNG"
