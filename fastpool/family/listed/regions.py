"""Regions other than a window of one size: bins along axes, and regions of interest."""

from __future__ import annotations

from fastpool.family.operation import Operation, in_ranks

ROWS = (
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
)
