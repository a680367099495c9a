"""``fastpool.bench``: the table, the calls, errors, times, tables, pictures, and the command."""

import json
import math
import random
from itertools import pairwise

import numpy as np
import pytest

import fastpool
from fastpool import reference
from fastpool.__main__ import main
from fastpool.bench import (
    command,
    data,
    errors,
    filter_peers,
    floor,
    measuring,
    networks,
    peers,
    picture,
    planes,
    table,
    timing,
    worker,
)
from fastpool.bench.processes import Worker
from fastpool.bench.report import Report
from fastpool.bench.rows import Row
from fastpool.problem import Problem

TINY = "max2d_fwd_f32_first_mb1ic2_ih6oh3kh2sh2"

PROBLEMS = [
    "max2d_fwd_f32_first_mb2ic3_ih7oh4kh3sh2ph1",
    "max2d_fwd+tap_f32_last_mb2ic3_ih7oh4kh3sh2ph1",
    "min2d_fwd+plane_f64_first_mb2ic3_ih7oh4kh3sh2ph1_iw6ow3kw2sw2",
    "max1d_fwd+tensor_i16_axes0_n7x4x2_iw7ow4kw2sw2_ceil",
    "max2d_fwd_u8_last_n6x8x3_ih6oh3kh2sh2_iw8ow4kw2sw2",
    "max1d_fwd_bf16_first_n9_iw9ow4kw3sw2",
    "mean2d_fwd_f32_first_mb2ic3_ih7oh4kh3sh2ph1",
    "mean2d_fwd_f32_first_mb2ic3_ih7oh4kh3sh2ph1_xpad",
    "mean2d_fwd_f16_first_mb2ic3_ih6oh4kh3sh2ph1_ceil",
    "mean1d_fwd_f32_first_n12_iw12ow6kw3sw2pw1_skipna",
    "mean1d_fwd_i8_first_n12_iw12ow6kw2sw2",
    "mean1d_fwd_c64_first_n6_iw6ow3kw2sw2",
    "sum2d_fwd_i32_first_mb1ic2_ih5oh5kh3sh1ph1",
    "lp2d_fwd_f32_first_mb1ic2_ih6oh3kh2sh2_p2.0",
    "max2d_fwd_f32_first_n4x6_ih4oh2kh2sh2_iw6ow3kw2sw2_xs1.4_ys1.2",
    "max2d_bwd_f32_first_mb1ic2_ih5oh3kh3sh2ph1",
    "max2d_bwd+tap_f32_last_mb1ic2_ih5oh3kh3sh2ph1",
    "max3d_bwd+plane_f32_first_mb1ic2_id4od2kd2sd2",
    "mean2d_bwd_f32_first_mb2ic2_ih7oh7kh3sh1ph1",
    "mean2d_bwd_f32_first_mb2ic2_ih6oh4kh3sh2ph1_ceil_xpad",
    "mean1d_bwd_f32_first_n12_iw12ow6kw2sw2_skipna",
    "sum1d_bwd_f64_first_n7_iw7ow5kw3sw1",
    "lp1d_bwd_f64_first_n6_iw6ow3kw2sw2_p3.0",
]


@pytest.mark.parametrize("name", [*networks.CASES, *networks.windows()])
def test_cases(name):
    problem = Problem.parse((networks.CASES | networks.windows())[name])
    assert problem.overflow() == ""
    assert min(problem.out_shape) > 0
    assert len(name) <= table.WIDEST
    assert ("last" in name.replace(",", "").split()) <= (problem.layout == "last")
    assert ("gradient" in name) == (problem.direction == "bwd")


def test_sets():
    texts = list(networks.CASES.values())
    assert len(texts) == len(set(texts))
    assert set(networks.QUICK) | set(networks.JUDGE) <= networks.CASES.keys()
    assert list(networks.select()) == list(networks.QUICK)
    assert list(networks.select(("c3d 2", "tiny"))) == ["c3d 2", "tiny"]
    assert list(networks.select(("c3d",))) == ["c3d 1", "c3d 2", "c3d 2, last", "c3d 5"]
    assert networks.select((networks.CASES["tiny"], TINY)) == {"tiny": networks.CASES["tiny"], TINY: TINY}


def storage(problem, array):
    """As the reference takes it: bfloat16 by its bits."""
    return array.view(np.uint16) if problem.dtype == "bf16" else array


