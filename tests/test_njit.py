"""The public functions inside @njit: each gives what it gives to a caller in Python, bit for bit."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from numba import njit, prange

import fastpool
from fastpool import config, library
from fastpool import njit as door
from fastpool.functional._binding import FUNCTIONS
from fastpool.njit import record
from tests.strategies import Array

door.init()

RNG = np.random.default_rng(0)


def compiled(call: str, *names: str, **known: Any) -> Callable[..., Any]:
    """A function in nopython mode that returns the value of a call written as text, and the same one for Python."""
    scope = {"fastpool": fastpool, "np": np, **known}
    exec(f"def call({', '.join(names)}):\n    return {call}", scope)
    return njit(scope["call"]), scope["call"]


def same(found: Any, expected: Any) -> None:
    """The same arrays, in value and type."""
    pairs = [(found, expected)] if not isinstance(expected, tuple) else list(zip(found, expected, strict=True))
    for one, other in pairs:
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)
        assert one.tobytes() == other.tobytes()


def numbers(dtype: str, shape: tuple[int, ...]) -> Array:
    if dtype == "bool":
        return RNG.random(shape) < 0.2
    if np.dtype(dtype).kind in "iu":
        return RNG.integers(0, 100, shape).astype(dtype)
    real = RNG.standard_normal(shape)
    return (real + 1j * RNG.standard_normal(shape)).astype(dtype) if np.dtype(dtype).kind == "c" else real.astype(dtype)


def check(call: str, *arrays: Any) -> None:
    """A call of arrays a, b, c, ..., compiled and in Python."""
    fast, plain = compiled(call, *"abcd"[: len(arrays)])
    same(fast(*arrays), plain(*arrays))


def example(name: str) -> tuple[str, list[Any]]:
    """A call of a public function, in words of its own signature, and arrays for it."""
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    forward = name.removesuffix("_backward")
    rank = next((int(word) for word in "123" if f"{word}d" in name), 2)
    x = numbers("float32", (2, 3, 9, 8, 7)[: rank + 2])
    words = {"norm_type": "3.0", "kernel_size": "2", "window": "(2, 3)", "op": "'max'"}
    given = [word for key, word in words.items() if key in parameters]
    if forward == "pool":
        given = ["(2, 3)", "'max'"]
    if name == forward:
        return f"fastpool.{name}(a, {', '.join(given)})", [x]
    y = getattr(fastpool, forward)(x, *map(eval, given))
    return f"fastpool.{name}(b, a, {', '.join(given)})", [x, numbers("float32", y.shape)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function(name: str) -> None:
    call, arrays = example(name)
    check(call, *arrays)


def test_the_record_is_that_of_the_header() -> None:
    owner = library.library()
    if owner is None:
        pytest.skip("no library here")
    ffi, layout = owner.ffi, record.CURRENT
    assert owner.lib.fastpool_abi() == record.ABI
    assert ffi.sizeof("fastpool_spec") == layout.size * 8
    assert owner.lib.FASTPOOL_MAX_RANK == record.MAX_RANK
    known = {name for name, _ in ffi.typeof("fastpool_spec").fields}
    assert known == {*layout.words, *layout.arrays, "divisor", "norm"}
    for name in layout.words:
        assert ffi.offsetof("fastpool_spec", name) == 4 * layout.word(name)
    for name in layout.arrays:
        assert ffi.offsetof("fastpool_spec", name) == 8 * layout.entry(name)
    assert ffi.offsetof("fastpool_spec", "divisor") == 8 * layout.divisor
    assert ffi.offsetof("fastpool_spec", "norm") == 8 * layout.norm


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "uint64", "float64", "complex64", "complex128"])
def test_element_types(dtype: str) -> None:
    x = numbers(dtype, (3, 7, 9))
    if np.dtype(dtype).kind != "c":
        check("fastpool.max_pool2d(a, 3, 2, 1, return_indices='tap')", x)
    if dtype != "bool":
        check("fastpool.avg_pool2d(a, 3, 2, 1)", x)
        check("fastpool.sum_pool2d(a, 2)", x)


WINDOWS = [
    "fastpool.max_pool2d(a, (2, 3), (1, 2), ((0, 1), (1, 1)), (2, 1), True)",
    "fastpool.max_pool2d(a, 2, stride=(3, 1), padding=(0, 1), return_indices='tensor')",
    "fastpool.max_pool2d(a, kernel_size=3, padding='same', layout='channels_last', nan='ignore')",
    "fastpool.avg_pool2d(a, (3, 2), 2, 1, True, False)",
    "fastpool.avg_pool2d(a, 3, 2, (1, (0, 1)), divisor_override=5, layout='CHW')",
    "fastpool.avg_pool2d(a, 3, padding='same_lower', stride=2, nan='ignore')",
    "fastpool.pool(a, 2, 'mean')",
    "fastpool.pool(a, 2, axes=-1)",
    "fastpool.pool(a, (2, 3), 'sum', axes=(-1, 0), stride=1)",
    "fastpool.pool(a, (1, 2), 'lp', norm_type=1)",
    "fastpool.pool(a, (1, 2), 'min', return_indices=True)",
    "fastpool.global_lp_pool(a, 2.5, keepdims=True)",
    "fastpool.global_min_pool(a, layout='channels_last')",
]


@pytest.mark.parametrize("call", WINDOWS)
def test_arguments(call: str) -> None:
    x = numbers("float64", (5, 7, 9))
    x[RNG.random(x.shape) < 0.05] = np.nan
    check(call, x)


@pytest.mark.parametrize("place", ["strided", "negative", "fortran", "turned"])
def test_arrays_of_any_strides(place: str) -> None:
    x = numbers("float32", (4, 10, 12))
    x = {
        "strided": x[::2, :, 1::2],
        "negative": x[:, ::-1],
        "fortran": np.asfortranarray(x),
        "turned": x.transpose(1, 2, 0),
    }[place]
    check("fastpool.max_pool2d(a, 2, return_indices=True)", x)
    check(
        "fastpool.avg_pool2d_backward(b, a.shape, 2)", x, numbers("float32", fastpool.avg_pool2d(x, 2).shape)[..., ::-1]
    )
    fast, plain = compiled("fastpool.lp_pool2d_backward(b, a, 3.0, 2)", "a", "b")
    dy = numbers("float32", fastpool.avg_pool2d(x, 2).shape)
    same(fast(x, dy), plain(x, dy))


def test_results_keep_the_order_of_fortran_arrays() -> None:
    fast, _ = compiled("fastpool.max_pool2d(a, 2)", "a")
    assert fast(np.asfortranarray(numbers("float32", (4, 6, 8)))).flags.f_contiguous
    assert fast(numbers("float32", (4, 6, 8))).flags.c_contiguous


def test_out_is_written_and_returned() -> None:
    x = numbers("float32", (3, 8, 8))
    y, taps = np.zeros((3, 4, 8), np.float32)[..., ::2], np.zeros((3, 4, 4), np.uint8)
    fast, _ = compiled("fastpool.max_pool2d(a, 2, return_indices='tap', out=(b, c))", "a", "b", "c")
    found = fast(x, y, taps)
    same(found, fastpool.max_pool2d(x, 2, return_indices="tap"))
    same((y, taps), found)
    assert found[0].ctypes.data == y.ctypes.data
    many = np.zeros((3, 1, 1), np.uint16)
    wide, _ = compiled("fastpool.pool(a, (1, 16, 16), return_indices='tap', out=(b, c))", "a", "b", "c")
    x = numbers("float32", (3, 16, 16))
    same(wide(x, np.zeros((3, 1, 1), np.float32), many)[1], fastpool.pool(x, (1, 16, 16), return_indices="tap")[1])


def test_what_the_library_lacks_is_done_by_the_other_engines() -> None:
    x = numbers("int16", (3, 8, 8))
    y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
    check("fastpool.max_pool2d_backward(b, a, 2, indices=c)", x, y, indices)


REFUSED = [
    ("fastpool.max_pool2d(a, 0)", "max_pool2d: kernel_size: every entry must be at least 1"),
    ("fastpool.max_pool2d(a, (2, -1))", "max_pool2d: kernel_size: every entry must be at least 1"),
    ("fastpool.max_pool2d(a, 2, stride=0)", "max_pool2d: stride: every entry must be at least 1"),
    ("fastpool.max_pool2d(a, 2, padding=-1)", "max_pool2d: padding: every entry must be at least 0"),
    ("fastpool.max_pool2d(a, 99)", "must fit into the padded axis"),
    ("fastpool.max_pool2d(a[:, :0], 2)", "a pooled axis must have at least one element"),
    ("fastpool.max_pool2d(a, 2, padding=2**62)", "passes 2\\*\\*63 - 1"),
    ("fastpool.max_pool2d(a, 20, return_indices='tap')", "uint8 is not the smallest type"),
    ("fastpool.avg_pool2d(a, 2, divisor_override=0)", "divisor_override: must not be 0"),
    ("fastpool.lp_pool2d(a, -1.0, 2)", "norm_type: must be a finite number above 0"),
    ("fastpool.pool(a, 2, axes=3)", "an axis does not exist in x with 3 axes"),
    ("fastpool.pool(a, (2, 2), axes=(1, -2))", "an axis is named twice"),
    ("fastpool.max_pool2d(a, 2, out=a[:, :12, :12])", "must not lie in the memory of x"),
    ("fastpool.max_pool2d(a, 2, out=np.empty((1, 1, 1), np.float32))", "must have the shape of the result"),
    ("fastpool.max_pool2d_backward(a, a, 2)", "must have the shape of the forward's result"),
    (
        "fastpool.max_pool2d_backward(a[:, ::2, ::2], a, 2, indices=np.full((2, 12, 12), 999))",
        "an index names no tap of its own window",
    ),
    ("fastpool.max_pool2d(a, 2, padding=np.uint64(2**64 - 1))", "padding: every entry must be at least 0"),
    ("fastpool.avg_pool2d(a.astype(np.uint8), 2, divisor_override=np.uint64(2**64 - 1))", "the mean would be negative"),
    ("fastpool.max_pool2d(a[:, :0], 2, padding='same')", "a pooled axis must have at least one element"),
    ("fastpool.set_num_threads(0)", "the number of threads must be at least 1"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[call for call, _ in REFUSED])
def test_values_that_are_refused(call: str, message: str) -> None:
    fast, _ = compiled(call, "a")
    with pytest.raises(ValueError, match=message):
        fast(numbers("float32", (2, 24, 24)))


def test_out_that_repeats_its_elements() -> None:
    fast, _ = compiled("fastpool.max_pool2d(a, 2, out=b)", "a", "b")
    x = numbers("float32", (3, 8, 8))
    memory = np.zeros(64, np.float32)
    for strides in ((0, 4, 1), (16, 4, 0), (4, 4, 1), (8, 4, 1)):
        out = np.lib.stride_tricks.as_strided(memory, (3, 4, 4), tuple(4 * stride for stride in strides))
        with pytest.raises(ValueError, match="its elements must lie apart"):
            fast(x, out)
    for strides in ((16, 4, 1), (1, 3, 12), (-16, 4, 1), (20, 5, 1)):
        first = 32 if strides[0] < 0 else 0
        out = np.lib.stride_tricks.as_strided(memory[first:], (3, 4, 4), tuple(4 * stride for stride in strides))
        same(fast(x, out), fastpool.max_pool2d(x, 2))


def test_flags_of_the_caller() -> None:
    @njit(fastmath=True, boundscheck=True, error_model="numpy")
    def norm(x: Array, p: float) -> Array:
        return fastpool.lp_pool2d(x, p, 2)

    x = numbers("float32", (4, 6))
    same(norm(x, 3.0), fastpool.lp_pool2d(x, 3.0, 2))
    for wrong in (np.inf, np.nan, 0.0, -1.0):
        with pytest.raises(ValueError, match="must be a finite number above 0"):
            norm(x, wrong)


def test_as_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What compiled code cannot do, the next engine does."""
    both = numbers("float32", (8, 16))
    cases = [
        (both[:, ::2], both[:, 1::2]),
        (np.ones((1,) * 15 + (4, 4), np.float32), None),
        (both.astype(np.float16), None),
    ]
    expected = [fastpool.max_pool2d(x.copy(), 1) for x, _ in cases]
    monkeypatch.setenv(config.ENGINE.name, "njit")
    for (x, out), wanted in zip(cases, expected, strict=True):
        same(fastpool.max_pool2d(x, 1, out=out), wanted)
    x = numbers("float32", (6, 6))
    assert fastpool.explain(fastpool.max_pool2d, x, 2).engine == "njit"
    y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
    with pytest.raises(ValueError, match="names no tap"):
        fastpool.max_pool2d_backward(y, x, 2, indices=indices + 100)


