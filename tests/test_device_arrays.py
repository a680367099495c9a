"""Arrays on GPUs, with libraries that only look as if they had any: devices, streams, allocation, repeated calls."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import fastpool
from fastpool import dispatch
from fastpool.cuda import checking, devices, memory
from fastpool.functional import _call, _queued
from tests import gpu_fakes

X = np.random.default_rng(6).integers(0, 100, (2, 3, 4, 6)).astype(np.float32)


def plain(array):
    """What lies at an address, or in an array in storage form, as an array of NumPy's."""
    return None if array is None else array.view(np.ndarray)


def strides_of(shape, strides, item):
    return [step * item for step in strides] if strides else None


def lying_at(address, shape, strides, dtype):
    item = np.dtype("H" if dtype == "bf16" else fastpool.problem.DTYPES[dtype])
    place = {"data": (address, False), "shape": shape, "typestr": item.str, "version": 3}
    steps = strides_of(shape, strides, item.itemsize)
    holder = type("Holder", (), {"__array_interface__": place | {"strides": steps and tuple(steps)}})()
    return np.asarray(holder)


@pytest.fixture
def gpu(monkeypatch):
    """Two devices, whose kernels are those of the CPU. ``runs`` are (device, stream) of what ran."""
    gpu = types.SimpleNamespace(runs=[], quick=0, planned=[], orders=[], two_kernels=False)

    def forward(problem, x, y, indices, place):
        gpu.runs.append((place.device, place.stream))
        dispatch.forward(problem, plain(x), plain(y), plain(indices))

    def backward(problem, dy, dx, x, indices, place):
        gpu.runs.append((place.device, place.stream))
        assert dispatch.backward(problem, plain(dy), plain(dx), plain(x), plain(indices)) == ""

    def ready(problem, device, aligned):
        if gpu.two_kernels:
            return None
        gpu.readied = aligned

        def queue(source, output, aux, stream):
            gpu.runs.append((device, stream))
            gpu.quick += 1
            p = problem
            y = lying_at(output if p.direction == "fwd" else source, p.out_shape, p.y_strides, p.out_dtype)
            x = lying_at(source if p.direction == "fwd" else output, p.shape, p.x_strides, p.dtype)
            indices = lying_at(aux, p.out_shape, p.index_strides, p.index_dtype) if p.indices else None
            if p.direction == "fwd":
                dispatch.forward(p, x, y, indices)
            else:
                own = lying_at(aux, p.shape, p.aux_strides, p.dtype) if p.reads_x else None
                assert dispatch.backward(p, y, x, own, indices) == ""

        return queue

    # in place of the module: its own imports need a package for GPUs
    running = types.ModuleType("fastpool.cuda.running")
    running.forward, running.backward, running.ready = forward, backward, ready
    monkeypatch.setitem(sys.modules, "fastpool.cuda.running", running)
    monkeypatch.setattr(fastpool.cuda, "running", running, raising=False)
    for module in (devices, memory):
        monkeypatch.setattr(module, "simulated", lambda: True)
    monkeypatch.setattr(devices, "count", lambda: 2)
    monkeypatch.setattr(devices, "_missing_parts", lambda: ("", ""))
    monkeypatch.setattr(devices, "_fine", set())
    monkeypatch.setattr(checking, "lacks", lambda problem, device: "")
    monkeypatch.setattr(memory, "order", lambda *streams: gpu.orders.append(streams))
    monkeypatch.setattr(_queued, "_known", {})
    monkeypatch.setattr(_queued, "_lanes", {})
    for name in ("plan_forward", "plan_backward"):
        whole = getattr(_call, name)
        monkeypatch.setattr(
            _call, name, lambda called, *a, _whole=whole, **k: (gpu.planned.append(called), _whole(called, *a, **k))[1]
        )
    return gpu


@pytest.fixture
def torch(monkeypatch, gpu):
    module = gpu_fakes.fake_torch()
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


@pytest.fixture
def cupy(monkeypatch, gpu):
    module = gpu_fakes.fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.fixture
