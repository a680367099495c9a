"""The way of a call of fractional max pooling."""

from __future__ import annotations

from typing import Any

from fastpool import arguments
from fastpool.arrays import Source
from fastpool.family import boxes as B
from fastpool.family import fractions
from fastpool.family.binning import bins_of
from fastpool.family.boxes import Boxes
from fastpool.family.calls import Call
from fastpool.memory import Array
from fastpool.problem import Ints


def _torch_boxes(call: Call, x: Array, axes: Ints, asked: dict[str, Any]) -> Boxes:
    sizes = tuple(x.shape[axis] for axis in axes)
    kernel = call.sizes("kernel_size", asked["kernel_size"], len(axes))
    counts = fractions.output_counts(call, asked["output_size"], asked["output_ratio"], sizes)
    planes = 1
    for axis, size in enumerate(x.shape):
        planes *= 1 if axis in axes else size
    samples = fractions.samples_of(call, asked["samples"], asked["seed"], planes, len(axes))
    return Boxes(axes, fractions.torch_bins(call, samples, sizes, counts, kernel))


def _tensorflow_boxes(call: Call, shape: Ints, axes: Ints, asked: dict[str, Any]) -> tuple[Boxes, tuple[Array, ...]]:
    for name in ("kernel_size", "output_ratio", "samples"):
        if asked.get(name) is not None:
            raise call.value_error(
                f"{name} with TensorFlow's rule", "its regions lie side by side", "leave it out (None)"
            )
    pseudo = arguments.flag(call.called, "pseudo_random", asked["pseudo_random"])
    overlapping = arguments.flag(call.called, "overlapping", asked["overlapping"])
    sizes = tuple(shape[axis] for axis in axes)
    sequences = fractions.regions(
        call, sizes, asked["output_size"], asked["pooling_ratio"], asked["sequences"], pseudo, asked["seed"]
    )
    return Boxes(axes, fractions.tensorflow_bins(sequences, overlapping)), sequences


def _boxes(call: Call, n: int, x: Array, layout: object, asked: dict[str, Any]) -> tuple[Boxes, tuple[Array, ...]]:
    axes = call.axes(layout, n, x.shape)
    rule = arguments.one_of(call.called, "rule", asked.get("rule", "torch"), ("torch", "tensorflow"))
    if rule == "tensorflow":
        return _tensorflow_boxes(call, x.shape, axes, asked)
    for name in ("pooling_ratio", "sequences"):
        if asked.get(name) is not None:
            raise call.value_error(f"{name} with torch's rule", "it is TensorFlow's", 'give rule="tensorflow"')
    return _torch_boxes(call, x, axes, asked), ()


def forward(
    n: int, x: Any, indices: Any, layout: Any, out: Any, nan: Any, device: Any, keep: bool, asked: dict[str, Any]
) -> tuple[Any, B.Kept | None]:
    """The result, and what its gradient needs. ``asked`` are the arguments that say where the bins are."""
    call = Call(f"fractional_max_pool{n}d", device)
    source = call.take("x", x, B.LARGEST)
    wanted = arguments.flag(call.called, "return_sequences", asked.get("return_sequences", False))
    boxes, sequences = _boxes(call, n, source.data, layout, asked)
    if wanted and not sequences:
        raise call.value_error("return_sequences=True", "they are TensorFlow's", 'give rule="tensorflow"')
    y, kept = B.largest(call, source, boxes, indices, out, nan, keep)
    if wanted:
        y = (*(y if isinstance(y, tuple) else (y,)), *sequences)
    return y, kept


def backward(
    n: int,
    grad: Any,
    x: Any,
    indices: Any,
    kind: Any,
    layout: Any,
    out: Any,
    nan: Any,
    device: Any,
    asked: dict[str, Any],
) -> Any:
    """The gradient."""
    call = Call(f"fractional_max_pool{n}d_backward", device)
    given = call.take("grad_output", grad, B.LARGEST[1:])
    source = call.take("x", x, (given.dtype,))
    drawn = any(asked.get(name) is not None for name in ("samples", "seed", "sequences"))
    if not drawn and (indices is None or kind == "tap"):
        way_out = "give samples, seed or sequences, or indices of the kind plane or tensor"
        raise call.value_error("neither samples nor seed", "the bins of the forward are needed", way_out)
    if drawn:
        boxes, _ = _boxes(call, n, source.data, layout, asked)
    else:
        boxes = _anywhere(call, n, source, given, layout)
    return B.largest_gradient(call, grad, source, boxes, indices, kind, out, nan)


def _anywhere(call: Call, n: int, x: Source, grad: Source, layout: object) -> Boxes:
    """Boxes of all elements, for indices that say by themselves where they are."""
    axes = call.axes(layout, n, x.data.shape)
    if grad.data.ndim != x.data.ndim:
        call.check_shape("grad_output", grad.data, x.data.shape, "as many axes as x")
    counts = [grad.data.shape[axis] for axis in axes]
    sizes = [x.data.shape[axis] for axis in axes]
    return Boxes(axes, bins_of([([0] * count, [size] * count) for count, size in zip(counts, sizes, strict=True)]))
