"""The asv suite: its table makes sense, and its classes compute what they say."""

import os
import runpy

import numpy as np
import pytest

from fastpool import library, reference
from fastpool.bench import data
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
    results = benchmark.prepared.results
    for result in results:
        result.fill(0)
    benchmark.time_pool(text)
    problem = Problem.parse(text)
    expected = reference.forward(problem, data.inputs(problem).x)
    for result, wanted in zip(results, expected, strict=False):
        np.testing.assert_array_equal(result, wanted)


def test_engines(suite, monkeypatch):
    monkeypatch.setenv("FASTPOOL_ENGINE", "jit")
    text = TINY["Forward"][1]
    benchmark = suite["Engines"]()
    for engine in ("c", "reference"):
        if engine == "c" and library.library() is None:
            with pytest.raises(NotImplementedError):
                benchmark.setup(engine, text)
        else:
            benchmark.setup(engine, text)
            assert os.environ["FASTPOOL_ENGINE"] == engine
            benchmark.time_pool(engine, text)
            problem = Problem.parse(text)
            expected = reference.forward(problem, data.inputs(problem).x)[0]
            np.testing.assert_array_equal(benchmark.prepared.results[0], expected)
            benchmark.teardown(engine, text)
        assert os.environ["FASTPOOL_ENGINE"] == "jit"


@pytest.mark.parametrize("text", TINY["Backward"])
def test_backward(suite, text):
    problem = Problem.parse(text)
    benchmark = suite["Backward"]()
    benchmark.setup(text)
    benchmark.prepared.results[0].fill(9)
    benchmark.time_pool_backward(text)
    given = data.inputs(problem)
    indices = reference.forward(problem._replace(direction="fwd"), given.x)[1]
    expected = reference.backward(problem, given.dy, given.x, indices)
    np.testing.assert_array_equal(benchmark.prepared.results[0], expected)
