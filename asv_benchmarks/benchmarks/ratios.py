"""Fastpool's time divided by that of a copy of as many bytes, and by those of other libraries.

What is compared takes turns, each in a process of its own, so that the drift of a machine hits all alike: these are the
figures to hold one machine's against another's. Below 1 fastpool is faster, and as everywhere in asv up is worse.
"""

import os

import fastpool
from benchmarks.calls import CASES, WrongResultError
from fastpool.bench import timing
from fastpool.bench.measuring import Session
from fastpool.bench.peers import installed

# not the large windows, for which torch takes seconds
MEASURED = (
    "resnet stem",
    "resnet stem, last",
    "resnet stem, indices",
    "resnet stem, gradient",
    "vgg 1",
    "vgg 1, gradient",
    "sppf",
    "sppf, last",
    "inception mean",
    "inception mean, last",
    "inception mean, gradient",
    "densenet transition",
    "densenet transition, gradient",
    "global mean",
    "global mean, last",
    "unet 3d",
    "unet 3d, gradient",
    "image half",
    "tiny",
)

LIBRARIES = ("torch", "onnxruntime", "openvino", "jax", "skimage", "scipy")

ROUNDS = int(os.environ.get("FASTPOOL_BENCHMARKS_ROUNDS", "9"))
"""Rounds of each case; one of them finds out whether everything works."""


class Beside:
    """Measures all cases beside all libraries that are installed, once; the benchmarks below read what was found."""

    params = (MEASURED,)
    param_names = ("case",)
    version = "1"
    timeout = 60
    unit = "times as long (lower is better)"
    other = ""

    def setup_cache(self):
        found = {}
        with Session(installed(LIBRARIES), fastpool.get_num_threads()) as session:
            for case in MEASURED:
                row = session.measure(case, CASES[case], ROUNDS)
                found[case] = {"times": row.times, "wrong": row.wrong, "failed": row.failed}
        return found

    setup_cache.timeout = 900

    def setup(self, found, case):
        self.times = found[case]["times"]
        for name in ("fastpool", "fastpool call"):
            if name in found[case]["wrong"]:
                raise WrongResultError(f"{case}: {name}: {found[case]['wrong'][name]}")
        if "fastpool" in found[case]["failed"]:
            raise RuntimeError(f"{case}: {found[case]['failed']['fastpool']}")
        if self.other not in self.times:
            raise NotImplementedError(f"{self.other} is not installed, or cannot do {case}")

    def ratio(self):
        """The median over rounds, in as many digits as may repeat."""
        return float(f"{timing.ratio(self.times['fastpool'], self.times[self.other]):.4g}")


class Floor(Beside):
    """Beside a copy: 1 is the speed of memory."""

    other = "floor"

    def track_floor_ratio(self, found, case):
        return self.ratio()


class Torch(Beside):
    """Beside torch, on the same memory format."""

    other = "torch"

    def track_ratio_torch(self, found, case):
        return self.ratio()


class OnnxRuntime(Beside):
    """Beside onnxruntime."""

    other = "onnxruntime"

    def track_ratio_onnxruntime(self, found, case):
        return self.ratio()


class OpenVino(Beside):
    """Beside OpenVINO."""

    other = "openvino"

    def track_ratio_openvino(self, found, case):
        return self.ratio()


class Jax(Beside):
    """Beside JAX."""

    other = "jax"

    def track_ratio_jax(self, found, case):
        return self.ratio()


class SkImage(Beside):
    """Beside scikit-image's ``block_reduce``."""

    other = "skimage"

    def track_ratio_skimage(self, found, case):
        return self.ratio()


class SciPy(Beside):
    """Beside the filters of ``scipy.ndimage``."""

    other = "scipy"

    def track_ratio_scipy(self, found, case):
        return self.ratio()
