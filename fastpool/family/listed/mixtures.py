"""Several results of one reading, mixtures of maximum and mean, and draws."""

from __future__ import annotations

from fastpool.family.operation import Operation, in_ranks

ROWS = (
    Operation(
        "maximum and mean in one pass",
        "family.max_average",
        (*in_ranks("max_avg_pool"), "global_max_avg_pool"),
        "(max_W x, sum_W x / n)",
        "dx_argmax += g_max, dx_i += g_mean / n",
        "Woo et al. 2018 (CBAM)",
    ),
    Operation(
        "mean and variance",
        "family.mean_variance",
        (*in_ranks("mean_var_pool"), "global_mean_var_pool"),
        "(m, v): m = sum_W x / n, v = sum_W (x - m)^2 / (n - c)",
        "dx_i += g_m / n + 2 (x_i - m) g_v / (n - c)",
        "Chan, Golub, LeVeque 1983 (corrected two-pass)",
    ),
    Operation(
        "pyramid of levels",
        "family.pyramids",
        ("pyramid",),
        "y_1 = pool(x), y_{l+1} = pool(y_l)",
        "g_l += pool^T g_{l+1}, from the last level up",
        "image mip levels, each half of the one before",
        dtypes="reals, bool",
        layouts="any axes, any strides",
    ),
    Operation(
        "chained maxima, concatenated",
        "family.sppf",
        ("sppf_pool2d",),
        "[x, m x, m m x, m m m x], m = max k x k, stride 1",
        "g_0 + m^T (g_1 + m^T (g_2 + m^T g_3))",
        "Jocher et al. 2022 (YOLOv5, SPPF)",
    ),
    Operation(
        "mixed pooling",
        "family.mixing",
        in_ranks("mixed_pool"),
        "y = a max_W x + (1 - a) sum_W x / n, a given, one or one per channel",
        "dx_argmax += a g, dx_i += (1 - a) g / n, da = sum g (max - mean)",
        "Yu et al. 2014; Lee, Gallagher, Tu 2016",
    ),
    Operation(
        "gated pooling",
        "family.gating",
        in_ranks("gated_pool"),
        "y = a max_W x + (1 - a) sum_W x / n, a = sigmoid(sum_W w x + b)",
        "as mixed, and with h = g (max - mean) a (1 - a): dx_i += w_i h, dw_i = sum h x_i, db = sum h",
        "Lee, Gallagher, Tu 2016",
        dtypes="float32, float64",
    ),
    Operation(
        "stochastic pooling",
        "family.stochastic",
        in_ranks("stochastic_pool"),
        "drawn: tap i with p_i = x_i / sum_W x; expected: sum_W x^2 / sum_W x",
        "drawn: dx_i += g; expected: dx_i += (2 x_i S - Q) / S^2 g, S = sum x, Q = sum x^2",
        "Zeiler, Fergus 2013; draws by Philox4x32-10, Salmon et al. 2011",
    ),
)