UNTYPED = [
    ("fastpool.max_pool2d(a, 1.5)", "it must be an integer, or a tuple of 2"),
    ("fastpool.max_pool2d(a, (1, 2, 3))", "it must be an integer, or a tuple of 2"),
    ("fastpool.max_pool2d(a, 2, layout='NCHW')", "this layout needs 4"),
    ("fastpool.max_pool2d(a, 2, nan='drop')", "unknown word"),
    ("fastpool.max_pool2d(a, 2, ceil_mode=1)", "must be True or False"),
    ("fastpool.max_pool2d(a, 2, out=np.empty((2, 12, 12)))", "the result has the dtype float32"),
    ("fastpool.avg_pool2d(a > 0, 2)", "bool is pooled by max and min alone"),
    ("fastpool.lp_pool2d(a.astype(np.int32), 2, 2)", "lp takes floats"),
    ("fastpool.lp_pool2d_backward(a, a.shape, 2, 2)", "x of type .*: it must be an array"),
    ("fastpool.pool(a, 2, 'median')", "unknown word"),
    ("fastpool.max_pool2d(a, 2, device='cuda')", "inside @njit a call runs on the CPU"),
    ("fastpool.max_pool2d(3.0, 2)", "it must be an array"),
    ("fastpool.max_pool2d_backward(a, a, 1, indices=(1, 2))", "indices of type .* it must be an array"),
    ("fastpool.max_pool2d(a, 2, return_indices=True, out=(a, 3))", "it must be an array of 3 axes"),
    ("fastpool.vjp(fastpool.max_pool2d, a, 2)", "it returns a function"),
]


