"""Calls whose work is one or two tasks, known again: by the front door, and without it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import fastpool
from fastpool import config, library
from fastpool.family import adaptive_calls, known_tasks, tasks, unpooling, upsampling
from tests.family import same

RNG = np.random.default_rng(31)
DOOR = [
    pytest.param(True, marks=pytest.mark.skipif(library.door() is None, reason="the front door was not built")),
    False,
]


@pytest.fixture
def whole_way(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions that were not known, by call."""
    seen: list[str] = []
    for module in (adaptive_calls, unpooling, upsampling):
        known = module.Call
        monkeypatch.setattr(module, "Call", lambda name, *rest, known=known: (seen.append(name), known(name, *rest))[1])
    monkeypatch.setattr(known_tasks, "_known", {})
    if library.door() is not None:
        library.door().forget()
    return seen


def shut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "door", lambda: None)
    monkeypatch.setattr(known_tasks, "_run_known", None)


def forward(name: str, last: bool, **more: Any) -> Any:
    layout = "channels_last" if last else "channels_first"
    return {
        "mean": lambda x: fastpool.adaptive_avg_pool2d(x, 3, layout=layout, **more),
        "max": lambda x: fastpool.adaptive_max_pool2d(x, (3, 4), layout=layout, **more),
        "ignore": lambda x: fastpool.adaptive_max_pool2d(x, (3, 4), layout=layout, nan="ignore", **more),
        "indices": lambda x: fastpool.adaptive_max_pool2d(x, (3, 4), True, layout=layout, **more),
        "taps": lambda x: fastpool.adaptive_max_pool2d(x, (3, 4), "tap", layout=layout, **more),
        "upsample": lambda x: fastpool.upsample_nearest2d(x, 2, layout=layout, **more),
    }[name]


def fresh(call: Any, x: np.ndarray) -> Any:
    """The same call where nothing is known: of an array that lies in memory in another way."""
    aside = np.empty((*x.shape, 2), x.dtype)[..., 0]
    aside[...] = x
    return call(aside)


def held_against_the_whole_way(whole_way: list[str], call: Any, given: np.ndarray, number: int) -> np.ndarray:
    """The result, written into an array of the caller's; ``number`` counts the calls that were made alike before."""
    whole_way.clear()
    found = call(given)
    assert bool(whole_way) == (number == 0)
    same.assert_same_bits(found, fresh(call, given))
    out = np.full_like(found, 7)
    assert call(given, out=out) is out
    same.assert_same_bits(out, found)
    return out


@pytest.mark.parametrize("door", DOOR)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["mean", "max", "ignore", "indices", "taps", "upsample"])
def test_a_known_forward_gives_what_the_whole_way_gives(whole_way, monkeypatch, name, dtype, last, door):
    if not door:
        shut(monkeypatch)
    shape = (2, 7, 8, 3) if last else (2, 3, 7, 8)
    outs: Any = None
    for number in range(4):
        x = RNG.standard_normal(shape).astype(dtype)
        x[0, 1, 2, 1] = np.nan
        whole_way.clear()
        found = forward(name, last)(x)
        assert bool(whole_way) == (number == 0)
        expected = fresh(forward(name, last), x)
        if outs is None:
            outs = tuple(map(np.empty_like, found)) if type(found) is tuple else np.empty_like(found)
        whole_way.clear()
        given = forward(name, last, out=outs)(x)
        assert bool(whole_way) == (number == 0)
        for a, b, c in zip(*((r,) if type(r) is np.ndarray else r for r in (found, given, expected)), strict=True):
            same.assert_same_bits(a, c)
            same.assert_same_bits(b, c)


@pytest.mark.parametrize("door", DOOR)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("name", "size"), [("mean", 3), ("mean", 10), ("max", 3), ("max", 7), ("max", 10)])
def test_a_known_gradient_gives_what_the_whole_way_gives(whole_way, monkeypatch, name, size, last, door):
    if not door:
        shut(monkeypatch)
    layout = "channels_last" if last else "channels_first"
    shape = (2, 7, 7, 3) if last else (2, 3, 7, 7)
    for number in range(4):
        x = RNG.standard_normal(shape).astype("float32")
        y, indices = fastpool.adaptive_max_pool2d(x, size, True, layout=layout)
        dy = RNG.standard_normal(y.shape).astype("float32")

        def call(dy, x=x, indices=indices, **more):
            if name == "mean":
                return fastpool.adaptive_avg_pool2d_backward(dy, x.shape, size, layout=layout, **more)
            return fastpool.adaptive_max_pool2d_backward(dy, x, size, indices=indices, layout=layout, **more)

        held_against_the_whole_way(whole_way, call, dy, number)


