"""The asv suite: its tables make sense, its classes compute what they say, and what is wrong is never timed."""

import importlib
import itertools
import json
import math
import os
import re
import runpy
import shutil
import statistics
import sys

import numpy as np
import pytest

import fastpool
from fastpool import library, reference
from fastpool.bench import data, networks
from fastpool.kernels import registry
from fastpool.problem import Problem

FORWARD = "max2d_fwd+tap_f32_last_mb1ic2_ih5oh2kh3sh2"
BACKWARD = "max2d_bwd+plane_f32_first_mb1ic2_ih5oh3kh3sh2ph1"
MEAN = "mean2d_fwd_f32_first_mb1ic2_ih6oh3kh2sh2"

RECORDED_NAMES = {
    "engines.C.track_1000_calls",
    "engines.Calls.time_1000_calls",
    "engines.Compiled.time_1000_calls",
    "engines.Engines.time_pool",
    "memory.Peak.peakmem_pool",
    "networks.Backward.time_gradient",
    "networks.Forward.time_pool",
    "networks.Images.time_pool",
    "ratios.Floor.track_floor_ratio",
    "ratios.Torch.track_ratio_torch",
    "startup.Build.track_build",
    "startup.Library.track_size",
    "startup.Startup.track_first_call",
    "startup.Startup.track_import",
}
"""A name that changes here loses its history."""

OTHER_NAMES = {
    *(f"kernels.{''.join(map(str.capitalize, form.name.split('_')))}.time_kernel" for form in registry.FORMS[:-1]),
    "networks.ElementTypes.time_pool",
    "networks.Table.time_call",
    "family.Family.track_ratio_best_peer",
    "family.Family.track_floor_ratio",
    *(f"ratios.{name}.track_ratio_{name.lower()}" for name in ("OnnxRuntime", "OpenVino", "Jax", "SkImage", "SciPy")),
}


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "asv_benchmarks"


@pytest.fixture(scope="module")
def suite(folder):
    """The modules of the suite by name, imported as asv does it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        names = sorted(path.stem for path in (folder / "benchmarks").glob("[!_]*.py"))
        return {name: importlib.import_module(f"benchmarks.{name}") for name in names}


@pytest.fixture
def case(suite, monkeypatch):
    """Puts small problems in the place of the table's."""

    def put(name, text):
        monkeypatch.setitem(networks.CASES, name, text)
        assert suite["calls"].CASES is networks.CASES

    return put


@pytest.fixture(scope="module")
def record(folder):
    return runpy.run_path(str(folder / "record.py"))


def benchmarks(suite):
    """Classes by the names of their benchmarks."""
    return {
        f"{module}.{name}.{method}": kind
        for module, found in suite.items()
        for name, kind in vars(found).items()
        if isinstance(kind, type) and kind.__module__ == found.__name__
        for method in dir(kind)
        if re.match("time_|track_|peakmem_", method)
    }


def test_names_stay_the_same(suite, record):
    found = benchmarks(suite)
    assert set(found) == RECORDED_NAMES | OTHER_NAMES
    for name, kind in found.items():
        assert kind.version == "1", name
        # as asv selects them: a name, and the parameters in parentheses where some were asked for
        engine = "('aot', 'tiny')" if name.startswith(("engines.Engines", "engines.Calls")) else ""
        chosen = any(re.search(pattern, name + engine) for pattern in record["RECORDED"])
        assert chosen == (name in RECORDED_NAMES), name
    assert not any(re.search(pattern, "engines.Engines.time_pool('jit', 'tiny')") for pattern in record["RECORDED"])


def test_parameters_make_sense(suite):
    ours, calls = suite["networks"], suite["calls"]
    for kind, direction in ((ours.Forward, "fwd"), (ours.Backward, "bwd")):
        for layer in kind.params[0]:
            first, last = (Problem.parse(calls.text_in(layer, layout)) for layout in calls.LAYOUTS)
            assert (first.layout, last.layout) == ("first", "last")
            assert first.direction == last.direction == direction
            assert np.prod(first.shape) == np.prod(last.shape)
            assert min(first.out_shape) > 0
    for cases in (*ours.Images.params, *suite["memory"].Peak.params, suite["ratios"].MEASURED):
        assert set(cases) <= set(networks.CASES)
        assert len(cases) == len(set(cases))
    for layer in ours.ElementTypes.params[0]:
        assert str(Problem.parse(ours.ElementTypes().text(layer, "last", "u8"))).split("_")[2:4] == ["u8", "last"]


def test_ratios_are_beside_every_library(suite):
    ratios = suite["ratios"]
    others = {kind.other for kind in vars(ratios).values() if isinstance(kind, type) and hasattr(kind, "other")}
    assert others - {""} == {"floor", *ratios.LIBRARIES}


