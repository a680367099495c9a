"""Fractional pooling against torch bit for bit, TensorFlow's rule against its definition, and the oracle of boxes."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.family import fractions
from fastpool.reference.family import bins as oracle
from tests.family import same

RNG = np.random.default_rng(5)


def function(n, backward=False):
    return getattr(fastpool, f"fractional_max_pool{n}d{'_backward' if backward else ''}")


def problem(n):
    outputs = tuple(int(v) for v in RNG.integers(1, 7, n))
    kernel = tuple(int(v) for v in RNG.integers(1, 4, n))
    sizes = tuple(m + k + int(RNG.integers(0, 6)) for m, k in zip(outputs, kernel, strict=True))
    return sizes, outputs, kernel


@pytest.mark.parametrize("n", [2, 3])
def test_torch_agrees(n):
    torch = pytest.importorskip("torch")
    for turn in range(100):
        sizes, outputs, kernel = problem(n)
        dtype = "float32" if turn % 2 else "float64"
        x = RNG.standard_normal((2, 3, *sizes)).astype(dtype)
        if turn % 5 == 0:
            x = np.round(x)
            x[RNG.random(x.shape) < 0.1] = np.nan
        samples = RNG.random((2, 3, n)).astype(dtype)
        dy = RNG.standard_normal((2, 3, *outputs)).astype(dtype)
        t = torch.from_numpy(x).requires_grad_()
        theirs, places = getattr(torch.nn.functional, f"fractional_max_pool{n}d")(
            t, kernel, outputs, return_indices=True, _random_samples=torch.from_numpy(samples)
        )
        theirs.backward(torch.from_numpy(dy))
        y, indices = function(n)(x, kernel, outputs, return_indices=True, samples=samples)
        np.testing.assert_array_equal(y, theirs.detach().numpy())
        np.testing.assert_array_equal(indices, places.numpy())
        dx = function(n, True)(dy, x, indices=indices)
        np.testing.assert_allclose(dx, t.grad.numpy(), 1e-5, 1e-6)
        same.assert_same_bits(function(n, True)(dy, x, kernel, outputs, samples=samples), dx)
        pullback = fastpool.vjp(function(n), x, kernel, outputs, samples=samples)[1]
        same.assert_same_bits(pullback(dy), dx)


@pytest.mark.parametrize("n", [2, 3])
def test_the_oracle_agrees_everywhere(n):
    for _ in range(4):
        sizes, outputs, kernel = problem(n)
        x = RNG.standard_normal((2, 3, *sizes))
        samples = RNG.random((2, 3, n))

        def call(x, layout, k=kernel, m=outputs, u=samples):
            return function(n)(x, k, m, return_indices="tap", samples=u, layout=layout)

        y, taps = same.everywhere(call, x, n)
        from fastpool.family.calls import Call

        bins = fractions.torch_bins(Call("test"), samples.reshape(6, n), sizes, outputs, kernel)
        expected, chosen = oracle.largest(x.reshape(6, *sizes), bins.ranges()[3 - n :])
        np.testing.assert_array_equal(y.reshape(expected.shape), expected)
        np.testing.assert_array_equal(taps.reshape(chosen.shape), chosen)


def test_a_seed_repeats_and_a_ratio_is_a_size():
    x = RNG.standard_normal((2, 3, 11, 9))
    y = fastpool.fractional_max_pool2d(x, 2, (5, 4), seed=3)
    same.assert_same_bits(fastpool.fractional_max_pool2d(x, 2, (5, 4), seed=3), y)
    same.assert_same_bits(fastpool.fractional_max_pool2d(x, 2, output_ratio=0.5, seed=3), y)
    assert not np.array_equal(fastpool.fractional_max_pool2d(x, 2, (5, 4), seed=4), y)


@pytest.mark.parametrize("pseudo_random", [False, True])
def test_boundaries_are_as_tensorflow_has_them(pseudo_random):
    for _ in range(200):
        size = int(RNG.integers(1, 40))
        count = int(RNG.integers(1, size + 1))
        found = fractions.draw_sequence(size, count, pseudo_random, RNG)
        steps = np.diff(found)
        assert found[0] == 0
        assert found[-1] == size
        assert len(steps) == count
        assert set(steps) <= {size // count, size // count + 1}


def test_tensorflows_regions():
    """The example of its documentation, and 100 draws against slices."""
    x = np.array([[20.0, 5.0, 16.0, 3.0, 7.0]])
    for overlapping, expected in ((False, [20, 16]), (True, [20, 16])):
        y = fastpool.fractional_max_pool2d(
            x, None, rule="tensorflow", sequences=([0, 1], [0, 2, 5]), overlapping=overlapping
        )
        np.testing.assert_array_equal(y, [expected])
    for turn in range(100):
        x = RNG.standard_normal((2, 3, *(int(v) for v in RNG.integers(4, 14, 2))))
        kwargs = {"pseudo_random": bool(turn % 2), "overlapping": bool(turn % 3), "seed": turn}
        y, rows, columns = fastpool.fractional_max_pool2d(
            x, None, rule="tensorflow", pooling_ratio=(1.44, 1.73), return_sequences=True, **kwargs
        )
        assert y.shape[2:] == (int(x.shape[2] // 1.44), int(x.shape[3] // 1.73))
        mean = fastpool.fractional_avg_pool2d(x, pooling_ratio=(1.44, 1.73), **kwargs)
        more = int(kwargs["overlapping"])
        for i in range(len(rows) - 1):
            for j in range(len(columns) - 1):
                part = x[:, :, rows[i] : rows[i + 1] + more, columns[j] : columns[j + 1] + more]
                np.testing.assert_array_equal(y[:, :, i, j], part.max((2, 3)))
                np.testing.assert_allclose(mean[:, :, i, j], part.mean((2, 3)), 1e-12, 1e-12)


def test_gradients_of_tensorflows_regions():
    for turn in range(20):
        x = RNG.permutation(2 * 7 * 9).reshape(1, 2, 7, 9).astype("float64")
        asked = {"pseudo_random": bool(turn % 2), "overlapping": bool(turn % 3), "seed": turn}
        largest = {"kernel_size": None, "output_size": (4, 5), "rule": "tensorflow", **asked}
        error = same.gradient_error(
            lambda x, a=largest: fastpool.fractional_max_pool2d(x, **a),
            lambda dy, x, a=largest: fastpool.fractional_max_pool2d_backward(dy, x, **a),
            x,
        )
        assert error < 1e-6
        error = same.adjoint_error(
            lambda x, a=asked: fastpool.fractional_avg_pool2d(x, (4, 5), **a),
            lambda dy, a=asked, s=x.shape: fastpool.fractional_avg_pool2d_backward(dy, s, (4, 5), **a),
            x,
        )
        assert error < 1e-13
        y, pullback = fastpool.vjp(fastpool.fractional_avg_pool2d, x, (4, 5), **asked)
        same.assert_same_bits(pullback(y), fastpool.fractional_avg_pool2d_backward(y, x, (4, 5), **asked))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"output_size": None}, ValueError, "exactly one"),
        ({"output_ratio": 0.5}, ValueError, "exactly one"),
        ({"output_size": None, "output_ratio": 1.5}, ValueError, "output_ratio"),
        ({"output_size": None, "output_ratio": 0.01}, ValueError, "leave an element"),
        ({"output_size": 8}, ValueError, "must not pass the axis"),
        ({"samples": np.zeros((2, 3, 3))}, ValueError, "for each of 6 planes"),
        ({"samples": np.full((2, 3, 2), np.nan)}, ValueError, "between 0 and 1"),
        ({"samples": np.full((2, 3, 2), 1.5)}, ValueError, "between 0 and 1"),
        ({"samples": np.zeros((2, 3, 2), int)}, TypeError, "int64"),
        ({"samples": np.zeros((2, 3, 2)), "seed": 1}, ValueError, "give one"),
        ({"seed": 1.0}, TypeError, "integer"),
        ({"rule": "keras"}, ValueError, "unknown word"),
        ({"sequences": ([0, 8], [0, 8])}, ValueError, "TensorFlow's"),
        ({"rule": "tensorflow"}, ValueError, "leave it out"),
        ({"rule": "tensorflow", "kernel_size": None, "output_size": 9}, ValueError, "at least"),
        ({"rule": "tensorflow", "kernel_size": None, "sequences": ([0, 8], [0, 8])}, ValueError, "leave size"),
        ({"out": np.full((2, 3, 4, 5), 7.0)}, ValueError, "shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    out = np.full((2, 3, 4, 4), 7.0)
    given = {"x": np.ones((2, 3, 8, 8)), "kernel_size": 2, "output_size": 4, "out": out, **change}
    with pytest.raises(error, match=words):
        fastpool.fractional_max_pool2d(**given)
    assert (given["out"] == 7).all()


@pytest.mark.parametrize("rows", [[0, 4], [1, 8], [0, 5, 5, 8], [0, 9, 8], [0, 4.5, 8], [8], "rows"])
def test_sequences_are_checked(rows):
    with pytest.raises((ValueError, TypeError), match="row_sequence"):
        fastpool.fractional_avg_pool2d(np.ones((8, 8)), sequences=(rows, [0, 8]))


def test_a_gradient_needs_the_draw():
    x = np.ones((1, 1, 5, 5))
    with pytest.raises(ValueError, match="bins of the forward"):
        fastpool.fractional_max_pool2d_backward(np.ones((1, 1, 2, 2)), x, 2, 2)
    with pytest.raises(ValueError, match="regions of the forward"):
        fastpool.fractional_avg_pool2d_backward(np.ones((1, 1, 2, 2)), x, 2)
    out = np.full_like(x, 7)
    wrong = np.full((1, 1, 2, 2), 25)
    with pytest.raises(ValueError, match="index names no element"):
        fastpool.fractional_max_pool2d_backward(np.ones((1, 1, 2, 2)), x, indices=wrong, out=out)
    assert (out == 7).all()
