"""Pooling layers of well-known networks, images and rasters, through the public functions.

The table of cases, their arrays and the calls are those of ``fastpool.bench``, taken from the working tree: the
fastpool that is measured may be older than they are.
"""

import os
import runpy
from pathlib import Path

from fastpool import dispatch
from fastpool.problem import Problem

BENCH = Path(__file__).resolve().parents[2] / "fastpool" / "bench"
runpy.run_path(str(BENCH / "worker.py"))["attach"]("fastpool.bench", BENCH)

from fastpool.bench import data, networks  # noqa: E402

FORWARD = {name: text for name, text in networks.CASES.items() if Problem.parse(text).direction == "fwd"}
BACKWARD = {name: text for name, text in networks.CASES.items() if Problem.parse(text).direction == "bwd"}


class Forward:
    """One pooling, its result allocated beforehand."""

    params = tuple(FORWARD.values())
    param_names = ("problem",)
    version = "1"
    timeout = 300

    def setup(self, text):
        self.prepared = data.prepare(Problem.parse(text))

    def time_pool(self, text):
        self.prepared.call()


class Engines(Forward):
    """The same pooling by each way to it: see ``FASTPOOL_ENGINE``."""

    params = (
        ("aot", "c", "njit", "jit"),
        (FORWARD["resnet stem"], FORWARD["photograph"], FORWARD["tiny"]),
    )
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
        self.prepared = data.prepare(Problem.parse(text))

    def time_pool_backward(self, text):
        self.prepared.call()
