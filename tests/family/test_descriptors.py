"""VLAD and NetVLAD against an oracle that goes point by point, and against torch's autograd."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.reference.family import descriptors as oracle
from tests.family import same

RNG = np.random.default_rng(16)
CHOICES = (None, "l2", ("intra", "l2"), ("sqrt", "l2"), ("sqrt",), ("intra",), ("l2", "intra", "sqrt"))
STEPS = ("sqrt", "intra", "l2")


def steps(normalize):
    given = () if normalize is None else (normalize,) if isinstance(normalize, str) else normalize
    return tuple(step for step in STEPS if step in given)


def problem(spatial=None, dtype=np.float64, least=1):
    """x of channels first, and what goes with it: centres, weight, bias."""
    spatial = int(RNG.integers(1, 4)) if spatial is None else spatial
    n, c, k = (int(RNG.integers(1, most)) for most in (4, 40, 7))
    x = RNG.standard_normal((n, c, *(int(RNG.integers(least, 5)) for _ in range(spatial))))
    centers, weight, bias = RNG.standard_normal((k, c)), RNG.standard_normal((k, c)), RNG.standard_normal(k)
    return tuple(array.astype(dtype) for array in (x, centers, weight, bias))


def rows(x):
    return np.moveaxis(x.reshape(*x.shape[:2], -1), 1, 2)


def labels(x, centers):
    """By the differences themselves, and argmin, which takes the first."""
    return np.argmin(((rows(x)[:, :, None] - centers) ** 2).sum(axis=-1), axis=-1)


@pytest.mark.parametrize("engine", [*same.EACH, "reference"])
def test_vlad(engine):
    for i in range(100):
        x, centers, _, _ = problem()
        normalize = CHOICES[i % len(CHOICES)]
        expected = oracle.vlad(rows(x), centers, oracle.one_hot(labels(x, centers), len(centers)), steps(normalize))
        with same.engine(engine):
            y = fastpool.vlad_pool(x, centers, normalize=normalize)
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("engine", same.EACH)
def test_netvlad(engine):
    for i in range(100):
        x, centers, weight, bias = problem()
        normalize = CHOICES[i % len(CHOICES)]
        expected = oracle.vlad(rows(x), centers, oracle.softmax(rows(x), weight, bias), steps(normalize))
        with same.engine(engine):
            y = fastpool.netvlad_pool(x, centers, weight, bias, normalize=normalize)
        # a root makes much of a small error of a sum near 0
        np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("dtype", "close"), [("float16", 2e-3), ("bfloat16", 2e-2), ("float32", 2e-5)])
def test_types(dtype, close):
    element = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype
    for _ in range(30):
        given = problem(dtype=element)
        x, centers, weight, bias = (array.astype(np.float64) for array in given)
        y = fastpool.netvlad_pool(*given)
        assert y.dtype == given[0].dtype
        expected = oracle.vlad(rows(x), centers, oracle.softmax(rows(x), weight, bias), ("intra", "l2"))
        np.testing.assert_allclose(y.astype(np.float64), expected, rtol=close, atol=close)
        y = fastpool.vlad_pool(*given[:2], normalize="l2")
        expected = oracle.vlad(rows(x), centers, oracle.one_hot(labels(x, centers), len(centers)), ("l2",))
        np.testing.assert_allclose(y.astype(np.float64), expected, rtol=close, atol=close)
        dx, dcenters = fastpool.vlad_pool_backward(y, *given[:2])
        assert (dx.dtype, dcenters.dtype) == (given[0].dtype, given[0].dtype)


def test_the_first_of_the_nearest():
    """Points midway between centres, and centres twice: products alone would let rounding decide."""
    for dtype in (np.float32, np.float64):
        for _ in range(50):
            c = int(RNG.integers(1, 70))
            a, d = RNG.standard_normal((2, c)).astype(np.float32)
            # exact in both types: the middle of two centres, and a centre that is there again
            a, d = (np.round(v * 64).astype(dtype) / 64 + 1000 for v in (a, d))
            centers = np.stack([a, 2 * d - a, d + 3000, a, 2 * d - a])
            x = np.stack([d, a, 2 * d - a, d + 3000])[None]
            y = fastpool.vlad_pool(x, centers, normalize=None, layout="channels_last").reshape(5, c)
            given = fastpool.vlad_pool(
                x, centers, assignment=np.array([[0, 0, 1, 2]]), normalize=None, layout="channels_last"
            )
            np.testing.assert_array_equal(y, given.reshape(5, c))
            np.testing.assert_array_equal(y[0], d - a)
            assert not y[1:].any()


def test_centres_that_are_close():
    """Far from the origin float32 products have lost all that tells the centres apart."""
    for _ in range(20):
        centers = (1e4 + RNG.integers(-8, 9, (9, 24))).astype(np.float32)
        x = (1e4 + RNG.integers(-8, 9, (2, 50, 24))).astype(np.float32)
        wide = ((x.astype(np.float64)[:, :, None] - centers) ** 2).sum(axis=-1)
        chosen = np.argmin(wide, axis=-1)
        kept = {"normalize": None, "layout": "NLC"}
        np.testing.assert_array_equal(
            fastpool.vlad_pool(x, centers, **kept), fastpool.vlad_pool(x, centers, assignment=chosen, **kept)
        )


@pytest.mark.parametrize("engine", same.EACH)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_same_bits_everywhere(engine, dtype):
    for spatial in (1, 2, 3):
        for least in (1, 4):
            x, centers, weight, bias = problem(spatial, dtype, least)
            with same.engine(engine):

                def hard(x, layout, centers=centers):
                    y = fastpool.vlad_pool(x, centers, layout=layout)
                    return y.reshape(*y.shape, *[1] * spatial)  # noqa: B023

                def soft(x, layout, given=(centers, weight, bias)):
                    y = fastpool.netvlad_pool(x, *given, layout=layout)
                    return y.reshape(*y.shape, *[1] * spatial)  # noqa: B023

                for call in (hard, soft):
                    expected = call(x, "channels_first")
                    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
                    same.assert_same_bits(call(last, "channels_last"), expected)
                    same.assert_same_bits(call(same.strided(x), "channels_first"), expected)
                    same.assert_same_bits(call(same.in_memory_last(x), "channels_first"), expected)
                    for threads in (1, 2):
                        with fastpool.threads(threads):
                            same.assert_same_bits(call(x, "channels_first"), expected)

                dy = RNG.standard_normal(hard(x, "channels_first").shape[:2]).astype(dtype)

                def dx(x, layout, dy=dy, given=(centers, weight, bias)):
                    return fastpool.netvlad_pool_backward(dy, x, *given, layout=layout)[0]

                def dx_hard(x, layout, dy=dy, centers=centers):
                    return fastpool.vlad_pool_backward(dy, x, centers, layout=layout)[0]

                same.everywhere(dx, x, spatial)
                same.everywhere(dx_hard, x, spatial)


def differences(function, arrays, dy):
    """Central differences of <dy, function(*arrays)>, for each array."""
    found = []
    for i, array in enumerate(arrays):
        slopes = np.empty_like(array)
        for place in np.ndindex(array.shape):
            ends = []
            step = 1e-6
            for sign in (1, -1):
                changed = array.copy()
                changed[place] += sign * step
                ends.append(np.sum(dy * function(*arrays[:i], changed, *arrays[i + 1 :])))
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        found.append(slopes)
    return found


def assert_gradients(function, backward, arrays):
    y = function(*arrays)
    dy = RNG.standard_normal(y.shape)
    for found, expected in zip(backward(dy, *arrays), differences(function, arrays, dy), strict=True):
        assert found.shape == expected.shape
        scale = max(np.max(np.abs(expected)), 1e-3)
        assert np.max(np.abs(found - expected)) <= 1e-6 * scale


def small():
    n, c, k = (int(RNG.integers(1, most)) for most in (3, 5, 4))
    shapes = ((n, c, 2, int(RNG.integers(1, 4))), (k, c), (k, c), (k,))
    return [RNG.standard_normal(shape) for shape in shapes]


# the root's slope has a pole at 0, where differences say nothing: tested against torch, and where sums are large
@pytest.mark.parametrize("normalize", [None, "l2", "intra", ("intra", "l2")])
def test_gradients_are_differences(normalize):
    for _ in range(8):
        x, centers, weight, bias = small()
        kept = {"normalize": normalize}
        assert_gradients(
            lambda *a, kept=kept: fastpool.netvlad_pool(*a, **kept),
            lambda dy, *a, kept=kept: fastpool.netvlad_pool_backward(dy, *a, **kept),
            [x, centers, weight, bias],
        )
        chosen = labels(x, centers).reshape(x.shape[0], *x.shape[2:])
        assert_gradients(
            lambda *a, chosen=chosen, kept=kept: fastpool.vlad_pool(*a, assignment=chosen, **kept),
            lambda dy, *a, kept=kept: fastpool.vlad_pool_backward(dy, *a, **kept),
            [x, centers],
        )
        weights = RNG.standard_normal((x.shape[0], len(centers), *x.shape[2:]))
        assert_gradients(
            lambda x, c, a, kept=kept: fastpool.vlad_pool(x, c, assignment=a, **kept),
            lambda dy, x, c, a, kept=kept: fastpool.vlad_pool_backward(dy, x, c, assignment=a, **kept),
            [x, centers, weights],
        )


def test_gradient_through_the_root():
    for _ in range(20):
        _, centers, weight, bias = small()
        x = RNG.uniform(4, 5, (1, centers.shape[1], 2, 2))
        kept = {"normalize": ("sqrt", "intra", "l2")}
        assert_gradients(
            lambda *a, kept=kept: fastpool.netvlad_pool(*a, **kept),
            lambda dy, *a, kept=kept: fastpool.netvlad_pool_backward(dy, *a, **kept),
            [x, centers, 0.1 * weight, bias],
        )


@pytest.mark.parametrize("normalize", CHOICES)
def test_torch_agrees(normalize):
    torch = pytest.importorskip("torch")

    def peer(x, centers, weights):
        points = x.flatten(2).transpose(1, 2)
        v = weights.transpose(1, 2) @ points - weights.sum(dim=1)[..., None] * centers
        if "sqrt" in steps(normalize):
            v = torch.sign(v) * torch.sqrt(torch.abs(v))
        if "intra" in steps(normalize):
            v = torch.nn.functional.normalize(v, dim=2)
        v = v.flatten(1)
        return torch.nn.functional.normalize(v, dim=1) if "l2" in steps(normalize) else v

    for _ in range(16):
        given = problem()
        leaves = [torch.tensor(array, requires_grad=True) for array in given]
        x, centers, weight, bias = leaves
        points = x.flatten(2).transpose(1, 2)
        expected = peer(x, centers, torch.softmax(points @ weight.T + bias, dim=2))
        dy = torch.randn(expected.shape, dtype=torch.float64)
        expected.backward(dy)
        tensors = [leaf.detach() for leaf in leaves]
        y, pullback = fastpool.vjp(fastpool.netvlad_pool, *tensors, normalize=normalize)
        torch.testing.assert_close(y, expected.detach(), rtol=1e-6, atol=1e-7)
        for found, leaf in zip(pullback(dy), leaves, strict=True):
            torch.testing.assert_close(found, leaf.grad, rtol=1e-6, atol=1e-6 * float(leaf.grad.abs().max() + 1e-3))

        leaves = [torch.tensor(array, requires_grad=True) for array in given[:2]]
        one_hot = torch.tensor(oracle.one_hot(labels(*given[:2]), len(given[1])))
        expected = peer(*leaves, one_hot)
        y, pullback = fastpool.vjp(fastpool.vlad_pool, *tensors[:2], normalize=normalize)
        torch.testing.assert_close(y, expected.detach(), rtol=1e-9, atol=1e-11)
        if "sqrt" not in steps(normalize):
            # torch's root has an infinite slope at 0, where empty centres are
            expected.backward(dy)
            for found, leaf in zip(pullback(dy), leaves, strict=True):
                torch.testing.assert_close(found, leaf.grad, rtol=1e-8, atol=1e-8)


def test_points_have_no_order():
    for _ in range(100):
        x, centers, weight, bias = problem(1)
        mixed = x[..., RNG.permutation(x.shape[-1])]
        for call in (
            lambda x, centers=centers: fastpool.vlad_pool(x, centers),
            lambda x, given=(centers, weight, bias): fastpool.netvlad_pool(x, *given),
        ):
            np.testing.assert_allclose(call(mixed), call(x), rtol=1e-8, atol=1e-10)


def test_weights_and_labels_say_the_same():
    x, centers, _, _ = problem(2)
    chosen = RNG.integers(-1, len(centers), (x.shape[0], *x.shape[2:]))
    weights = np.moveaxis(oracle.one_hot(chosen, len(centers)), -1, 1)
    for normalize in (None, ("intra", "l2")):
        by_label = fastpool.vlad_pool(x, centers, assignment=chosen, normalize=normalize)
        by_weight = fastpool.vlad_pool(x, centers, assignment=weights, normalize=normalize)
        np.testing.assert_allclose(by_label, by_weight, rtol=1e-9, atol=1e-11)
        dy = RNG.standard_normal(by_label.shape)
        one = fastpool.vlad_pool_backward(dy, x, centers, assignment=chosen, normalize=normalize)
        other = fastpool.vlad_pool_backward(dy, x, centers, assignment=weights, normalize=normalize)
        assert (len(one), len(other)) == (2, 3)
        for a, b in zip(one, other, strict=False):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_nothing_has_no_length():
    """Sums of zero: the result is zero, and so is the gradient, without a warning."""
    x = np.ones((2, 3, 4, 4))
    centers = np.stack([np.ones(3), np.full(3, 50.0)])
    for normalize in CHOICES:
        y = fastpool.vlad_pool(x, centers, normalize=normalize)
        assert not y.any()
        dx, dcenters = fastpool.vlad_pool_backward(np.ones_like(y), x, centers, normalize=normalize)
        assert np.isfinite(dx).all()
        assert normalize is None or not (dx.any() or dcenters.any())


def test_lengths_out_of_the_range_of_squares():
    for scale in (1e-30, 1e30):
        x = np.array([[[3.0, 4.0]]], np.float32) * np.float32(scale)
        y = fastpool.vlad_pool(x, np.zeros((1, 2), np.float32), layout="NLC")
        np.testing.assert_allclose(y, [[0.6, 0.8]], rtol=1e-6)


def test_not_a_number():
    x = np.ones((2, 3, 2, 2))
    x[0, 1, 0, 0] = np.nan
    centers = np.stack([np.full(3, 9.0), np.zeros(3)])
    y = fastpool.vlad_pool(x, centers, normalize=None).reshape(2, 2, 3)
    assert np.isnan(y[0, 0, 1])
    np.testing.assert_array_equal(y[1], [[0, 0, 0], [4, 4, 4]])
    np.testing.assert_array_equal(y[0, 1], [3, 3, 3])


def test_results_of_the_caller():
    x, centers, weight, bias = problem(2)
    large = np.zeros((len(x), 2 * centers.size))
    y = large[:, ::2]
    assert fastpool.netvlad_pool(x, centers, weight, bias, out=y) is y
    np.testing.assert_array_equal(y, fastpool.netvlad_pool(x, centers, weight, bias))
    outs = tuple(np.empty_like(array) for array in (x, centers, weight, bias))
    found = fastpool.netvlad_pool_backward(y, x, centers, weight, bias, out=outs)
    assert all(a is b for a, b in zip(found, outs, strict=True))
    # axes of the result that no strides merge
    dx = np.zeros((*x.shape[:3], 2 * x.shape[3]))[..., ::2]
    fastpool.vlad_pool_backward(y, x, centers, out=(dx, np.empty_like(centers)))
    np.testing.assert_array_equal(dx, fastpool.vlad_pool_backward(y, x, centers)[0])
    assert fastpool.vlad_pool(x[0], centers, layout="CHW").shape == (centers.size,)


def test_it_is_explained():
    x, centers, weight, bias = problem(2)
    told = str(fastpool.explain(fastpool.vlad_pool, x, centers))
    assert all(word in told for word in ("pack_f64__describe", "nearest_f64__describe", "numpy.matmul", "gather"))
    told = str(
        fastpool.explain(fastpool.netvlad_pool_backward, np.ones((len(x), centers.size)), x, centers, weight, bias)
    )
    assert "softmax" in told


GIVEN = {"x": np.ones((2, 3, 4, 4)), "centers": np.ones((5, 3))}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": np.ones((2, 3))}, ValueError, "at least 3"),
        ({"x": np.ones((2, 3, 0, 4))}, ValueError, "size 0"),
        ({"x": np.ones((2, 3, 4, 4), np.int32)}, TypeError, "int32"),
        ({"centers": np.ones((5, 4))}, ValueError, "3 channels of x"),
        ({"centers": np.ones((0, 3))}, ValueError, "one centre at least"),
        ({"centers": np.ones(3)}, ValueError, "one centre at least"),
        ({"centers": np.ones((5, 3), np.float32)}, TypeError, "float32"),
        ({"assignment": "soft"}, ValueError, "unknown word"),
        ({"assignment": np.full((2, 4, 4), 5)}, ValueError, "labels go from 0 to 4"),
        ({"assignment": np.full((2, 4, 4), -2)}, ValueError, "labels go from 0 to 4"),
        ({"assignment": np.zeros((2, 4), int)}, ValueError, "without channels"),
        ({"assignment": np.zeros((2, 4, 4))}, ValueError, "a weight per centre"),
        ({"assignment": [[0]]}, TypeError, "an array is needed"),
        ({"normalize": "l3"}, ValueError, "unknown word"),
        ({"normalize": ("l2", 3)}, ValueError, "unknown word"),
        ({"normalize": 3}, TypeError, "tuple of words"),
        ({"layout": "HW"}, ValueError, "needs 2"),
        ({"layout": "NHW", "x": np.ones((2, 3, 4))}, ValueError, "axis of channels"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"out": np.full((2, 14), 7.0)}, ValueError, "the result has shape"),
        ({"out": np.full((2, 15), 7.0, np.float32)}, TypeError, "float32"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {**GIVEN, "out": np.full((2, 15), 7.0), **change}
    with pytest.raises(error, match=words):
        fastpool.vlad_pool(**given)
    assert (given["out"] == 7).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"grad_output": np.ones((2, 14))}, ValueError, "shape of the forward's result"),
        ({"weight": np.ones((5, 4))}, ValueError, "shape of centers"),
        ({"bias": np.ones(4)}, ValueError, "an entry per centre"),
        ({"bias": np.ones(5, np.float32)}, TypeError, "float32"),
        ({"out": np.ones((2, 3, 4, 4))}, TypeError, "4 results"),
    ],
)
def test_errors_of_the_gradient(change, error, words):
    given = {"grad_output": np.ones((2, 15)), **GIVEN, "weight": np.ones((5, 3)), "bias": np.ones(5), **change}
    with pytest.raises(error, match=words):
        fastpool.netvlad_pool_backward(**given)
