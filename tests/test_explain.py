"""explain(), and the environment variables that show or choose the kernel."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastpool
from fastpool import dispatch, reference, tiling
from fastpool.kernels.registry import FORMS
from fastpool.problem import Problem

X = np.arange(2 * 3 * 16 * 16, dtype=np.float32).reshape(2, 3, 16, 16)
GRAD = np.ones((2, 3, 8, 8), np.float32)

CALLS = {
    "max": (fastpool.max_pool2d, (X, 2), {}),
    "max with indices": (fastpool.max_pool2d, (X, 3, 2, 1), {"return_indices": "tap"}),
    "avg of the last axis": (fastpool.avg_pool2d, (X, 2), {"layout": "channels_last"}),
    "sum of integers": (fastpool.sum_pool3d, (X.astype(np.int16), 2), {}),
    "lp": (fastpool.lp_pool1d, (X, 3, 5), {}),
    "global": (fastpool.global_min_pool, (X,), {}),
    "pool": (fastpool.pool, (X, (2, 2), "mean"), {"axes": (0, 3)}),
    "max backward": (fastpool.max_pool2d_backward, (GRAD, X, 2), {}),
    "avg backward": (fastpool.avg_pool2d_backward, (GRAD, X.shape, 2), {}),
    "lp backward": (fastpool.lp_pool2d_backward, (GRAD, X, 2.5, 2), {}),
    "longdouble": (fastpool.avg_pool2d, (X.astype(np.longdouble), 2), {}),
    "complex": (fastpool.sum_pool2d, (X.astype(np.complex64), 2), {}),
}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("FASTPOOL_VERBOSE", "FASTPOOL_FORCE_KERNEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", CALLS)
def test_every_form_is_there_with_a_reason(name):
    function, arguments, options = CALLS[name]
    explanation = fastpool.explain(function, *arguments, **options)
    lines = str(explanation).splitlines()
    assert lines[0] == f"problem  {explanation.problem}"
    assert Problem.parse(lines[0].split()[1]) == explanation.problem
    words = {form.name for form in FORMS}
    verdicts = [line.split(maxsplit=1) for line in lines[1:] if line.split()[0] in words and line[0] == " "]
    for task in explanation.tasks:
        # in the order of the list, each once, one of them taken
        mine, verdicts = verdicts[: forms_of(task)], verdicts[forms_of(task) :]
        assert [form for form, _ in mine] == [form.name for form in FORMS if task.role in form.roles]
        assert [form for form, verdict in mine if verdict == "taken"] == [task.form.name]
        at = [verdict for _, verdict in mine].index("taken")
        assert {verdict for _, verdict in mine[:at]} <= set(tiling.REASONS[1:])
        assert all(verdict == "comes later" for _, verdict in mine[at + 1 :])
    assert verdicts == []
    assert explanation.kernels == tuple(task.name for task in explanation.tasks)


def forms_of(task) -> int:
    return sum(task.role in form.roles for form in FORMS)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("max", ("max_forward_f32__rows_fused_k2s2",)),
        ("max with indices", ("max_index_f32_u8__rows_stacked",)),
        ("avg of the last axis", ("mean_forward_f32__lanes_k2s2",)),
        ("max backward", ("max_index_f32_u8__rows_fused_k2s2", "scatter_f32_u8__rows_fused_k2s2")),
        ("avg backward", ("mean_gather_f32__rows_apart",)),
        ("lp backward", ("lp_weigh_f32__rows_k2s2", "lp_gather_f32__rows")),
        ("longdouble", ("reference",)),
    ],
)
def test_the_kernels_of_a_call(name, kernels):
    function, arguments, options = CALLS[name]
    assert fastpool.explain(function, *arguments, **options).kernels == kernels


def test_the_reason_fits():
    long = np.zeros((1, 1, 9, 99), np.float32)
    table = str(fastpool.explain(fastpool.max_pool2d, long, 3, stride=2))
    assert f"  rows_stacked    {tiling.REASONS[tiling.LONG_ROWS]}\n" in table
    other = tiling.REASONS[tiling.OTHER_WINDOW]
    assert f"  rows_fused_k2s2 {other}\n" in table
    assert "  rows_fused_k3s2 taken\n" in table
    table = str(fastpool.explain(fastpool.max_pool2d, long, 3, stride=2, dilation=2))
    assert f"  rows_k3s2       {other}\n" in table
    table = str(fastpool.explain(fastpool.avg_pool2d, X.astype(np.longdouble), 2))
    assert f"  rows            {tiling.REASONS[tiling.NO_ARITHMETIC]}\n" in table


def test_verbose_prints_it_for_each_call(monkeypatch, capsys):
    fastpool.max_pool2d(X, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FASTPOOL_VERBOSE", "dispatch")
    y = fastpool.max_pool2d(X, 2)
    printed, errors = capsys.readouterr()
    monkeypatch.delenv("FASTPOOL_VERBOSE")
    assert printed == ""
    assert errors == f"fastpool: {fastpool.explain(fastpool.max_pool2d, X, 2)}\n"
    np.testing.assert_array_equal(y, X[..., 1::2, 1::2])


@pytest.fixture
def oracle(monkeypatch):
    """The problems that the reference is asked to solve."""
    asked = []
    for name in ("forward", "backward"):
        solve = getattr(reference, name)

        def record(problem, *arrays, solve=solve):
            asked.append(problem)
            return solve(problem, *arrays)

        monkeypatch.setattr(reference, name, record)
    return asked


def test_the_reference_can_be_forced(monkeypatch, oracle):
    x = X[0, 0]
    fastpool.max_pool2d(x, 2)
    assert oracle == []
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", "reference")
    table = fastpool.explain(fastpool.max_pool2d, x, 2)
    assert table.kernels == ("reference",)
    assert f"  rows_k2s2       {tiling.REASONS[tiling.NOT_FORCED]}\n" in str(table)
    assert oracle == []
    y, indices = fastpool.max_pool2d(x, 2, return_indices=True)
    dx = fastpool.max_pool2d_backward(y, x, 2, indices=indices)
    assert [problem.direction for problem in oracle] == ["fwd", "bwd"]
    np.testing.assert_array_equal(y, x[1::2, 1::2])
    np.testing.assert_array_equal(dx[1::2, 1::2], y)
    # what was planned before is not what the variable asks for now
    monkeypatch.delenv("FASTPOOL_FORCE_KERNEL")
    fastpool.max_pool2d(x, 2)
    assert len(oracle) == 2


def test_longdouble_goes_to_the_reference(oracle):
    x = X[0, 0].astype(np.longdouble)
    np.testing.assert_array_equal(fastpool.max_pool2d(x, 2), x[1::2, 1::2])
    assert len(oracle) == 1


@pytest.mark.parametrize("form", [form.name for form in FORMS])
def test_a_forced_form_is_taken_where_it_can(form, monkeypatch):
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", form)
    k, s = {"k2s2": (2, 2), "k3s2": (3, 2), "k3s1": (3, 1)}.get(form.rpartition("_")[2], (5, 2))
    x, layout = (X.reshape(2, 16, 16, 3), "NHWC") if form.startswith("lanes") else (X, "NCHW")
    if form.endswith("match"):
        y, indices = fastpool.max_pool2d(x, k, s, layout=layout, return_indices=True)
        table = fastpool.explain(fastpool.max_pool2d_backward, y, x, k, stride=s, indices=indices, layout=layout)
    elif form == "rows_apart":
        table = fastpool.explain(fastpool.avg_pool1d, X, 4)
    elif form == "lanes_apart":
        table = fastpool.explain(fastpool.avg_pool2d_backward, x[:, :3, :3], x.shape, 5, layout=layout)
    elif form == "lanes_fused":
        # whole vectors of lanes, of selections
        table = fastpool.explain(fastpool.max_pool2d, X.reshape(2, 8, 6, 16), k, stride=s, layout=layout)
    else:
        table = fastpool.explain(fastpool.avg_pool2d, x, k, stride=s, layout=layout)
    assert [task.form.name for task in table.tasks] == [form]
    assert f"  {form:15s} taken" in str(table)


def test_a_forced_form_that_cannot_leaves_it_to_others(monkeypatch):
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", "rows_k3s2")
    assert fastpool.explain(fastpool.max_pool2d, X, 2).kernels == ("max_forward_f32__rows_fused_k2s2",)
    np.testing.assert_array_equal(fastpool.max_pool2d(X, 2), X[..., 1::2, 1::2])


@pytest.mark.parametrize("run", [fastpool.max_pool2d, lambda *a: fastpool.explain(fastpool.max_pool2d, *a)])
def test_an_unknown_form_is_an_error_that_lists_the_known_ones(monkeypatch, run):
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", "rows_k9")
    with pytest.raises(ValueError, match=r"^FASTPOOL_FORCE_KERNEL='rows_k9': no kernel form") as caught:
        run(X, 2)
    for form in FORMS:
        assert form.name in str(caught.value)


def test_explain_checks_the_arguments_of_the_call():
    with pytest.raises(ValueError, match=r"^max_pool2d: kernel_size=\(0, 2\): every entry must be at least 1"):
        fastpool.explain(fastpool.max_pool2d, X, (0, 2))
    with pytest.raises(TypeError, match=r"^explain: fn="):
        fastpool.explain(np.max, X)


def test_explain_writes_nothing():
    out = np.full((2, 3, 8, 8), 7, np.float32)
    fastpool.explain(fastpool.max_pool2d, X, 2, out=out)
    assert (out == 7).all()
    # planned like the call, so the strides of out count
    table = fastpool.explain(fastpool.max_pool2d, X, 2, out=out.transpose(0, 1, 3, 2))
    assert table.problem.y_strides == (192, 64, 1, 8)
    assert table.kernels == ("max_forward_f32__rows",)


def test_explain_needs_no_compiler(repository):
    code = (
        "import sys, numpy as np, fastpool\n"
        "from fastpool import dispatch\n"
        "from fastpool.problem import Problem\n"
        "x = np.zeros((8, 8), np.float32)\n"
        "print(fastpool.explain(fastpool.max_pool2d, x, 2))\n"
        "print(fastpool.explain(fastpool.lp_pool2d_backward, x[:4, :4], x, 2, 2))\n"
        "dispatch.explain(Problem.parse('max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1'))\n"
        "assert not {'numba', 'llvmlite', 'fastpool.kernels.cpu.engine'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("taken") == 3


def test_a_problem_can_be_explained_by_its_text():
    problem = Problem.parse("max2d_bwd+tap_u8_first_mb2ic3_ih16oh8kh2sh2")
    assert dispatch.explain(problem).kernels == ("scatter_i8_u8__rows_fused_k2s2",)