def jax(monkeypatch, gpu):
    module = gpu_fakes.fake_jax()
    monkeypatch.setitem(sys.modules, "jax", module)
    return module


def test_torch_tensors_on_their_device_and_stream(torch, gpu):
    expected = fastpool.max_pool2d(X, 2)
    gpu.planned.clear()
    for device in (0, 1):
        for stream in (100, 555):
            torch.streams[device] = stream
            y = fastpool.max_pool2d(torch.Tensor(X, device=device), 2)
            assert type(y) is torch.Tensor
            assert y.get_device() == device
            assert gpu.runs[-1] == (device, stream)
            np.testing.assert_array_equal(y.data, expected)
    # each device is checked once, then known
    assert gpu.planned.count("max_pool2d") == 2
    assert torch.made[0] == ((2, 3, 2, 3), (18, 6, 3, 1), "cuda:0")
    # a library without the quick way to its stream
    torch._C = types.SimpleNamespace()
    _queued._lanes.clear()
    torch.streams[1] = 9
    fastpool.min_pool2d(torch.Tensor(X, device=1), 2)
    assert gpu.runs[-1] == (1, 9)


def test_memory_formats_stay(torch):
    x = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for _ in range(2):
        y = fastpool.avg_pool2d(torch.Tensor(x), 2)
        assert torch.made.pop() == ((2, 3, 2, 3), (18, 1, 9, 3), "cuda:0")
        np.testing.assert_array_equal(y.data, fastpool.avg_pool2d(x, 2))


def test_bfloat16_of_torch(torch, gpu):
    bits = (X.view(np.uint32) >> 16).astype(np.uint16)
    for _ in range(2):
        y = fastpool.max_pool2d(torch.Tensor(bits, torch.bfloat16), 2)
        assert y.dtype is torch.bfloat16
        np.testing.assert_array_equal(y.data, fastpool.max_pool2d(bits, 2))
    assert gpu.quick == 1


def test_repeated_calls_are_known(torch, gpu):
    expected, theirs = fastpool.max_pool2d(X, 3, 2, 1, return_indices=True)
    gradient = fastpool.max_pool2d_backward(expected, X, 3, 2, 1, indices=theirs)
    gpu.planned.clear()
    for scale in (1, 2, 4):
        x = torch.Tensor(X * np.float32(scale))
        y, indices = fastpool.max_pool2d(x, 3, 2, 1, return_indices=True)
        np.testing.assert_array_equal(y.data, expected * scale)
        np.testing.assert_array_equal(indices.data, theirs)
        dx = fastpool.max_pool2d_backward(y, x, 3, 2, 1, indices=indices)
        np.testing.assert_array_equal(dx.data, gradient * scale)
        pair = (torch.Tensor(np.zeros_like(expected)), torch.Tensor(np.zeros_like(theirs)))
        assert fastpool.max_pool2d(x, 3, 2, 1, return_indices=True, out=pair) is pair
        np.testing.assert_array_equal(pair[0].data, expected * scale)
        assert torch.written[-2:] == list(pair)
        given = torch.Tensor(np.zeros_like(X))
        assert fastpool.max_pool2d_backward(y, x, 3, 2, 1, indices=indices, out=given) is given
        np.testing.assert_array_equal(given.data, gradient * scale)
        pooled = fastpool.global_avg_pool(x)
        assert pooled.shape == (2, 3)
        np.testing.assert_array_equal(pooled.data, fastpool.global_avg_pool(x.data))
        spread = fastpool.global_avg_pool_backward(pooled, X.shape)
        np.testing.assert_array_equal(spread.data, fastpool.global_avg_pool_backward(pooled.data, X.shape))
    ours = [name for name in gpu.planned if name in ("max_pool2d", "max_pool2d_backward")]
    assert sorted(ours) == ["max_pool2d"] * 2 + ["max_pool2d_backward"] * 2
    assert gpu.quick == 12