@pytest.mark.parametrize(("call", "message"), UNTYPED, ids=[call for call, _ in UNTYPED])
def test_types_that_are_refused_when_the_call_is_compiled(call: str, message: str) -> None:
    fast, _ = compiled(call, "a")
    with pytest.raises(numba.TypingError, match=message):
        fast(numbers("float32", (2, 24, 24)))


def test_a_word_that_is_no_constant() -> None:
    fast, _ = compiled("fastpool.max_pool2d(a, 2, layout=b)", "a", "b")
    with pytest.raises(numba.TypingError, match="must be a constant"):
        fast(numbers("float32", (2, 4, 4)), "channels_last")


@njit(parallel=True)
def in_parallel(x: Array, k: int) -> Array:
    y = np.empty((x.shape[0], x.shape[1] // k, x.shape[2] // k), x.dtype)
    for i in prange(x.shape[0]):
        y[i] = fastpool.max_pool2d(x[i], k)
    return y


@njit(parallel=True)
def gradients(dy: Array, x: Array) -> Array:
    dx = np.empty_like(x)
    for i in prange(x.shape[0]):
        fastpool.max_pool2d_backward(dy[i], x[i], 2, out=dx[i])
    return dx


def test_in_parallel_loops() -> None:
    # large enough for several threads, were the calls not inside a loop
    x = numbers("float32", (12, 600, 700))
    for k in (2, 5):
        same(in_parallel(x, k), fastpool.max_pool2d(x, k))
    dy, x = numbers("int16", (12, 30, 35)), numbers("int16", (12, 60, 70))
    same(gradients(dy, x), fastpool.max_pool2d_backward(dy, x, 2))


def test_empty_arrays() -> None:
    for shape in itertools.product((0, 2), (0, 3)):
        check("fastpool.max_pool2d(a, 2, return_indices=True)", np.ones((*shape, 4, 6), np.float32))
