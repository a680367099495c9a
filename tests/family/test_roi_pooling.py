"""RoI pooling against its definition in plain NumPy, and onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.reference.family import regions as reference
from tests.family import region_cases, same

DTYPES = ("float32", "float64", "float16")


def corners_of(problem, shift=0.0):
    number = problem.boxes.dtype.type
    return problem.boxes * number(problem.scale) - number(shift)


def expected_of(problem, kind="plane"):
    x = problem.x if problem.x.dtype != np.float16 else problem.x.astype(np.float32)
    y, indices = reference.roi_pool(x, corners_of(problem), problem.images, problem.bins, 1, kind)
    return y.astype(problem.x.dtype), indices


def many(problem, kind="plane"):
    """Every layout and thread count gives the same bits; that result."""

    def call(x, layout):
        return fastpool.roi_pool(x, *problem.arguments, return_indices=kind, layout=layout)

    return same.everywhere(call, problem.x, 2)


@pytest.mark.parametrize("engine", same.EACH)
@pytest.mark.parametrize("seed", range(100))
def test_it_is_as_defined(seed, engine):
    rng = np.random.default_rng(seed)
    problem = region_cases.case(rng, DTYPES[seed % 3], most=20 if seed % 4 else 30)
    if seed % 5 == 0:
        problem = problem._replace(x=np.round(problem.x))
    with same.engine(engine):
        y, indices = many(problem)
        alone = fastpool.roi_pool(problem.x, *problem.arguments)
    expected, places = expected_of(problem)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, places)
    same.assert_same_bits(alone, y)


def bins_differ(problem):
    """Which regions have a bin for which ``o * (h / n)`` in float32 is not rounded as the quotient of integers."""
    corners = np.array([[reference._nearest(float(c)) for c in box] for box in corners_of(problem)])
    differ = np.zeros(len(corners), bool)
    for axis in (0, 1):
        n = problem.bins[axis]
        for k, length in enumerate(np.maximum(corners[:, 3 - axis] - corners[:, 1 - axis] + 1, 1)):
            step = np.float32(length) / np.float32(n)
            for o in range(n):
                low, high = np.floor(np.float32(o) * step), np.ceil(np.float32(o + 1) * step)
                differ[k] |= (low, high) != (o * length // n, -(-(o + 1) * length // n))
    return differ


def test_it_is_as_in_onnxruntime():
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(120):
        problem = region_cases.case(rng)
        same_bins = ~bins_differ(problem)
        y = fastpool.roi_pool(problem.x, *problem.arguments)
        np.testing.assert_array_equal(y[same_bins], region_cases.onnx_pool(problem)[same_bins])
        compared += same_bins.sum()
    assert compared > 500


def test_a_bin_is_a_quotient_of_integers():
    # in float32 5 * (31 / 5) is above 31, and the last bin of onnxruntime has a row more than the region
    for length in range(1, 200):
        for bins in range(1, 15):
            problem = region_cases.Case(
                np.arange(300, dtype=np.float32).reshape(1, 1, 1, 300),
                np.array([[0, 0, length - 1, 0]], np.float32),
                np.array([0]),
                (1, bins),
                1.0,
            )
            y = fastpool.roi_pool(problem.x, *problem.arguments)
            last = [-(-(o + 1) * length // bins) - 1 for o in range(bins)]
            assert y.ravel().tolist() == last


@pytest.mark.parametrize("kind", ["plane", "tensor"])
def test_indices_lead_to_the_maxima(kind):
    rng = np.random.default_rng(5)
    for seed in range(20):
        problem = region_cases.case(rng, DTYPES[seed % 2])
        for axis, layout in ((1, "NCHW"), (3, "NHWC")):
            x = np.ascontiguousarray(np.moveaxis(problem.x, 1, axis))
            y, indices = fastpool.roi_pool(x, *problem.arguments, return_indices=kind, layout=layout)
            if kind == "tensor":
                taken = x.reshape(-1)[indices]
            else:
                planes = np.moveaxis(x, axis, 1).reshape(*problem.x.shape[:2], -1)
                first = np.moveaxis(indices, axis, 1).reshape(*indices[..., 0, 0].shape[:1], x.shape[axis], -1)
                taken = np.take_along_axis(planes[problem.images], first, 2)
                shape = np.moveaxis(indices, axis, 1).shape
                taken = np.moveaxis(taken.reshape(shape), 1, axis)
            np.testing.assert_array_equal(np.where(indices < 0, 0, taken), y)
            dy = rng.standard_normal(y.shape).astype(x.dtype)
            a = fastpool.roi_pool_backward(
                dy, x.shape, *problem.arguments, indices=indices, index_kind=kind, layout=layout
            )
            same.assert_same_bits(a, fastpool.roi_pool_backward(dy, x, *problem.arguments, layout=layout))


def test_nan_and_infinity():
    rng = np.random.default_rng(6)
    for seed in range(30):
        problem = region_cases.case(rng, DTYPES[seed % 3], most=18)
        x = problem.x
        x[rng.random(x.shape) < 0.05] = np.nan
        x[rng.random(x.shape) < 0.4] = -np.inf
        y, indices = many(problem)
        expected, places = expected_of(problem)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, places)


@pytest.mark.parametrize("engine", same.EACH)
@pytest.mark.parametrize("seed", range(40))
def test_the_gradient_goes_to_the_maxima(seed, engine):
    rng = np.random.default_rng(seed)
    problem = region_cases.case(rng, "float64" if seed % 2 else "float32")
    _, indices = expected_of(problem)
    dy = rng.standard_normal(indices.shape).astype(problem.x.dtype)

    def back(x, dy, layout):
        return fastpool.roi_pool_backward(dy, x, *problem.arguments, layout=layout)

    with same.engine(engine):
        dx = same.everywhere(back, problem.x, 2, dy)
    # the same order of additions, so the same bits
    expected = reference.scattered(dy, indices, problem.images, problem.x.shape)
    same.assert_same_bits(dx, expected)
    y, pullback = fastpool.vjp(fastpool.roi_pool, problem.x, *problem.arguments)
    same.assert_same_bits(pullback(dy), dx)
    same.assert_same_bits(y, fastpool.roi_pool(problem.x, *problem.arguments))


def test_the_pullback_follows_what_was_asked_for():
    problem = region_cases.case(np.random.default_rng(16), "float64")
    y, indices = fastpool.roi_pool(problem.x, *problem.arguments, return_indices="tensor")
    expected = fastpool.roi_pool_backward(y, problem.x, *problem.arguments)
    both, pullback = fastpool.vjp(fastpool.roi_pool, problem.x, *problem.arguments, return_indices="tensor")
    same.assert_same_bits(both, (y, indices))
    same.assert_same_bits(pullback(y), expected)
    out = np.empty_like(y)
    given, pullback = fastpool.vjp(fastpool.roi_pool, problem.x, *problem.arguments, out=out)
    assert given is out
    same.assert_same_bits(out, y)
    same.assert_same_bits(pullback(y), expected)


def test_the_gradient_is_the_slope():
    rng = np.random.default_rng(8)
    for _ in range(4):
        problem = region_cases.case(rng, "float64", most=6)
        error = same.gradient_error(
            lambda x, p=problem: fastpool.roi_pool(x, *p.arguments),
            lambda dy, x, p=problem: fastpool.roi_pool_backward(dy, x, *p.arguments),
            problem.x,
        )
        assert error < 1e-6


@pytest.mark.slow
def test_halves():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(9)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        problem = region_cases.case(rng)
        x = problem.x.astype(dtype)
        y = fastpool.roi_pool(x, *problem.arguments)
        assert y.dtype == dtype
        wide = problem._replace(x=x.astype(np.float32))
        np.testing.assert_array_equal(y.astype(np.float32), expected_of(wide)[0])
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = fastpool.roi_pool_backward(dy, x, *problem.arguments)
        exact = fastpool.roi_pool_backward(dy.astype(np.float32), wide.x, *problem.arguments)
        np.testing.assert_array_equal(dx, exact.astype(dtype))


def test_regions_of_one_image_in_groups_and_large_images_in_rows():
    """Few channels: the regions of an image are cut into groups. Few regions: rows are brought one by one."""
    rng = np.random.default_rng(10)
    for shape, k in (((1, 3, 40, 50), 90), ((2, 20, 60, 70), 2), ((1, 2, 2000, 90), 3), ((1, 1, 1, 1), 5)):
        x = rng.standard_normal(shape).astype(np.float32)
        corners = np.sort(rng.uniform(0, 1, (k, 2, 2)), 1).reshape(k, 4) * ([shape[3], shape[2]] * 2)
        images = np.sort(rng.integers(0, shape[0], k))[::-1]
        problem = region_cases.Case(x, corners.astype(np.float32), images, (3, 2), 1.0)
        y, indices = many(problem)
        expected, places = expected_of(problem)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, places)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        dx = fastpool.roi_pool_backward(dy, x.shape, *problem.arguments, indices=indices)
        same.assert_same_bits(dx, reference.scattered(dy, places, images, shape))


def test_channels_side_by_side():
    """Many channels: a tile does several blocks of them where they lie together."""
    rng = np.random.default_rng(11)
    for dtype, channels in (("float32", 517), ("float64", 259)):
        x = rng.standard_normal((1, channels, 6, 5)).astype(dtype)
        boxes = np.array([[0, 0, 4, 5], [1, 2, 3, 3], [-2, 0, 1, 9], [0, 0, 4, 5]], dtype)
        problem = region_cases.Case(x, boxes, np.zeros(4, int), (3, 2), 1.0)
        y, indices = many(problem)
        expected, places = expected_of(problem)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, places)

        def back(x, dy, layout, problem=problem):
            return fastpool.roi_pool_backward(dy, x, *problem.arguments, layout=layout)

        dx = same.everywhere(back, x, 2, y)
        same.assert_same_bits(dx, reference.scattered(y, places, problem.images, x.shape))


def test_no_regions():
    x = np.ones((2, 3, 4, 5), np.float32)
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    assert fastpool.roi_pool(x, *none, (2, 3)).shape == (0, 3, 2, 3)
    y, indices = fastpool.roi_pool(np.moveaxis(x, 1, -1), *none, 2, return_indices=True, layout="NHWC")
    assert y.shape == indices.shape == (0, 2, 2, 3)
    dx = fastpool.roi_pool_backward(
        np.ones((0, 3, 2, 2), np.float32), x.shape, *none, 2, indices=indices.reshape(0, 3, 2, 2)
    )
    assert not dx.any()
    assert fastpool.roi_pool(x[:, :0], np.zeros((2, 4)), np.zeros(2, int), 2).shape == (2, 0, 2, 2)


def test_the_reference_is_an_engine():
    problem = region_cases.case(np.random.default_rng(12))
    y, indices = fastpool.roi_pool(problem.x, *problem.arguments, return_indices=True)
    dy = np.ones_like(y)
    dx = fastpool.roi_pool_backward(dy, problem.x, *problem.arguments)
    with same.engine("reference"):
        same.assert_same_bits(fastpool.roi_pool(problem.x, *problem.arguments, return_indices=True), (y, indices))
        same.assert_same_bits(fastpool.roi_pool_backward(dy, problem.x, *problem.arguments), dx)


def test_explain_computes_nothing():
    problem = region_cases.case(np.random.default_rng(13))
    assert "roi_max" in str(fastpool.explain(fastpool.roi_pool, problem.x, *problem.arguments))
    assert not fastpool.explain(fastpool.roi_pool, problem.x, np.zeros((0, 4)), np.zeros(0, int), 2).programs


def good():
    return {
        "x": np.random.default_rng(14).standard_normal((2, 3, 8, 9)),
        "boxes": np.array([[0.0, 0.0, 4.0, 4.0], [1.0, 2.0, 5.0, 6.0]]),
        "batch_indices": np.array([0, 1]),
        "output_size": 2,
    }


def boxed(*box):
    return {"boxes": np.array([[0.0, 0.0, 4.0, 4.0], box])}


BAD = [
    (boxed(np.nan, 0, 1, 1), ValueError, r"boxes\[1\]=.*must be finite"),
    (boxed(0, 0, np.inf, 1), ValueError, "must be finite"),
    (boxed(0, -np.inf, 1, 1), ValueError, "must be finite"),
    (boxed(3, 0, 1, 1), ValueError, "x2 must not be below x1"),
    (boxed(0, 3, 1, 1), ValueError, "nor y2 below y1"),
    (boxed(0, 0, 1e30, 1), ValueError, "at most 2147483648"),
    (boxed(-1e30, 0, 1, 1), ValueError, "at most 2147483648"),
    ({"boxes": np.array([[0, 0, 1, 1], [0, 0, 2**25, 1]], np.float32)}, ValueError, "at most 16777216"),
    ({"boxes": np.zeros((2, 5))}, ValueError, r"must be \(regions, 4\)"),
    ({"boxes": np.zeros(4)}, ValueError, r"must be \(regions, 4\)"),
    ({"boxes": np.zeros((2, 4), int)}, TypeError, "takes float32, float64"),
    ({"boxes": np.zeros((2, 4), np.float16)}, TypeError, "takes float32, float64"),
    ({"boxes": [[0, 0, 1, 1]] * 2}, TypeError, "an array is needed"),
    ({"batch_indices": np.array([0, 2])}, ValueError, r"batch_indices\[1\]=2: there are 2 images"),
    ({"batch_indices": np.array([-1, 0])}, ValueError, r"batch_indices\[0\]=-1"),
    ({"batch_indices": np.array([0, 2**64 - 1], np.uint64)}, ValueError, r"batch_indices\[1\]"),
    ({"batch_indices": np.array([0.0, 1.0])}, TypeError, "float64"),
    ({"batch_indices": np.array([True, False])}, TypeError, "bool"),
    ({"batch_indices": np.array([0])}, ValueError, "one entry for each of the 2 boxes"),
    ({"batch_indices": np.array([[0, 1]])}, ValueError, "one entry for each of the 2 boxes"),
    ({"batch_indices": 0}, TypeError, "an array"),
    ({"output_size": 0}, ValueError, "at least 1"),
    ({"output_size": (2, 3, 4)}, ValueError, "3 entries for 2 axes"),
    ({"output_size": 2.0}, TypeError, "must be an integer"),
    ({"output_size": 2**62}, ValueError, "bytes"),
    ({"spatial_scale": 0.0}, ValueError, "positive"),
    ({"spatial_scale": -1.0}, ValueError, "positive"),
    ({"spatial_scale": np.nan}, ValueError, "finite"),
    ({"spatial_scale": "1"}, TypeError, "must be a number"),
    ({"spatial_scale": 1e-320, "boxes": np.zeros((2, 4), np.float32)}, ValueError, "positive"),
    ({"x": np.ones((3, 8, 9))}, ValueError, "four axes"),
    ({"x": np.ones((2, 3, 8, 0))}, ValueError, "size 0"),
    ({"x": np.ones((2, 3, 8, 9), int)}, TypeError, "int64"),
    ({"layout": "NCL"}, ValueError, "layout"),
    ({"layout": "HWC"}, ValueError, "layout"),
    ({"device": "cuda"}, ValueError, "CPU alone"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
@pytest.mark.parametrize("name", ["roi_pool", "roi_align"])
def test_errors_write_nothing(name, change, error, words):
    given = {**good(), "out": np.full((2, 3, 2, 2), 7.0), **change}
    with pytest.raises(error, match=words):
        getattr(fastpool, name)(**given)
    assert (given["out"] == 7).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"return_indices": "tap"}, ValueError, "unknown word"),
        ({"return_indices": 1}, TypeError, "True, False or a word"),
        ({"out": np.full((2, 3, 2, 3), 7.0)}, ValueError, "the result has shape"),
        ({"out": np.full((2, 3, 2, 2), 7.0, np.float32)}, TypeError, "float32"),
        ({"return_indices": True, "out": np.full((2, 3, 2, 2), 7.0)}, TypeError, "2 results"),
    ],
)
def test_more_errors_write_nothing(change, error, words):
    given = {**good(), **change}
    with pytest.raises(error, match=words):
        fastpool.roi_pool(**given)
    assert (given.get("out", 7) == np.float64(7)).all()


def test_errors_of_the_gradient():
    given = good()
    x = given.pop("x")
    _, indices = fastpool.roi_pool(x, **given, return_indices=True)
    dy, out = np.ones((2, 3, 2, 2)), np.full(x.shape, 7.0)
    wrong = [
        (indices * 0 - 2, x.shape, "plane", "neither -1 nor"),
        (indices - 72, x.shape, "plane", "neither -1 nor"),
        (indices + 72, x.shape, "plane", "neither -1 nor"),
        (indices, x.shape, "tensor", "neither -1 nor"),
        (indices[:1], x.shape, "plane", "the result's shape"),
        (None, x.shape, "plane", "give x, or indices"),
        (indices, x.shape, "tap", "unknown word"),
        (indices, (2, 3, 8), "plane", "four axes"),
    ]
    for places, shape, kind, words in wrong:
        with pytest.raises(ValueError, match=words):
            fastpool.roi_pool_backward(dy, shape, **given, indices=places, index_kind=kind, out=out)
    with pytest.raises(TypeError, match="int32"):
        fastpool.roi_pool_backward(dy, x.shape, **given, indices=indices.astype(np.int32), out=out)
    with pytest.raises(ValueError, match="shape of the forward's result"):
        fastpool.roi_pool_backward(dy[:1], x, **given, out=out)
    with pytest.raises(TypeError, match="float32"):
        fastpool.roi_pool_backward(dy, x.astype(np.float32), **given, out=out)
    assert (out == 7).all()


def test_arrays_of_torch():
    torch = pytest.importorskip("torch")
    problem = region_cases.case(np.random.default_rng(15))
    expected = fastpool.roi_pool(problem.x, *problem.arguments)
    x, boxes, images = (torch.from_numpy(a) for a in (problem.x, problem.boxes, problem.images))
    for regions in ((boxes, images), (problem.boxes, problem.images), (boxes, problem.images.astype(np.uint8))):
        y = fastpool.roi_pool(x, *regions, problem.bins, problem.scale)
        assert isinstance(y, torch.Tensor)
        np.testing.assert_array_equal(y.numpy(), expected)
