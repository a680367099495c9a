"""Descriptors of images from local features."""

from __future__ import annotations

from fastpool.family.operation import Operation

ROWS = (
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
)
