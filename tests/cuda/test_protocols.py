"""Arrays known by a protocol alone, copies by ``device=``, and what is refused, in the simulator."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import fastpool
from fastpool.cuda import copying, dlpack, memory
from fastpool.cuda.memory import DeviceArray
from tests.cuda.arrays import Capsule, Interface, host, on_device

X = np.random.default_rng(4).integers(0, 100, (2, 3, 4, 6)).astype(np.float32)


@pytest.fixture
def ordered(monkeypatch):
    """Which stream was told to wait for which."""
    found = []
    monkeypatch.setattr(memory, "order", lambda device, first, then: found.append((first, then)))
    return found


def test_the_interface_alone(ordered):
    x = Interface(X)
    y, taps = fastpool.max_pool2d(x, 2, return_indices="tap")
    assert type(y) is type(taps) is DeviceArray
    expected, theirs = fastpool.max_pool2d(X, 2, return_indices="tap")
    np.testing.assert_array_equal(y.copy_to_host(), expected)
    np.testing.assert_array_equal(taps.copy_to_host(), theirs)
    # arrays of fastpool's own and those of the library are one kind
    dx = fastpool.max_pool2d_backward(y, x, 2, indices=taps, index_kind="tap")
    np.testing.assert_array_equal(
        dx.copy_to_host(), fastpool.max_pool2d_backward(expected, X, 2, indices=theirs, index_kind="tap")
    )
    assert fastpool.global_sum_pool(x).shape == (2, 3)
    assert ordered == []
    assert repr(y) == "<fastpool array of shape (2, 3, 2, 3), dtype float32, on cuda:0>"


def test_the_interface_with_strides_and_out():
    turned = np.asfortranarray(X)
    out = np.zeros((2, 3, 2, 3), np.float32)
    given = Interface(out, strides=None)
    assert fastpool.avg_pool2d(Interface(turned), 2, out=given) is given
    np.testing.assert_array_equal(out, fastpool.avg_pool2d(X, 2))
    y = fastpool.avg_pool2d(Interface(turned), 2)
    assert y.strides == fastpool.avg_pool2d(turned, 2).strides
    np.testing.assert_array_equal(y.copy_to_host(), out)


def test_streams_that_arrays_name(ordered):
    out = Interface(np.zeros((2, 3, 2, 3), np.float32), stream=5)
    fastpool.max_pool2d(Interface(X, stream=9), 2, out=out)
    # the call runs on x's stream: that of out is waited for, and waits
    assert ordered == [(5, 9), (9, 5)]
    ordered.clear()
    y = fastpool.max_pool2d(Interface(X, stream=9), 2)
    assert y.stream == 9
    assert y.__cuda_array_interface__["stream"] == 9
    fastpool.max_pool2d_backward(y, Interface(X, stream=1), 2)
    # dx is one of x's kind, on its stream
    assert ordered == [(0, 9), (9, 0)]
    ordered.clear()
    assert fastpool.max_pool2d(Interface(X, stream=1), 2).__cuda_array_interface__["stream"] == 1
    assert ordered == []


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"mask": X}, TypeError, "with a mask: its mask would be lost"),
        ({"typestr": ">f4"}, TypeError, "dtype >f4"),
        ({"typestr": "<V2"}, TypeError, r"dtype \|?V2|dtype <V2"),
        ({"strides": (288, 96, 24, 3)}, ValueError, "aligned and whole elements apart"),
    ],
)
def test_interfaces_that_are_refused(said, error, words):
    with pytest.raises(error, match=words):
        fastpool.max_pool2d(Interface(X, **said), 2)


def test_out_that_may_not_be_written():
    out = np.zeros((2, 3, 2, 3), np.float32)
    given = Interface(out)
    given.said["data"] = (out.ctypes.data, True)
    with pytest.raises(ValueError, match="out: it is read-only"):
        fastpool.max_pool2d(Interface(X), 2, out=given)
    with pytest.raises(ValueError, match="out overlaps x"):
        fastpool.max_pool2d(Interface(X), 2, out=Interface(X[:, :, :2, :3]))
    with pytest.raises(ValueError, match="two of its elements share memory"):
        fastpool.max_pool2d(
            Interface(X), 2, out=Interface(np.lib.stride_tricks.as_strided(out, strides=(0, 24, 12, 4)))
        )


def test_dlpack_alone(ordered):
    Capsule.asked.clear()
    x = Capsule(X)
    y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
    assert type(y) is type(indices) is Capsule
    # the library lets the default stream wait for x, and its own stream waits for the result
    assert Capsule.asked == [1]
    assert ordered == [(0, 7), (0, 7)]
    expected, theirs = fastpool.max_pool2d(X, 2, return_indices=True)
    np.testing.assert_array_equal(y.data, expected)
    np.testing.assert_array_equal(indices.data, theirs)
    dx = fastpool.max_pool2d_backward(y, x, 2, indices=indices)
    np.testing.assert_array_equal(dx.data, fastpool.max_pool2d_backward(expected, X, 2, indices=theirs))
    out = Capsule(np.zeros_like(expected))
    assert fastpool.max_pool2d(x, 2, out=out) is out
    np.testing.assert_array_equal(out.data, expected)
    # what a capsule refers to goes with it
    del y, indices, dx, out
    gc.collect()
    assert dlpack._made == {}


@pytest.mark.parametrize("dtype", ["?", "b", "H", "i", "Q", "e", "f", "d", "F"])
def test_a_capsule_says_what_the_array_is(dtype):
    made = DeviceArray((2, 1, 3), {"?": "b1", "e": "f16", "F": "c64"}.get(dtype) or short(dtype), (2, 0, 1), 0, 0)
    found = dlpack.read(made.__dlpack__(stream=-1))
    assert found.address == made.address
    assert found.shape == (2, 1, 3)
    assert [step * np.dtype(dtype).itemsize for step in found.strides][::2] == list(made.strides)[::2]
    assert found.dtype == made.short
    assert made.copy_to_host().dtype == np.dtype(dtype)
    with pytest.raises(BufferError, match="not copied"):
        made.__dlpack__(copy=True)


def short(dtype):
    return np.dtype(dtype).kind + str(8 * np.dtype(dtype).itemsize)


FORMS = {
    "dense": X,
    "turned": np.asfortranarray(X),
    "sliced": np.repeat(X, 2, axis=3)[..., ::2],
    "negative": X[:, :, ::-1],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("to", ["cuda", "cpu"])
def test_copies_there_and_back(form, to):
    x = FORMS[form]
    wrap, device = (np.asarray, "cuda:0") if to == "cuda" else (on_device, "cpu")
    expected, theirs = fastpool.max_pool2d(x, 3, 2, 1, return_indices=True)
    y, indices = fastpool.max_pool2d(wrap(x), 3, 2, 1, return_indices=True, device=device)
    assert type(y) is type(wrap(x))
    np.testing.assert_array_equal(host(y), expected)
    np.testing.assert_array_equal(host(indices), theirs)
    assert y.strides == expected.strides
    # with gaps, and what lies in them stays
    whole = np.full((2, 3, 2, 6), 7, np.float32)
    out = whole[..., ::2]
    given = wrap(out)
    assert fastpool.max_pool2d(wrap(x), 3, 2, 1, out=given, device=device) is given
    np.testing.assert_array_equal(whole[..., ::2], expected)
    assert (whole[..., 1::2] == 7).all()
    dx = fastpool.max_pool2d_backward(y, wrap(x), 3, 2, 1, indices=indices, device=device)
    np.testing.assert_array_equal(host(dx), fastpool.max_pool2d_backward(expected, x, 3, 2, 1, indices=theirs))
    _, pullback = fastpool.vjp(fastpool.lp_pool2d, wrap(x), 2, 2, device=device)
    dy = np.ones((2, 3, 2, 3), np.float32)
    np.testing.assert_array_equal(host(pullback(wrap(dy))), fastpool.lp_pool2d_backward(dy, x, 2, 2))


def test_copies_are_made_at_every_call(monkeypatch):
    sent = []
    upload = copying.upload
    monkeypatch.setattr(copying, "upload", lambda *arguments: (sent.append(arguments[0].nbytes), upload(*arguments)))
    out = np.empty((2, 3, 2, 3), np.float32)
    for _ in range(3):
        fastpool.max_pool2d(X, 2, device="cuda", out=out)
        fastpool.max_pool2d(X, 2, out=out)
    assert sent == [X.nbytes] * 3


def test_torch_on_the_host_comes_back():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X).bfloat16()
    y = fastpool.avg_pool2d(x, 2, device="cuda")
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, fastpool.avg_pool2d(x, 2))


def test_device_that_the_array_is_on_already():
    np.testing.assert_array_equal(fastpool.max_pool2d(X, 2, device="cpu"), fastpool.max_pool2d(X, 2))
    for device in ("cuda", "cuda:0"):
        assert "copies" not in str(fastpool.explain(fastpool.max_pool2d, on_device(X), 2, device=device))
    with pytest.raises(ValueError, match=r"device='cuda:1': the arrays are on cuda:0, and are not moved"):
        fastpool.max_pool2d(on_device(X), 2, device="cuda:1")
    with pytest.raises(ValueError, match=r"device='cuda:1': there is no such device: this process sees 1 CUDA device"):
        fastpool.max_pool2d(X, 2, device="cuda:1")


def test_explain():
    text = str(fastpool.explain(fastpool.max_pool2d, on_device(X), 2)).splitlines()
    assert text[1] == "engine   cuda: Numba's simulator"
    assert any(" blocks of " in line for line in text)
    assert any(line.endswith("taken") for line in text)
    text = str(fastpool.explain(fastpool.max_pool2d, X, 2, device="cuda"))
    assert f"copies   {X.nbytes} bytes over the link and {X.nbytes // 4} bytes back, an estimated" in text
    text = str(fastpool.explain(fastpool.max_pool2d_backward, X[:, :, :2, :3], X, 2, device="cuda"))
    assert f"copies   {X.nbytes + X.nbytes // 4} bytes over the link and {X.nbytes} bytes back" in text
    text = str(fastpool.explain(fastpool.avg_pool2d, on_device(X), 2, device="cpu"))
    assert f"copies   {X.nbytes} bytes" in text
    assert "engine   cuda" not in text


def test_verbose(monkeypatch, capsys):
    monkeypatch.setenv("FASTPOOL_VERBOSE", "dispatch")
    fastpool.max_pool2d(on_device(X), 2)
    assert "engine   cuda" in capsys.readouterr().err


def test_show_config():
    section = fastpool.show_config("dicts")["CUDA"]
    assert section["available"]
    assert section["simulator"]


def test_what_is_refused():
    d = on_device(X)
    with pytest.raises(TypeError, match=r"out is a numpy.ndarray: all arrays .* here numba.cuda device array"):
        fastpool.max_pool2d(d, 2, out=np.zeros((2, 3, 2, 3), np.float32))
    with pytest.raises(TypeError, match="a GPU has no long double"):
        fastpool.max_pool2d(X.astype("g"), 2, device="cuda")
    with pytest.raises(TypeError, match=r"dtype (longdouble|float128)"):
        fastpool.max_pool2d(on_device(X.astype("g")), 2)
    with pytest.raises(ValueError, match="x with no axes"):
        fastpool.pool(on_device(np.zeros((), np.float32)), 1)
    with pytest.raises(TypeError, match="dtype object"):
        fastpool.max_pool2d(on_device(X.astype(object)), 2)


def test_a_gradient_on_another_stream_than_x(ordered):
    _, pullback = fastpool.vjp(fastpool.avg_pool2d, Interface(X, stream=9), 2)
    ordered.clear()
    dx = pullback(Interface(np.ones((2, 3, 2, 3), np.float32), stream=5))
    # dx names the stream of x, whose kind has made it; what has written it ran on that of the gradient
    assert dx.stream == 9
    assert ordered == [(9, 5), (5, 9)]


def test_elements_cannot_be_read_by_accident():
    data = fastpool.arrays.take("f", "x", on_device(X)).data
    reads = [
        lambda: data + 1,
        lambda: data[0],
        lambda: np.sum(data),
        lambda: np.copy(data),
        lambda: np.array_equal(data, data),
        data.sum,
        data.copy,
        data.tolist,
        lambda: list(data),
        lambda: data == data,
        lambda: data.__setitem__(0, 1),
    ]
    for read in reads:
        with pytest.raises(TypeError, match="its elements are on the device; copy them to the host first"):
            read()
    assert repr(data).startswith("<float32 of shape (2, 3, 4, 6)")
