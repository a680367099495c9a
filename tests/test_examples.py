"""The programs in examples/ run, and what they return agrees with NumPy."""

import runpy
import shutil

import numpy as np
import pytest

from fastpool import njit


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