def expected(problem, given):
    x = storage(problem, given.x)
    if problem.direction == "fwd":
        return reference.forward(problem, x)
    indices = reference.forward(problem._replace(direction="fwd"), x)[1] if problem.indices else None
    return reference.backward(problem, given.dy, x, indices), None


@pytest.mark.parametrize("text", PROBLEMS)
def test_prepared_calls_compute_what_the_reference_does(text):
    problem = Problem.parse(text)
    given = data.inputs(problem)
    wanted, indices = expected(problem, given)
    prepared = data.prepare(problem)
    for result in prepared.results:
        result.fill(1)
    prepared.call()
    # the reference rounds once, kernels at each step
    close = np.testing.assert_array_equal
    if problem.op in ("mean", "sum", "lp") and given.x.dtype.kind in "fc":
        tolerance = 8 * np.finfo(given.x.dtype).eps
        close = lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance)  # noqa: E731
    close(storage(problem, prepared.results[0]), wanted)
    if indices is not None:
        np.testing.assert_array_equal(prepared.results[1], indices)
    new = data.prepare(problem, out=False)
    first, second = new.call(), new.call()
    assert first is not second
    close(storage(problem, first[0] if problem.indices and problem.direction == "fwd" else first), wanted)


@pytest.mark.parametrize("text", PROBLEMS)
def test_exact_values_are_those_of_the_reference(text):
    problem = Problem.parse(text)
    given = data.inputs(problem)
    wanted, indices = expected(problem, given)
    part = errors.exact(problem, given)
    assert part.values.shape == wanted.shape
    results = tuple(array for array in (wanted, indices) if array is not None)
    if problem.dtype == "bf16":
        results = (wanted.view(data.numpy_dtype("bf16")),)
    # the reference rounds once: half a unit of what may be larger than the result
    assert errors.largest(problem, given, results) <= 0.5


def test_errors_are_counted_in_last_places():
    problem = Problem.parse("max2d_fwd_f32_first_mb2ic3_ih8oh4kh2sh2")
    given = data.inputs(problem)
    right = reference.forward(problem, given.x)[0]
    assert errors.largest(problem, given, (right,)) == 0
    wrong = right.copy()
    wrong[1, 2, 3, 3] += 3 * np.spacing(abs(wrong[1, 2, 3, 3]))
    assert errors.largest(problem, given, (wrong,)) == 3
    wrong[0, 0, 0, 0] = np.nan
    assert errors.largest(problem, given, (wrong,)) == math.inf
    assert errors.largest(problem, given, (right[:1],)) == math.inf


def test_errors_of_integers_are_differences():
    problem = Problem.parse("max1d_fwd+tap_u8_first_n8_iw8ow4kw2sw2")
    given = data.inputs(problem)
    y, tap = reference.forward(problem, given.x)
    assert errors.largest(problem, given, (y - np.uint8(2), tap)) == 2
    assert errors.largest(problem, given, (y, 1 - tap)) == math.inf


def test_a_missing_tap_is_more_than_rounding_explains():
    problem = Problem.parse(networks.CASES["squeeze 112"].replace("mb8ic32", "mb1ic2"))
    given = data.inputs(problem)
    y = given.x.astype(np.float64).sum((2, 3), keepdims=True) / problem.taps
    wrong = (y - given.x[..., :1, :1] / problem.taps).astype(np.float32)
    assert measuring.judged(problem, errors.largest(problem, given, (y.astype(np.float32),))) == ""
    assert measuring.judged(problem, errors.largest(problem, given, (wrong,)))


def test_bytes_that_must_move():
    for text, wanted in (
        ("max1d_fwd_f32_first_n8_iw8ow4kw2sw2", 8 * 4 + 4 * 4),
        ("max1d_fwd+plane_f32_first_n8_iw8ow4kw2sw2", 8 * 4 + 4 * 4 + 4 * 8),
        ("sum1d_fwd_u8_first_n8_iw8ow4kw2sw2", 8 + 4 * 8),
        ("max1d_bwd+tap_f32_first_n8_iw8ow4kw2sw2", 8 * 4 + 4 * 4 + 4),
        ("mean1d_bwd_f32_first_n8_iw8ow4kw2sw2", 8 * 4 + 4 * 4),
        ("max1d_bwd_f32_first_n8_iw8ow4kw2sw2", 2 * 8 * 4 + 4 * 4),
    ):
        assert data.moved(Problem.parse(text)) == wanted, text


