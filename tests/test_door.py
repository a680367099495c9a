"""The front door of small calls: which calls it takes, that it gives what the whole way gives, and holds no memory."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

import numpy as np
import pytest

import fastpool
from fastpool import config, dispatch, library
from fastpool.functional import _call

pytestmark = pytest.mark.skipif(library.door() is None, reason="the front door was not built")


@pytest.fixture
def whole_way(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that did not go through the door, by direction."""
    library.door().forget()
    seen = []
    forward = dispatch.forward
    monkeypatch.setattr(dispatch, "forward", lambda *arrays: (seen.append("forward"), forward(*arrays))[1])
    return seen


def picture(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


CALLS = {
    "max": lambda x, **more: fastpool.max_pool2d(x, 2, **more),
    "words": lambda x, **more: fastpool.max_pool2d(x, kernel_size=(3, 2), stride=1, padding=(1, 0), **more),
    "average": lambda x, **more: fastpool.avg_pool2d(x, 2, count_include_pad=False, padding=1, **more),
    "sum": lambda x, **more: fastpool.sum_pool1d(x, 3, dilation=2, **more),
    "global": lambda x, **more: fastpool.global_avg_pool(x, **more),
    "any axes": lambda x, **more: fastpool.pool(x, (2, 2), "min", axes=(1, 2), **more),
    "last": lambda x, **more: fastpool.max_pool2d(x, 2, layout="NHWC", **more),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float16", "complex64"])
def test_known_calls_give_what_the_whole_way_gives(
    whole_way: list[str], monkeypatch: pytest.MonkeyPatch, name: str, dtype: str
) -> None:
    if dtype == "complex64" and name not in ("average", "sum", "global"):
        pytest.skip("complex numbers have no order")
    rng = np.random.default_rng(0)
    for seed in range(4):
        x = (100 * rng.random((2, 5, 6, 8))).astype(dtype)
        for view in (x, x[::-1, :, ::2], x.transpose(0, 2, 3, 1)):
            before = len(whole_way)
            y = CALLS[name](view)
            # results in the order of a transposed input are left to the whole way
            assert len(whole_way) - before == int(seed == 0 or not y.flags.c_contiguous)
            with monkeypatch.context() as closed:
                closed.setattr(_call, "_run_known", None)
                closed.setattr(library, "door", lambda: None)
                expected = CALLS[name](view)
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y, expected)


def test_results_of_their_own(whole_way: list[str]) -> None:
    x = picture(1, 1, 8, 8)
    results = [fastpool.max_pool2d(x * scale, 2) for scale in range(5)]
    assert whole_way == ["forward"]
    for scale, y in enumerate(results):
        np.testing.assert_array_equal(y, x[:, :, 1::2, 1::2] * scale)
    out = np.empty((1, 1, 4, 4), np.float32)
    for scale in range(3):
        assert fastpool.max_pool2d(x * scale, 2, out=out) is out
        np.testing.assert_array_equal(out, results[scale])
    assert whole_way == ["forward"] * 2


def test_what_differs_is_told_apart(whole_way: list[str]) -> None:
    x = picture(1, 1, 8, 8)
    kinds = [
        lambda: fastpool.max_pool2d(x, 2),
        lambda: fastpool.max_pool2d(x, (2, 2)),
        lambda: fastpool.max_pool2d(x, 3),
        lambda: fastpool.min_pool2d(x, 2),
        lambda: fastpool.max_pool2d(x, 2, ceil_mode=True),
        lambda: fastpool.max_pool2d(x[:, :, ::-1], 2),
        lambda: fastpool.max_pool2d(x.astype(np.float64), 2),
        lambda: fastpool.max_pool2d(x, 2, nan="ignore"),
        lambda: fastpool.max_pool2d(x[0], 2),
    ]
    first = [call() for call in kinds]
    assert len(whole_way) == len(kinds)
    again = [call() for call in kinds]
    assert len(whole_way) == len(kinds)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    for bad in (True, 2.0, [2, True]):
        with pytest.raises(TypeError, match="integer"):
            fastpool.max_pool2d(x, bad)


def test_an_argument_that_can_change_is_never_known(whole_way: list[str]) -> None:
    x, size = picture(1, 1, 8, 8), [2, 2]
    assert fastpool.max_pool2d(x, size).shape == (1, 1, 4, 4)
    size[0] = 4
    assert fastpool.max_pool2d(x, size).shape == (1, 1, 2, 4)


def test_the_environment_is_read_each_time(whole_way: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    x = picture(1, 1, 8, 8)
    fastpool.max_pool2d(x, 2)
    monkeypatch.setenv(config.ENGINE.name, "reference")
    fastpool.max_pool2d(x, 2)
    assert len(whole_way) == 2
    monkeypatch.setenv(config.ENGINE.name, "")
    fastpool.max_pool2d(x, 2)
    assert len(whole_way) == 2
    monkeypatch.setenv(config.FORCE_KERNEL.name, "rows_k9")
    with pytest.raises(ValueError, match="no kernel form has this name"):
        fastpool.max_pool2d(x, 2)


def test_other_arrays_go_the_whole_way(whole_way: list[str]) -> None:
    class Own(np.ndarray):
        pass

    x = picture(1, 1, 8, 8)
    fastpool.max_pool2d(x, 2)
    with pytest.raises(TypeError):
        fastpool.max_pool2d(x.tolist(), 2)
    with pytest.raises(TypeError):
        fastpool.max_pool2d(x.astype(">f4"), 2)
    own = x.view(Own)
    for _ in range(2):
        try:
            fastpool.max_pool2d(own, 2)
        except TypeError:
            whole_way.append("refused")
    assert len(whole_way) == 3


def test_more_calls_than_there_is_room_for(whole_way: list[str]) -> None:
    for _ in range(2):
        for width in range(2, 1400):
            x = np.full((1, width), width, np.float32)
            assert fastpool.max_pool1d(x, 2).shape == (1, width // 2)
    x = picture(1, 8)
    np.testing.assert_array_equal(fastpool.max_pool1d(x, 2), x[:, 1::2])


def test_large_calls_run_on_threads_and_let_others_run(whole_way: list[str]) -> None:
    x = picture(8, 32, 112, 112)
    expected = x[:, :, 1::2, 1::2]
    with fastpool.threads(2):
        fastpool.max_pool2d(x, 2)
        workers = [threading.Thread(target=lambda: fastpool.max_pool2d(x, 2)) for _ in range(4)]
        for worker in workers:
            worker.start()
        np.testing.assert_array_equal(fastpool.max_pool2d(x, 2), expected)
        for worker in workers:
            worker.join()
    assert whole_way == ["forward"]


def test_nothing_is_held(whole_way: list[str]) -> None:
    x, out = picture(1, 1, 8, 8), np.empty((1, 1, 4, 4), np.float32)
    fastpool.max_pool2d(x, 2)
    fastpool.max_pool2d(x, 2, out=out)
    gc.collect()
    known = [sys.getrefcount(thing) for thing in (x, out, x.dtype)]
    for _ in range(100):
        fastpool.max_pool2d(x, 2)
        fastpool.max_pool2d(x, 2, out=out)
    assert [sys.getrefcount(thing) for thing in (x, out, x.dtype)] == known
    plan = library.plan(_call.plan_forward("max_pool2d", x, _options(2), None, None).problem)
    held = sys.getrefcount(plan)
    library.door().forget()
    assert sys.getrefcount(plan) == held - 2


def _options(size: int) -> Any:
    from fastpool.arguments import Options

    return Options(size)


def test_bfloat16_goes_through_the_door(whole_way: list[str]) -> None:
    x = picture(2, 3, 6, 8, dtype=pytest.importorskip("ml_dtypes").bfloat16)
    first = fastpool.max_pool2d(x, 2)
    again = fastpool.max_pool2d(x, 2)
    out = np.empty_like(first)
    for _ in range(2):
        assert fastpool.max_pool2d(x, 2, out=out) is out
    assert whole_way == ["forward", "forward"]
    assert again.dtype == x.dtype
    assert first.tobytes() == again.tobytes() == out.tobytes()


@pytest.mark.parametrize("kind", ["plane", "tap"])
def test_results_with_indices_go_through_the_door(whole_way: list[str], kind: Any) -> None:
    x = picture(2, 3, 6, 8)
    first = fastpool.max_pool2d(x, 2, return_indices=kind)
    again = fastpool.max_pool2d(x, 2, return_indices=kind)
    assert whole_way == ["forward"]
    assert type(again) is tuple
    out = (np.empty_like(first[0]), np.empty_like(first[1]))
    for _ in range(3):
        assert fastpool.max_pool2d(x, 2, return_indices=kind, out=out) is out
    assert whole_way == ["forward"] * 2
    for pair in (again, out):
        for a, b in zip(first, pair, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    # other memory of the same kind, in a new pair
    other = (np.empty_like(first[0]), np.empty_like(first[1]))
    fastpool.max_pool2d(x + 1, 2, return_indices=kind, out=other)
    assert whole_way == ["forward"] * 2
    np.testing.assert_array_equal(other[0], first[0] + 1)


def test_pairs_that_share_memory_are_refused_by_the_whole_way(whole_way: list[str]) -> None:
    x = np.zeros((2, 4, 8))
    y, indices = np.empty((2, 2, 4)), np.empty((2, 2, 4), np.int64)
    fastpool.max_pool2d(x, 2, return_indices=True, out=(y, indices))
    fastpool.max_pool2d(x, 2, return_indices=True, out=(y, indices))
    assert whole_way == ["forward"]
    with pytest.raises(ValueError, match="overlap"):
        fastpool.max_pool2d(x, 2, return_indices=True, out=(y, y.view(np.int64)))
    with pytest.raises(ValueError, match="overlap"):
        fastpool.max_pool2d(x, 2, return_indices=True, out=(x.reshape(-1)[:16].reshape(2, 2, 4), indices))
    with pytest.raises(TypeError):
        fastpool.max_pool2d(x, 2, return_indices=True, out=[y, indices])


def test_nothing_is_held_of_pairs(whole_way: list[str]) -> None:
    x = picture(1, 1, 8, 8)
    out = fastpool.max_pool2d(x, 2, return_indices=True)
    fastpool.max_pool2d(x, 2, return_indices=True, out=out)
    gc.collect()
    things = (x, out, *out, x.dtype, out[1].dtype)
    known = [sys.getrefcount(thing) for thing in things]
    for _ in range(100):
        fastpool.max_pool2d(x, 2, return_indices=True)
        fastpool.max_pool2d(x, 2, return_indices=True, out=out)
    assert [sys.getrefcount(thing) for thing in things] == known
