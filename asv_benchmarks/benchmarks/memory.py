"""The largest amount of memory that a process has had which pools: Python, NumPy, the arrays, and what a call adds."""

import numpy as np

from benchmarks.calls import CASES, WrongResultError
from fastpool.bench import data
from fastpool.problem import Problem


class Peak:
    """One call into a result that is there already.

    The input is all ones: to make random numbers, and to compare with exact results, takes more memory than the call.
    """

    params = (("resnet stem", "resnet stem, last", "resnet stem, gradient", "vgg 1", "image half", "image dilation"),)
    param_names = ("case",)
    version = "1"
    timeout = 120

    def setup(self, case):
        problem = Problem.parse(CASES[case])
        x = np.ones(problem.shape, data.numpy_dtype(problem.dtype))
        dy = np.ones(problem.out_shape, x.dtype) if problem.direction == "bwd" else None
        self.prepared = data.prepare(problem, given=data.Inputs(x, dy))
        y = self.prepared.results[0]
        # as the largest of ones, all of y is 1; of a gradient nothing may be lost
        right = y.min() == y.max() == 1 if dy is None else y.sum(dtype=np.float64) == dy.size
        if not right:
            raise WrongResultError(f"{problem}: of ones, it gives values from {y.min()} to {y.max()}, {y.sum()} in sum")

    def peakmem_pool(self, case):
        self.prepared.call()
