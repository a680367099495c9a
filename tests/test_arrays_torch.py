"""torch tensors in, torch tensors out, in their own memory format."""

from __future__ import annotations

import numpy as np
import pytest

import fastpool

torch = pytest.importorskip("torch")

DTYPES = [
    *(torch.bool, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
]


def numbers(*shape):
    return torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(3)).float()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(dtype):
    x = (numbers(2, 3, 4, 6) % 2 if dtype == torch.bool else numbers(2, 3, 4, 6)).to(dtype)
    y = fastpool.max_pool2d(x, 2)
    assert type(y) is torch.Tensor
    assert y.dtype == dtype
    # torch pools whole numbers below 100 exactly in float32
    torch.testing.assert_close(y.float(), torch.max_pool2d(x.float(), 2), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_complex_and_lazy_conjugates(dtype):
    x = torch.complex(numbers(3, 4, 4), numbers(3, 4, 4) + 1).to(dtype)
    y = fastpool.avg_pool2d(x.conj(), 2)
    assert y.dtype == dtype
    torch.testing.assert_close(y, fastpool.avg_pool2d(x.conj().resolve_conj(), 2), rtol=0, atol=0)
    assert y[0, 0, 0].imag < 0
    # the imaginary part of a lazy conjugate is a lazy negative
    imaginary = x.conj().imag
    assert imaginary.is_neg()
    expected = -torch.nn.functional.avg_pool2d(x.imag.float(), 2)
    torch.testing.assert_close(fastpool.avg_pool2d(imaginary, 2).float(), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("pool", "backward", "shape", "memory_format"),
    [
        (fastpool.max_pool2d, fastpool.max_pool2d_backward, (2, 3, 8, 6), torch.channels_last),
        (fastpool.max_pool2d, fastpool.max_pool2d_backward, (1, 3, 8, 6), torch.channels_last),
        (fastpool.min_pool3d, fastpool.min_pool3d_backward, (2, 3, 4, 8, 6), torch.channels_last_3d),
        (fastpool.max_pool2d, fastpool.max_pool2d_backward, (2, 3, 8, 6), torch.contiguous_format),
    ],
)
def test_memory_formats_stay(pool, backward, shape, memory_format):
    x = numbers(*shape).contiguous(memory_format=memory_format)
    y, indices = pool(x, 2, return_indices=True)
    dx = backward(y, x, 2, indices=indices)
    for result in (y, indices, dx):
        assert result.is_contiguous(memory_format=memory_format)
    plain = pool(x.contiguous(), 2, return_indices=True)
    assert torch.equal(y, plain[0])
    assert torch.equal(indices, plain[1])


def test_nothing_is_copied(monkeypatch):
    pointers = []
    forward = fastpool.dispatch.forward

    def record(problem, x, y, indices):
        pointers.append((x.__array_interface__["data"][0], y.__array_interface__["data"][0]))
        forward(problem, x, y, indices)

    monkeypatch.setattr(fastpool.dispatch, "forward", record)
    for x in (
        numbers(3, 8, 6),
        numbers(3, 8, 6).bfloat16(),
        numbers(3, 6, 8).mT,
        numbers(1, 1, 1).expand(3, 8, 6),
    ):
        y = fastpool.max_pool2d(x, 2)
        assert pointers.pop() == (x.data_ptr(), y.data_ptr())


def test_out_is_written_and_autograd_is_told():
    x, out = numbers(3, 8, 6).bfloat16(), torch.zeros(3, 4, 3, dtype=torch.bfloat16)
    version = out._version
    assert fastpool.max_pool2d(x, 2, out=out) is out
    torch.testing.assert_close(out.float(), torch.max_pool2d(x.float(), 2), rtol=0, atol=0)
    assert out._version > version


def test_tensors_that_require_grad():
    x = numbers(3, 8, 6).requires_grad_()
    with pytest.raises(ValueError, match=r"x requires grad: .* no gradient would be recorded; give x.detach\(\)"):
        fastpool.max_pool2d(x, 2)
    with pytest.raises(ValueError, match="out requires grad"):
        fastpool.max_pool2d(x.detach(), 2, out=torch.zeros(3, 4, 3, requires_grad=True))
    with torch.no_grad():
        y = fastpool.max_pool2d(x, 2)
    assert not y.requires_grad
    assert torch.equal(y, torch.max_pool2d(x.detach(), 2))


class Pool(torch.autograd.Function):
    """How a user makes a call that autograd sees."""

    @staticmethod
    def forward(ctx, x):
        y, ctx.pullback = fastpool.vjp(fastpool.max_pool2d, x, 3, stride=2, padding=1)
        return y

    @staticmethod
    def backward(ctx, grad):
        return ctx.pullback(grad)


def test_inside_an_autograd_function():
    x = torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    ours = torch.autograd.grad(Pool.apply(x).sum(), x)[0]
    theirs = torch.autograd.grad(torch.max_pool2d(x, 3, 2, 1).sum(), x)[0]
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("tensor", "error", "words"),
    [
        (
            lambda: torch.zeros(4, 4, device="meta"),
            ValueError,
            "device meta; pooling runs on the CPU and on CUDA devices",
        ),
        (
            lambda: torch.zeros(4, 4).to_sparse(),
            TypeError,
            r"layout torch.sparse_coo: .*; give x.to_dense\(\)",
        ),
        (
            lambda: torch.zeros(4, 4, dtype=torch.float8_e5m2),
            TypeError,
            "dtype torch.float8_e5m2: .* bfloat16",
        ),
        (lambda: torch.tensor(1.0), ValueError, "x with no axes"),
        (lambda: torch.zeros(4, 4, dtype=torch.complex64), TypeError, "max needs an order"),
    ],
)
def test_tensors_that_cannot_be_pooled(tensor, error, words):
    with pytest.raises(error, match=words):
        fastpool.max_pool2d(tensor(), 2)


def test_out_that_cannot_be_written():
    x = numbers(1, 4, 4)
    with pytest.raises(ValueError, match=r"out of shape .*: two of its elements share memory"):
        fastpool.max_pool2d(x, 2, out=torch.zeros(1, 1, 1).expand(1, 2, 2))
    with pytest.raises(ValueError, match="out overlaps x"):
        fastpool.max_pool2d(x, 2, out=x[:, :2, :2])
    with pytest.raises(ValueError, match="out is a lazy conjugate or negative"):
        fastpool.sum_pool2d(x.to(torch.complex64), 2, out=torch.zeros(1, 2, 2, dtype=torch.complex64).conj())
    with pytest.raises(ValueError, match="device meta"):
        fastpool.max_pool2d(x, 2, out=torch.zeros(1, 2, 2, device="meta"))
    with pytest.raises(TypeError, match=r"out is a numpy.ndarray: .* here torch.Tensor"):
        fastpool.max_pool2d(x, 2, out=np.zeros((1, 2, 2), np.float32))
