"""Spatial pyramid pooling: each rule against its definition, written with slices, and torch's windows."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from tests.family import same

RNG = np.random.default_rng(3)


def level(x, n, rule, op):
    """One level of (N, C, H, W), flattened, by the words of the rule."""
    starts = []
    for a in x.shape[2:]:
        k = -(-a // n)
        if rule == "adaptive":
            starts.append([((o * a) // n, -((-(o + 1) * a) // n)) for o in range(n)])
        elif rule == "paper":
            starts.append([(o * (a // n), o * (a // n) + k) for o in range(n)])
        else:
            pad = (k * n - a + (rule == "caffe")) // 2
            starts.append([(o * k - pad, o * k - pad + k) for o in range(n)])
    out = np.empty((*x.shape[:2], n, n), x.dtype)
    height, width = x.shape[2:]
    for i, (h, h_end) in enumerate(starts[0]):
        for j, (w, w_end) in enumerate(starts[1]):
            part = x[:, :, max(h, 0) : h_end, max(w, 0) : w_end]
            if op == "max":
                out[:, :, i, j] = part.max((2, 3))
            else:
                # Caffe's divisor counts padding, on both sides
                pads = [(-(-a // n) * n - a + 1) // 2 if rule == "caffe" else 0 for a in (height, width)]
                count = (min(h_end, height + pads[0]) - h) * (min(w_end, width + pads[1]) - w)
                out[:, :, i, j] = part.sum((2, 3)) / count
    return out.reshape(x.shape[0], -1)


def given(rule):
    return (4, 2, 1) if rule in ("adaptive", "paper") else 3


def gives(rule, a, n):
    """Whether a rule gives n bins of an axis of a, all with elements."""
    k = -(-a // n)
    if rule == "paper":
        return a >= n and (a - k) // (a // n) + 1 == n
    if rule == "caffe":
        pad = (k * n - a + 1) // 2
        return pad < k and (n - 1) * k - pad < a
    return rule == "adaptive" or (n - 1) * k - (k * n - a) // 2 < a


@pytest.mark.parametrize(
    ("rule", "op"), [(r, o) for r in ("adaptive", "paper", "caffe") for o in ("max", "avg")] + [("chainer", "max")]
)
def test_rules(rule, op):
    done = 0
    for _ in range(300):
        x = RNG.standard_normal((2, int(RNG.choice([1, 3, 35])), *(int(v) for v in RNG.integers(4, 20, 2))))
        if not all(gives(rule, a, n) for a in x.shape[2:] for n in (1, 2, 4)):
            with pytest.raises(ValueError, match="does not give"):
                fastpool.spatial_pyramid_pool(x, given(rule), op, rule=rule)
            continue
        y = fastpool.spatial_pyramid_pool(x, given(rule), op, rule=rule)
        order = (4, 2, 1) if rule in ("adaptive", "paper") else (1, 2, 4)
        expected = np.concatenate([level(x, n, rule, op) for n in order], axis=1)
        np.testing.assert_allclose(y.reshape(2, -1), expected, 1e-12, 1e-12)
        assert y.shape == ((*expected.shape, 1, 1) if rule == "chainer" else expected.shape)
        done += 1
        if done == 30:
            break
    assert done >= 20


def test_the_paper_s_rule_gives_no_bins_where_it_gives_none():
    """Of 77 pairs a < 20, n = 2 ... 6 with n <= a, 17 do not give n windows."""
    wrong = 0
    for n in range(2, 7):
        for a in range(n, 20):
            if not gives("paper", a, n):
                wrong += 1
                with pytest.raises(ValueError, match='use rule="adaptive"'):
                    fastpool.spatial_pyramid_pool(np.ones((1, a, a)), (n,), rule="paper")
    assert wrong > 10


def test_torch_agrees():
    torch = pytest.importorskip("torch")
    for _ in range(100):
        x = RNG.standard_normal((2, 3, *(int(v) for v in RNG.integers(3, 24, 2)))).astype("float32")
        levels = tuple(int(v) for v in RNG.integers(1, 9, 3))
        for op, name in (("max", "adaptive_max_pool2d"), ("avg", "adaptive_avg_pool2d")):
            t = torch.from_numpy(x).requires_grad_()
            theirs = torch.cat([getattr(torch.nn.functional, name)(t, n).flatten(1) for n in levels], 1)
            dy = RNG.standard_normal(theirs.shape).astype("float32")
            theirs.backward(torch.from_numpy(dy))
            y = fastpool.spatial_pyramid_pool(x, levels, op)
            np.testing.assert_allclose(y, theirs.detach().numpy(), 1e-5, 1e-6)
            dx = fastpool.spatial_pyramid_pool_backward(dy, x, levels, op)
            np.testing.assert_allclose(dx, t.grad.numpy(), 1e-4, 1e-5)
            _, pullback = fastpool.vjp(fastpool.spatial_pyramid_pool, x, levels, op)
            same.assert_same_bits(pullback(dy), dx)


@pytest.mark.parametrize("rule", ["adaptive", "caffe"])
@pytest.mark.parametrize("op", ["max", "avg"])
def test_layouts_and_derivatives(rule, op):
    x = RNG.permutation(2 * 3 * 9 * 10).reshape(2, 3, 9, 10).astype("float64")
    y = fastpool.spatial_pyramid_pool(x, given(rule), op, rule=rule)
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    same.assert_same_bits(fastpool.spatial_pyramid_pool(last, given(rule), op, rule=rule, layout="NHWC"), y)
    same.assert_same_bits(fastpool.spatial_pyramid_pool(same.strided(x), given(rule), op, rule=rule), y)
    same.assert_same_bits(fastpool.spatial_pyramid_pool(x[0], given(rule), op, rule=rule), y[0])
    out = np.zeros((2, 2 * y.shape[1]))[:, ::2]
    assert fastpool.spatial_pyramid_pool(x, given(rule), op, rule=rule, out=out) is out
    same.assert_same_bits(np.ascontiguousarray(out), y)
    dy = RNG.standard_normal(y.shape)
    dx = fastpool.spatial_pyramid_pool_backward(dy, x, given(rule), op, rule=rule)
    moved = fastpool.spatial_pyramid_pool_backward(dy, last, given(rule), op, rule=rule, layout="channels_last")
    same.assert_same_bits(np.ascontiguousarray(np.moveaxis(moved, -1, 1)), dx)
    error = same.gradient_error(
        lambda x: fastpool.spatial_pyramid_pool(x, given(rule), op, rule=rule),
        lambda dy, x: fastpool.spatial_pyramid_pool_backward(dy, x, given(rule), op, rule=rule),
        x,
    )
    assert error < 1e-6


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"levels": 2}, TypeError, "tuple of the bins"),
        ({"levels": ()}, TypeError, "tuple of the bins"),
        ({"levels": (0,)}, ValueError, "at least 1"),
        ({"levels": (2, 1), "rule": "caffe"}, TypeError, "integer"),
        ({"levels": 17, "rule": "chainer"}, ValueError, "at most 16"),
        ({"levels": 6, "rule": "caffe"}, ValueError, "adaptive"),
        ({"levels": (9,), "rule": "paper"}, ValueError, "adaptive"),
        ({"op": "min"}, ValueError, "unknown word"),
        ({"rule": "tf"}, ValueError, "unknown word"),
        ({"rule": "chainer", "levels": 2, "op": "avg"}, ValueError, "max pooling alone"),
        ({"x": np.ones((2, 2, 3, 8, 8))}, ValueError, "needs three axes"),
        ({"x": np.ones((3, 8, 8), np.complex64)}, TypeError, "complex64"),
        ({"out": np.full((2, 14), 7.0)}, ValueError, "shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    out = np.full((2, 15), 7.0)
    with pytest.raises(error, match=words):
        fastpool.spatial_pyramid_pool(**{"x": np.ones((2, 3, 8, 8)), "levels": (2, 1), "out": out, **change})
    assert (out == 7).all()