def test_calls_of_two_kernels_are_known_too(torch, gpu):
    gpu.two_kernels = True
    expected = fastpool.max_pool2d_backward(fastpool.max_pool2d(X, 2), X, 2)
    gpu.planned.clear()
    for _ in range(3):
        x = torch.Tensor(X)
        y = fastpool.max_pool2d(x, 2)
        np.testing.assert_array_equal(fastpool.max_pool2d_backward(y, x, 2).data, expected)
        np.testing.assert_array_equal(fastpool.lp_pool2d(x, 2, 2).data, fastpool.lp_pool2d(X, 2, 2))
    assert gpu.quick == 0
    assert gpu.planned.count("max_pool2d_backward") == 1


def test_vectors_need_aligned_memory(torch, gpu):
    room = np.zeros(X.size + 8, np.float32)
    skip = -(room.ctypes.data // 4) % 4
    for offset, aligned in ((0, True), (1, False), (4, True)):
        x = room[skip + offset : skip + offset + X.size].reshape(X.shape)
        x[...] = X
        for _ in range(2):
            y = fastpool.max_pool2d(torch.Tensor(x), 2)
            np.testing.assert_array_equal(y.data, fastpool.max_pool2d(X, 2))
        if y.data_ptr() % 16 == 0:
            known = next(iter(_queued._known.values()))
            assert (known.aligned if aligned else known.loose) is not None


@pytest.mark.parametrize("bad", [True, 2.0, (2, True), (2, 2.0), [2, True]])
def test_values_that_are_equal_but_of_another_type_are_still_refused(torch, bad):
    x = torch.Tensor(X)
    for good in (2, (2, 1), [2, 1], 1):
        for _ in range(2):
            fastpool.max_pool2d(x, good)
    with pytest.raises(TypeError, match="every entry must be an integer"):
        fastpool.max_pool2d(x, bad)
    with pytest.raises(TypeError, match="keepdims=1"):
        [fastpool.global_max_pool(x, keepdims=flag) for flag in (True, 1)]


def test_what_is_looked_at_each_time(torch):
    x = torch.Tensor(X)
    out = torch.Tensor(np.zeros((2, 3, 2, 3), np.float32))
    for _ in range(2):
        fastpool.max_pool2d(x, 2, out=out)
        fastpool.max_pool2d(x, 2)
    x.requires_grad = True
    with pytest.raises(ValueError, match="x requires grad"):
        fastpool.max_pool2d(x, 2)
    torch.grads = False
    fastpool.max_pool2d(x, 2)
    with pytest.raises(ValueError, match="out overlaps x"):
        fastpool.max_pool2d(x, 2, out=torch.Tensor(X.reshape(-1)[4:40].reshape(2, 3, 2, 3)))
    # between the elements of x: apart, but not from end to end
    wide = np.zeros((4, 12), np.float32)
    for _ in range(2):
        inner, target = torch.Tensor(wide[:, ::2]), torch.Tensor(wide[:2, 1::4])
        assert fastpool.max_pool2d(inner, 2, out=target) is target
    x.layout = torch.sparse_coo
    with pytest.raises(TypeError, match=r"layout torch.sparse_coo: .*; give x.to_dense\(\)"):
        fastpool.max_pool2d(x, 2)


def test_the_environment_is_read_each_time(torch, gpu, monkeypatch):
    x = torch.Tensor(X)
    for _ in range(2):
        fastpool.max_pool2d(x, 2)
    assert gpu.quick == 1
    told = []
    monkeypatch.setattr(dispatch, "explain_at", lambda *arguments: told.append(arguments) or "it")
    monkeypatch.setenv("FASTPOOL_VERBOSE", "dispatch")
    fastpool.max_pool2d(x, 2)
    assert len(told) == 1
    monkeypatch.setenv("FASTPOOL_VERBOSE", "loud")
    with pytest.raises(ValueError, match="FASTPOOL_VERBOSE='loud'"):
        fastpool.max_pool2d(x, 2)


def test_devices_are_not_mixed(torch):
    x, other = torch.Tensor(X), torch.Tensor(np.zeros((2, 3, 2, 3), np.float32), device=1)
    words = "is on cuda:1: all arrays of a call must be on one device, here cuda:0; move it there first"
    with pytest.raises(ValueError, match=f"out {words}"):
        fastpool.max_pool2d(x, 2, out=other)
    with pytest.raises(ValueError, match=r"x is on cuda:0: .* here cuda:1"):
        fastpool.max_pool2d_backward(other, x, 2)
    with pytest.raises(ValueError, match=r"out is on the CPU: .* here cuda:0"):
        fastpool.max_pool2d(x, 2, out=torch.Tensor(X, device=-1))
    y, pullback = fastpool.vjp(fastpool.max_pool2d, x, 2)
    with pytest.raises(ValueError, match=f"grad_output {words}"):
        pullback(other)
    with pytest.raises(ValueError, match="grad_output is on the CPU"):
        pullback(torch.Tensor(y.data, device=-1))


def test_vjp(torch):
    x = torch.Tensor(X)
    y, pullback = fastpool.vjp(fastpool.max_pool2d, x, 2)
    np.testing.assert_array_equal(pullback(y).data, fastpool.max_pool2d_backward(y.data, X, 2))
    y, pullback = fastpool.vjp(fastpool.lp_pool2d, x, 2, 2)
    np.testing.assert_array_equal(pullback(y).data, fastpool.lp_pool2d_backward(y.data, X, 2, 2))


def test_rocm_is_not_cuda(torch):
    torch.version.hip = "6.0"
    with pytest.raises(ValueError, match="it is on device ROCm:0; pooling runs on the CPU and on CUDA devices"):
        fastpool.max_pool2d(torch.Tensor(X), 2)


def test_cupy(cupy, gpu):
    for _ in range(2):
        y, taps = fastpool.max_pool2d(cupy.ndarray(X, 1), 2, return_indices="tap")
        assert type(y) is cupy.ndarray
        assert y.device.id == 1
        assert gpu.runs[-1] == (1, 301)
        expected, theirs = fastpool.max_pool2d(X, 2, return_indices="tap")
        np.testing.assert_array_equal(y.array, expected)
        np.testing.assert_array_equal(taps.array, theirs)
        turned = fastpool.avg_pool2d(cupy.ndarray(np.asfortranarray(X), 1), 2)
        assert turned.strides == fastpool.avg_pool2d(np.asfortranarray(X), 2).strides
    assert set(cupy.made) == {((2, 3, 2, 3), 1), ((3, 2, 3, 2), 1)}
    assert gpu.quick == 2
    assert fastpool.global_sum_pool(cupy.ndarray(X, 0)).shape == (2, 3)


def test_jax(jax, gpu):
    x = jax.Array(X, 1)
    y, taps = fastpool.max_pool2d(x, 2, return_indices="tap")
    assert type(y) is type(taps) is jax.Array
    # the default stream waits for x, and JAX's own stream for the results
    assert jax.asked == [1]
    assert gpu.runs == [(1, 0)]
    assert gpu.orders == [(1, 0, 77)] * 2
    expected, theirs = fastpool.max_pool2d(X, 2, return_indices="tap")
    np.testing.assert_array_equal(y.data, expected)
    np.testing.assert_array_equal(taps.data, theirs)
    with pytest.raises(ValueError, match="jax arrays cannot be written to"):
        fastpool.max_pool2d(x, 2, out=y)
    with pytest.raises(TypeError, match="jax holds no 64-bit elements"):
        fastpool.max_pool2d(x, 2, return_indices=True)
    with pytest.raises(ValueError, match="it is on devices"):
        fastpool.max_pool2d(jax.Array(X, 0, more=1), 2)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (("it needs the package numba-cuda, which is not installed", "install it"), "numba-cuda.*; install it"),
        (("there is no NVIDIA driver", "install one"), "no NVIDIA driver; install one"),
    ],
)
def test_no_gpu(torch, monkeypatch, missing, words):
    monkeypatch.setattr(devices, "_missing_parts", lambda: missing)
    with pytest.raises(ValueError, match=f"max_pool2d: x on cuda:0: .*{words}"):
        fastpool.max_pool2d(torch.Tensor(X), 2)
    with pytest.raises(ValueError, match=f"avg_pool2d: device='cuda': .*{words}"):
        fastpool.avg_pool2d(X, 2, device="cuda")


