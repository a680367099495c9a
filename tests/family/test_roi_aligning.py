"""RoI align against its definition in plain NumPy, and onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool
from fastpool.reference.family import regions as reference
from tests.family import region_cases, same
from tests.family.test_roi_pooling import corners_of, good

MODES = ("avg", "max")
TOLERANCE = {"float32": 2e-6, "float64": 1e-14, "float16": 1e-3}


def options(rng, seed):
    """sampling_ratio and aligned."""
    return int(rng.integers(0, 4)), bool(seed // 2 % 2)


def expected_of(problem, ratio, aligned, mode):
    corners = corners_of(problem, 0.5 if aligned else 0.0)
    x = problem.x if problem.x.dtype != np.float16 else problem.x.astype(np.float32)
    return reference.roi_align(x, corners, problem.images, problem.bins, ratio, aligned, mode)


def near(y, expected, dtype, x):
    scale = max(1.0, float(np.max(np.abs(x.astype(np.float64)))))
    np.testing.assert_allclose(y.astype(np.float64), expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("engine", same.EACH)
@pytest.mark.parametrize("seed", range(100))
def test_it_is_as_defined(seed, engine):
    rng = np.random.default_rng(seed)
    dtype = ("float32", "float64", "float16" if engine == "jit" else "float64", "float32")[seed % 4]
    problem = region_cases.case(rng, dtype, ("float32", "float64")[seed // 3 % 2], most=20)
    ratio, aligned = options(rng, seed)
    mode = MODES[seed % 3 % 2]

    def call(x, layout):
        return fastpool.roi_align(x, *problem.arguments, ratio, aligned, mode=mode, layout=layout)

    with same.engine(engine):
        y = same.everywhere(call, problem.x, 2)
    expected = expected_of(problem, ratio, aligned, mode)[0]
    near(y, expected, dtype, problem.x)
    if mode == "max" and dtype != "float16":
        # no sum: the same products
        np.testing.assert_array_equal(y, expected)


def test_it_is_as_in_onnxruntime():
    rng = np.random.default_rng(3)
    for seed in range(240):
        dtype = ("float32", "float64")[seed % 2]
        problem = region_cases.case(rng, dtype)
        ratio, aligned = options(rng, seed)
        for mode in MODES:
            y = fastpool.roi_align(problem.x, *problem.arguments, ratio, aligned, mode=mode)
            near(y, region_cases.onnx_align(problem, ratio, aligned, mode), dtype, problem.x)


def test_halves_in_onnxruntime():
    rng = np.random.default_rng(4)
    for _ in range(10):
        problem = region_cases.case(rng, "float16")
        # corners and positions that float16 holds
        problem = problem._replace(boxes=np.round(np.clip(problem.boxes, -20, 60)), scale=1.0, bins=(2, 4))
        y = fastpool.roi_align(problem.x, *problem.arguments, 1)
        peer = region_cases.onnx_align(problem._replace(boxes=problem.boxes.astype(np.float16)), 1, True, "avg")
        np.testing.assert_allclose(y, peer, atol=2e-2)


def test_a_constant_stays_where_all_samples_are_inside():
    x = np.full((1, 17, 9, 9), 3.0, np.float32)
    boxes = np.array([[1.3, 2.1, 7.9, 7.2]], np.float32)
    for ratio in (0, 1, 2, 3):
        y = fastpool.roi_align(x, boxes, np.array([0]), (3, 5), sampling_ratio=ratio)
        np.testing.assert_allclose(y, 3.0, rtol=3e-7)


def test_a_weight_of_zero_hides_what_is_there():
    x = np.full((1, 1, 3, 3), np.nan)
    x[0, 0, 1, 1] = -5.0
    box, image = np.array([[1.0, 1.0, 2.0, 2.0]]), np.array([0])
    assert fastpool.roi_align(x, box, image, 1, sampling_ratio=1).item() == -5
    assert fastpool.roi_align(x, box, image, 1, sampling_ratio=1, mode="max").item() == 0
    assert fastpool.roi_align(x, box + 0.25, image, 1, sampling_ratio=1, mode="max").view(np.uint64).item() == (
        np.float64(np.nan).view(np.uint64)
    )


def test_far_outside_and_of_no_length():
    x = np.ones((1, 2, 5, 6))
    image = np.array([0])
    for box in ([-90.0, -90, -80, -80], [50.0, 0, 60, 3], [2.0, 2, 2, 2]):
        for mode in MODES:
            assert not fastpool.roi_align(x, np.array([box]), image, 2, mode=mode).any()
    # a point has samples where their number is given, and a length where it is not aligned
    point = np.array([[2.0, 2, 2, 2]])
    assert (fastpool.roi_align(x, point, image, 2, sampling_ratio=1) == 1).all()
    assert (fastpool.roi_align(x, point, image, 2, aligned=False) == 1).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("box", ["float32", "float64"])
def test_boxes_far_larger_than_the_image(mode, box):
    """Of bins with millions of samples those on the image are looked at; a smaller one is compared in full."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((1, 3, 6, 7))
    image = np.array([0])
    for reach in (700.0, 2000.0):
        boxes = np.array([[-reach, -reach / 3, reach / 2, reach]], box)
        problem = region_cases.Case(x, boxes, image, (2, 1), 1.0)
        y = fastpool.roi_align(x, boxes, image, (2, 1), mode=mode)
        corners = corners_of(problem, 0.5)
        values = [reference.roi_align(x, corners, image, (2, 1), 0, True, mode)[0]] if reach < 1000 else [y]
        np.testing.assert_allclose(y, values[0], rtol=1e-9, atol=1e-12)
    limit = 2.0**24 - 1 if box == "float32" else 2.0**31 - 1
    for corners in ([-limit, -limit, limit, limit], [-limit, 0, limit, 6], [-limit, -limit, -limit + 4, 3]):
        y = fastpool.roi_align(x, np.array([corners], box), image, 7, mode=mode)
        assert np.isfinite(y).all()
        dx = fastpool.roi_align_backward(np.ones_like(y), x, np.array([corners], box), image, 7, mode=mode)
        assert np.isfinite(dx).all()


