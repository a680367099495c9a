"""Prints a digest of what an engine answers to each ask, as JSON: python -m tests.answers NAME ...

The engine and the level of the processor are chosen by the environment, as everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys

import numpy as np

from fastpool import config, dispatch
from fastpool.kernels.registry import Ask
from tests.kernel_cases import ASKS, forms, problem_of
from tests.strategies import LAYOUTS, Array, pool, pull_back, real_numbers, salt, turn, turned, whole_numbers

WINDOWS = (
    ((2, 3, 4, 6), 2, {}),
    ((2, 3, 9, 70), 3, {"s": 2, "p": 1}),
    ((2, 35, 5, 7), 3, {"s": 1, "p": 1, "include_pad": False}),
    ((2, 3, 6, 8), (3, 5), {"s": (2, 3), "p": [(2, 1), (3, 2)], "d": (2, 1), "ceil": True}),
    ((1, 2, 2, 300), (2, 129), {"s": (1, 150), "p": [0, 20]}),
    ((2, 2, 7, 7), 7, {}),
    ((2, 2, 3, 4, 4), (2, 3, 2), {"s": (1, 2, 3), "p": [0, 1, (0, 1)]}),
    ((1, 3, 40), 31, {"s": 1, "p": 15}),
)


def numbers(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    make = real_numbers if dtype in ("f16", "bf16", "f32", "f64") else whole_numbers
    return salt(dtype, make(dtype, shape, rng), rng, 0.02)


def answer(ask: Ask) -> str:
    """A digest of the results of every form on every layout, each of which came from the engine that was asked."""
    sha = hashlib.sha256()
    for seed, (shape, k, options) in enumerate(WINDOWS):
        problem = problem_of(ask, shape, k, **options)
        rng = np.random.default_rng(seed)
        x = numbers(problem.dtype, problem.shape, rng)
        dy = numbers(problem.out_dtype, problem.out_shape, rng)
        for form in (*forms(ask, problem), None):
            os.environ[config.FORCE_KERNEL.name] = form.name if form else ""
            for layout in LAYOUTS:
                placed = turned(problem, layout)
                order = turn(layout, x.ndim)
                own_x, own_dy = x.transpose(order), dy.transpose(order)
                if problem.direction == "fwd":
                    result = pool(placed, own_x)
                    arrays = [result.array, result.indices]
                else:
                    indices = None
                    if problem.indices:
                        indices = pool(placed._replace(direction="fwd"), own_x).indices
                    reads_x = problem.op == "lp" or problem.nan == "ignore"
                    result = pull_back(placed, own_dy, own_x if reads_x else None, indices)
                    arrays = [result.array]
                assert dispatch.explain(result.problem).engine == config.engine(), str(result.problem)
                for array in arrays:
                    if array is not None:
                        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    print(json.dumps({ask.name: answer(ask) for ask in ASKS if ask.name in wanted}))
