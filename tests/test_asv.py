"""The asv suite: its table makes sense, and its classes compute what they say."""

import runpy

import numpy as np
import pytest

from fastpool import reference
from fastpool.problem import Problem

TINY = {
    "Forward": ["max2d_fwd+tap_f32_last_mb1ic2_ih5oh2kh3sh2", "mean1d_fwd_f32_first_n6_iw6ow3kw2sw2_skipna"],
    "Backward": ["max2d_bwd+plane_f32_first_mb1ic2_ih5oh2kh3sh2", "mean1d_bwd_f32_first_n6_iw6ow3kw2sw2"],
}


@pytest.fixture(scope="module")
def suite(repository):
    return runpy.run_path(str(repository / "asv_benchmarks" / "benchmarks" / "networks.py"))


@pytest.mark.parametrize(("table", "direction"), [("FORWARD", "fwd"), ("BACKWARD", "bwd")])
def test_table(suite, table, direction):
    texts = list(suite[table].values())
    assert len(texts) == len(set(texts))
    for text in texts:
        problem = Problem.parse(text)
        assert problem.direction == direction
        assert problem.overflow() == ""
        assert all(size > 0 for size in problem.out_shape)


@pytest.mark.parametrize("text", TINY["Forward"])
def test_forward(suite, text):
    benchmark = suite["Forward"]()
    benchmark.setup(text)
    results = benchmark.result if isinstance(benchmark.result, tuple) else (benchmark.result,)
    for result in results:
        result.fill(0)
    benchmark.time_pool(text)
    expected = reference.forward(Problem.parse(text), benchmark.x)
    for result, wanted in zip(results, expected, strict=False):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("text", TINY["Backward"])
def test_backward(suite, text):
    problem = Problem.parse(text)
    benchmark = suite["Backward"]()
    benchmark.setup(text)
    benchmark.result.fill(9)
    benchmark.time_pool_backward(text)
    given = isinstance(benchmark.x, np.ndarray)
    indices = benchmark.options.get("indices")
    expected = reference.backward(problem, benchmark.dy, benchmark.x if given else None, indices)
    np.testing.assert_array_equal(benchmark.result, expected)