@pytest.mark.parametrize("door", DOOR)
def test_what_is_wrong_with_a_known_call_is_refused(whole_way, monkeypatch, door):
    if not door:
        shut(monkeypatch)
    x = RNG.standard_normal((1, 2, 7, 7)).astype("float32")
    y, indices = fastpool.adaptive_max_pool2d(x, 3, True)
    out = np.full_like(x, 7)
    for _ in range(3):
        fastpool.adaptive_avg_pool2d(x, 3, out=np.empty_like(y))
        fastpool.adaptive_max_pool2d_backward(y, x, 3, indices=indices, out=np.empty_like(x))
        fastpool.adaptive_max_pool2d_backward(y, x, 3, indices=indices)
    for bad in (-1, 49, 48 - 7 * 5, 2**40):
        wrong = indices.copy()
        wrong[0, 1, 0, 1] = bad
        with pytest.raises(ValueError, match="names no element of its bin"):
            fastpool.adaptive_max_pool2d_backward(y, x, 3, indices=wrong)
        with pytest.raises(ValueError, match="names no element of its bin"):
            fastpool.adaptive_max_pool2d_backward(y, x, 3, indices=wrong, out=out)
    assert (out == 7).all()
    memory = np.zeros(200, np.float32)
    source, target = memory[:98].reshape(x.shape), memory[90:108].reshape(y.shape)
    with pytest.raises(ValueError, match="overlaps x"):
        fastpool.adaptive_avg_pool2d(source, 3, out=target)
    buffer = np.zeros(out.nbytes, np.uint8)
    inside = buffer[-indices.nbytes :].view(np.int64).reshape(indices.shape)
    inside[...] = indices
    with pytest.raises(ValueError, match="overlaps indices"):
        fastpool.adaptive_max_pool2d_backward(y, x, 3, indices=inside, out=buffer.view(np.float32).reshape(x.shape))


@pytest.mark.parametrize("door", DOOR)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", ["plane", "tensor", "tap"])
def test_known_unpooling_gives_what_the_whole_way_gives(whole_way, monkeypatch, kind, last, door):
    if not door:
        shut(monkeypatch)
    options: Any = {"layout": "channels_last" if last else "channels_first"}
    more = {**options, "index_kind": kind}
    for number in range(4):
        large = RNG.standard_normal((2, 9, 9, 3) if last else (2, 3, 9, 9)).astype("float32")
        x, indices = fastpool.max_pool2d(large, 3, 2, return_indices=kind, **options)
        put = partial(fastpool.max_unpool2d, indices=indices, kernel_size=3, stride=2, **more)
        back = partial(fastpool.max_unpool2d_backward, indices=indices, kernel_size=3, stride=2, **more)
        for call, given in ((put, x), (partial(back, x_or_shape=x), large), (partial(back, x_or_shape=x.shape), large)):
            out = held_against_the_whole_way(whole_way, call, given, number)
            found = out.copy()
            good = indices[0, 1, 2, 1]
            indices[0, 1, 2, 1] = 250
            for place in (None, out):
                with pytest.raises(ValueError, match=r"indices\[0, 1, 2, 1\]=250"):
                    call(given, out=place)
            same.assert_same_bits(out, found)
            indices[0, 1, 2, 1] = good


def test_what_differs_is_told_apart(whole_way):
    x = RNG.standard_normal((1, 2, 7, 9)).astype("float32")
    kinds = [
        lambda: fastpool.adaptive_avg_pool2d(x, 3),
        lambda: fastpool.adaptive_avg_pool2d(x, (3, 3)),
        lambda: fastpool.adaptive_avg_pool2d(x, (3, None)),
        lambda: fastpool.adaptive_avg_pool2d(x, 4),
        lambda: fastpool.adaptive_max_pool2d(x, 3),
        lambda: fastpool.adaptive_max_pool2d(x, 3, nan="ignore"),
        lambda: fastpool.adaptive_avg_pool2d(x, 3, layout="channels_last"),
        lambda: fastpool.adaptive_avg_pool2d(x[:, :, ::-1], 3),
        lambda: fastpool.adaptive_avg_pool2d(x.astype(np.float64), 3),
        lambda: fastpool.adaptive_avg_pool2d(x[0], 3),
    ]
    first = [call() for call in kinds]
    assert len(whole_way) == len(kinds)
    again = [call() for call in kinds]
    assert len(whole_way) == len(kinds)
    for a, b in zip(first, again, strict=True):
        same.assert_same_bits(a, b)
    for bad in (True, 2.5, "3"):
        with pytest.raises(TypeError, match="integer"):
            fastpool.adaptive_avg_pool2d(x, bad)


def test_the_environment_is_read_each_time(whole_way, monkeypatch):
    x = RNG.standard_normal((1, 2, 7, 7)).astype("float32")
    fastpool.adaptive_avg_pool2d(x, 3)
    told: list[str] = []
    run = tasks._run
    monkeypatch.setattr(tasks, "_run", lambda program, *rest: (told.append(program), run(program, *rest)))
    monkeypatch.setenv(config.ENGINE.name, "aot")
    fastpool.adaptive_avg_pool2d(x, 3)
    assert len(told) == 1
    with tasks.explaining() as lines:
        fastpool.adaptive_avg_pool2d(x, 3)
    assert lines
