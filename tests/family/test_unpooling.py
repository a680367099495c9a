"""Max unpooling against PyTorch, ONNX Runtime and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastpool
from fastpool.family import scattering
from fastpool.reference.family import unpooling as oracle
from tests.family import same

KINDS = ("plane", "tensor", "tap")
SIZES = {1: (2, 3, 23), 2: (2, 3, 9, 11), 3: (2, 2, 5, 6, 7)}


def named(name, n):
    return getattr(fastpool, name.format(n=n))


@pytest.fixture(params=[512 * 1024, 96], ids=["whole planes", "bands"])
def sizes(request, monkeypatch):
    """Planes in one tile, and in bands of a few rows, with every row taken for a long one."""
    for name in ("BAND", "ROWS", "GATHERED"):
        monkeypatch.setattr(scattering, name, request.param)
    if request.param == 96:
        for name in ("SHORT", "SHORT_OF_TAPS"):
            monkeypatch.setattr(scattering, name, 1)


def problems(n, count, seed, dtype=np.float32):
    """(x, its shape before pooling, kernel, stride, padding, indices of each kind) of random poolings."""
    rng = np.random.default_rng(seed)
    found = 0
    while found < count:
        kernel = tuple(int(v) for v in rng.integers(1, 4, n))
        stride = tuple(int(v) for v in (kernel if rng.random() < 0.5 else rng.integers(1, 4, n)))
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        if rng.random() < 0.5:
            padding = (0,) * n
        shape = (*SIZES[n][:2], *(int(rng.integers(k, 14 if n < 3 else 8)) for k in kernel))
        full = (rng.standard_normal(shape) * 50).astype(dtype)
        pool = named("max_pool{n}d", n)
        pairs = {kind: pool(full, kernel, stride, padding, return_indices=kind) for kind in KINDS}
        yield full, kernel, stride, padding, pairs["plane"][0], {kind: pair[1] for kind, pair in pairs.items()}
        found += 1


def by_loops(x, indices, kind, shape, kernel, stride, padding):
    n = len(kernel)
    axes = tuple(range(x.ndim - n, x.ndim))
    places = oracle.positions(indices, kind, shape, axes, kernel, stride, padding)
    y = np.full(shape, 7, x.dtype)
    oracle.unpool(x, places, y, axes)
    return y, places


@pytest.mark.parametrize("n", [1, 2, 3])
def test_it_is_torchs(n, sizes):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.functional, f"max_unpool{n}d")
    for full, kernel, stride, padding, x, indices in problems(n, 60, n):
        expected = theirs(
            torch.from_numpy(x), torch.from_numpy(indices["plane"]), kernel, stride, padding, full.shape
        ).numpy()
        for kind in KINDS:
            y = named("max_unpool{n}d", n)(
                x, indices[kind], kernel, stride, padding, output_size=full.shape, index_kind=kind
            )
            same.assert_same_bits(y, expected, f"{kernel} {stride} {padding} {kind}")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_same_bits_everywhere(n, sizes):
    for i, (full, kernel, stride, padding, x, indices) in enumerate(problems(n, 24, 10 + n)):
        kind = ("plane", "tap")[i % 2]
        rest = (kernel, stride, padding)
        named_size = {"output_size": full.shape[2:], "index_kind": kind}

        def call(x, indices, layout, rest=rest, named_size=named_size):
            return named("max_unpool{n}d", n)(x, indices, *rest, **named_size, layout=layout)

        def back(g, indices, layout, rest=rest, named_size=named_size):
            return named("max_unpool{n}d_backward", n)(g, indices.shape, indices, *rest, **named_size, layout=layout)

        y = same.everywhere(call, x, n, indices[kind])
        by_hand, _ = by_loops(x, indices[kind], kind, full.shape, *rest)
        same.assert_same_bits(y, by_hand)
        g = full + 1
        dx = same.everywhere(back, g, n, indices[kind])
        with same.engine("reference"):
            same.assert_same_bits(call(x, indices[kind], "channels_first"), y)
            same.assert_same_bits(back(g, indices[kind], "channels_first"), dx)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "float64", "int64"])
def test_elements_of_every_size(dtype):
    for full, kernel, stride, padding, x, indices in problems(2, 4, 5, np.float32):
        values = x.astype(dtype)
        y = fastpool.max_unpool2d(values, indices["plane"], kernel, stride, padding, output_size=full.shape)
        same.assert_same_bits(y, by_loops(values, indices["plane"], "plane", full.shape, kernel, stride, padding)[0])


def test_bfloat16():
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = np.array([[1.5, -0.0], [np.nan, 3.0]]).astype(dtype)
    y = fastpool.max_unpool2d(x, np.array([[5, 2], [8, 15]]), 2)
    assert y.dtype == dtype
    same.assert_same_bits(y.reshape(-1)[[5, 2, 8, 15]], x.reshape(-1))


def test_elements_are_moved_as_they_are():
    values = np.array([np.nan, -0.0, np.inf, 5e-324], np.float64)
    values.view(np.uint64)[0] = 0xFFF8_0000_0000_0123
    y = fastpool.max_unpool1d(values, np.arange(0, 8, 2), 2)
    same.assert_same_bits(y[::2].copy(), values)
    assert not y[1::2].view(np.uint64).any()


def test_tensor_indices_count_in_the_callers_layout(sizes):
    rng = np.random.default_rng(3)
    for n, (kernel, stride) in itertools.product((1, 2, 3), [(2, 2), (3, 2), (2, 3)]):
        full = rng.standard_normal((*SIZES[n], 5)).astype(np.float32)
        y, indices = named("max_pool{n}d", n)(full, kernel, stride, layout="channels_last", return_indices="tensor")
        same.assert_same_bits(full.reshape(-1)[indices], y)
        found = named("max_unpool{n}d", n)(
            y, indices, kernel, stride, output_size=full.shape, index_kind="tensor", layout="channels_last"
        )
        expected = np.zeros_like(full)
        expected.reshape(-1)[indices.reshape(-1)] = y.reshape(-1)
        same.assert_same_bits(found, expected)
        g = rng.standard_normal(full.shape).astype(np.float32)
        dx = named("max_unpool{n}d_backward", n)(
            g, y.shape, indices, kernel, stride, output_size=full.shape, index_kind="tensor", layout="channels_last"
        )
        if stride >= kernel:
            same.assert_same_bits(dx, g.reshape(-1)[indices])


def test_it_is_onnx_runtimes(sizes):
    onnxruntime = pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx.helper")
    proto = pytest.importorskip("onnx").TensorProto
    for n, kernel, stride in [(1, 3, 2), (2, 2, 2), (2, 3, 2), (3, 2, 2)]:
        attributes = {"kernel_shape": [kernel] * n, "strides": [stride] * n}
        node = helper.make_node("MaxUnpool", ["x", "i"], ["y"], **attributes)
        inputs = [
            helper.make_tensor_value_info("x", proto.FLOAT, None),
            helper.make_tensor_value_info("i", proto.INT64, None),
        ]
        graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", proto.FLOAT, None)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        full = np.random.default_rng(n).standard_normal((2, 3, *(9,) * n)).astype(np.float32)
        # the size that pooling leaves no rest of, so that indices count in what ONNX infers
        size = (9 - kernel) // stride * stride + kernel
        full = np.ascontiguousarray(full[(..., *(slice(size),) * n)])
        x, indices = named("max_pool{n}d", n)(full, kernel, stride, return_indices="tensor")
        (expected,) = session.run(None, {"x": x, "i": indices})
        same.assert_same_bits(named("max_unpool{n}d", n)(x, indices, kernel, stride, index_kind="tensor"), expected)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_any_indices_of_the_plane(layout, sizes):
    """Not those of the elements' own windows: as torch, which has no rule but the plane."""
    rng = np.random.default_rng(8)
    for kernel, stride in [(2, 2), (3, 1), (1, 3)]:
        x = rng.standard_normal((2, 3, 9, 8)).astype(np.float32)
        shape = (2, 3, 8 * stride + kernel, 7 * stride + kernel)
        plane = shape[2] * shape[3]
        indices = rng.integers(-1, plane, x.shape)
        expected = np.zeros((6, plane), np.float32)
        last = {}
        for row, (values, places) in enumerate(zip(x.reshape(6, -1), indices.reshape(6, -1), strict=True)):
            for o, (value, place) in enumerate(zip(values, places, strict=True)):
                if place >= 0:
                    expected[row, place] = value
                    last[row, int(place)] = o
        g = rng.standard_normal(shape).astype(np.float32)
        gradient = np.zeros((6, 72), np.float32)
        for (row, place), o in last.items():
            gradient[row, o] = g.reshape(6, -1)[row, place]
        arrays = [x, indices, g]
        if layout == "channels_last":
            arrays = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in arrays]
        for threads in (1, 2):
            with fastpool.threads(threads):
                y = fastpool.max_unpool2d(arrays[0], arrays[1], kernel, stride, layout=layout)
                dx = fastpool.max_unpool2d_backward(arrays[2], arrays[0], arrays[1], kernel, stride, layout=layout)
                out = np.full_like(y, 7)
                fastpool.max_unpool2d(arrays[0], arrays[1], kernel, stride, layout=layout, out=out)
            same.assert_same_bits(out, y)
            if layout == "channels_last":
                y, dx = np.moveaxis(y, -1, 1), np.moveaxis(dx, -1, 1)
            same.assert_same_bits(y, expected.reshape(shape))
            same.assert_same_bits(dx, gradient.reshape(x.shape))


