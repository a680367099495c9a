"""A call like one that was accepted skips its checks: what must be told apart, and what is looked at each time."""

import numpy as np
import pytest

import fastpool
from fastpool.arguments import Options
from fastpool.functional import _call, _repeat


@pytest.fixture
def planned(monkeypatch):
    """The names of the functions whose calls were checked in full, none of which is known yet."""
    # one of the calls of other tests may be the last before all are forgotten
    monkeypatch.setattr(_call, "_known", _repeat.Recipes())
    names = []
    for name in ("plan_forward", "plan_backward"):
        whole = getattr(_call, name)
        monkeypatch.setattr(
            _call, name, lambda called, *args, _whole=whole: (names.append(called), _whole(called, *args))[1]
        )
    return names


def _picture(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_a_repeated_call_is_not_checked_again_and_sees_its_own_arrays(planned):
    shape = (2, 3, 6, 10)
    results = []
    for scale in (1, 2, 3):
        x = _picture(*shape) * np.float32(scale)
        out = np.empty((2, 3, 3, 5), np.float32)
        assert fastpool.max_pool2d(x, 2, out=out) is out
        y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
        dx = fastpool.max_pool2d_backward(y, x, 2, indices=indices)
        np.testing.assert_array_equal(out, x[:, :, 1::2, 1::2])
        np.testing.assert_array_equal(y, out)
        expected = np.zeros(shape, np.float32)
        expected[:, :, 1::2, 1::2] = y
        np.testing.assert_array_equal(dx, expected)
        results.append((y, indices, dx))
    assert planned.count("max_pool2d") == 2
    assert planned.count("max_pool2d_backward") == 1
    assert all(not np.may_share_memory(a, b) for a in results[0] for b in results[1])


def test_global_results_drop_their_axes_again():
    x = _picture(2, 3, 4, 5)
    for _ in range(2):
        out = np.empty((2, 3), np.float32)
        assert fastpool.global_avg_pool(x, out=out) is out
        np.testing.assert_array_equal(out, x.mean((2, 3)))
        dx = fastpool.global_avg_pool_backward(out, x.shape)
        np.testing.assert_array_equal(dx, np.broadcast_to(out[..., None, None] / np.float32(20), x.shape))


@pytest.mark.parametrize("bad", [True, 2.0, (2, True), (2, 2.0), [2, True]])
def test_values_that_are_equal_but_of_another_type_are_still_refused(bad):
    x = _picture(1, 1, 4, 4)
    fastpool.max_pool2d(x, 2)
    fastpool.max_pool2d(x, (2, 1))
    fastpool.max_pool2d(x, 1)
    with pytest.raises(TypeError, match="every entry must be an integer"):
        fastpool.max_pool2d(x, bad)


def test_arrays_that_overlap_now_are_refused():
    memory = np.zeros(200, np.float32)
    x = memory[:100].reshape(1, 1, 10, 10)
    fastpool.max_pool2d(x, 2, out=memory[100:125].reshape(1, 1, 5, 5))
    with pytest.raises(ValueError, match="out overlaps x"):
        fastpool.max_pool2d(x, 2, out=memory[80:105].reshape(1, 1, 5, 5))
    y, indices = np.empty((1, 1, 5, 5), np.float32), np.empty((1, 1, 5, 5), np.int64)
    fastpool.max_pool2d(x, 2, return_indices=True, out=(y, indices))
    shared = np.empty(50, np.int64)
    pair = (shared.view(np.float32)[:25].reshape(y.shape), shared[:25].reshape(y.shape))
    with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
        fastpool.max_pool2d(x, 2, return_indices=True, out=pair)
    dx = np.empty_like(x)
    fastpool.max_pool2d_backward(y, x, 2, indices=indices, out=dx)
    with pytest.raises(ValueError, match="out overlaps x"):
        fastpool.max_pool2d_backward(y, x, 2, indices=indices, out=x)


def test_an_array_that_may_not_be_written_is_refused():
    x, out = _picture(1, 1, 4, 4), np.empty((1, 1, 2, 2), np.float32)
    fastpool.max_pool2d(x, 2, out=out)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        fastpool.max_pool2d(x, 2, out=out)


def test_indices_are_checked_each_time():
    x = _picture(1, 1, 4, 4)
    y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
    fastpool.max_pool2d_backward(y, x, 2, indices=indices)
    with pytest.raises(ValueError, match="an index names no tap"):
        fastpool.max_pool2d_backward(y, x, 2, indices=indices + 1)


def test_the_environment_is_read_each_time(monkeypatch):
    x = _picture(1, 1, 4, 4)
    fastpool.max_pool2d(x, 2)
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", "rows_k9")
    with pytest.raises(ValueError, match="no kernel form has this name"):
        fastpool.max_pool2d(x, 2)


def test_what_cannot_be_told_at_once_is_not_looked_up():
    x = _picture(1, 1, 4, 4)
    options = Options(2)
    assert _repeat.likeness("f", options, (), (x, None)) is not None
    assert _repeat.likeness("f", options, (), (x.tolist(),)) is None
    assert _repeat.likeness("f", options, (object(),), (x,)) is None
    assert _repeat.likeness("f", Options(np.int64(2)), (), (x,)) is None
    assert _repeat.likeness("f", Options((2, np.bool_(True))), (), (x,)) is None
    assert _repeat.likeness("f", Options((2, 1)), (), (x,)) != _repeat.likeness("f", Options([2, 1]), (), (x,))
    assert _repeat.likeness("f", options, (), (x,)) != _repeat.likeness("f", options, (), (x[:, :, ::-1],))


def test_memory_is_bounded():
    recipes = _repeat.Recipes()
    for number in range(3 * _repeat.MOST):
        recipes.keep((number,), number)
    assert len(recipes._kept) <= _repeat.MOST
    assert recipes.find((3 * _repeat.MOST - 1,)) == 3 * _repeat.MOST - 1
    assert recipes.find(None) is None
