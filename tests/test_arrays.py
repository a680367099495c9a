"""Arrays of every kind and memory order: the same kind comes out, and nothing is copied on the way."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastpool
from fastpool import dispatch, library
from fastpool.functional import _call
from fastpool.memory import memory_order, normal_strides, overlaps_itself

NUMPY_DTYPES = ["?", "b", "h", "i", "l", "q", "B", "H", "I", "L", "Q", "e", "f", "d", "g"]

RNG = np.random.default_rng(5)


def numbers(shape, dtype=np.float32):
    """Whole numbers that every element type can hold."""
    return RNG.integers(0, 2 if np.dtype(dtype) == bool else 100, shape).astype(dtype)


def blocks(x, reduce):
    """What pooling by 2 x 2 over the last two axes gives, by NumPy alone."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(-2, -1))[..., ::2, ::2, :, :]
    return reduce(windows, axis=(-2, -1))


class Minimal:
    """The least that an array library gives: DLPack, and a namespace that makes an array from it."""

    def __init__(self, data):
        self.data = data

    def __dlpack__(self, **kwargs):
        return self.data.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __array_namespace__(self, api_version=None):
        return Minimal

    @staticmethod
    def from_dlpack(other):
        return Minimal(np.from_dlpack(other))


class Nameless:
    """DLPack alone: readable, but there is no way to make another one."""

    def __dlpack__(self, **kwargs):
        raise AssertionError("refused before it is read")

    def __dlpack_device__(self):
        return 1, 0


@pytest.fixture
def seen(monkeypatch):
    """The arrays that reach the kernels. No call takes the short way to them."""
    monkeypatch.setattr(library, "door", lambda: None)
    monkeypatch.setattr(_call, "_run_known", None)
    arrays = []
    forward = dispatch.forward

    def record(problem, x, y, indices):
        arrays.append((problem, x, y, indices))
        forward(problem, x, y, indices)

    monkeypatch.setattr(dispatch, "forward", record)
    return arrays


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_numpy_dtypes(dtype):
    x = numbers((2, 3, 4, 6), dtype)
    y = fastpool.max_pool2d(x, 2)
    assert type(y) is np.ndarray
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, blocks(x, np.max))


def test_bfloat16(seen):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = numbers((2, 4, 6), ml_dtypes.bfloat16)
    y = fastpool.avg_pool2d(x, 2)
    assert y.dtype == ml_dtypes.bfloat16
    # sums of four numbers below 100 are exact in float32; the mean is rounded once
    np.testing.assert_array_equal(y, blocks(x.astype(np.float32), np.mean).astype(ml_dtypes.bfloat16))
    problem, data, result, _ = seen[0]
    assert problem.dtype == "bf16"
    assert data.dtype == result.dtype == np.uint16
    assert np.shares_memory(data, x)


@pytest.mark.parametrize("dtype", ["F", "D", "G"])
def test_complex(dtype):
    x = numbers((3, 4, 4), dtype) + np.array(1j, dtype) * numbers((3, 4, 4))
    y = fastpool.sum_pool2d(x.astype(dtype), 2)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, blocks(x, np.sum))


STRIDED = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "sliced": lambda a: np.repeat(np.repeat(a, 3, axis=2), 2, axis=3)[:, :, ::3, ::2],
    "negative": lambda a: np.ascontiguousarray(a[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1],
    "zero": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "zero in the plane": lambda a: np.broadcast_to(a[..., :1], a.shape),
    "offset": lambda a: np.pad(a, 1)[1:-1, 1:-1, 1:-1, 1:-1],
}


