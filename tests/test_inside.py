"""Windows that all lie on the input: planes and rows that are joined, and what is written around the caches."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool import config, fusing
from tests.around import around_caches

K2S2, APART = "rows_fused_k2s2", "rows_apart"
BEHIND = 77


def some(*dtypes):
    """Element types: the first two, and others whose kernels take as long to compile and differ by the type alone."""
    return [*dtypes[:2], *(pytest.param(dtype, marks=pytest.mark.exhaustive) for dtype in dtypes[2:])]


@pytest.fixture
def by_jit(monkeypatch):
    """Kernels that are planned here: the C library has limits of its own."""
    monkeypatch.setenv("FASTPOOL_ENGINE", "jit")


def data(shape, dtype, rng):
    """Values whose sums depend on the order, some of them NaN in some arrays."""
    if dtype[0] in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    if rng.integers(0, 2):
        x[rng.random(shape) < 0.01] = np.nan
    return x


def held_against_sweeps(x, kernel, form, op, skew, monkeypatch):
    """Pools into an output that begins ``skew`` elements into a larger array: the bits are those of a sweep, and what
    lies around is not touched."""
    arguments = {"op": op, "axes": tuple(range(2, x.ndim)), "stride": kernel}
    monkeypatch.setenv(config.FORCE_KERNEL.name, "rows")
    expected = fastpool.pool(x, kernel, **arguments)
    place = np.full(expected.size + 130, BEHIND, expected.dtype)
    out = place[skew : skew + expected.size].reshape(expected.shape)
    monkeypatch.setenv(config.FORCE_KERNEL.name, form)
    fastpool.pool(x, kernel, out=out, **arguments)
    (name,) = fastpool.explain(fastpool.pool, x, kernel, **arguments).kernels
    assert name.endswith(form)
    assert out.tobytes() == expected.tobytes()
    assert (place[:skew] == BEHIND).all()
    assert (place[skew + expected.size :] == BEHIND).all()


@pytest.mark.parametrize("dtype", some("float32", "uint8", "float64", "int32", "float16"))
@pytest.mark.parametrize("op", ["max", "mean"])
@pytest.mark.parametrize("around", [False, True])
def test_windows_apart(op, dtype, around, by_jit, monkeypatch):
    if (op == "mean" and dtype[:5] != "float") or (op, dtype) == ("mean", "float16"):
        pytest.skip("no arithmetic on vectors")
    if around:
        around_caches(monkeypatch)
        monkeypatch.setattr(fusing, "LONG_BLOCK", 128)
    rng = np.random.default_rng(0)
    for kernel in range(3, 9) if np.dtype(dtype).itemsize >= 4 else (4, 8):
        # rows that follow one another without a gap, and some with elements that no window has
        for skew, outputs, more in ((0, 700, 0), (4, 129, 0), (1, 64, 2), (33, 150, 1)):
            x = data((2, 3, kernel * outputs + more), dtype, rng)
            held_against_sweeps(x, (kernel,), APART, op, skew, monkeypatch)
            held_against_sweeps(x[::-1], (kernel,), APART, op, skew, monkeypatch)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("op", ["max", "mean"])
@pytest.mark.parametrize("around", [False, True])
def test_windows_of_two(op, dtype, around, by_jit, monkeypatch):
    if (op, dtype) == ("mean", "uint8"):
        pytest.skip("no arithmetic on vectors")
    if around:
        around_caches(monkeypatch)
        monkeypatch.setattr(fusing, "LONG_BLOCK", 128)
    rng = np.random.default_rng(1)
    # planes that go on and planes that do not; rows below a vector, where the next one lies behind, and above
    shapes = ((3, 4, 8, 8), (3, 4, 9, 8), (2, 5, 6, 57), (2, 3, 40, 28), (2, 3, 10, 160), (1, 2, 3, 2000))
    for shape in (*shapes, (2, 3, 1500), (2, 2, 4, 6, 8), (2, 2, 5, 6, 40), (2, 2, 4, 7, 150)):
        x = data(shape, dtype, rng)
        for skew in (0, 5):
            held_against_sweeps(x, (2,) * (len(shape) - 2), K2S2, op, skew, monkeypatch)
        wide = data((*shape[:-1], shape[-1] + 3), dtype, rng)
        held_against_sweeps(wide[..., 1:-2], (2,) * (len(shape) - 2), K2S2, op, 1, monkeypatch)


def test_planes_are_joined():
    x = np.zeros((2, 3, 8, 8), np.float32)
    tiles = {}
    for name, array in (("whole", x), ("cut", np.zeros((2, 3, 9, 8), np.float32)[:, :, :8])):
        (task,) = fastpool.explain(fastpool.max_pool2d, array, 2).tasks
        tiles[name] = task.form.name
    assert tiles == {"whole": K2S2, "cut": "rows_stacked"}


@pytest.mark.parametrize("dtype", some("float32", "uint8", "float64", "int16"))
def test_taps_of_planes_that_are_one(dtype, by_jit, monkeypatch):
    # few rows of a tile, so that one ends where the next begins
    monkeypatch.setattr(fusing, "TILE_BYTES", 900)
    rng = np.random.default_rng(2)
    for shape in ((3, 40, 4, 2), (2, 9, 8, 14), (2, 9, 8, 28), (1, 3, 2, 62), (2, 3, 4, 64), (1, 2, 6, 131)):
        x = data(shape, dtype, rng)
        for array in (x, x[:, ::2], x[:, :, ::-1]):
            found = {}
            for form in ("rows", K2S2):
                monkeypatch.setenv(config.FORCE_KERNEL.name, form)
                values, taps = fastpool.max_pool2d(array, 2, return_indices="tap")
                places = [np.full(made.size + 130, BEHIND, made.dtype) for made in (values, taps)]
                out = tuple(place[3:][: values.size].reshape(values.shape) for place in places)
                fastpool.max_pool2d(array, 2, return_indices="tap", out=out)
                assert [made.tobytes() for made in out] == [values.tobytes(), taps.tobytes()]
                for place in places:
                    assert (place[:3] == BEHIND).all()
                    assert (place[3 + values.size :] == BEHIND).all()
                found[form] = values.tobytes(), taps.tobytes()
            assert found["rows"] == found[K2S2]


def test_small_planes_of_taps_are_not_stacked():
    for shape, form in (((8, 64, 14, 14), K2S2), ((8, 64, 8, 8), K2S2), ((8, 64, 15, 15), "rows_stacked")):
        x = np.zeros(shape, np.float32)
        (task,) = fastpool.explain(fastpool.max_pool2d, x, 2, return_indices="tap").tasks
        assert task.form.name == form