def test_a_device_that_is_too_old(torch, monkeypatch):
    monkeypatch.setattr(devices, "simulated", lambda: False)
    monkeypatch.setattr(devices, "capability", lambda device: (7, 0))
    with pytest.raises(ValueError, match=r"x on cuda:1: device 1 has compute capability 7.0, and 7.5 is needed"):
        fastpool.max_pool2d(torch.Tensor(X, device=1), 2)


def test_memory_of_known_calls_is_bounded(torch, monkeypatch):
    monkeypatch.setattr(_queued, "MOST", 3)
    for size in range(1, 10):
        fastpool.max_pool1d(torch.Tensor(X), 1, size)
    assert len(_queued._known) <= 3


def test_calls_that_differ_in_one_thing_are_told_apart(torch, gpu):
    """Each of these is made twice, in turn, so that every one is known while the others are looked up."""
    turned = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    inputs = [X, turned, X[:, :, ::-1], X[:, :2], X.astype(np.float64), X.reshape(3, 2, 4, 6)]
    words = [
        {},
        {"stride": 1},
        {"stride": (1, 2)},
        {"padding": 1},
        {"padding": (1, 0)},
        {"padding": [1, 0]},
        {"dilation": 2},
        {"ceil_mode": True},
        {"layout": "channels_last"},
        {"nan": "ignore"},
    ]
    for _ in range(2):
        for x in inputs:
            for more in words:
                for pool in (fastpool.max_pool2d, fastpool.avg_pool2d):
                    expected = pool(x, 2, **more)
                    # the very same tensor with other memory, too
                    given = torch.Tensor(X)
                    given.data, given.dtype = x, getattr(torch, x.dtype.name)
                    y = pool(given, 2, **more)
                    np.testing.assert_array_equal(y.data, expected)
                    # the strides of axes of length 1 say nothing
                    assert [s for s, n in zip(y.data.strides, y.shape, strict=True) if n > 1] == [
                        s for s, n in zip(expected.strides, y.shape, strict=True) if n > 1
                    ]
                    out = torch.Tensor(np.zeros_like(np.ascontiguousarray(expected)))
                    assert pool(given, 2, out=out, **more) is out
                    np.testing.assert_array_equal(out.data, expected)
    assert gpu.quick > 200


