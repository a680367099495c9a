"""vjp: the result of a plain call, and the gradient that torch's autograd gives."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import fastpool
from fastpool import dispatch

FORWARD = [name for name in fastpool.__all__ if "pool" in name and not name.endswith("_backward")]

RNG = np.random.default_rng(4)


def arguments(name):
    """Arguments for a forward function, besides x."""
    parameters = inspect.signature(getattr(fastpool, name)).parameters
    return {
        **({"norm_type": 3} if name.startswith(("lp", "global_lp")) else {}),
        **({"kernel_size": 3, "stride": 2, "padding": 1} if "kernel_size" in parameters else {}),
        **({"window": 3, "op": "min", "stride": 2, "axes": (2, 1)} if "window" in parameters else {}),
    }


@pytest.fixture
def given(monkeypatch):
    """What backward is given besides the gradients."""
    calls = []
    backward = dispatch.backward

    def record(problem, dy, dx, x, indices):
        calls.append((problem, x, indices))
        backward(problem, dy, dx, x, indices)

    monkeypatch.setattr(dispatch, "backward", record)
    return calls


@pytest.mark.parametrize("nan", ["propagate", "ignore"])
@pytest.mark.parametrize("name", FORWARD)
def test_result_and_gradient_are_those_of_the_plain_calls(name, nan):
    x = RNG.normal(size=(2, 3, 7, 6, 5) if "3d" in name else (2, 3, 7, 6)).astype(np.float32)
    if nan == "ignore":
        x[RNG.random(x.shape) < 0.2] = np.nan
    options = {**arguments(name), "nan": nan}
    y, pullback = fastpool.vjp(getattr(fastpool, name), x, **options)
    np.testing.assert_array_equal(y, getattr(fastpool, name)(x, **options))
    dy = RNG.normal(size=y.shape).astype(np.float32)
    dx = pullback(dy)
    assert dx.dtype == x.dtype
    np.testing.assert_array_equal(dx, getattr(fastpool, f"{name}_backward")(dy, x, **options))
    np.testing.assert_array_equal(pullback(dy), dx)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("max", (3, 2, 1, 1, True)),
        ("max", (2, 1, 1, 3)),
        ("avg", (3, 2, 1, True, False)),
        ("avg", (3, 2, 1, False, True)),
        ("lp", (2, 3, 2)),
        ("lp", (4.0, 2, 1)),
    ],
)
def test_torch_autograd(name, args, n):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(RNG.normal(size=(2, 3, *(9, 8, 7)[:n])))
    y, pullback = fastpool.vjp(getattr(fastpool, f"{name}_pool{n}d"), x, *args)
    x.requires_grad_()
    theirs = getattr(torch.nn.functional, f"{name}_pool{n}d")(x, *args)
    dy = torch.from_numpy(RNG.normal(size=theirs.shape))
    # both round each of some dozen operations to 53 bits; torch goes through powers and roots for lp
    close = {"rtol": 2**-44, "atol": 2**-48}
    torch.testing.assert_close(y, theirs.detach(), **close)
    torch.testing.assert_close(pullback(dy), torch.autograd.grad(theirs, x, dy)[0], **close)


@pytest.mark.parametrize("name", FORWARD)
def test_the_smallest_workspace_is_kept(name, given):
    x = RNG.normal(size=(2, 3, 7, 6, 5) if "3d" in name else (2, 3, 7, 6))
    y, pullback = fastpool.vjp(getattr(fastpool, name), x, **arguments(name))
    pullback(np.ones_like(y))
    problem, kept, indices = given[0]
    if problem.op in ("max", "min"):
        assert problem.indices == "tap"
        assert indices.dtype == np.uint8
        assert kept is None
    else:
        assert indices is None
        assert (kept is not None) == (problem.op == "lp")


@pytest.mark.parametrize("kind", [True, "plane", "tensor", "tap"])
def test_returned_indices_serve_the_gradient(kind, given):
    x = RNG.normal(size=(2, 3, 7, 6))
    (y, indices), pullback = fastpool.vjp(fastpool.max_pool2d, x, 2, return_indices=kind)
    plain = fastpool.max_pool2d(x, 2, return_indices=kind)
    np.testing.assert_array_equal(y, plain[0])
    np.testing.assert_array_equal(indices, plain[1])
    np.testing.assert_array_equal(pullback(y), fastpool.max_pool2d_backward(y, x, 2))
    assert np.shares_memory(given[0][2], indices)


def test_out():
    x = RNG.normal(size=(2, 3, 7, 6))
    out = np.zeros((2, 3, 3, 3))
    y, pullback = fastpool.vjp(fastpool.max_pool2d, x, 2, out=out)
    assert y is out
    np.testing.assert_array_equal(out, fastpool.max_pool2d(x, 2))
    np.testing.assert_array_equal(pullback(out), fastpool.max_pool2d_backward(out, x, 2))
    pair = (np.zeros((2, 3, 3, 3)), np.zeros((2, 3, 3, 3), int))
    result, _ = fastpool.vjp(fastpool.max_pool2d, x, 2, return_indices=True, out=pair)
    assert result is pair


def test_integers_and_memory_order():
    x = np.asfortranarray(RNG.integers(0, 9, (2, 3, 6, 6), np.int16))
    y, pullback = fastpool.vjp(fastpool.sum_pool2d, x, 2)
    assert y.dtype == np.int64
    dx = pullback(y)
    assert dx.dtype == np.int16
    assert dx.flags.f_contiguous
    np.testing.assert_array_equal(dx, fastpool.sum_pool2d_backward(y, x, 2))


def test_global_gradient_without_the_spatial_axes():
    x = RNG.normal(size=(2, 3, 7, 6))
    y, pullback = fastpool.vjp(fastpool.global_max_pool, x)
    assert y.shape == (2, 3)
    dx = pullback(np.ones((2, 3)))
    np.testing.assert_array_equal(dx, x == x.max((2, 3), keepdims=True))
