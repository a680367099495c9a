"""The gate between two commits: it fails where one is slower, and takes noise for noise."""

import math
import runpy

import numpy as np
import pytest

from fastpool.bench import measuring, timing
from fastpool.problem import Problem

PROBLEM = "mean2d_fwd_f32_first_mb1ic2_ih6oh3kh2sh2"


@pytest.fixture(scope="module")
def gate(repository):
    return runpy.run_path(str(repository / "asv_benchmarks" / "gate.py"))


def rounds(factor, noise, seed=0, count=25):
    """Invented times of both, a millisecond and ``factor`` of it, each off by some noise."""
    rng = np.random.default_rng(seed)
    base, head = 1e-3 * np.exp(noise * rng.standard_normal((2, count)))
    return list(base), list(factor * head)


@pytest.mark.parametrize(
    ("factor", "noise", "fails"),
    [(1.2, 0.02, True), (1.05, 0.001, False), (1.0, 0.3, False), (0.5, 0.02, False), (5.0, 0.3, True)],
)
def test_the_gate_fails_where_it_is_slower_by_a_tenth_and_not_by_chance(gate, capsys, factor, noise, fails):
    measure = lambda case, swapped: gate["Finding"].of(case, *rounds(factor, noise, seed=int(swapped)))  # noqa: E731
    assert gate["judged"](measure, ["one", "two"]) == (["one", "two"] if fails else [])
    assert capsys.readouterr().out.count("WORSE") == 2 * fails


def test_the_gate_takes_noise_for_noise(gate):
    # a fifth slower in the median, and faster in nearly half of the rounds
    base = [1.0] * 25
    head = [1.2] * 13 + [0.5] * 12
    finding = gate["Finding"].of("one", base, head)
    assert finding.ratio == 1.2
    assert finding.chance == timing.slower(head, base) > 0.01
    assert not finding.fails(1)


def test_the_gate_measures_again_before_it_fails(gate):
    asked = []

    def measure(case, swapped):
        asked.append((case, swapped))
        return gate["Finding"].of(case, *rounds(1.0 if swapped or case == "fine" else 1.3, 0.01))

    assert gate["judged"](measure, ["slow once", "fine"]) == []
    assert asked == [("slow once", False), ("slow once", True), ("fine", False)]


def test_the_gate_fails_on_a_wrong_result_of_head_alone(gate, monkeypatch, capsys):
    limits = {"head": 1, "base": 2}

    class Fake:
        def __init__(self, name, threads, python):
            self.python = python

        def ask(self, do, problem):
            error = math.inf if self.python == broken else 0.0
            return {"ok": True, "modes": [""], "errors": {"": error}}

        def time(self, mode, count):
            return [1e-3] * count

        def close(self):
            limits.pop(self.python, None)

    monkeypatch.setitem(gate["measured"].__globals__, "Worker", Fake)
    for broken, code in (("head", 1), ("base", 0), ("", 0)):
        assert gate["main"](["--prebuilt", "base", "head", "--cases", "tiny"]) == code
        out = capsys.readouterr().out
        assert measuring.judged(Problem.parse(PROBLEM), math.inf) in out or not broken
        assert f"{code} of 1 cases failed" in out
    # no process is left
    assert not limits


def test_the_gate_refuses_rounds_that_can_show_nothing(gate, capsys):
    for cases in (1, 13, 95):
        fewest = gate["fewest"](cases)
        assert 2.0**-fewest < 0.01 / cases <= 2.0 ** -(fewest - 1)
    with pytest.raises(SystemExit):
        gate["main"](["--prebuilt", "base", "head", "--cases", "tiny", "--rounds", "3"])
    assert "make at least 7" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gate["main"]([])
