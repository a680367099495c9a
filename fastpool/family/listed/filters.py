"""Filters with a stride, fixed and learnt."""

from __future__ import annotations

from fastpool.family.operation import Operation, in_ranks

ROWS = (
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
)
