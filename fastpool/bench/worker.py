"""One implementation in a process of its own: ``python worker.py NAME FOLDER``.

Threads that one library leaves spinning disturb the next, so no two of them share a process. Questions are lines of
JSON on standard input, answers lines of JSON on standard output::

    {"do": "prepare", "problem": TEXT, "check": true}   {"ok": true, "modes": ["", "call"], "errors": {"": 0.5}}
    {"do": "time", "mode": "", "count": 3}              {"ok": true, "seconds": [0.1, 0.1, 0.1]}

An answer that is not ``ok`` says ``why``, and whether the implementation was ``unsupported`` or something broke.

This file is run by its path, and takes fastpool from FOLDER and ``fastpool.bench`` from its own folder, which need not
belong together: so an older fastpool is measured in the same way as this one.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastpool.bench.data import Prepared
    from fastpool.problem import Problem


def attach(name: str, folder: Path) -> None:
    """Import a package from a folder, wherever a package of that name is installed.

    Parameters
    ----------
    name : str
        The package's full name, such as ``"fastpool.bench"``; its parent has been imported or can be.
    folder : Path
        Where its ``__init__.py`` is.
    """
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ and Path(loaded.__file__).parent.resolve() == folder.resolve():
        return
    for other in [other for other in sys.modules if other == name or other.startswith(name + ".")]:
        del sys.modules[other]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(importlib.import_module(parent), last, module)


def prepared(name: str, problem: Problem) -> dict[str, Prepared]:
    """What an implementation can be timed at, by mode; the mode ``""`` is its best.

    Parameters
    ----------
    name : str
        ``"fastpool"``, whose mode ``"call"`` allocates the result, ``"floor"``, or a peer's name.
    problem : Problem
    """
    from fastpool.bench import data, floor
    from fastpool.bench.peers import PEERS

    if name == "fastpool":
        given = data.inputs(problem)
        return {"": data.prepare(problem, True, given), "call": data.prepare(problem, False, given)}
    if name == "floor":
        return {"": floor.prepare(problem)}
    return {"": PEERS[name].prepare(problem)}


class Server:
    """Answers questions about one implementation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.modes: dict[str, Prepared] = {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """The answer to one question; errors become answers, for a library that fails is left out, not fatal."""
        from fastpool.bench.planes import Unsupported

        try:
            if question["do"] == "prepare":
                return self._prepare(question)
            return self._time(question)
        except (Unsupported, NotImplementedError) as error:
            return {"ok": False, "unsupported": True, "why": str(error)}
        except Exception as error:
            text = " ".join(str(error).split())
            return {"ok": False, "unsupported": False, "why": f"{type(error).__name__}: {text[:200]}"}

    def _prepare(self, question: dict[str, Any]) -> dict[str, Any]:
        from fastpool.bench import data, errors, family
        from fastpool.problem import Problem

        # what the last problem has left behind goes first
        self.modes = {}
        if question["problem"].startswith(family.MARK):
            case = family.case(question["problem"])
            self.modes = case.modes(self.name)
            found = {mode: case.error(one.results) for mode, one in self.modes.items() if one.results}
            return {"ok": True, "modes": list(self.modes), "errors": found if question.get("check", True) else {}}
        problem = Problem.parse(question["problem"])
        self.modes = prepared(self.name, problem)
        found = {}
        if question.get("check", True):
            given = data.inputs(problem)
            for mode, one in self.modes.items():
                if one.results:
                    found[mode] = errors.largest(problem, given, one.results)
        return {"ok": True, "modes": list(self.modes), "errors": found}

    def _time(self, question: dict[str, Any]) -> dict[str, Any]:
        from fastpool.bench.timing import timer

        return {"ok": True, "seconds": list(timer(self.modes[question["mode"]].call)(question["count"]))}


def serve(name: str) -> None:
    """Answer until standard input ends."""
    # whatever a library prints goes where errors go
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = Server(name)
    for line in sys.stdin:
        answers.write(json.dumps(server.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    attach("fastpool", Path(sys.argv[2]))
    attach("fastpool.bench", Path(__file__).resolve().parent)
    serve(sys.argv[1])