def test_gradients_that_differ_in_one_thing_are_told_apart(torch, gpu):
    g = np.ones((2, 3, 2, 3), np.float32)
    shapes = [X.shape, (2, 3, 5, 7), (2, 3, 5, 6)]
    for _ in range(3):
        for shape in shapes:
            for include in (True, False):
                expected = fastpool.avg_pool2d_backward(g, shape, 2, 2, 0, count_include_pad=include)
                dx = fastpool.avg_pool2d_backward(torch.Tensor(g), shape, 2, 2, 0, count_include_pad=include)
                np.testing.assert_array_equal(dx.data, expected)
    gpu.planned.clear()
    # as torch gives a shape: a tuple of a type of its own
    size = type("Size", (tuple,), {})
    for _ in range(2):
        fastpool.avg_pool2d_backward(torch.Tensor(g), size(X.shape), 2, 2, 0)
    assert gpu.planned == []
    with pytest.raises(TypeError, match="x_or_shape"):
        fastpool.avg_pool2d_backward(torch.Tensor(g), (2, 3, 4.0, 6), 2, 2, 0)


def test_a_known_call_runs_on_the_device_and_stream_of_its_arrays(torch, gpu):
    outs = [torch.Tensor(np.zeros((2, 3, 2, 3), np.float32), device=device) for device in (0, 1)]
    for turn in range(3):
        for device in (1, 0):
            torch.streams[device] = 10 * turn + device
            x = torch.Tensor(X, device=device)
            assert fastpool.max_pool2d(x, 2).get_device() == device
            assert gpu.runs[-1] == (device, 10 * turn + device)
            fastpool.max_pool2d(x, 2, out=outs[device])
            assert gpu.runs[-1] == (device, 10 * turn + device)
    assert gpu.quick == 8


