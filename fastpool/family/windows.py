"""The rows of the windows' own operations, for the table of all of them: see ``fastpool.family.operations``."""

from __future__ import annotations

from fastpool.family.operation import Operation, in_ranks

_ALL = "CPU, GPU, C"
_NUMBERS = "bool, integers, floats"
_LINEAR = "integers, floats, complex"

WINDOWS: tuple[Operation, ...] = (
    Operation(
        "max pooling (overlapping where s < k)",
        "functional",
        (*in_ranks("max_pool"), "global_max_pool"),
        "y = max_W x, and the index of the first of equal taps: of the plane, the array, or the window (switches)",
        "dx_argmax += g",
        "LeCun 1989; Krizhevsky 2012 (overlapping); PyTorch's rules",
        _NUMBERS,
        where=_ALL,
    ),
    Operation(
        "min pooling",
        "functional",
        (*in_ranks("min_pool"), "global_min_pool"),
        "y = min_W x = -max_W (-x), with indices as max",
        "dx_argmin += g",
        "as max pooling",
        _NUMBERS,
        where=_ALL,
    ),
    Operation(
        "average pooling",
        "functional",
        in_ranks("avg_pool"),
        "y = (1/D) sum_W x, D by `count_include_pad`, `divisor_override` and the ceil rule",
        "dx_i += g / D for i in W",
        "PyTorch's rules; ONNX AveragePool",
        _LINEAR,
        where=_ALL,
        linear=True,
    ),
    Operation(
        "global average pooling",
        "functional",
        ("global_avg_pool",),
        "y = mean of the whole plane",
        "dx = g / n everywhere",
        "Lin, Chen, Yan 2013 (network in network)",
        _LINEAR,
        where=_ALL,
        linear=True,
    ),
    Operation(
        "sum pooling",
        "functional",
        (*in_ranks("sum_pool"), "global_sum_pool"),
        "y = sum_W x",
        "dx_i += g for i in W",
        "integers give 64 bits",
        _LINEAR,
        where=_ALL,
        linear=True,
    ),
    Operation(
        "Lp pooling",
        "functional",
        (*in_ranks("lp_pool"), "global_lp_pool"),
        "y = (sum_W |x|^p)^(1/p)",
        "dx_i += sgn(x_i) |x_i|^(p-1) y^(1-p) g, 0 where y = 0",
        "Sermanet 2012; ONNX LpPool",
        "floats",
        where=_ALL,
    ),
    Operation(
        "pooling over any axes of any array",
        "functional",
        ("pool",),
        "any of these over axes that are named, of any rank",
        "as the operation's",
        "block reduction, coarsening, dilation and erosion",
        "as the operation's",
        "any axes, any strides",
        where=_ALL,
    ),
    Operation(
        "reductions of one's own",
        "functional",
        ("reduction", "pool"),
        "y = lower(combine of lift(x) over W)",
        "push(sum of pull(g, s), x), where the definition has them",
        "[Reductions of one's own](reductions.md)",
        "as it says",
        "any axes, any strides",
        where="CPU, GPU",
    ),
)