def test_floor_copies_every_byte(monkeypatch):
    copied = []
    monkeypatch.setattr(floor.np, "copyto", lambda target, source: copied.append((len(target), len(source))))
    with fastpool.threads(3):
        floor.prepare(Problem.parse(networks.CASES["sppf"])).call()
    assert len(copied) == 3
    # half of what must move is read, as much is written
    assert sum(a + b for a, b in copied) == data.moved(Problem.parse(networks.CASES["sppf"]))


@pytest.mark.parametrize(
    ("differences", "p"),
    [([], 1.0), ([0.0], 1.0), ([1.0], 0.5), ([-1.0], 1.0), ([1, 2, 3, 4, 5], 1 / 32), ([2, 2, -2], 4 / 8)],
)
def test_signed_rank(differences, p):
    assert timing.signed_rank(differences) == pytest.approx(p)


def test_signed_rank_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    for n in (4, 9, 20):
        values = rng.standard_normal(n) + 0.3
        wanted = stats.wilcoxon(values, alternative="greater", method="exact").pvalue
        assert timing.signed_rank(values.tolist()) == pytest.approx(wanted)


def test_slower_looks_at_pairs():
    drift = [1.0, 5.0, 2.0, 9.0, 3.0, 4.0, 7.0]
    assert timing.slower([1.1 * value for value in drift], drift) == 1 / 128
    assert timing.slower(drift, [1.1 * value for value in drift]) == 1.0


def test_rounds_are_interleaved():
    calls = []

    def fake(name, seconds):
        def times(count):
            calls.append((name, count))
            return [2 * seconds] * (count - 1) + [seconds]

        return times

    times = timing.interleaved({"a": fake("a", 0.01), "b": fake("b", 0.4), "c": fake("c", 2.0)}, 5)
    assert [name for name, _ in calls[:9]] == list("abcabcabc")
    assert times["a"] == [0.01] * 5
    # one that takes seconds is left alone after three rounds of one call
    assert times["c"] == [2.0] * 3
    assert [count for name, count in calls if name == "c"] == [2, 1, 1, 1]
    assert len(timing.interleaved({"a": fake("a", 0.01)}, 9, until=0.0)["a"]) == timing.FEWEST


def test_paired_ratio():
    ratio = timing.paired_ratio(lambda: sum(range(40000)), lambda: sum(range(10000)), 5)
    assert 2 < ratio < 8


class Inside:
    """A worker without a process."""

    def __init__(self, name, threads):
        self.name = name
        self.server = worker.Server(name)

    def ask(self, **question):
        return json.loads(json.dumps(self.server.answer(question)))

    def time(self, mode, count):
        return self.ask(do="time", mode=mode, count=count)["seconds"]

    def close(self):
        return 0


class Fake(peers.Peer):
    """A peer whose result is off, or which says no, or breaks."""

    def prepare(self, problem):
        if self.function == "unsupported":
            raise peers.Unsupported("has no such thing")
        if self.function == "broken":
            raise RuntimeError("no\nluck")
        right = data.prepare(problem)
        return right._replace(results=(right.results[0] + np.float32(self.function == "off"),))


def test_wrong_results_have_no_time(monkeypatch, capsys):
    fakes = {name: Fake({}, "", name) for name in ("right", "off", "unsupported", "broken")}
    for name, fake in fakes.items():
        monkeypatch.setitem(peers.PEERS, name, fake)
    monkeypatch.setattr(measuring, "Worker", Inside)
    with measuring.Session(fakes, 1) as session:
        row = session.measure("tiny", TINY, 1)
    assert row.peers == ["right"]
    assert row.wrong["off"].startswith("an error of ")
    assert row.unsupported == {"unsupported": "has no such thing"}
    assert row.failed == {"broken": "RuntimeError: no luck"}
    report = Report({}, {}, 1, 1, [row])
    assert table.beside(report).rows[0][0] == "tiny"
    assert "WRONG" in table.beside(report).rows[0]
    assert table.remarks(report)[0].startswith("WRONG: off on tiny: an error of ")

    right = fastpool.pool
    monkeypatch.setattr(fastpool, "pool", lambda x, **options: np.add(y := right(x, **options), np.float32(1), out=y))
    assert not command.run([TINY], peer_names="none", rounds=1)
    assert "  WRONG  " in capsys.readouterr().out


def test_a_process_that_ends_is_started_again():
    with Worker("fastpool", 1) as one:
        one._process.kill()
        assert one.ask(do="prepare", problem=TINY)["why"].startswith("the process ended with code ")
        assert one.ask(do="prepare", problem=TINY)["errors"] == {"": 0.0, "call": 0.0}
        assert len(one.time("call", 4)) == 4


