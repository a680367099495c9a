"""Gradients on the GPU, in the simulator, against the reference; in a file of their own, which another process runs."""

from __future__ import annotations

import pytest

from tests.cuda.matrix import Case, cases, check, expected_of, is_forward, run


@pytest.mark.parametrize("case", [case for case in cases() if not is_forward(case)], ids=lambda case: case.name)
def test_gradients_are_those_of_the_reference(case: Case) -> None:
    expected = expected_of(case)
    result, _ = run(case, expected)
    check(case, expected, result)