@pytest.mark.parametrize("engine", same.EACH)
@pytest.mark.parametrize("seed", range(60))
def test_the_gradient_is_as_defined(seed, engine):
    rng = np.random.default_rng(seed)
    dtype = ("float32", "float64")[seed % 2]
    problem = region_cases.case(rng, dtype, most=18)
    ratio, aligned = options(rng, seed)
    mode = MODES[seed % 3 == 0]
    corners = corners_of(problem, 0.5 if aligned else 0.0)
    dy = rng.standard_normal((len(problem.boxes), problem.x.shape[1], *problem.bins)).astype(dtype)

    def back(x, dy, layout):
        return fastpool.roi_align_backward(dy, x, *problem.arguments, ratio, aligned, mode=mode, layout=layout)

    with same.engine(engine):
        dx = same.everywhere(back, problem.x, 2, dy)
    if mode == "avg":
        expected = reference.roi_align_gradient(dy, problem.x.shape, corners, problem.images, ratio, aligned)
        same.assert_same_bits(dx, fastpool.roi_align_backward(dy, problem.x.shape, *problem.arguments, ratio, aligned))
    else:
        _, places, weights = expected_of(problem, ratio, aligned, mode)
        expected = reference.scattered(dy, places, problem.images, problem.x.shape, 1, "plane", weights)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(dx, expected, rtol=0, atol=(5e-6 if dtype == "float32" else 1e-13) * scale)
    _, pullback = fastpool.vjp(fastpool.roi_align, problem.x, *problem.arguments, ratio, aligned, mode=mode)
    same.assert_same_bits(pullback(dy), dx)


def test_the_gradient_is_the_slope():
    rng = np.random.default_rng(8)
    for seed in range(6):
        problem = region_cases.case(rng, "float64", most=6)
        ratio, aligned = options(rng, seed)
        mode = MODES[seed % 2]
        given = (*problem.arguments, ratio, aligned)
        error = same.gradient_error(
            lambda x, a=given, m=mode: fastpool.roi_align(x, *a, mode=m),
            lambda dy, x, a=given, m=mode: fastpool.roi_align_backward(dy, x, *a, mode=m),
            problem.x,
        )
        assert error < 1e-6


def test_the_mean_is_linear():
    rng = np.random.default_rng(9)
    for seed in range(40):
        problem = region_cases.case(rng, "float64")
        given = (*problem.arguments, *options(rng, seed))
        error = same.adjoint_error(
            lambda x, a=given: fastpool.roi_align(x, *a),
            lambda dy, a=given, x=problem.x: fastpool.roi_align_backward(dy, x.shape, *a),
            problem.x,
        )
        assert error < 1e-13


@pytest.mark.slow
def test_halves():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(10)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        for mode in MODES:
            problem = region_cases.case(rng)
            x = problem.x.astype(dtype)
            wide = x.astype(np.float32)
            y = fastpool.roi_align(x, *problem.arguments, 2, mode=mode)
            assert y.dtype == dtype
            np.testing.assert_array_equal(y, fastpool.roi_align(wide, *problem.arguments, 2, mode=mode).astype(dtype))
            dx = fastpool.roi_align_backward(y, x, *problem.arguments, 2, mode=mode)
            exact = fastpool.roi_align_backward(y.astype(np.float32), wide, *problem.arguments, 2, mode=mode)
            np.testing.assert_array_equal(dx, exact.astype(dtype))