def test_results_are_made_the_short_way_only_on_the_current_device(torch, gpu):
    made = []

    def quick(shape, strides, dtype):
        assert type(shape) is type(strides) is tuple
        made.append(torch.now)
        return torch.empty_strided(shape, strides, dtype=dtype, device=f"cuda:{torch.now}")

    torch._C._cuda_getDevice = lambda: torch.now
    torch._C._dynamo = types.SimpleNamespace(guards=types.SimpleNamespace(_empty_strided_cuda=quick))
    expected = fastpool.max_pool2d(X, 2)
    for torch.now in (0, 1, 0):
        for device in (0, 1):
            y = fastpool.max_pool2d(torch.Tensor(X, device=device), 2)
            assert y.get_device() == device
            np.testing.assert_array_equal(y.data, expected)
    # the first calls on each device, while 0 is the current one, are not known yet
    assert made == [1, 0]


def test_overlaps_of_known_calls(torch, gpu):
    memory = np.zeros(400, np.float32)
    apart = torch.Tensor(memory[200:236].reshape(2, 3, 2, 3))
    x = torch.Tensor(memory[:144].reshape(X.shape))
    for _ in range(2):
        fastpool.max_pool2d(x, 2, out=apart)
    gpu.planned.clear()
    for begin in (144, 160, 364):
        fastpool.max_pool2d(x, 2, out=torch.Tensor(memory[begin : begin + 36].reshape(2, 3, 2, 3)))
    assert "max_pool2d" not in gpu.planned
    for begin in (0, 50, 143):
        with pytest.raises(ValueError, match="out overlaps x"):
            fastpool.max_pool2d(x, 2, out=torch.Tensor(memory[begin : begin + 36].reshape(2, 3, 2, 3)))
    later = torch.Tensor(memory[36:180].reshape(X.shape))
    fastpool.max_pool2d(later, 2, out=torch.Tensor(memory[:36].reshape(2, 3, 2, 3)))
    with pytest.raises(ValueError, match="out overlaps x"):
        fastpool.max_pool2d(later, 2, out=torch.Tensor(memory[1:37].reshape(2, 3, 2, 3)))


def test_calls_from_several_threads(torch, gpu):
    from concurrent.futures import ThreadPoolExecutor

    def work(seed):
        x = np.random.default_rng(seed).random(X.shape, np.float32)
        wanted = fastpool.max_pool2d(x, 2)
        return all((fastpool.max_pool2d(torch.Tensor(x), 2).data == wanted).all() for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


def test_options_that_are_not_pythons_own(torch, gpu):
    """They are looked at in full each time, and nothing like them is taken for them."""
    x = torch.Tensor(X)
    for size in (2, np.int64(2), np.int64(3), np.int32(2)):
        for _ in range(2):
            np.testing.assert_array_equal(fastpool.max_pool2d(x, size).data, fastpool.max_pool2d(X, int(size)))
    with pytest.raises(TypeError, match="kernel_size"):
        fastpool.max_pool2d(x, np.int64(2).tobytes())
    # names, which are looked up as they are
    grad = torch.Tensor(fastpool.max_pool2d(X, 2))
    for layout in ("channels_first", "channels_last", np.str_("channels_first")):
        for _ in range(2):
            given = fastpool.max_pool2d(x, 2, layout=layout).data
            np.testing.assert_array_equal(given, fastpool.max_pool2d(X, 2, layout=str(layout)))
    for layout in (["channels_first"], {}, 1, None, "last"):
        for _ in range(2):
            with pytest.raises((TypeError, ValueError), match="layout"):
                fastpool.max_pool2d(x, 2, layout=layout)
            with pytest.raises((TypeError, ValueError), match="layout"):
                fastpool.max_pool2d_backward(grad, x, 2, layout=layout)
    # equal, but not the same
    for size in (2.0, True, 1.0):
        fastpool.max_pool2d(x, int(size))
        with pytest.raises(TypeError, match="kernel_size"):
            fastpool.max_pool2d(x, size)
