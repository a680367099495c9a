"""Arrays of more than 2**31 elements, and sizes beyond 2**63.

The large arrays are of one byte per element and are made once; a test looks at the rows where a 32-bit offset would
wrap round, and at others chosen by chance.
"""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest

import fastpool
from fastpool.problem import Problem

# the array is made once, and no other of its size is there at the same time
pytestmark = pytest.mark.xdist_group("big")

SIDE = 46400
"""SIDE**2 is a little more than 2**31."""

ROWS = np.unique([0, 1, SIDE // 2 - 1, 2**31 // SIDE // 2, *np.random.default_rng(1).integers(0, SIDE // 2, 40)])
"""Rows of a result of 2/2 pooling that are looked at, among them that at element 2**31."""


@pytest.fixture(scope="module")
def image():
    """2.15 GB of bytes, read-only, without a pattern that a wrong offset would meet again."""
    assert SIDE**2 > 2**31
    noise = np.random.default_rng(0).bytes(SIDE**2)
    return np.frombuffer(noise, np.uint8).reshape(SIDE, SIDE)


def windows(x: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """The k x k windows of these rows of the result: (rows, k, columns, k)."""
    bands = np.stack([x[row * k : (row + 1) * k] for row in rows])
    return bands.reshape(len(rows), k, -1, k)


@pytest.mark.slow
def test_max_and_average_of_a_large_image(image):
    taken = windows(image, ROWS, 2)
    y = fastpool.max_pool2d(image, 2)
    assert y.shape == (SIDE // 2, SIDE // 2)
    np.testing.assert_array_equal(y[ROWS], taken.max((1, 3)))
    fastpool.avg_pool2d(image, 2, out=y)
    np.testing.assert_array_equal(y[ROWS], taken.sum((1, 3), dtype=np.int64) // 4)


@pytest.mark.slow
def test_a_view_that_runs_backwards(image):
    turned = image[::-1, ::-1]
    y = fastpool.min_pool2d(turned, 2)
    np.testing.assert_array_equal(y[ROWS], windows(turned, ROWS, 2).min((1, 3)))


@pytest.mark.slow
def test_channels_last(image):
    x = image.reshape(SIDE, SIDE // 8, 8)
    y = fastpool.max_pool2d(x, 2, layout="HWC")
    taken = np.stack([x[2 * row : 2 * row + 2] for row in ROWS]).reshape(len(ROWS), 2, SIDE // 16, 2, 8)
    np.testing.assert_array_equal(y[ROWS], taken.max((1, 3)))


@pytest.mark.slow
def test_indices_and_gradient_of_a_large_plane(image):
    k = 8
    rows = np.unique(ROWS * 2 // k)
    y, indices = fastpool.max_pool2d(image, k, return_indices=True)
    assert indices.max() >= 2**31
    taken = windows(image, rows, k).transpose(0, 2, 1, 3).reshape(len(rows), -1, k * k)
    tap = taken.argmax(2)
    np.testing.assert_array_equal(y[rows], taken.max(2))
    first = rows[:, None] * k * SIDE + np.arange(SIDE // k) * k
    np.testing.assert_array_equal(indices[rows], first + tap // k * SIDE + tap % k)
    dy = np.maximum(y, 1)
    dx = fastpool.max_pool2d_backward(dy, image, k, indices=indices)
    assert dx.sum(dtype=np.uint64) == dy.sum(dtype=np.uint64)
    np.testing.assert_array_equal(dx.reshape(-1)[indices], dy)


@pytest.mark.slow
def test_one_window_over_everything(image):
    """A window of more than 2**31 taps: the index and the count need 64 bits."""
    x = np.minimum(image, 254)
    x[-1, -2] = 255
    assert fastpool.pool(x, x.shape, "max", return_indices=True) == (255, x.size - 2)
    total = x.sum(dtype=np.uint64)
    x = x[None, None]
    assert fastpool.global_sum_pool(x) == total
    assert fastpool.global_avg_pool(x) == total // np.uint64(x.size)
    assert fastpool.global_max_pool(x) == 255


@pytest.mark.slow
def test_one_long_axis(image):
    """More than 2**31 positions along the pooled axis itself."""
    x = image.reshape(-1)
    k, s = 33, 2**16
    y = fastpool.sum_pool1d(x, k, s)
    starts = np.arange(y.size) * s
    assert starts[-1] > 2**31
    np.testing.assert_array_equal(y, x[starts[:, None] + np.arange(k)].sum(1, dtype=np.uint64))
    y, indices = fastpool.max_pool1d(x, k, s, return_indices=True)
    np.testing.assert_array_equal(indices, starts + x[starts[:, None] + np.arange(k)].argmax(1))


@pytest.mark.slow
def test_an_average_gradient_of_a_large_plane():
    grad = np.random.default_rng(2).integers(0, 256, (SIDE // 8, SIDE // 8), np.uint8)
    dx = fastpool.avg_pool2d_backward(grad, (SIDE, SIDE), 8, divisor_override=2)
    rows = np.unique(ROWS * 2 // 8)
    for row in rows:
        expected = (grad[row] // 2).repeat(8)
        np.testing.assert_array_equal(dx[row * 8 : row * 8 + 8], np.broadcast_to(expected, (8, SIDE)))


BYTE = np.zeros((), np.uint8)
SMALL = np.zeros((4, 8, 8), np.float32)


def broadcast(*shape: int) -> np.ndarray:
    """An array of one byte that is repeated."""
    return np.broadcast_to(BYTE, shape)


BEYOND = {
    "extent": lambda: fastpool.max_pool2d(SMALL, 3, 1, dilation=2**62),
    "padded size": lambda: fastpool.max_pool2d(SMALL, 2, 1, padding=2**62),
    "padded size of one side": lambda: fastpool.avg_pool1d(SMALL, 2, 1, ((2**63 - 1, 0),)),
    "taps": lambda: fastpool.sum_pool3d(broadcast(8, 8, 8), 2**21, 1, padding=2**21),
    "padding that is named": lambda: fastpool.max_pool2d(SMALL, 2**62, 2**61, "same", 3),
    "result": lambda: fastpool.max_pool2d(SMALL, 1, 1, padding=2**29),
    "result of one axis": lambda: fastpool.min_pool1d(SMALL, 1, 1, padding=2**60),
    "x": lambda: fastpool.max_pool2d(broadcast(2**31, 2**31), 2**31),
    "x in pool": lambda: fastpool.pool(broadcast(2**20, 2**20, 2**20), (2**20, 2**20, 2**20), "sum"),
    "x in global": lambda: fastpool.global_avg_pool(broadcast(1, 1, 2**30, 2**31)),
    "shape of x": lambda: fastpool.avg_pool2d_backward(SMALL, (4, 2**40, 2**40), 2**38, 2**38),
    "shape with a long axis": lambda: fastpool.sum_pool1d_backward(SMALL[0, 0], (2**62,), 2**59),
    "an entry": lambda: fastpool.max_pool2d(SMALL, 2, 2**63),
    "an entry of the shape": lambda: fastpool.avg_pool1d_backward(SMALL[0, 0], (2**63,), 2),
}


@pytest.mark.parametrize("name", BEYOND)
def test_sizes_beyond_63_bits_are_refused(name):
    with pytest.raises(ValueError, match=r"2\*\*63 - 1") as caught:
        BEYOND[name]()
    assert re.fullmatch(r"\w+: [^\n]+: [^\n]+; [^\n]+", str(caught.value))


@pytest.mark.parametrize("kind", [True, "tensor", "tap"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [
        ((1, 2), 2, (2**62, 1)),
        ((1, 2), 2, (2**63 - 1, 1)),
        ((2, 2), 2**62, 1),
        ((2, 2), 2**63 - 1, 1),
        ((2, 2), (2**63 - 1, 1), 1),
    ],
)
def test_strides_and_dilations_that_reach_no_second_window(kernel, stride, dilation, kind):
    """Where there is one window its stride is of no account, nor is the dilation of one tap."""
    x = np.random.default_rng(3).permutation(256).reshape(4, 8, 8).astype(np.float32)
    near = tuple(min(s, 8) for s in (stride if isinstance(stride, tuple) else (stride, stride)))
    results = []

    def pools(stride, dilation):
        y, indices = fastpool.max_pool2d(x, kernel, stride, dilation=dilation, return_indices=kind)
        results.append(
            [
                y,
                indices,
                fastpool.max_pool2d_backward(y, x, kernel, stride, dilation=dilation),
                fastpool.avg_pool2d(x, kernel, stride, dilation=dilation),
                fastpool.avg_pool2d_backward(y, x, kernel, stride, dilation=dilation),
            ]
        )

    def attempt():
        try:
            pools(stride, dilation)
        except Exception as error:
            results.append(error)

    pools(near, 1)
    # in a thread, so that a loop that never ends is a failure and not the end of the tests
    worker = threading.Thread(target=attempt, daemon=True)
    worker.start()
    worker.join(20)
    assert not worker.is_alive()
    expected, actual = results
    assert isinstance(actual, list), actual
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(other, one)


def test_the_plan_of_a_task_near_the_limit():
    """Kernel choice and tiles for a petabyte, without the array."""
    from fastpool import dispatch
    from fastpool.kernels import plan as P

    for text in (
        "max2d_fwd+plane_u8_first_n1073741824x268435456_ih1073741824oh536870912kh2sh2_iw268435456ow134217728kw2sw2",
        "mean1d_bwd_f32_last_n4294967296x16777216_iw4294967296ow2147483648kw2sw2",
    ):
        problem = Problem.parse(text)
        assert problem.overflow() == ""
        (task,) = dispatch.explain(problem).tasks
        assert task.variant is not None
        assert task.variant.name.endswith("long")
        assert 2**31 < task.plan[P.TILES] < 2**62
        assert task.plan[P.WORK] < 2**24