def test_of_equal_indices_the_last_one_counts():
    x, indices = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 2])
    np.testing.assert_array_equal(fastpool.max_unpool1d(x, indices, 1), [2.0, 0.0, 4.0, 0.0])
    g = np.array([10.0, 20.0, 30.0, 40.0])
    np.testing.assert_array_equal(fastpool.max_unpool1d_backward(g, x, indices, 1), [0.0, 10.0, 0.0, 30.0])


@pytest.mark.parametrize("kind", ["plane", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_its_gradient(n, kind, sizes):
    for full, kernel, stride, padding, x, indices in problems(n, 12 if n < 3 else 4, 20 + n, np.float64):
        rest = (indices[kind], kernel, stride, padding)
        size = {"output_size": full.shape, "index_kind": kind}
        unpool, backward = named("max_unpool{n}d", n), named("max_unpool{n}d_backward", n)

        def forward(x, unpool=unpool, rest=rest, size=size):
            return unpool(x, *rest, **size)

        def gradient(dy, x, backward=backward, rest=rest, size=size):
            return backward(dy, x, *rest, **size)

        if x.size < 200:
            assert same.gradient_error(forward, gradient, x.copy()) < 1e-6
        assert same.adjoint_error(forward, lambda dy, x=x, gradient=gradient: gradient(dy, x.shape), x) < 1e-13
        y, pullback = fastpool.vjp(unpool, x, *rest, **size)
        same.assert_same_bits(pullback(y + 1), gradient(y + 1, x))


def test_back_and_forth_as_in_segnet():
    """Every maximum comes back where it was, and its gradient through both is that of the identity there."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 4, 12, 20)).astype(np.float32)
    for kernel, stride in [(2, 2), (3, 2)]:
        code, indices = fastpool.max_pool2d(x, kernel, stride, return_indices=True)
        y = fastpool.max_unpool2d(code, indices, kernel, stride, output_size=x.shape)
        kept = y != 0
        same.assert_same_bits(y[kept], x[kept])
        g = rng.standard_normal(x.shape).astype(np.float32)
        through = fastpool.max_unpool2d_backward(g, code, indices, kernel, stride, output_size=x.shape)
        dx = fastpool.max_pool2d_backward(through, x, kernel, stride, indices=indices)
        same.assert_same_bits(dx, np.where(kept, g, np.float32(0)))


def test_empty_windows_and_empty_arrays():
    y, indices = fastpool.max_pool1d(np.array([5.0]), 2, 1, ((2, 2),), return_indices=True)
    assert indices.tolist() == [-1, 0, 0, -1]
    np.testing.assert_array_equal(fastpool.max_unpool1d(y, indices, 2, 1, ((2, 2),)), [5.0])
    g = fastpool.max_unpool1d_backward(np.array([3.0]), y, indices, 2, 1, ((2, 2),))
    np.testing.assert_array_equal(g, [0.0, 0.0, 3.0, 0.0])
    none = np.ones((0, 3, 4, 4))
    assert fastpool.max_unpool2d(none, none.astype(np.int64), 2).shape == (0, 3, 8, 8)


def test_sizes_are_those_that_pool_to_x():
    """The sizes that are taken are exactly those for which pooling, by floor or by ceil, gives as many windows."""
    for kernel, stride, padding in [(2, 2, 0), (3, 2, 1), (2, 3, 0), (1, 4, 0), (5, 3, 2)]:
        x, indices = np.ones(4, np.float32), np.full(4, -1)
        for size in range(1, 25):
            windows = set()
            for ceil in (False, True):
                if size + 2 * padding >= kernel:
                    room = size + 2 * padding - kernel
                    windows.add((-(-room // stride) if ceil else room // stride) + 1)
            if 4 in windows:
                fastpool.max_unpool1d(x, indices, kernel, stride, padding, output_size=size)
            else:
                with pytest.raises(ValueError, match="give 4 on axis 0 for sizes from"):
                    fastpool.max_unpool1d(x, indices, kernel, stride, padding, output_size=size)


GOOD = {"x": np.ones((2, 3, 4, 4), np.float32), "indices": np.zeros((2, 3, 4, 4), np.int64), "kernel_size": 2}
TAPS = np.zeros((2, 3, 4, 4), np.uint8)


def at(place, value, start=GOOD["indices"]):
    changed = start.copy()
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"indices": at((0, 1, 2, 3), 64)}, r"indices\[0, 1, 2, 3\]=64: must be -1 or below 64"),
        ({"indices": at((1, 2, 3, 3), -2)}, r"indices\[1, 2, 3, 3\]=-2"),
        ({"indices": at((0, 0, 0, 0), 2**62)}, r"=4611686018427387904"),
        ({"indices": at((1, 0, 0, 0), -(2**63))}, r"indices\[1, 0, 0, 0\]=-9223372036854775808"),
        # what a check in 32 bits would take for 0
        ({"indices": at((0, 2, 0, 1), 2**32)}, r"indices\[0, 2, 0, 1\]=4294967296"),
        ({"indices": at(np.s_[1, :, 1], 99)}, r"indices\[1, 0, 1, 0\]=99"),
        ({"indices": at((1, 0, 0, 0), 64 * 3), "index_kind": "tensor"}, r"indices\[0, 1, 0, 0\]=0: .*own plane"),
        ({"indices": at((0, 0, 0, 1), 64 * 6), "index_kind": "tensor"}, r"indices\[0, 0, 0, 1\]=384"),
        ({"indices": at((0, 0, 0, 2), -5), "index_kind": "tensor"}, r"indices\[0, 0, 0, 2\]=-5"),
        ({"indices": at((0, 1, 2, 3), 4, TAPS), "index_kind": "tap"}, r"indices\[0, 1, 2, 3\]=4: must be below 4"),
        ({"indices": at((1, 1, 0, 0), 254, TAPS), "index_kind": "tap"}, r"=254"),
        ({"indices": TAPS, "index_kind": "tap", "padding": 1}, r"indices\[0, 0, 0, 0\]=0: .*padding"),
        ({"indices": at((0, 0, 3, 0), 2, TAPS + 1), "index_kind": "tap", "output_size": 7}, r"indices\[0, 0, 0, 3\]=1"),
    ],
)
@pytest.mark.parametrize("engine", ["jit", "reference"])
def test_bad_indices_write_nothing(change, words, engine, sizes):
    given = {**GOOD, **change}
    size = given.get("output_size", 8 - 2 * given.get("padding", 0))
    with same.engine(engine):
        for out in (None, np.full((2, 3, size, size), 7, np.float32)):
            with pytest.raises(ValueError, match=words):
                fastpool.max_unpool2d(**given, out=out)
            assert out is None or (out == 7).all()
        g = np.ones((2, 3, size, size), np.float32)
        rest = {key: value for key, value in given.items() if key != "x"}
        for out in (None, np.full(given["x"].shape, 7, np.float32)):
            with pytest.raises(ValueError, match=words):
                fastpool.max_unpool2d_backward(g, given["x"], **rest, out=out)
            assert out is None or (out == 7).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"indices": GOOD["indices"].astype(np.int32)}, TypeError, "int32"),
        ({"indices": GOOD["indices"], "index_kind": "tap"}, TypeError, "it takes uint8"),
        ({"indices": TAPS, "index_kind": "tap", "kernel_size": 16, "padding": 8}, TypeError, "it takes uint16"),
        ({"indices": GOOD["indices"][1:]}, ValueError, "it must have x's shape"),
        ({"index_kind": "flat"}, ValueError, "unknown word"),
        ({"kernel_size": 0}, ValueError, "at least 1"),
        ({"kernel_size": 2.0}, TypeError, "must be an integer"),
        ({"stride": (1, 2, 3)}, ValueError, "3 entries for 2 axes"),
        ({"padding": -1}, ValueError, "at least 0"),
        ({"padding": ((1, 2, 3), 0)}, ValueError, "pair"),
        ({"padding": "same"}, TypeError, "must be an integer"),
        ({"padding": 9}, ValueError, "give output_size"),
        ({"output_size": 10}, ValueError, "for sizes from 7 to 9 only"),
        ({"output_size": (8, 8, 8)}, ValueError, "3 entries"),
        ({"output_size": (2, 4, 8, 8)}, ValueError, "axis 1 of x has size 3"),
        ({"output_size": 8.0}, TypeError, "must be an integer"),
        ({"x": np.ones((2, 3, 4, 4), np.complex64)}, TypeError, "complex64"),
        ({"x": [[1.0]]}, TypeError, "an array is needed"),
        ({"layout": "NCL"}, ValueError, "unknown layout"),
        ({"device": "cuda"}, ValueError, "CPU alone"),
        ({"out": np.full((2, 3, 8, 8), 7.0)}, TypeError, "float64"),
        ({"out": np.full((2, 3, 8, 9), 7, np.float32)}, ValueError, "the result has shape"),
    ],
)
def test_errors_write_nothing(change, error, words):
    with pytest.raises(error, match=words):
        fastpool.max_unpool2d(**{**GOOD, **change})
    if "out" in change:
        assert (change["out"] == 7).all()


def test_gradients_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="it must have the shape of the forward's result"):
        fastpool.max_unpool2d_backward(np.ones((2, 3, 9, 9), np.float32), *list(GOOD.values()))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_planes_larger_than_a_tile(layout):
    """Bands of their real size, on two threads."""
    rng = np.random.default_rng(6)
    full = rng.standard_normal((1, 2, 700, 500)).astype(np.float32)
    for kernel, stride, padding in [(2, 2, 0), (3, 2, 1)]:
        x, indices = fastpool.max_pool2d(full, kernel, stride, padding, return_indices=True)
        expected = np.zeros((2, 700 * 500), np.float32)
        for row in range(2):
            expected[row, indices[0, row].reshape(-1)] = x[0, row].reshape(-1)
        arrays = [x, indices]
        if layout == "channels_last":
            arrays = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in arrays]
        y = fastpool.max_unpool2d(*arrays, kernel, stride, padding, output_size=(700, 500), layout=layout)
        y = np.moveaxis(y, -1, 1) if layout == "channels_last" else y
        same.assert_same_bits(y, expected.reshape(full.shape))