def test_a_process_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr("fastpool.bench.processes.WORKER", "/nowhere/worker.py")
    with Worker("fastpool", 1) as one:
        why = one.ask(do="prepare", problem=TINY)["why"]
    assert why.startswith("the process ended with code 2: ")
    assert "/nowhere/worker.py" in why


def test_attach_takes_another_folder(tmp_path, monkeypatch):
    import sys

    (tmp_path / "__init__.py").write_text("VALUE = 3\n")
    (tmp_path / "part.py").write_text("from fastpool.bench_of_a_test import VALUE\n")
    worker.attach("fastpool.bench_of_a_test", tmp_path)
    first = sys.modules["fastpool.bench_of_a_test"]
    worker.attach("fastpool.bench_of_a_test", tmp_path)
    assert sys.modules["fastpool.bench_of_a_test"] is first
    from fastpool.bench_of_a_test import part

    assert part.VALUE == 3
    for name in ("fastpool.bench_of_a_test", "fastpool.bench_of_a_test.part"):
        del sys.modules[name]
    del fastpool.bench_of_a_test


def test_peers_agree():
    """Each one that is installed computes what it says that it can, in a process of its own."""
    names = peers.installed(peers.DEFAULT)
    texts = (
        "max2d_fwd_f32_last_mb2ic3_ih8oh8kh3sh1ph1",
        "mean2d_fwd_f32_first_mb2ic3_ih8oh4kh2sh2",
        "max2d_bwd+tap_f32_first_mb2ic3_ih9oh5kh3sh2ph1",
        "max1d_fwd_f32_first_mb2ic3_iw9ow4kw3sw2",
    )
    timed = set()
    with measuring.Session(names, 1) as session:
        for text in texts:
            row = session.measure(text, text, 1)
            assert (row.wrong, row.failed) == ({}, {})
            timed |= set(row.peers)
    assert timed == set(names)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("max1d_bwd+tap_f32_first_n8_iw8ow4kw2sw2", "has no gradient"),
        ("max1d_fwd+tap_f32_first_n8_iw8ow4kw2sw2", "has no indices"),
        ("max1d_fwd_f32_first_n8_iw8ow4kw2sw2", "has stride 1 alone"),
        ("max1d_fwd_f32_first_n8_iw8ow7kw2sw1", "has results as large as the input alone"),
        ("mean1d_fwd_f32_first_n8_iw8ow8kw3sw1pw1_xpad", "counts the padding in means"),
    ],
)
def test_what_scipy_lacks(text, why):
    pytest.importorskip("scipy")
    with pytest.raises(peers.Unsupported, match=f"^{why}$"):
        filter_peers.prepare_scipy(Problem.parse(text))


def test_planes():
    problem = Problem.parse("max2d_fwd_f32_last_n2x4x5x6x3_ih5oh2kh2sh2_iw6ow3kw2sw2")
    found = planes.Planes.of(problem)
    assert found == (8, 3, True)
    x = np.arange(720).reshape(problem.shape)
    view = found.view(x, planes.sizes(problem))
    assert view.shape == (8, 3, 5, 6)
    assert view[5, 2, 3, 4] == x[1, 1, 3, 4, 2]
    np.testing.assert_array_equal(found.back(view, problem.shape), x)
    with pytest.raises(peers.Unsupported, match="pools the last axes"):
        planes.Planes.of(Problem.parse("max1d_fwd_f32_axes0_n7x4x2_iw7ow3kw2sw2"))


def made(names=networks.JUDGE):
    """A report with figures that nobody measured."""
    rng = random.Random(5)
    # those that problems of windows are measured beside
    names_of_peers = (*peers.OTHERS, "serial")
    report = Report({"processor": "P", "engine": "aot"}, {"fastpool": "0"}, 2, 1)
    for name in names:
        text = networks.CASES[name]
        bytes_moved = data.moved(Problem.parse(text))
        times = {
            other: [bytes_moved / 4e10 * rng.uniform(0.5, 5)]
            for other in ("floor", "fastpool", "fastpool call", *names_of_peers)
        }
        report.rows.append(Row(name, text, bytes_moved, times, dict.fromkeys(("fastpool", *names_of_peers), 0.5)))
    return report


def test_tables_fit_the_terminal():
    report = made()
    assert max(map(len, table.text(report).splitlines())) <= table.COLUMNS
    assert table.text(report).isascii()
    assert {line.count("|") for line in table.speeds(report).markdown().splitlines()} == {11}


