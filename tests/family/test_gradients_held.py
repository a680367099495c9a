"""Each function that has a gradient is in a table of random problems: of slopes, or of adjoints."""

from __future__ import annotations

import numpy as np

import fastpool
from fastpool.family import operations
from tests.family import statistic_cases, test_adjoints, test_slopes, test_slopes_learned

DRAWS = 60
"""Problems of each kind, in which all numbers of axes come."""


def test_every_gradient_is_held():
    rng = np.random.default_rng(0)
    held = {f"{case.word}_pool{rank}d" for case in statistic_cases.CASES for rank in (1, 2, 3)}
    for _ in range(DRAWS):
        held |= {make(rng).name for make in (*test_slopes.MAKERS.values(), *test_slopes_learned.MAKERS)}
    linear = {make(rng, name, rank)[0] for (make, name), ranks in test_adjoints.MAKERS.items() for rank in ranks}
    with_gradient = {name.removesuffix("_backward") for name in dir(fastpool) if name.endswith("_backward")}
    assert with_gradient <= held | linear, with_gradient - held - linear
    said = {name for row in operations.OPERATIONS if row.linear for name in row.functions}
    assert said - linear == {"transpose"}
