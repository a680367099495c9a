"""Pooling layers of well-known networks, images and rasters, through the public functions."""

import math
import os

import numpy as np

import fastpool
from fastpool import dispatch
from fastpool.problem import DTYPES, Problem

FORWARD = {
    "resnet stem": "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, channels last": "max2d_fwd_f32_last_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, taps": "max2d_fwd+tap_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, half": "max2d_fwd_f16_first_mb8ic64_ih112oh56kh3sh2ph1",
    "vgg 1": "max2d_fwd_f32_first_mb8ic64_ih224oh112kh2sh2",
    "alexnet 1": "max2d_fwd_f32_first_mb8ic64_ih55oh27kh3sh2",
    "googlenet 1": "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2_ceil",
    "inception max": "max2d_fwd_f32_first_mb8ic192_ih28oh28kh3sh1ph1",
    "inception average": "mean2d_fwd_f32_first_mb8ic192_ih35oh35kh3sh1ph1",
    "densenet transition": "mean2d_fwd_f32_first_mb8ic256_ih56oh28kh2sh2",
    "resnet-d shortcut": "mean2d_fwd_f32_first_mb8ic256_ih56oh28kh2sh2_ceil_xpad",
    "sppf": "max2d_fwd_f32_first_mb8ic256_ih20oh20kh5sh1ph2",
    "spp 13": "max2d_fwd_f32_first_mb8ic512_ih13oh13kh13sh1ph6",
    "resnet global average": "mean2d_fwd_f32_first_mb32ic2048_ih7oh1kh7sh7",
    "unet 3d": "max3d_fwd_f32_first_mb2ic32_id64od32kd2sd2",
    "i3d stem": "max3d_fwd_f32_first_mb2ic64_id16od8kd3sd2pd1_ih56oh28kh3sh2ph1",
    "audio": "max1d_fwd_f32_first_mb32ic64_iw65536ow32768kw2sw2",
    "image half": "mean2d_fwd_u8_first_n4096x4096_ih4096oh2048kh2sh2",
    "image dilation": "max2d_fwd_f32_first_n2048x2048_ih2048oh2048kh31sh1ph15",
    "photograph": "max2d_fwd_u8_last_n1080x1920x3_ih1080oh135kh8sh8_iw1920ow240kw8sw8",
    "raster with gaps": "mean2d_fwd_f32_first_n721x1440_ih721oh180kh4sh4_iw1440ow360kw4sw4_skipna",
    "tiny": "max2d_fwd_f32_first_mb1ic1_ih8oh4kh2sh2",
}

BACKWARD = {
    "resnet stem": "max2d_bwd+tap_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, channels last": "max2d_bwd+tap_f32_last_mb8ic64_ih112oh56kh3sh2ph1",
    "vgg 1": "max2d_bwd+tap_f32_first_mb8ic64_ih224oh112kh2sh2",
    "densenet transition": "mean2d_bwd_f32_first_mb8ic256_ih56oh28kh2sh2",
    "inception average": "mean2d_bwd_f32_first_mb8ic192_ih35oh35kh3sh1ph1",
    "unet 3d": "max3d_bwd+tap_f32_first_mb2ic32_id64od32kd2sd2",
}


def values(dtype, shape):
    """Values of every sign and size, always the same ones."""
    rng = np.random.default_rng(7)
    kind = np.dtype(DTYPES[dtype])
    if kind.kind in "iu":
        return rng.integers(0, np.iinfo(kind).max, shape, kind)
    return rng.standard_normal(math.prod(shape), np.float32).astype(kind).reshape(shape)


def arguments(problem):
    """How ``fastpool.pool`` is called for a problem, without its arrays."""
    return {
        "window": problem.kernel,
        "op": problem.op,
        "axes": problem.axes,
        "stride": problem.stride,
        "padding": tuple(zip(problem.pad_begin, problem.pad_end, strict=True)),
        "dilation": problem.dilation,
        "ceil_mode": problem.ceil,
        "count_include_pad": problem.include_pad,
        "divisor_override": problem.divisor or None,
        "norm_type": problem.norm,
        "nan": problem.nan,
    }


class Forward:
    """One pooling, its result allocated beforehand."""

    params = tuple(FORWARD.values())
    param_names = ("problem",)
    version = "1"
    timeout = 300

    def setup(self, text):
        problem = Problem.parse(text)
        self.x = values(problem.dtype, problem.shape)
        self.options = arguments(problem)
        self.options["return_indices"] = problem.indices or False
        self.result = fastpool.pool(self.x, **self.options)
        self.options["out"] = self.result

    def time_pool(self, text):
        fastpool.pool(self.x, **self.options)


class Engines(Forward):
    """The same pooling by each way to it: see ``FASTPOOL_ENGINE``."""

    params = (("aot", "c", "njit", "jit"), (FORWARD["resnet stem"], FORWARD["photograph"], FORWARD["tiny"]))
    param_names = ("engine", "problem")

    def setup(self, engine, text):
        self.before = os.environ.get("FASTPOOL_ENGINE")
        os.environ["FASTPOOL_ENGINE"] = engine
        super().setup(text)
        if dispatch.explain(Problem.parse(text)).engine != engine:
            self.teardown(engine, text)
            raise NotImplementedError(f"{engine} cannot do this here")

    def teardown(self, engine, text):
        if self.before is None:
            os.environ.pop("FASTPOOL_ENGINE", None)
        else:
            os.environ["FASTPOOL_ENGINE"] = self.before

    def time_pool(self, engine, text):
        super().time_pool(text)


class Backward:
    """One gradient, from indices for max and from the shape for means, allocated beforehand."""

    params = tuple(BACKWARD.values())
    param_names = ("problem",)
    version = "1"
    timeout = 300

    def setup(self, text):
        problem = Problem.parse(text)
        self.dy = values(problem.dtype, problem.out_shape)
        self.x = problem.shape
        self.options = arguments(problem)
        if problem.indices:
            self.x = values(problem.dtype, problem.shape)
            pooled = fastpool.pool(self.x, **self.options, return_indices=problem.indices)
            self.options |= {"indices": pooled[1], "index_kind": problem.indices}
        self.result = fastpool.pool_backward(self.dy, self.x, **self.options)
        self.options["out"] = self.result

    def time_pool_backward(self, text):
        fastpool.pool_backward(self.dy, self.x, **self.options)