def test_figures_of_a_table():
    row = Row("one", TINY, 1000, {"floor": [1e-6], "fastpool": [2e-6, 2e-6, 4e-6], "torch": [6e-6, 4e-6, 4e-6]})
    row.errors |= {"fastpool": 0.0, "torch": 1.25}
    report = Report({}, {}, 1, 3, [row, Row("two", TINY, 1000, {"fastpool": [1e-6], "torch": [0.5e-6]})])
    assert table.speeds(report).rows == [
        ("one", "2.00 us", "-", "0.5", "0.50", "0", "torch", "4.00 us", "1.2", "2.00x"),
        ("two", "1.00 us", "-", "1.0", "-", "-", "torch", "0.50 us", "-", "0.50x"),
        ("geometric mean", "", "", "", "0.50", "", "", "", "", "1.00x"),
    ]
    assert table.summary(report) == ["torch: 1.00x over 2 cases, behind in 1, lowest 0.50x"]


def test_json_round_trip():
    report = made()
    report.rows[0].wrong["jax"] = "an error"
    report.rows[1].unsupported["scipy"] = "has stride 1 alone"
    assert Report.from_json(report.to_json()) == report
    assert not {"date", "time", "host"} & json.loads(report.to_json()).keys()
    with pytest.raises(ValueError, match="format=9: this version reads format 1; measure again"):
        Report.from_json('{"format": 9}')


def test_names_in_the_picture_do_not_overlap(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from fastpool.bench import roofline, sweep

    figure = roofline.picture(made())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    inside = figure.axes[0].get_window_extent(canvas.get_renderer())
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts]
    # all but the tiny one, which no memory limits
    assert len(boxes) == len(networks.JUDGE) - 1
    boxes.sort(key=lambda box: box.x0)
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
    assert all(inside.y0 <= box.y0 and box.y1 <= inside.y1 for box in boxes)
    for module in (roofline, sweep):
        for name in ("one.svg", "two.svg"):
            module.draw(made(("sppf", "spp 13")), tmp_path / name)
        assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_apart():
    wanted = sorted(random.Random(2).uniform(0, 50) for _ in range(20))
    placed = picture.apart(wanted, 3)
    assert all(b - a >= 3 - 1e-9 for a, b in pairwise(placed))
    assert picture.apart([0.0, 5.0, 10.0], 3) == [0.0, 5.0, 10.0]


def test_command(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    files = {name: tmp_path / name for name in ("figures.json", "picture.png")}
    arguments = ["bench", "tiny", TINY, "--peers", "none", "--rounds", "3", "--threads", "1"]
    assert main([*arguments, "--json", str(files["figures.json"]), "--plot", str(files["picture.png"])]) == 0
    captured = capsys.readouterr()
    assert [line[:5] for line in captured.err.splitlines()] == ["[1/2]", "[2/2]"]
    assert "\r" not in captured.err
    assert f"\n{table.shortened(TINY)}  " in captured.out
    report = Report.from_json(files["figures.json"].read_text())
    assert table.text(report) + "\n" == captured.out
    assert report.threads == 1
    assert [row.errors["fastpool"] for row in report.rows] == [0, 0]
    assert all(len(row.times[name]) == 3 for row in report.rows for name in ("floor", "fastpool", "fastpool call"))
    assert files["picture.png"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "bench: 'nonsense': it must be a part of a case's name or a problem's text; "),
        (["--rounds", "0"], "bench: rounds=0: it must be at least 1"),
        (["--threads", "-1"], "bench: threads=-1: it must be at least 1"),
        (["--peers", "pandas"], "bench: peers='pandas': 'pandas' is none of torch, "),
        (["--json", "none/figures.json"], "bench: 'none/figures.json': the folder does not exist; make it first"),
        (["--plot", "picture.gif"], "bench: plot='picture.gif': "),
        (["--windows", "tiny"], "bench: windows, with the cases tiny: the sweep has its own; "),
    ],
)
def test_command_refuses(capsys, arguments, words):
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"fastpool bench: {words}")
    assert captured.out == ""


def test_command_without_matplotlib(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert main(["bench", "tiny", "--peers", "none", "--plot", "p.png"]) == 2
    assert capsys.readouterr().err == (
        "fastpool bench: bench: plot='p.png': matplotlib is not installed, and draws the picture; "
        'install it with: pip install "fastpool[bench]"\n'
    )
