"""The public functions against each other and against torch, scikit-image, SciPy and NumPy."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import fastpool
from fastpool import library
from fastpool.axes import LETTER_FORMS

RNG = np.random.default_rng(11)

FORWARD = [name for name in fastpool.__all__ if "pool" in name and not name.endswith("_backward")]

WINDOW = ["kernel_size", "stride", "padding", "dilation", "ceil_mode"]

POSITIONAL = {
    "max": [*WINDOW, "return_indices"],
    "min": [*WINDOW, "return_indices"],
    "avg": ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"],
    "sum": WINDOW,
    "lp": ["norm_type", "kernel_size", "stride", "ceil_mode"],
}
"""The arguments after x, in torch's order."""


def whole(*shape, dtype=np.float64):
    """Whole numbers: sums of them are exact, so that two ways to the same result agree to the last bit."""
    return RNG.integers(-50, 50, shape).astype(dtype)


def same(ours, theirs):
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(("family", "positional"), POSITIONAL.items())
def test_order_of_arguments(family, positional, n):
    forward = inspect.signature(getattr(fastpool, f"{family}_pool{n}d")).parameters
    assert [p.name for p in forward.values() if p.kind is p.POSITIONAL_OR_KEYWORD] == ["x", *positional]
    backward = inspect.signature(getattr(fastpool, f"{family}_pool{n}d_backward")).parameters
    names = [p.name for p in backward.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    x = "x_or_shape" if family in ("avg", "sum") else "x"
    assert names == ["grad_output", x, *(name for name in positional if name != "return_indices")]
    for parameters in (forward, backward):
        assert list(parameters)[-4:] == ["layout", "out", "nan", "device"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_torch_takes_the_same_arguments_in_the_same_order(n):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = torch.from_numpy(whole(2, 3, *(9, 10, 11)[:n]))
    for arguments in [(2,), (3, 2, 1, 1, False, True), (3, 2, 1, 2, True, True), (2, 3, 0, 3)]:
        ours = getattr(fastpool, f"max_pool{n}d")(x, *arguments)
        theirs = getattr(functional, f"max_pool{n}d")(x, *arguments)
        if len(arguments) < 6:
            ours, theirs = (ours,), (theirs,)
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)
    for arguments in [(2,), (4, 2, 1, True), (4, 3, 2, True, False)]:
        ours = getattr(fastpool, f"avg_pool{n}d")(x, *arguments)
        assert torch.equal(ours, getattr(functional, f"avg_pool{n}d")(x, *arguments))
    # without ceil_mode torch has no partial windows to scale up; it rounds each power, sum and root
    ours = getattr(fastpool, f"lp_pool{n}d")(x, 2, 3, 2)
    torch.testing.assert_close(ours, getattr(functional, f"lp_pool{n}d")(x, 2, 3, 2), rtol=2**-48, atol=0)


def test_divisor_override():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(whole(2, 3, 8, 8))
    for divisor in (1, 4, -8):
        ours = fastpool.avg_pool2d(x, 3, 2, 1, True, False, divisor)
        assert torch.equal(ours, torch.nn.functional.avg_pool2d(x, 3, 2, 1, True, False, divisor))


def test_stride_is_the_kernel_size_unless_given():
    x = whole(3, 12, 12)
    same(fastpool.max_pool2d(x, (2, 3)), fastpool.max_pool2d(x, (2, 3), stride=(2, 3)))
    same(fastpool.pool(x, (2, 3), "sum"), fastpool.pool(x, (2, 3), "sum", stride=(2, 3)))


def test_sizes_may_be_numpy_integers_and_lists():
    x = whole(3, 12, 12)
    same(fastpool.max_pool2d(x, [np.int8(2), 3], np.int64(2)), fastpool.max_pool2d(x, (2, 3), 2))


@pytest.mark.parametrize(
    ("padding", "pairs"),
    [
        (1, ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        ([2, 0], ((2, 2), (0, 0))),
        (((0, 3), (2, 1)), ((0, 3), (2, 1))),
        ([[4, 4], (5, 0)], ((4, 4), (5, 0))),
        ("valid", ((0, 0), (0, 0))),
        # 7 = 2 * 3 + 1: four windows reach to 6 + 3 = 9; 8 = 2 * 4: four windows reach to 6 + 3 = 9
        ("same", ((1, 1), (0, 1))),
        ("same_lower", ((1, 1), (1, 0))),
    ],
)
def test_padding_forms(padding, pairs):
    x = whole(2, 7, 8)
    padded = np.pad(x, ((0, 0), *pairs))
    same(fastpool.sum_pool2d(x, 3, 2, padding), fastpool.sum_pool2d(padded, 3, 2))
    below = np.pad(x, ((0, 0), *pairs), constant_values=-np.inf)
    same(fastpool.max_pool2d(x, 3, 2, padding), fastpool.max_pool2d(below, 3, 2))


@pytest.mark.parametrize("word", ["same", "same_lower"])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_same_padding(word, dilation, stride, kernel):
    for size in range(1, 12):
        x = whole(size)
        y = fastpool.sum_pool1d(x, kernel, stride, word, dilation)
        assert y.shape == (-(-size // stride),)
        same(fastpool.sum_pool1d(x, kernel, stride, word, dilation, True), y)
        total = max((y.size - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
        begin = total // 2 if word == "same" else total - total // 2
        same(fastpool.sum_pool1d(x, kernel, stride, ((begin, total - begin),), dilation), y)


def test_one_pair_in_one_dimension():
    x = whole(2, 9)
    same(
        fastpool.min_pool1d(x, 3, 1, ((2, 1),)),
        fastpool.min_pool1d(np.pad(x, ((0, 0), (2, 1)), constant_values=99), 3, 1),
    )


@pytest.mark.parametrize("form", LETTER_FORMS)
def test_letter_forms(form):
    sizes = {"N": 2, "C": 3, "D": 4, "H": 5, "W": 6, "L": 6}
    x = whole(*(sizes[letter] for letter in form))
    axes = tuple(axis for axis, letter in enumerate(form) if letter in "DHWL")
    n = len(axes)
    same(getattr(fastpool, f"max_pool{n}d")(x, 2, layout=form), fastpool.pool(x, 2, axes=axes))
    same(fastpool.global_sum_pool(x, layout=form), x.sum(axes))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("family", ["max", "min", "avg", "sum", "lp"])
@pytest.mark.parametrize("outer", [0, 1, 2, 3])
def test_channels_last_is_channels_first_transposed(family, n, outer):
    x = whole(*(2, 3, 2)[:outer], 5, *(6, 7, 8)[:n])
    arguments = (2, 3, 2) if family == "lp" else (3, 2)
    function = getattr(fastpool, f"{family}_pool{n}d")
    first = function(x, *arguments, padding=1, dilation=2)
    last = function(np.moveaxis(x, outer, -1), *arguments, padding=1, dilation=2, layout="channels_last")
    same(np.moveaxis(last, -1, outer), first)


def test_indices_count_in_the_plane_and_in_the_tensor():
    x = RNG.permutation(2 * 3 * 6 * 8).reshape(2, 3, 6, 8)
    for layout, array in (("channels_first", x), ("channels_last", np.moveaxis(x, 1, -1))):
        y, plane = fastpool.max_pool2d(array, 3, 2, 1, return_indices=True, layout=layout)
        _, tensor = fastpool.max_pool2d(array, 3, 2, 1, return_indices="tensor", layout=layout)
        _, tap = fastpool.max_pool2d(array, 3, 2, 1, return_indices="tap", layout=layout)
        assert plane.dtype == tensor.dtype == np.int64
        assert tap.dtype == np.uint8
        same(np.ascontiguousarray(array).ravel()[tensor], y)
        if layout == "channels_last":
            y, plane, tap = (np.moveaxis(a, -1, 1) for a in (y, plane, tap))
        same(np.take_along_axis(x.reshape(6, 48), plane.reshape(6, -1), 1), y.reshape(6, -1))
        row = 2 * np.arange(3)[:, None] - 1 + tap // 3
        column = 2 * np.arange(4) - 1 + tap % 3
        same(row * 8 + column, plane)


@pytest.mark.parametrize(("op", "reduce"), [("max", np.max), ("min", np.min), ("mean", np.mean), ("sum", np.sum)])
def test_pool_is_block_reduce(op, reduce):
    measure = pytest.importorskip("skimage.measure")
    image = whole(12, 15, 3)
    same(fastpool.pool(image, (4, 5), op, axes=(0, 1)), measure.block_reduce(image, (4, 5, 1), reduce))
    same(fastpool.pool(image, (3, 5, 3), op), measure.block_reduce(image, (3, 5, 3), reduce))


@pytest.mark.parametrize(("op", "name"), [("max", "maximum_filter"), ("min", "minimum_filter")])
def test_pool_is_a_filter(op, name):
    ndimage = pytest.importorskip("scipy.ndimage")
    field = whole(9, 11)
    for size in (3, 5, (1, 7)):
        theirs = getattr(ndimage, name)(field, size, mode="nearest")
        same(fastpool.pool(field, size, op, stride=1, padding="same"), theirs)


def test_axes_of_pool():
    x = whole(4, 6, 8)
    same(fastpool.pool(x, 2, "sum"), fastpool.sum_pool3d(x, 2))
    same(fastpool.pool(x, (3,), "sum"), fastpool.sum_pool1d(x, 3))
    same(fastpool.pool(x, 2, "sum", axes=-2), fastpool.pool(x, (2,), "sum", axes=(1,)))
    same(fastpool.pool(x, (2, 4), "lp", axes=(0, -1), norm_type=2), fastpool.pool(x, (4, 2), "lp", axes=(2, 0)))
    transposed = fastpool.max_pool2d(np.moveaxis(x, 0, 1).transpose(0, 2, 1), (4, 2))
    same(fastpool.pool(x, (4, 2), axes=(2, 0)), transposed.transpose(2, 0, 1))


def test_plane_indices_of_pool_follow_the_order_of_axes():
    x = RNG.permutation(4 * 6 * 8).reshape(4, 6, 8)
    y, indices = fastpool.pool(x, (4, 2), axes=(2, 0), return_indices=True)
    planes = x.transpose(1, 2, 0).reshape(6, -1)
    same(
        np.take_along_axis(planes, indices.transpose(1, 0, 2).reshape(6, -1), 1),
        y.transpose(1, 0, 2).reshape(6, -1),
    )


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 2), (2, 3, 2, 2, 2, 2)])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_global_pooling_is_a_reduction(shape, layout):
    x = whole(*shape)
    axes = tuple(range(2, x.ndim)) if layout == "channels_first" else tuple(range(1, x.ndim - 1))
    for keepdims in (False, True):
        options = {"layout": layout, "keepdims": keepdims}
        same(fastpool.global_max_pool(x, **options), x.max(axes, keepdims=keepdims))
        same(fastpool.global_min_pool(x, **options), x.min(axes, keepdims=keepdims))
        same(fastpool.global_sum_pool(x, **options), x.sum(axes, keepdims=keepdims))
        same(fastpool.global_avg_pool(x, **options), x.mean(axes, keepdims=keepdims))
        norm = np.sqrt((x * x).sum(axes, keepdims=keepdims))
        np.testing.assert_allclose(fastpool.global_lp_pool(x, 2, **options), norm, rtol=2**-51)


def test_global_pooling_into_out():
    x = whole(2, 3, 4, 5)
    for keepdims in (False, True):
        out = np.zeros((2, 3, 1, 1) if keepdims else (2, 3))[::-1]
        assert fastpool.global_avg_pool(x, keepdims=keepdims, out=out) is out
        same(out, x.mean((2, 3), keepdims=keepdims))


def test_global_gradient_with_and_without_the_axes():
    x = whole(2, 3, 4, 5)
    grad = whole(2, 3)
    for name in ("max", "min", "avg", "sum"):
        backward = getattr(fastpool, f"global_{name}_pool_backward")
        same(backward(grad, x), backward(grad[..., None, None], x))
    same(fastpool.global_sum_pool_backward(grad, x.shape), np.broadcast_to(grad[..., None, None], x.shape))


def test_nothing_is_ignored_in_integers():
    x = whole(2, 6, 6, dtype=np.int16)
    for function in (fastpool.avg_pool2d, fastpool.max_pool2d, fastpool.sum_pool2d):
        same(function(x, 2, nan="ignore"), function(x, 2))
    same(
        fastpool.avg_pool2d_backward(x[:, :3, :3], x.shape, 2, nan="ignore"),
        fastpool.avg_pool2d_backward(x[:, :3, :3], x, 2),
    )


@pytest.mark.parametrize(("dtype", "result"), [("i1", "i8"), ("i8", "i8"), ("u1", "u8"), ("u4", "u8"), ("f2", "f2")])
def test_dtype_of_a_sum(dtype, result):
    x = np.ones((4, 4), dtype)
    y = fastpool.sum_pool2d(x, 2)
    assert y.dtype == result
    dx = fastpool.sum_pool2d_backward(y, x, 2)
    assert dx.dtype == dtype
    same(dx, np.full((4, 4), 4))
    assert fastpool.sum_pool2d_backward(y, x.shape, 2).dtype == result


def test_explain_shows_the_problem():
    x = np.zeros((8, 64, 112, 112), np.float32)
    assert "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1" in str(fastpool.explain(fastpool.max_pool2d, x, 3, 2, 1))
    grad = np.zeros((8, 56, 56, 64), np.float32)
    table = fastpool.explain(fastpool.avg_pool2d_backward, grad, (8, 112, 112, 64), 2, layout="channels_last")
    assert "mean2d_bwd_f32_last_mb8ic64_ih112oh56kh2sh2" in str(table)
    table = fastpool.explain(fastpool.pool, x[0, 0].T, (2, 2), op="mean", padding=1, ceil_mode=True)
    assert "mean2d_fwd_f32_first_n112x112_ih112oh57kh2sh2ph1_ceil_xs1.112" in str(table)


@pytest.mark.parametrize("name", FORWARD)
def test_every_forward_has_a_backward(name):
    assert f"{name}_backward" in fastpool.__all__


def test_the_c_library_is_found_or_it_is_said_why_not(monkeypatch, tmp_path):
    if library.library() is not None:
        assert (fastpool.get_include() / "fastpool.h").exists()
        assert fastpool.get_library().parent.joinpath("libfastpool.a").exists()
    monkeypatch.setattr(library, "LIB", tmp_path)
    monkeypatch.setattr(library, "INCLUDE", tmp_path)
    monkeypatch.setattr(library, "missing", lambda: "there is no C compiler")
    for function in (fastpool.get_include, fastpool.get_library):
        with pytest.raises(RuntimeError, match=rf"^{function.__name__}: .*is not there: there is no C compiler; "):
            function()
