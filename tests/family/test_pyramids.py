"""Pyramids and SPPF: chains of poolings, which are those of the functions that they are made of, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.family import chaining
from tests.family import same

RNG = np.random.default_rng(12)


def level(x, op, window, axes, ceil):
    """One level by ``pool``."""
    ends = [-x.shape[axis] % size if ceil else 0 for axis, size in zip(axes, window, strict=True)]
    padding = tuple((0, end) for end in ends)
    given = {"count_include_pad": False} if op == "mean" else {}
    return fastpool.pool(x, window, op, axes=axes, padding=padding, **given)


def random_pyramid(i):
    rank = int(RNG.integers(1, 5))
    count = int(RNG.integers(1, min(rank, 3) + 1))
    axes = tuple(int(a) for a in RNG.permutation(rank)[:count])
    window = tuple(int(n) for n in RNG.integers(1, 4, count))
    levels = int(RNG.integers(1, 4))
    least = [1] * rank
    for axis, size in zip(axes, window, strict=True):
        least[axis] = size**levels
    shape = tuple(n + int(RNG.integers(0, 12)) for n in least)
    dtype = ("float32", "float64", "uint8", "float16", "int32")[i % 5]
    op = ("mean", "max", "min", "sum")[i % 4]
    return (RNG.standard_normal(shape) * 50).astype(dtype), levels, op, window, axes


@pytest.mark.parametrize("cached", [1 << 20, 128])
@pytest.mark.parametrize("ceil", [False, True])
def test_levels_are_poolings(ceil, cached, monkeypatch):
    monkeypatch.setattr(chaining, "CACHED_BYTES", cached)
    for i in range(40):
        x, levels, op, window, axes = random_pyramid(i)
        if i % 3 == 0:
            x = same.strided(x)
        found = fastpool.pyramid(x, levels, op, window=window, axes=axes, ceil_mode=ceil)
        assert len(found) == levels
        before = x
        for y in found:
            before = level(before, op, window, axes, ceil)
            same.assert_same_bits(
                np.ascontiguousarray(y), np.ascontiguousarray(before), f"{x.shape} {op} {window} {axes}"
            )


@pytest.mark.parametrize("engine", ["aot", pytest.param("jit", marks=pytest.mark.slow), "reference"])
def test_engines_and_threads(engine):
    x = RNG.standard_normal((3, 130, 200)).astype(np.float32)
    expected = fastpool.pyramid(x, 3, axes=(1, 2))
    with same.engine(engine):
        for threads in (1, 2):
            with fastpool.threads(threads):
                found = fastpool.pyramid(x, 3, axes=(1, 2))
        if engine == "reference":
            assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
        else:
            same.assert_same_bits(found, expected)


@pytest.mark.parametrize("op", ["mean", "max", "sum"])
@pytest.mark.parametrize("ceil", [False, True])
def test_gradient_of_a_pyramid(op, ceil):
    for shape, axes, levels in (((9, 11), (0, 1), 2), ((2, 8, 7, 2), (2, 1), 2), ((13,), (0,), 3)):
        x = RNG.permutation(np.arange(float(np.prod(shape)))).reshape(shape) / 10

        def forward(x, axes=axes, levels=levels):
            found = fastpool.pyramid(
                x, levels, op, window=2 if len(axes) == 1 else (2,) * len(axes), axes=axes, ceil_mode=ceil
            )
            return np.concatenate([y.ravel() for y in found])

        def back(g, x, axes=axes, levels=levels):
            window = (2,) * len(axes)
            shapes = [y.shape for y in fastpool.pyramid(x, levels, op, window=window, axes=axes, ceil_mode=ceil)]
            ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
            parts = tuple(part.reshape(s) for part, s in zip(np.split(g, ends), shapes, strict=True))
            return fastpool.pyramid_backward(parts, x, levels, op, window=window, axes=axes, ceil_mode=ceil)

        assert same.gradient_error(forward, back, x) < 1e-6


def sppf(x, kernel, times, channel, layout):
    parts = [x]
    for _ in range(times):
        parts.append(fastpool.max_pool2d(parts[-1], kernel, 1, "same", layout=layout))
    return parts, np.concatenate(parts, channel)


@pytest.mark.parametrize("engine", ["aot", pytest.param("jit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("cached", [1 << 20, 1 << 11])
def test_sppf_is_its_poolings(engine, cached, monkeypatch):
    monkeypatch.setattr(chaining, "CACHED_BYTES", cached)
    for i in range(50):
        shape = tuple(int(n) for n in RNG.integers(1, 12, 4))
        kernel, times = int(RNG.integers(1, 7)), int(RNG.integers(1, 5))
        x = RNG.integers(-9, 9, shape).astype(("float32", "float64", "float16")[i % 3])

        def call(x, layout, kernel=kernel, times=times):
            return fastpool.sppf_pool2d(x, kernel, times, layout=layout)

        with same.engine(engine):
            found = same.everywhere(call, x, 2)
            apart = fastpool.sppf_pool2d(x, kernel, times, concat=False)
        parts, joined = sppf(x, kernel, times, 1, "channels_first")
        same.assert_same_bits(found, joined)
        same.assert_same_bits(apart, tuple(parts[1:]))


def test_sppf_is_that_of_torch():
    torch = pytest.importorskip("torch")
    x = RNG.standard_normal((2, 8, 20, 20)).astype(np.float32)
    t = [torch.from_numpy(x)]
    for _ in range(3):
        t.append(torch.nn.functional.max_pool2d(t[-1], 5, 1, 2))
    same.assert_same_bits(fastpool.sppf_pool2d(x), torch.cat(t, 1).numpy())


@pytest.mark.parametrize("concat", [True, False])
def test_gradient_of_sppf(concat):
    x = RNG.permutation(np.arange(2 * 2 * 6 * 5.0)).reshape(2, 2, 6, 5) / 10

    def forward(x):
        y = fastpool.sppf_pool2d(x, 3, 2, concat=concat)
        return y if concat else np.stack(y)

    def back(g, x):
        return fastpool.sppf_pool2d_backward(g if concat else tuple(g), x, 3, 2, concat=concat)

    assert same.gradient_error(forward, back, x) < 1e-6

    def call(x, g, layout):
        return fastpool.sppf_pool2d_backward(g, x, 3, 2, layout=layout)

    if concat:
        same.everywhere(call, x, 2, forward(x))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"levels": 0}, ValueError, "levels=0: must be at least 1"),
        ({"levels": 9}, ValueError, "must fit"),
        ({"op": "median"}, ValueError, "unknown word"),
        ({"window": (2, 2, 2)}, ValueError, "must not have more entries"),
        ({"ceil_mode": 1}, TypeError, "True or False"),
        ({"x": np.ones((8, 8), bool)}, TypeError, "bool"),
        ({"out": np.full((4, 4), 7.0)}, TypeError, "2 results"),
        ({"out": (np.full((4, 4), 7.0), np.full((2, 3), 7.0))}, ValueError, "the result has shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {"x": np.ones((8, 8)), "levels": 2, **change}
    with pytest.raises(error, match=words):
        fastpool.pyramid(**given)
    out = given.get("out", ())
    assert all((array == 7).all() for array in (out if isinstance(out, tuple) else (out,)))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"times": 0}, ValueError, "times=0: must be at least 1"),
        ({"concat": "yes"}, TypeError, "True or False"),
        ({"layout": "HW", "x": np.ones((4, 4))}, ValueError, "no axis of channels"),
        ({"out": np.full((1, 8, 4, 5), 7.0)}, ValueError, "the result has shape"),
        ({"x": np.ones((1, 2, 4, 4), np.int8)}, TypeError, "int8"),
    ],
)
def test_errors_of_sppf_write_nothing(change, error, words):
    given = {"x": np.ones((1, 2, 4, 4)), **change}
    with pytest.raises(error, match=words):
        fastpool.sppf_pool2d(**given)
    assert (given.get("out", np.array(7)) == 7).all()
