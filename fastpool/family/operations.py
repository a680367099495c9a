"""The operations of the family: which there are, where their functions are, and what the table in the docs says.

``vjp``, the lazy attributes of ``fastpool``, ``docs/operations.md`` and the tests iterate this list. Nothing here
computes, or imports the modules that do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Operation(NamedTuple):
    """A row of the table of operations.

    Attributes
    ----------
    title : str
        What the literature calls it.
    module : str
        The module that has its functions, without ``fastpool.``.
    functions : tuple of str
        Names of its public functions. One that has a gradient is followed by ``<name>_backward``, not named here.
    definition, gradient : str
        In symbols: y, x, g = dy, W = taps of a window on the input, n = their number. Gradient "none" where there is
        none, with the reason.
    source : str
        Where the rule is from.
    dtypes, layouts : str
    where : str
        ``"CPU"``, ``"CPU, GPU"`` or ``"CPU, GPU, C"``.
    linear : bool
        Whether y is linear in x, so that a test of its adjoint holds.
    """

    title: str
    module: str
    functions: tuple[str, ...]
    definition: str
    gradient: str
    source: str
    dtypes: str = "floats"
    layouts: str = "first, last, any strides"
    where: str = "CPU"
    linear: bool = False


IN_RANKS = ("1d", "2d", "3d")


def in_ranks(name: str) -> tuple[str, ...]:
    """The names of a function over one, two and three spatial axes."""
    return tuple(name + rank for rank in IN_RANKS)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "strided sub-sampling",
        "family.subsampling",
        in_ranks("stride_pool"),
        "y_o = x_{a + o s}",
        "dx_{a + o s} = g_o, 0 elsewhere",
        "Springenberg et al. 2014 (all-convolutional net)",
        dtypes="all but complex",
        linear=True,
    ),
    Operation(
        "median",
        "family.median",
        in_ranks("median_pool"),
        "y = x_((n-1)/2), of an even n (x_(n/2-1) + x_(n/2)) / 2 or one of the two; x_(r): r-th smallest of W",
        "g to the tap in the middle, g/2 to each of two; the first of equal taps",
        "Tukey 1977; numpy.median, torch.median",
        dtypes="floats, integers (no gradient)",
    ),
    Operation(
        "quantile",
        "family.quantile",
        in_ranks("quantile_pool"),
        "y = x_(l) + t (x_(h) - x_(l)); q (n-1) = l + t, h = l + 1; or lower, higher, nearest, midpoint",
        "(1-t) g to the tap of rank l, t g to that of rank h; the first of equal taps",
        "Hyndman and Fan 1996, definition 7; numpy.quantile",
        dtypes="floats, integers (no gradient)",
    ),
    Operation(
        "rank",
        "family.quantile",
        in_ranks("rank_pool"),
        "y = x_(r), r < 0: x_(n+r); clipped to the taps that there are",
        "g to that tap; the first of equal taps",
        "scipy.ndimage.rank_filter",
        dtypes="floats, integers (no gradient)",
    ),
    Operation(
        "mode (majority)",
        "family.majority",
        in_ranks("mode_pool"),
        "y = the most frequent of W; of equally frequent ones the smallest, or the first",
        "none: labels",
        "scipy.stats.mode; Igneous and tinybrain (connectomics)",
        dtypes="bool, integers",
    ),
    Operation(
        "RoI pooling",
        "family.roi_pooling",
        ("roi_pool",),
        "y = max of a bin; box rounded, bin o of n the elements floor(o h / n) up to ceil((o + 1) h / n)",
        "dx at the maximum += g; none for boxes",
        "Girshick 2015 (Fast R-CNN); He et al. 2014 (one level of SPP)",
        layouts="N, C, H, W; first, last, any strides",
    ),
    Operation(
        "RoI align",
        "family.roi_aligning",
        ("roi_align",),
        "y = mean of n m bilinear samples of a bin, or the largest of their weighted corners",
        "dx += w_y w_x g / (n m), or w g at the largest corner; none for boxes",
        "He et al. 2017 (Mask R-CNN); ONNX RoiAlign 16",
        layouts="N, C, H, W; first, last, any strides",
    ),
    Operation(
        "blur pooling",
        "family.blurring",
        in_ranks("blur_pool"),
        "y_o = sum_u f_u x_{pad(o s - a + u)}, along each axis; a = floor((k - 1) / 2), f binomial of k taps, or given",
        "dx_i = sum of f_u g_o over the taps u of outputs o that see x_i",
        "Zhang 2019 (shift-invariant networks)",
        linear=True,
    ),
    Operation(
        "max blur pooling",
        "family.max_blurring",
        in_ranks("max_blur_pool"),
        "max over k taps at every position, then blur pooling",
        "transposed blur, then to the first of the largest taps",
        "Zhang 2019 (shift-invariant networks)",
    ),
    Operation(
        "wavelet pooling",
        "family.wavelets",
        in_ranks("wavelet_pool"),
        "y_o = sum_u h_u x_{pad(2 o + u - a)}, along each axis, levels times; or all bands, with h or its high-pass g",
        "dx_i = sum of f_u g_o over the taps u of outputs o, bands, that see x_i",
        "Williams and Li 2018; filters of Daubechies 1988",
        linear=True,
    ),
    Operation(
        "wavelet unpooling",
        "family.wavelets",
        in_ranks("wavelet_unpool"),
        "transpose of the transform to all bands: its inverse for orthogonal filters",
        "the transform of the gradient",
        "Daubechies 1988",
        linear=True,
    ),
    Operation(
        "LDW pooling",
        "family.ldw",
        ("ldw_pool2d",),
        "y = sum_b w_b y_b of the bands LL, LH, HL, HH of a learnt filter; w = softmax(A e + c), e_b = sum y_b^2",
        "dx, dh, dA, dc by the chain rule; g_u = (-1)^u h_{m-1-u} is tied to h",
        "Wang et al. 2021 (learnable discrete wavelet pooling)",
        dtypes="float32, float64",
    ),
    Operation(
        "LDW constraint",
        "family.ldw",
        ("ldw_constraint",),
        "(sum h - sqrt 2)^2 + (sum h^2 - 1)^2 + sum_j (sum_u h_u h_{u+2j})^2",
        "none of its own: it returns its gradient",
        "Wang et al. 2021 (learnable discrete wavelet pooling)",
        dtypes="float32, float64",
        layouts="one axis",
    ),
    Operation(
        "LeNet's sub-sampling",
        "family.lenet",
        ("lenet_pool2d",),
        "y = phi(a_c sum_W x + b_c), phi(t) = 1.7159 tanh(2 t / 3), sigmoid or t",
        "dx_i += phi' a_c g; da_c = sum phi' g sum_W x; db_c = sum phi' g",
        "LeCun et al. 1998 (LeNet-5)",
        dtypes="float32, float64",
    ),
    Operation(
        "VLAD",
        "family.descriptors",
        ("vlad_pool",),
        "V_k = sum_i a_ik (x_i - c_k), a the nearest centre or given; then signed root, norm per centre, norm of all",
        "dx_i = sum_k a_ik g_k, dc_k = -sum_i a_ik g_k, da_ik = g_k . (x_i - c_k); norms: (g - (g . v) v) / |V|",
        "Jegou et al. 2010; Arandjelovic and Zisserman 2013",
    ),
    Operation(
        "NetVLAD",
        "family.netvlad",
        ("netvlad_pool",),
        "VLAD with a_i = softmax_k(w_k . x_i + b_k)",
        "dx_i = sum_k a_ik g_k + ds_ik w_k, ds_ik = a_ik (da_ik - sum_j a_ij da_ij); also of c, w and b",
        "Arandjelovic et al. 2016",
    ),
    Operation(
        "multi-scale orderless pooling (MOP-CNN)",
        "family.orderless",
        ("mop_pool",),
        "features of the whole image, and VLAD of those of patches of each size, one after the other, normalised",
        "none: the features are the caller's",
        "Gong et al. 2014",
        dtypes="numbers, bool",
    ),
    Operation(
        "maximum and mean in one pass",
        "family.max_average",
        (*in_ranks("max_avg_pool"), "global_max_avg_pool"),
        "(max_W x, sum_W x / n)",
        "dx_argmax += g_max, dx_i += g_mean / n",
        "Woo et al. 2018 (CBAM)",
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
        "mean and variance",
        "family.mean_variance",
        (*in_ranks("mean_var_pool"), "global_mean_var_pool"),
        "(m, v): m = sum_W x / n, v = sum_W (x - m)^2 / (n - c)",
        "dx_i += g_m / n + 2 (x_i - m) g_v / (n - c)",
        "Chan, Golub, LeVeque 1983 (corrected two-pass)",
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
    Operation(
        "log-sum-exp, smooth maximum",
        "family.statistics",
        (*in_ranks("logsumexp_pool"), "global_logsumexp_pool"),
        "y = (1/r) ln mean_W e^{r x}, or of the sum",
        "dx_i = g e^{r x_i} / sum_W e^{r x}",
        "Pinheiro and Collobert 2015; torch.logsumexp",
    ),
    Operation(
        "SoftPool",
        "family.statistics",
        in_ranks("soft_pool"),
        "y = sum_W w x, w = softmax_W x",
        "dx_i = g w_i (1 + x_i - y)",
        "Stergiou et al. 2021",
    ),
    Operation(
        "global entropy pooling, entropy pooling",
        "family.statistics",
        (*in_ranks("entropy_pool"), "global_entropy_pool"),
        "y = -sum_W q ln q, q = softmax_W x or max(x, 0) / sum_W max(x, 0)",
        "dx_i = -g q_i (ln q_i + y), or -g (ln q_i + y) / sum_W max(x, 0)",
        "texture networks (GEP); the two forms are this library's choice",
    ),
    Operation(
        "product pooling",
        "family.moments",
        in_ranks("prod_pool"),
        "y = prod_W x",
        "dx_i = g prod_{W without i} x",
        "StableHLO reduce_window; numpy.prod",
    ),
    Operation(
        "variance pooling",
        "family.moments",
        (*in_ranks("var_pool"), "global_var_pool"),
        "y = sum_W (x - mean)^2 / (n - ddof)",
        "dx_i = 2 g (x_i - mean) / (n - ddof)",
        "Chan, Golub and LeVeque 1979; numpy.var",
    ),
    Operation(
        "standard deviation pooling",
        "family.moments",
        (*in_ranks("std_pool"), "global_std_pool"),
        "y = sqrt(var_W x)",
        "dx_i = g (x_i - mean) / (y (n - ddof)), 0 where y = 0",
        "numpy.std",
    ),
    Operation(
        "any",
        "family.counting",
        in_ranks("any_pool"),
        "y = any_W (x != 0)",
        "none: y is bool",
        "numpy.any",
        dtypes="all but complex",
    ),
    Operation(
        "all",
        "family.counting",
        in_ranks("all_pool"),
        "y = all_W (x != 0)",
        "none: y is bool",
        "numpy.all",
        dtypes="all but complex",
    ),
    Operation(
        "count of numbers",
        "family.counting",
        in_ranks("count_pool"),
        "y = number of taps that are not NaN",
        "none: y is an integer",
        "xarray coarsen().count",
        dtypes="all but complex",
    ),
    Operation(
        "generalised mean, GeM",
        "family.fitted",
        (*in_ranks("gem_pool"), "global_gem_pool"),
        "y = (mean_W v^p)^{1/p}, v = max(x, eps)",
        "dx_i = g y v_i^{p-1} / sum_W v^p; dp = sum g y (sum_W v^p ln v / sum_W v^p - ln y) / p",
        "Radenovic, Tolias and Chum 2018",
    ),
    Operation(
        "Gamma distribution: scale theta or shape k",
        "family.fitted",
        (*in_ranks("gamma_pool"), "global_gamma_pool"),
        "theta = mean v ln v - mean v mean ln v, k = mean v / theta, v = max(x, eps)",
        "dtheta_i = (ln v_i + 1 - mean ln v - mean v / v_i) / n; dk_i = (1/n - k dtheta_i) / theta",
        "Ye and Chen 2017; Ranjan, theory of pooling",
    ),
    Operation(
        "Weibull distribution: scale or shape",
        "family.fitted",
        (*in_ranks("weibull_pool"), "global_weibull_pool"),
        "scale = (mean_W v^c)^{1/c}; shape c: sum_W v^c ln v / sum_W v^c - 1/c - mean_W ln v = 0; v = max(x, eps)",
        "scale: g y^{1-c} v_i^{c-1} / n; shape: -g (dF/dx_i) / (dF/dc) of that equation F = 0",
        "maximum likelihood; Ranjan, theory of pooling",
    ),
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
    Operation(
        "adaptive max pooling",
        "family.adaptive",
        in_ranks("adaptive_max_pool"),
        "y_o = max of x over bin o: floor(o n / m) ... ceil((o + 1) n / m) - 1",
        "dx_i = sum of g_o over the bins whose first largest element is i",
        "torch adaptive_max_pool2d; He et al. 2014 (SPP, images of any size)",
        dtypes="all but complex",
    ),
    Operation(
        "adaptive average pooling",
        "family.adaptive",
        in_ranks("adaptive_avg_pool"),
        "y_o = mean of x over bin o: floor(o n / m) ... ceil((o + 1) n / m) - 1",
        "dx_i = sum of g_o / n_o over the bins that hold i",
        "torch adaptive_avg_pool2d",
        linear=True,
    ),
    Operation(
        "spatial pyramid pooling",
        "family.pyramid",
        ("spatial_pyramid_pool",),
        "y = concat over levels n of flatten(max or mean over n x n bins)",
        "dx = sum over levels of the gradient of each",
        "He et al. 2014; Caffe SPPLayer; Chainer spatial_pyramid_pooling_2d",
        dtypes="max: all but complex; mean: float32, float64",
    ),
    Operation(
        "fractional max pooling",
        "family.fractional",
        ("fractional_max_pool2d", "fractional_max_pool3d"),
        "y_o = max of x over window o, begun at floor((o + u) a) - floor(u a); or TensorFlow's regions",
        "dx_i = sum of g_o over the windows whose first largest element is i",
        "Graham 2014; torch fractional_max_pool2d; tf.nn.fractional_max_pool",
        dtypes="all but complex",
    ),
    Operation(
        "fractional average pooling",
        "family.fractional_avg",
        ("fractional_avg_pool2d",),
        "y_o = mean of x over TensorFlow's region o",
        "dx_i = sum of g_o / n_o over the regions that hold i",
        "Graham 2014; tf.nn.fractional_avg_pool",
        linear=True,
    ),
)
"""Those of ``fastpool.family``; the windows' own are listed with them in the docs."""


def modules() -> dict[str, str]:
    """The module of each public function of the family, backward ones included, by the function's name."""
    found = {}
    for operation in OPERATIONS:
        for name in operation.functions:
            found[name] = operation.module
            if not operation.gradient.startswith("none"):
                found[f"{name}_backward"] = operation.module
    return found


def names() -> Iterator[str]:
    """Names of the public functions of the family."""
    return iter(modules())
