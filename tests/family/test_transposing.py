"""The transpose of every linear pooling: <y, P x> is <P^T y, x>."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.family import operations
from tests.family import same

INDICES = np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4) % 64
ARGUMENTS = {
    "avg_pool2d": [(2,), (3, 2, 1), (3, 2, 1, True, False), (2, 1, 0, False, True, 5)],
    "sum_pool2d": [(2,), (3, 2, 1, 2)],
    "global_avg_pool": [()],
    "global_sum_pool": [()],
    "pool": [((2, 2), "mean"), ((1, 3), "sum")],
    "stride_pool2d": [(2,), (3, 1)],
    "max_unpool2d": [(INDICES, 2), (INDICES[::-1] // 2, 2)],
    "avg_unpool2d": [(2,), (3, 2, 1)],
    "sum_unpool2d": [(2,), (3, 2, 1, 2)],
    "upsample_nearest2d": [(2,), (None, (7, 3))],
}
OURS = ("family.unpooling", "family.spreading", "family.upsampling", "family.subsampling")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_it_is_the_adjoint(name):
    function = getattr(fastpool, name)
    x = np.random.default_rng(3).standard_normal((2, 3, 4, 4))
    for args in ARGUMENTS[name]:
        transposed = fastpool.transpose(function, x.shape, *args)
        assert same.adjoint_error(lambda x, args=args: function(x, *args), transposed, x) < 1e-13
        assert transposed(function(x, *args)).shape == x.shape


def test_all_of_them():
    """The functions with two axes of the operations that are linear."""
    known = {name for row in operations.OPERATIONS if row.module in OURS for name in row.functions if "2d" in name}
    assert known <= set(ARGUMENTS)


def test_it_takes_the_options():
    x = np.random.default_rng(4).standard_normal((2, 4, 4, 3))
    transposed = fastpool.transpose(fastpool.avg_pool2d, x.shape, 2, layout="channels_last")
    y = fastpool.avg_pool2d(x, 2, layout="channels_last")
    same.assert_same_bits(transposed(y), fastpool.avg_pool2d_backward(y, x.shape, 2, layout="channels_last"))


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "words"),
    [
        ((fastpool.max_pool2d, (2, 2), 2), {}, ValueError, "fn=max_pool2d: it is not linear"),
        ((fastpool.lp_pool2d, (2, 2), 2, 2), {}, ValueError, "not linear"),
        ((fastpool.pool, (2, 2), 2), {}, ValueError, "not linear"),
        ((fastpool.pool, (2, 2), 2), {"op": "max"}, ValueError, "not linear"),
        ((fastpool.avg_pool2d, (2, 2), 2), {"nan": "ignore"}, ValueError, "not linear"),
        ((np.sum, (2, 2)), {}, TypeError, "no pooling function"),
        ((fastpool.avg_pool2d_backward, (2, 2), 2), {}, TypeError, "no pooling function"),
        ((fastpool.avg_pool2d, np.ones((2, 2)), 2), {}, TypeError, "must be a tuple"),
        ((fastpool.avg_pool2d, (2, 2), 2), {"out": np.ones((1, 1))}, ValueError, "out"),
    ],
)
def test_errors(args, kwargs, error, words):
    with pytest.raises(error, match=words):
        fastpool.transpose(*args, **kwargs)
