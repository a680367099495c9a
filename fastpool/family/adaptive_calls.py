"""Calls of adaptive pooling: from the caller's arguments to boxes of bins, or to windows where these are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastpool.arguments import Options
from fastpool.family import bin_gradients, known_tasks, known_windows
from fastpool.family import boxes as B
from fastpool.family.boxes import adaptive_boxes
from fastpool.family.calls import FLOATS, Call
from fastpool.family.known_tasks import Asked

MAX, MAX_BACKWARD, AVG, AVG_BACKWARD = (
    {n: f"adaptive_{word.replace('<n>', str(n))}" for n in (1, 2, 3)}
    for word in ("max_pool<n>d", "max_pool<n>d_backward", "avg_pool<n>d", "avg_pool<n>d_backward")
)
"""Names of the functions, each one object, by which the front door knows them."""


def largest(
    n: int, x: Any, output_size: Any, indices: Any, layout: Any, out: Any, nan: Any, device: Any, keep: bool = False
) -> tuple[Any, B.Kept | None]:
    """Adaptive max pooling; with ``keep`` also what its gradient needs."""
    key = asked = None
    if not keep:
        written = output_size, layout, indices, nan
        answer = known_tasks.ahead(MAX[n], written, device, x, out)
        if answer is None:
            key = known_windows.key_of(f"max{n}", x, output_size, layout, device, indices, nan)
            answer = known_windows.forward(key, x, out)
        if answer is None:
            pair = type(indices) in (bool, str) and bool(indices)
            outs = out if pair and type(out) is tuple else (out,) * (1 + (pair and out is None))
            asked = Asked(MAX[n], written, device, (x,), outs)
            answer = known_tasks.run(asked)
        if answer is not None:
            return answer, None
    call = Call(f"adaptive_max_pool{n}d", device)
    source = call.take("x", x, B.LARGEST)
    found = adaptive_boxes(call, output_size, layout, n, source.data.shape)
    result = B.largest(call, source, found, indices, out, nan, keep, asked if source.data is x else None)
    if B.by_windows(source.data, found) and source.data.size:
        options = Options(found.window, layout=layout, nan=nan, return_indices=indices)
        known_windows.keep(key, f"max_pool{n}d", options)
    return result


def largest_gradient(
    n: int,
    grad_output: Any,
    x: Any,
    output_size: Any,
    indices: Any,
    index_kind: Any,
    layout: Any,
    out: Any,
    nan: Any,
    device: Any,
) -> Any:
    """The gradient of adaptive max pooling."""
    answer: Any
    key = asked = None
    if indices is not None:
        words = index_kind, nan
        written, reads = (output_size, layout, *words), (grad_output, x, indices)
        answer, asked = known_tasks.again(MAX_BACKWARD[n], written, device, reads, out)
        if answer is not None:
            return answer
        key = known_windows.key_of(f"max{n}_back", x, output_size, layout, device, *words, grad=grad_output)
        # the functions of windows let -1 pass: such calls go the whole way
        if type(indices) is np.ndarray and (nan == "ignore" or not bin_gradients.names_none(indices)):
            answer = known_windows.backward(key, grad_output, x, out, indices)
            if answer is not None:
                return answer
    call = Call(f"adaptive_max_pool{n}d_backward", device)
    grad = call.take("grad_output", grad_output, B.LARGEST[1:])
    source = call.take("x", x, (grad.dtype,))
    found = adaptive_boxes(call, output_size, layout, n, source.data.shape)
    result = B.largest_gradient(call, grad_output, source, found, indices, index_kind, out, nan, asked)
    if found.short(B.SHORT_GRADIENT) and not found.short(1) and source.data.size:
        options = Options(found.window, layout=layout, index_kind=index_kind)
        known_windows.keep(key, f"max_pool{n}d_backward", options)
    return result


def mean(n: int, x: Any, output_size: Any, layout: Any, out: Any, device: Any) -> Any:
    """Adaptive average pooling."""
    answer: Any = known_tasks.ahead(AVG[n], (output_size, layout), device, x, out)
    if answer is not None:
        return answer
    key = known_windows.key_of(f"avg{n}", x, output_size, layout, device)
    answer = known_windows.forward(key, x, out)
    if answer is not None:
        return answer
    asked = Asked(AVG[n], (output_size, layout), device, (x,), (out,))
    answer = known_tasks.run(asked)
    if answer is not None:
        return answer
    call = Call(f"adaptive_avg_pool{n}d", device)
    source = call.take("x", x, FLOATS)
    found = adaptive_boxes(call, output_size, layout, n, source.data.shape)
    result = B.mean(call, source, found, out, asked if source.data is x else None)
    if B.by_windows(source.data, found) and source.data.size:
        known_windows.keep(key, f"avg_pool{n}d", Options(found.window, layout=layout))
    return result


def mean_gradient(
    n: int, grad_output: Any, x_or_shape: Any, output_size: Any, layout: Any, out: Any, device: Any
) -> Any:
    """The gradient of adaptive average pooling."""
    # the result lies in memory as the gradient does, so that a shape is all that counts
    size = x_or_shape.shape if type(x_or_shape) is np.ndarray else x_or_shape
    written = output_size, layout, size
    answer: Any = known_tasks.ahead(AVG_BACKWARD[n], written, device, grad_output, out)
    if answer is not None:
        return answer
    key = known_windows.key_of(f"avg{n}_back", size, output_size, layout, device, grad=grad_output)
    answer = known_windows.backward(key, grad_output, size, out)
    if answer is not None:
        return answer
    asked = Asked(AVG_BACKWARD[n], written, device, (grad_output,), (out,))
    answer = known_tasks.run(asked)
    if answer is not None:
        return answer
    call = Call(f"adaptive_avg_pool{n}d_backward", device)
    grad = call.take("grad_output", grad_output, FLOATS)
    shape = call.shape_of("x_or_shape", x_or_shape)
    found = adaptive_boxes(call, output_size, layout, n, shape)
    again = asked if grad.data is grad_output else None
    result = B.mean_gradient(call, grad, found, shape, out, asked=again)
    if found.short(B.SHORT_GRADIENT) and grad.data.size:
        word = f"avg_pool{n}d" if found.short(1) else f"avg_pool{n}d_backward"
        known_windows.keep(key, word, Options(found.window, layout=layout))
    return result


def max_vjp(n: int) -> Callable[..., Any]:
    """The ``vjp`` of adaptive max pooling."""

    def vjp(
        x: Any,
        output_size: Any,
        return_indices: Any = False,
        *,
        layout: Any = "channels_first",
        out: Any = None,
        nan: Any = "propagate",
        device: Any = None,
    ) -> tuple[Any, Callable[[Any], Any]]:
        y, kept = largest(n, x, output_size, return_indices, layout, out, nan, device, keep=True)
        assert kept is not None
        return y, B.largest_pullback(f"adaptive_max_pool{n}d_backward", kept)

    return vjp


def avg_vjp(n: int) -> Callable[..., Any]:
    """The ``vjp`` of adaptive average pooling."""

    def vjp(
        x: Any, output_size: Any, *, layout: Any = "channels_first", out: Any = None, device: Any = None
    ) -> tuple[Any, Callable[[Any], Any]]:
        call = Call(f"adaptive_avg_pool{n}d", device)
        source = call.take("x", x, FLOATS)
        shape, like = source.data.shape, B.like(source.data)
        found = adaptive_boxes(call, output_size, layout, n, shape)
        y = B.mean(call, source, found, out)

        def pullback(dy: Any) -> Any:
            back = Call(f"adaptive_avg_pool{n}d_backward")
            grad = back.take("grad_output", dy, (source.dtype,))
            return B.mean_gradient(back, grad, found, shape, None, like)

        return y, pullback

    return vjp
