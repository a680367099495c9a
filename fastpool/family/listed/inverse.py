"""The way back: elements put where they came from, spread, copied."""

from __future__ import annotations

from fastpool.family.operation import Operation, in_ranks

ROWS = (
    Operation(
        "max unpooling",
        "family.unpooling",
        in_ranks("max_unpool"),
        "y_{index_o} = x_o, the last o of those with one index, 0 elsewhere",
        "dx_o = g_{index_o}, 0 where another o was kept",
        "Zeiler et al. 2011; SegNet, Badrinarayanan et al. 2017",
        dtypes="all but complex",
        linear=True,
    ),
    Operation(
        "average unpooling",
        "family.spreading",
        in_ranks("avg_unpool"),
        "y_i = sum of x_o / D_o over the windows o that hold i",
        "dx_o = sum_W g / D_o",
        "the transpose of average pooling",
        linear=True,
    ),
    Operation(
        "sum unpooling",
        "family.spreading",
        in_ranks("sum_unpool"),
        "y_i = sum of x_o over the windows o that hold i",
        "dx_o = sum_W g",
        "the transpose of sum pooling",
        linear=True,
    ),
    Operation(
        "nearest upsampling",
        "family.upsampling",
        in_ranks("upsample_nearest"),
        "y_i = x_{floor(i n / m)}, n and m the sizes of x and y",
        "dx_j = sum of g_i over floor(i n / m) = j",
        'PyTorch, interpolate(mode="nearest")',
        dtypes="all but complex",
        linear=True,
    ),
    Operation(
        "transpose of a linear pooling",
        "family.transposing",
        ("transpose",),
        "x = P^T y, for y = P x",
        "none: it is linear, and its gradient is P itself",
        "the operations of this table that are linear",
        linear=True,
    ),
)
