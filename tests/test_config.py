import ast
import contextlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

from fastpool import config, measuring

pytestmark = pytest.mark.usefixtures("clean_threads")


def test_threads_default_to_the_cpus_of_the_process():
    expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert config.get_num_threads() == expected


def test_threads_from_the_environment_are_read_once(monkeypatch):
    monkeypatch.setenv("FASTPOOL_NUM_THREADS", " 3 ")
    assert config.get_num_threads() == 3
    monkeypatch.setenv("FASTPOOL_NUM_THREADS", "5")
    assert config.get_num_threads() == 3


@pytest.mark.parametrize("text", ["0", "-1", "2.0", "many", "1e1"])
def test_bad_number_of_threads_in_the_environment(monkeypatch, text):
    monkeypatch.setenv("FASTPOOL_NUM_THREADS", text)
    rule = "the number of threads must be an integer of at least 1"
    with pytest.raises(ValueError, match=f"^environment: FASTPOOL_NUM_THREADS='{re.escape(text)}': {rule}; "):
        config.get_num_threads()


@pytest.mark.parametrize("n", [1, 7, np.int64(2)])
def test_set_num_threads(n):
    config.set_num_threads(n)
    assert config.get_num_threads() == int(n)
    assert type(config.get_num_threads()) is int


@pytest.mark.parametrize("call", ["set_num_threads", "threads"])
@pytest.mark.parametrize(
    ("n", "error"),
    [
        (0, ValueError),
        (-2, ValueError),
        (1.0, TypeError),
        (True, TypeError),
        ("2", TypeError),
        (None, TypeError),
    ],
)
def test_bad_number_of_threads(call, n, error):
    config.set_num_threads(4)
    rule = "the number of threads must be an integer of at least 1"
    with pytest.raises(error, match=rf"^{call}: n={re.escape(repr(n))}.*{rule}; "):  # noqa: SIM117
        with getattr(config, call)(n):
            pass
    assert config.get_num_threads() == 4


def test_threads_blocks_nest_and_are_left_by_an_exception():
    config.set_num_threads(4)
    with config.threads(2):
        with contextlib.suppress(KeyError), config.threads(1):
            assert config.get_num_threads() == 1
            raise KeyError
        assert config.get_num_threads() == 2
    assert config.get_num_threads() == 4


def test_threads_block_belongs_to_one_thread_and_one_context():
    config.set_num_threads(4)
    other = copy_context()
    with ThreadPoolExecutor(1) as pool, config.threads(2):
        assert pool.submit(config.get_num_threads).result() == 4
        assert other.run(config.get_num_threads) == 4
        config.set_num_threads(3)
        assert config.get_num_threads() == 2
        assert pool.submit(config.get_num_threads).result() == 3
    assert config.get_num_threads() == 3


def test_verbose(monkeypatch):
    monkeypatch.delenv("FASTPOOL_VERBOSE", raising=False)
    assert not config.verbose_dispatch()
    monkeypatch.setenv("FASTPOOL_VERBOSE", "dispatch")
    assert config.verbose_dispatch()
    monkeypatch.setenv("FASTPOOL_VERBOSE", "yes")
    message = "environment: FASTPOOL_VERBOSE='yes': the value must be one of '', 'dispatch'; unset it to be silent"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        config.verbose_dispatch()


@pytest.mark.parametrize(
    ("name", "read"),
    [("FASTPOOL_FORCE_KERNEL", config.forced_kernel), ("FASTPOOL_CACHE_DIR", config.cache_dir)],
)
def test_text_variables(monkeypatch, name, read):
    monkeypatch.delenv(name, raising=False)
    assert read() == ""
    monkeypatch.setenv(name, "word")
    assert read() == "word"


def test_the_environment_is_read_here_alone(repository):
    """No other module reads the environment, and the table lacks no FASTPOOL_ variable."""
    known = {variable.name for variable in config.VARIABLES}
    # of the C interface
    known |= {"FASTPOOL_MAX_RANK", *(f"FASTPOOL_{name}" for name, _ in measuring.STATUS)}
    for root in ("fastpool", "kernels"):
        for path in (repository / root).rglob("*.py"):
            if "c_abi" in path.parts or path.name == "_capi.py":
                # what builds the library is not part of a call
                continue
            text = path.read_text(encoding="utf-8")
            names = set(re.findall(r"\bFASTPOOL_[A-Z_]+[A-Z]\b", text))
            assert names <= known, f"{path}: {names - known}"
            # a benchmark starts processes, whose environment is this one's
            if path not in (repository / "fastpool" / "config.py", repository / "fastpool" / "bench" / "processes.py"):
                used = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
                assert not used & {"environ", "getenv", "environb"}, path