@pytest.mark.parametrize("form", STRIDED)
@pytest.mark.parametrize("writeable", [True, False])
def test_strided_input_is_read_in_place(form, writeable, seen):
    x = STRIDED[form](numbers((2, 3, 4, 6)))
    if not writeable:
        x = x.view()
        x.flags.writeable = False
    y = fastpool.max_pool2d(x, 2)
    np.testing.assert_array_equal(y, blocks(x, np.max))
    problem, data, _, _ = seen[0]
    assert data.__array_interface__["data"][0] == x.__array_interface__["data"][0]
    assert data.strides == x.strides
    strides = problem.x_strides or tuple(step // 4 for step in np.empty(x.shape, np.float32).strides)
    assert strides == tuple(step // 4 for step in x.strides)


def test_elements_that_are_not_aligned_are_copied_once(seen):
    table = np.zeros((4, 6), np.dtype([("flag", "u1"), ("height", "f4")]))
    table["height"] = numbers((4, 6))
    assert table["height"].strides[1] == 5
    y = fastpool.max_pool2d(table["height"], 2)
    np.testing.assert_array_equal(y, blocks(table["height"].copy(), np.max))
    assert not np.shares_memory(seen[0][1], table)


def test_memmap(tmp_path):
    x = np.memmap(tmp_path / "x", np.int16, "w+", shape=(4, 6))
    x[...] = numbers((4, 6))
    out = np.memmap(tmp_path / "y", np.int16, "w+", shape=(2, 3))
    assert type(fastpool.max_pool2d(x, 2)) is np.ndarray
    assert fastpool.max_pool2d(x, 2, out=out) is out
    np.testing.assert_array_equal(out, blocks(np.asarray(x), np.max))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 3, 2)])
@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 3, 4, 6), (2, 1, 4, 6), (2, 3, 2, 6)])
def test_result_keeps_a_dense_order_of_axes(order, shape):
    x = np.ascontiguousarray(numbers(shape).transpose(order)).transpose(np.argsort(order))
    y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
    dx = fastpool.max_pool2d_backward(y, x, 2, indices=indices)
    for result in (y, indices, dx):
        # dense in x's order: turned to that order it is contiguous
        assert result.transpose(order).flags.c_contiguous
    np.testing.assert_array_equal(y, blocks(x, np.max))
    np.testing.assert_array_equal(fastpool.avg_pool2d_backward(y, x, 2), fastpool.avg_pool2d_backward(y, shape, 2))


@pytest.mark.parametrize("form", ["sliced", "negative", "zero", "offset"])
def test_result_of_input_that_is_not_dense_is_in_c_order(form):
    x = STRIDED[form](numbers((2, 3, 4, 6)))
    y, indices = fastpool.max_pool2d(x, 2, return_indices="tap")
    dx = fastpool.max_pool2d_backward(y, x, 2, indices=indices, index_kind="tap")
    assert y.flags.c_contiguous
    assert indices.flags.c_contiguous
    assert dx.flags.c_contiguous


@pytest.mark.parametrize("form", ["Fortran", "transposed", "sliced", "negative", "offset"])
def test_out_may_have_any_strides(form):
    x = numbers((2, 3, 8, 12))
    out = STRIDED[form](np.full((2, 3, 4, 6), -1, np.float32))
    indices = STRIDED[form](np.full((2, 3, 4, 6), -1))
    pair = (out, indices)
    assert fastpool.max_pool2d(x, 2, return_indices=True, out=pair) is pair
    np.testing.assert_array_equal(out, blocks(x, np.max))
    np.testing.assert_array_equal(np.take_along_axis(x.reshape(6, -1), indices.reshape(6, -1), 1), out.reshape(6, -1))
    dx = STRIDED[form](np.full((2, 3, 8, 12), -1, np.float32))
    assert fastpool.avg_pool2d_backward(out, x, 2, out=dx) is dx
    np.testing.assert_array_equal(dx, np.repeat(np.repeat(out, 2, 2), 2, 3) / 4)


def test_out_between_the_elements_of_x_is_no_overlap():
    buffer = numbers((4, 12))
    x, out = buffer[:, ::2], buffer[:2, 1::4]
    expected = blocks(x, np.max)
    fastpool.max_pool2d(x, 2, out=out)
    np.testing.assert_array_equal(out, expected)