@pytest.mark.parametrize("text", [FORWARD, BACKWARD, MEAN])
def test_timed_calls_compute_what_they_say(suite, case, text):
    case("small", text)
    problem = Problem.parse(text)
    benchmark = suite["networks"].Table()
    benchmark.setup("small")
    for result in benchmark.prepared.results:
        result.fill(9)
    benchmark.time_call("small")
    given = data.inputs(problem)
    if problem.direction == "bwd":
        indices = reference.forward(problem._replace(direction="fwd"), given.x)[1]
        expected = (reference.backward(problem, given.dy, given.x, indices),)
    else:
        expected = reference.forward(problem, given.x)
    for result, wanted in zip(benchmark.prepared.results, expected, strict=False):
        np.testing.assert_allclose(result, wanted, 1e-6)
    # kept, and not prepared again, for asv calls setup before each sample
    before = benchmark.prepared
    benchmark.setup("small")
    assert benchmark.prepared is before


def wrong(problem, out=True, given=None):
    """A call that computes something else than the problem in the last element."""
    prepared = right(problem, out, given)
    prepared.results[0].flat[-1] += 1
    return prepared


right = data.prepare


def test_what_is_wrong_is_not_timed(suite, case, monkeypatch):
    error = suite["calls"].WrongResultError
    case("small", "max2d_fwd_f32_first_mb1ic2_ih9oh4kh2sh2")
    monkeypatch.setattr(data, "prepare", wrong)
    with pytest.raises(error, match=r"mb1ic2_ih9.*an error of"):
        suite["networks"].Table().setup("small")
    with pytest.raises(error, match=r"of ones, it gives values from 1\.0 to 2\.0"):
        suite["memory"].Peak().setup("small")
    if library.library() is not None:
        with pytest.raises(error, match=r"kernel rows_k2s2.*an error of"):
            suite["kernels"].CLASSES["RowsK2s2"]().setup("max forward", "i8")
    monkeypatch.setattr(suite["engines"], "compiled", lambda: lambda x, calls: 3.0)
    with pytest.raises(error, match=r"@njit give 3\.0, not 81"):
        suite["engines"].Compiled().setup()


def test_gradients_of_ones_lose_nothing(suite, case, monkeypatch):
    case("small", BACKWARD)
    suite["memory"].Peak().setup("small")
    monkeypatch.setattr(data, "prepare", wrong)
    with pytest.raises(suite["calls"].WrongResultError, match="in sum"):
        suite["memory"].Peak().setup("small")


@pytest.mark.parametrize("before", [None, "jit"])
def test_engines_leave_the_environment_as_it_was(suite, case, monkeypatch, before):
    if before is None:
        monkeypatch.delenv("FASTPOOL_ENGINE", raising=False)
    else:
        monkeypatch.setenv("FASTPOOL_ENGINE", before)
    case("resnet stem", MEAN)
    benchmark = suite["engines"].Engines()
    for engine in ("reference", "c"):
        if engine == "c" and library.library() is None:
            with pytest.raises(NotImplementedError):
                benchmark.setup(engine, "resnet stem")
        else:
            benchmark.setup(engine, "resnet stem")
            assert os.environ["FASTPOOL_ENGINE"] == engine
            benchmark.time_pool(engine, "resnet stem")
            benchmark.teardown(engine, "resnet stem")
        assert os.environ.get("FASTPOOL_ENGINE") == before


@pytest.mark.skipif(library.library() is None, reason="there is no C library here")
def test_calls_from_c(suite):
    benchmark = suite["engines"].C()
    for function in benchmark.params[0]:
        benchmark.setup(function)
        assert 0 < benchmark.track_1000_calls(function) < 1


def test_kernels_are_those_of_the_registry(suite):
    kernels = suite["kernels"]
    wanted = {
        (form.name, variant.role)
        for variant in registry.variants()
        if registry.is_ahead(variant) and variant.role != "check"
        for form in registry.FORMS
        if form.family != "reference" and form.serves(variant)
    }
    found = {
        (form, kernel.split()[1], dtype): text
        for form, of in kernels.TABLE.items()
        for (kernel, dtype), text in of.items()
    }
    assert {(form, role) for form, role, _ in found} == wanted
    for (_, _, dtype), text in found.items():
        problem = Problem.parse(text)
        assert problem.dtype == dtype
        assert math.prod(problem.shape) * registry.SIZES[dtype] == kernels.SIZE
    for made in kernels.CLASSES.values():
        assert set(kernels.TABLE[made.form]) <= set(itertools.product(*made.params))