def test_regions_of_one_image_in_groups_and_large_images_in_rows_and_bands():
    rng = np.random.default_rng(11)
    for shape, k in (((1, 3, 40, 50), 60), ((2, 20, 60, 70), 2), ((1, 1, 300, 700), 3), ((1, 1, 1, 1), 5)):
        x = rng.standard_normal(shape)
        corners = np.sort(rng.uniform(0, 1, (k, 2, 2)), 1).reshape(k, 4) * ([*shape[:1:-1]] * 2)
        images = np.sort(rng.integers(0, shape[0], k))[::-1]
        problem = region_cases.Case(x, corners, images, (3, 2), 1.0)
        for mode in MODES:
            y = fastpool.roi_align(x, *problem.arguments, 2, mode=mode)
            expected, places, weights = expected_of(problem, 2, True, mode)
            np.testing.assert_allclose(y, expected, atol=1e-13)
            dx = fastpool.roi_align_backward(y, x, *problem.arguments, 2, mode=mode)
            if mode == "max":
                found = reference.scattered(y, places, images, shape, 1, "plane", weights)
            else:
                found = reference.roi_align_gradient(y, shape, corners_of(problem, 0.5), images, 2, True)
            np.testing.assert_allclose(dx, found, atol=1e-12)


def test_channels_side_by_side():
    rng = np.random.default_rng(12)
    for dtype, channels in (("float32", 517), ("float64", 259)):
        x = rng.standard_normal((1, channels, 6, 5)).astype(dtype)
        boxes = np.array([[0, 0, 4, 5], [1, 2, 3, 3], [-2, 0, 1, 9], [0, 0, 4, 5]], dtype)
        problem = region_cases.Case(x, boxes, np.zeros(4, int), (3, 2), 1.0)
        for mode in MODES:

            def call(x, layout, problem=problem, mode=mode):
                return fastpool.roi_align(x, *problem.arguments, 2, mode=mode, layout=layout)

            def back(x, dy, layout, problem=problem, mode=mode):
                return fastpool.roi_align_backward(dy, x, *problem.arguments, 2, mode=mode, layout=layout)

            y = same.everywhere(call, x, 2)
            near(y, expected_of(problem, 2, True, mode)[0], dtype, x)
            dx = same.everywhere(back, x, 2, y)
            corners = corners_of(problem, 0.5)
            if mode == "avg":
                near(dx, reference.roi_align_gradient(y, x.shape, corners, problem.images, 2, True), dtype, 4 * x)


def test_no_regions_and_no_channels():
    x = np.ones((2, 3, 4, 5), np.float32)
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    for mode in MODES:
        assert fastpool.roi_align(x, *none, (2, 3), mode=mode).shape == (0, 3, 2, 3)
        dx = fastpool.roi_align_backward(np.ones((0, 3, 2, 3), np.float32), x, *none, (2, 3), mode=mode)
        assert dx.shape == x.shape
        assert not dx.any()
        assert fastpool.roi_align(x[:, :0], np.zeros((2, 4)), np.zeros(2, int), 2, mode=mode).shape == (2, 0, 2, 2)


def test_the_reference_is_an_engine():
    problem = region_cases.case(np.random.default_rng(12), "float64")
    for mode in MODES:
        y = fastpool.roi_align(problem.x, *problem.arguments, mode=mode)
        dx = fastpool.roi_align_backward(y, problem.x, *problem.arguments, mode=mode)
        with same.engine("reference"):
            np.testing.assert_allclose(fastpool.roi_align(problem.x, *problem.arguments, mode=mode), y, atol=1e-14)
            again = fastpool.roi_align_backward(y, problem.x, *problem.arguments, mode=mode)
        np.testing.assert_allclose(again, dx, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"sampling_ratio": -1}, ValueError, "at least 0"),
        ({"sampling_ratio": 1 << 20}, ValueError, "at most 32768"),
        ({"sampling_ratio": 1.0}, TypeError, "must be an integer"),
        ({"aligned": 1}, TypeError, "must be True or False"),
        ({"mode": "mean"}, ValueError, "unknown word"),
        ({"mode": 1}, TypeError, "must be a word"),
        ({"out": np.full((2, 3, 2, 3), 7.0)}, ValueError, "the result has shape"),
        ({"out": np.full((2, 3, 2, 2), 7.0, np.float32)}, TypeError, "float32"),
    ],
)
def test_errors_write_nothing(change, error, words):
    given = {**good(), "out": np.full((2, 3, 2, 2), 7.0), **change}
    with pytest.raises(error, match=words):
        fastpool.roi_align(**given)
    assert (given["out"] == 7).all()


def test_errors_of_the_gradient():
    given = good()
    x = given.pop("x")
    dy, out = np.ones((2, 3, 2, 2)), np.full(x.shape, 7.0)
    with pytest.raises(ValueError, match="give x"):
        fastpool.roi_align_backward(dy, x.shape, **given, mode="max", out=out)
    with pytest.raises(ValueError, match="shape of the forward's result"):
        fastpool.roi_align_backward(dy[:1], x.shape, **given, out=out)
    with pytest.raises(ValueError, match="must be finite"):
        fastpool.roi_align_backward(dy, x.shape, **{**given, "boxes": given["boxes"] * np.nan}, out=out)
    with pytest.raises(TypeError, match="float32"):
        fastpool.roi_align_backward(dy, x.astype(np.float32), **given, mode="max", out=out)
    assert (out == 7).all()