def test_strides_of_axes_with_one_element_say_nothing():
    assert normal_strides((1, 3, 4), (77, 4, 1)) == ()
    assert normal_strides((2, 1, 4), (4, -5, 1)) == ()
    assert normal_strides((2, 1, 3), (1, 99, 2)) == (1, 6, 2)
    assert normal_strides((2, 0, 3), (1, 1, 1)) == ()
    assert memory_order(np.empty((1, 4, 3)).transpose(2, 1, 0)) == (2, 1, 0)
    assert memory_order(np.empty((2, 4, 3))[:1].transpose(2, 1, 0)) == (2, 1, 0)


def test_overlap_of_an_array_with_itself():
    buffer = np.zeros(64)
    assert not overlaps_itself(buffer.reshape(8, 8)[::2, ::-3])
    assert not overlaps_itself(buffer.reshape(8, 8).diagonal())
    assert overlaps_itself(np.lib.stride_tricks.as_strided(buffer, (4, 4), (8, 8)))
    assert overlaps_itself(np.lib.stride_tricks.as_strided(buffer, (4, 2), (16, 16)))


def test_an_array_with_dlpack_and_a_namespace(seen):
    data = numbers((3, 4, 6))
    y, taps = fastpool.max_pool2d(Minimal(data), 2, return_indices="tap")
    assert type(y) is type(taps) is Minimal
    np.testing.assert_array_equal(y.data, blocks(data, np.max))
    assert np.shares_memory(seen[0][1], data)
    dx = fastpool.max_pool2d_backward(y, Minimal(data), 2, indices=taps, index_kind="tap")
    assert type(dx) is Minimal
    np.testing.assert_array_equal(dx.data, fastpool.max_pool2d_backward(y.data, data, 2))


def test_out_with_dlpack_is_written_in_place():
    data, out = numbers((4, 6)), Minimal(np.zeros((2, 3), np.float32))
    assert fastpool.max_pool2d(Minimal(data), 2, out=out) is out
    np.testing.assert_array_equal(out.data, blocks(data, np.max))
    out.data.flags.writeable = False
    with pytest.raises(ValueError, match="out: it is read-only"):
        fastpool.max_pool2d(Minimal(data), 2, out=out)


def test_an_array_that_cannot_be_made_is_refused_before_the_work(seen):
    with pytest.raises(TypeError, match=r"x is a .*Nameless: it has no from_dlpack .*; give np.from_dlpack\(x\)"):
        fastpool.max_pool2d(Nameless(), 2)
    assert not seen


def test_kinds_are_not_mixed():
    data = numbers((4, 6))
    message = "all arrays of a call must be of one kind, here numpy.ndarray"
    with pytest.raises(TypeError, match=f"out is a .*Minimal: {message}"):
        fastpool.max_pool2d(data, 2, out=Minimal(np.zeros((2, 3), np.float32)))
    with pytest.raises(TypeError, match=f"x is a .*Minimal: {message}"):
        fastpool.max_pool2d_backward(data[:2, :3], Minimal(data), 2)
    with pytest.raises(TypeError, match=f"indices is a .*Minimal: {message}"):
        fastpool.max_pool2d_backward(data[:2, :3], data, 2, indices=Minimal(np.zeros((2, 3), int)))
    _, pullback = fastpool.vjp(fastpool.max_pool2d, data, 2)
    with pytest.raises(TypeError, match=f"grad_output is a .*Minimal: {message}"):
        pullback(Minimal(data[:2, :3]))


def test_import_is_light_and_numpy_arrays_need_no_other_library():
    code = (
        "import sys, numpy, fastpool\n"
        "heavy = ('numba', 'llvmlite', 'torch', 'jax', 'scipy', 'skimage', 'ml_dtypes')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "fastpool.explain(fastpool.max_pool1d, numpy.zeros(4), 2)\n"
        "print([name for name in heavy[2:] if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