def test_kernels_are_those_of_the_tree_and_what_is_measured_stays(suite, repository, tmp_path, monkeypatch):
    shutil.copytree(repository / "kernels", tmp_path / "kernels")
    path = tmp_path / "kernels" / "registry.py"
    path.write_text(path.read_text() + "\nFORMS = FORMS[-2:]\n")
    before = {name: module for name, module in sys.modules.items() if name.startswith("fastpool.kernels")}
    monkeypatch.setattr(suite["kernels"], "TREE", tmp_path)
    with suite["kernels"].registry_of_the_tree() as known:
        assert [form.name for form in known.FORMS] == ["rows", "reference"]
    after = {name: module for name, module in sys.modules.items() if name.startswith("fastpool.kernels")}
    assert after == before
    assert importlib.import_module("fastpool.kernels.registry") is registry
    assert fastpool.kernels.registry is registry
    monkeypatch.undo()
    with suite["kernels"].registry_of_the_tree() as known:
        assert known is registry


@pytest.mark.skipif(library.library() is None, reason="there is no C library here")
def test_each_kernel_does_its_problem(suite, monkeypatch):
    kernels = suite["kernels"]
    monkeypatch.setenv("FASTPOOL_ENGINE", "aot")
    for made in kernels.CLASSES.values():
        monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", made.form)
        for (kernel, _), text in kernels.TABLE[made.form].items():
            benchmark = made()
            benchmark.role = kernel.split()[1]
            benchmark.need(text)
    made = kernels.CLASSES["RowsK3s2"]
    monkeypatch.setenv("FASTPOOL_FORCE_KERNEL", made.form)
    benchmark = made()
    benchmark.role = "forward"
    with pytest.raises(NotImplementedError, match="rows_k3s2 does not do"):
        benchmark.need(kernels.TABLE["rows_k2s2"]["max forward", "f32"])
    with pytest.raises(NotImplementedError, match="not compiled ahead for bf16"):
        kernels.CLASSES["Rows"]().setup("lp gather", "bf16")
    # as an older commit would have it
    monkeypatch.setattr(kernels, "forms", lambda: {"rows"})
    with pytest.raises(NotImplementedError, match="there is no rows_k3s2 here"):
        made().setup("max forward", "f32")


def test_ratios(suite, case, monkeypatch):
    ratios = suite["ratios"]
    case("small", MEAN)
    monkeypatch.setattr(ratios, "MEASURED", ("small",))
    monkeypatch.setattr(ratios, "LIBRARIES", ())
    monkeypatch.setattr(ratios, "ROUNDS", 3)
    found = ratios.Beside().setup_cache()
    floor = ratios.Floor()
    floor.setup(found, "small")
    times = found["small"]["times"]
    assert len(times["fastpool"]) == len(times["floor"]) == 3
    expected = statistics.median(ours / copy for ours, copy in zip(times["fastpool"], times["floor"], strict=True))
    assert floor.track_floor_ratio(found, "small") == pytest.approx(expected, rel=1e-3)
    with pytest.raises(NotImplementedError, match="torch is not installed, or cannot do small"):
        ratios.Torch().setup(found, "small")
    found["small"]["wrong"] = {"fastpool": "an index differs"}
    with pytest.raises(suite["calls"].WrongResultError, match="small: fastpool: an index differs"):
        floor.setup(found, "small")


def test_build_time_is_that_of_the_wheel(suite, monkeypatch, tmp_path):
    build = suite["startup"].Build()
    monkeypatch.setenv("ASV_ENV_DIR", str(tmp_path))
    monkeypatch.setenv("ASV_COMMIT", "abc")
    with pytest.raises(NotImplementedError):
        build.setup()
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "abc.json").write_text(json.dumps({"seconds": 12.5}))
    build.setup()
    assert build.track_build() == 12.5


def test_records_tell_of_no_machine(record, tmp_path, repository):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": {"a.time_b": [[None]]}}))
    record["check_neutral"](path)
    assert not record["measured"](path)
    path.write_text(json.dumps({"results": {"a.time_b": [[None, 0.5]], "a.time_c": None}}))
    assert record["measured"](path)
    path.write_text(json.dumps({"env_name": f"existing-{repository}/bin/python"}))
    with pytest.raises(RuntimeError, match="must not tell which machine"):
        record["check_neutral"](path)


def test_a_name_stays_with_its_processor(record, tmp_path, monkeypatch):
    describe = record["describe"]
    monkeypatch.setitem(describe.__globals__, "RESULTS", tmp_path)
    describe("bench", tmp_path)
    told = json.loads((tmp_path / ".asv-machine.json").read_text())["bench"]
    assert told["machine"] == "bench"
    assert told["num_cpu"] == str(os.cpu_count())
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "machine.json").write_text(json.dumps(told | {"cpu": "an abacus"}))
    with pytest.raises(ValueError, match=r"an abacus, this machine has .* choose another --machine"):
        describe("bench", tmp_path)
