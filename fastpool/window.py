"""Sizes: one pooled axis, from kernel size, stride, dilation and padding to output size and tap counts.

The functions are integer arithmetic in the subset that Numba compiles: no float, no exception, no allocation.
They are called as plain Python when an eager call is planned, and are compiled for callers without Python.
A size that would pass ``2**63 - 1`` is reported as ``OVERFLOW`` instead of wrapping round.

Along one axis, output ``o`` looks at the positions ``o * stride - pad_begin + j * dilation`` for the taps
``j = 0 .. kernel - 1``::

        pad_begin         size               pad_end
      . . . . . . x x x x x x x x x x x x x . . . .
      ^---^---^                                        o = 0   (kernel 3, dilation 2: extent 5)
            ^---^---^                                  o = 1   (stride 3)
"""

from __future__ import annotations

from typing import NamedTuple

from fastpool.kernels.taps import taps_below, taps_between

LIMIT = 2**63 - 1
OVERFLOW = -1


def add_sizes(a: int, b: int) -> int:
    """``a + b`` for non-negative sizes, or OVERFLOW (also when an operand is OVERFLOW)."""
    if a < 0 or b < 0 or a > LIMIT - b:
        return OVERFLOW
    return a + b


def multiply_sizes(a: int, b: int) -> int:
    """``a * b`` for non-negative sizes, or OVERFLOW (also when an operand is OVERFLOW)."""
    if a < 0 or b < 0:
        return OVERFLOW
    if a != 0 and b > LIMIT // a:
        return OVERFLOW
    return a * b


def extent(kernel: int, dilation: int) -> int:
    """Positions that a window spans from its first tap to its last, both included."""
    return add_sizes(multiply_sizes(kernel - 1, dilation), 1)


def output_size(size: int, kernel: int, stride: int, dilation: int, pad_begin: int, pad_end: int, ceil: int) -> int:
    """Number of windows along the axis; 0 when not even one fits, or OVERFLOW.

    With ``ceil`` a last, partial window is kept if it starts inside the input or its begin padding. That is
    PyTorch's rule (``pooling_output_shape_pad_lr`` in ATen's Pool.h), and ONNX's since opset 22.
    """
    padded = add_sizes(add_sizes(size, pad_begin), pad_end)
    span = extent(kernel, dilation)
    if padded < 0 or span < 0:
        return OVERFLOW
    if padded < span:
        return 0
    room = padded - span
    count = room // stride + 1
    if ceil and room % stride != 0:
        # count * stride is at most room < LIMIT here, so the product cannot wrap
        if (room // stride + 1) <= LIMIT // stride and count * stride < size + pad_begin:
            count += 1
    return count


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Total padding that makes the output ``ceil(size / stride)`` long, or OVERFLOW."""
    count = (size - 1) // stride + 1
    covered = add_sizes((count - 1) * stride, extent(kernel, dilation))
    if covered < 0:
        return OVERFLOW
    if covered <= size:
        return 0
    return covered - size


class Window(NamedTuple):
    """How one axis of ``size`` elements is pooled. All fields are counts of elements, none is negative.

    Examples
    --------
    >>> Window(size=112, kernel=3, stride=2, pad_begin=1, pad_end=1).output
    56
    """

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    pad_begin: int = 0
    pad_end: int = 0
    ceil: bool = False

    @property
    def output(self) -> int:
        """Number of windows; 0 if none fits, OVERFLOW if a size passes ``2**63 - 1``."""
        return output_size(
            self.size,
            self.kernel,
            self.stride,
            self.dilation,
            self.pad_begin,
            self.pad_end,
            int(self.ceil),
        )

    def origin(self, output: int) -> int:
        """Position of the first tap of window ``output``; negative inside the begin padding."""
        return output * self.stride - self.pad_begin

    def taps_inside(self, output: int) -> int:
        """Taps of window ``output`` that lie on the input."""
        return taps_between(self.origin(output), 0, self.size, self.kernel, self.dilation)

    def taps_counted(self, output: int, include_pad: bool) -> int:
        """Taps of window ``output`` that the divisor of a mean counts.

        With ``include_pad``, those below ``size + pad_end``: the overhang that ceil mode adds is not counted.
        """
        if not include_pad:
            return self.taps_inside(output)
        return taps_below(self.origin(output), self.size + self.pad_end, self.kernel, self.dilation)
