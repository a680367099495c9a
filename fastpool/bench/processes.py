"""Starts one process for each implementation, and asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

import fastpool

WORKER = Path(__file__).resolve().with_name("worker.py")

PATIENCE = 120.0
"""Seconds after which an implementation that does not answer is given up."""


def folder_of(python: str | Path) -> str:
    """The folder of the fastpool that is installed for an interpreter.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    code = "import fastpool, os; print(os.path.dirname(fastpool.__file__))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        command = [str(python), "-P", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        last = (getattr(error, "stderr", None) or str(error)).strip().split("\n")[-1]
        raise RuntimeError(f"bench: {str(python)!r} imports no fastpool: {last}; install it there") from None
    return done.stdout.strip()


class Worker:
    """A process with one implementation in it; a context manager.

    Parameters
    ----------
    name : str
        ``"fastpool"``, ``"floor"`` or the name of a peer.
    threads : int
        How many threads it may use.
    python : str or Path, optional
        The interpreter whose fastpool is measured; this one and the fastpool that is imported here if left out.

    Raises
    ------
    RuntimeError
        If that interpreter has no fastpool.
    """

    def __init__(self, name: str, threads: int, python: str | Path | None = None) -> None:
        self.name = name
        self.threads = threads
        assert fastpool.__file__ is not None
        self._python = sys.executable if python is None else str(python)
        self._folder = str(Path(fastpool.__file__).parent) if python is None else folder_of(python)
        self._process: subprocess.Popen[str] | None = None
        # as long as the worker, whose close ends it
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self._start()

    def _start(self) -> None:
        count = str(self.threads)
        environment = {
            **os.environ,
            "FASTPOOL_NUM_THREADS": count,
            "NUMBA_NUM_THREADS": count,
            "OMP_NUM_THREADS": count,
            # a thread that spins while it waits takes the time of those who work
            "OMP_WAIT_POLICY": "PASSIVE",
            # XLA's number of threads
            "NPROC": count,
            "PYTHONWARNINGS": "ignore",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        # -P: the files beside the worker are no modules of their own
        command = [self._python, "-P", str(WORKER), self.name, self._folder]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
            env=environment,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to a question; one that died or hung is started again, and its answer says so.

        Parameters
        ----------
        **question
            See ``fastpool.bench.worker``.

        Returns
        -------
        dict
            ``ok``, and what belongs to the question, or ``why`` not.
        """
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        limit = Timer(PATIENCE, process.kill)
        limit.start()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            limit.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        why = f"the process ended with code {self._end()}"
        return {"ok": False, "unsupported": False, "why": why + self._last_words()}

    def _last_words(self) -> str:
        """The last line that the process wrote to standard error."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").split("\n")
        written = [line.strip() for line in lines if line.strip()]
        return f": {written[-1][:200]}" if written else ""

    def time(self, mode: str, count: int) -> list[float]:
        """Seconds of each of a number of calls of what was prepared.

        Raises
        ------
        RuntimeError
            If the call fails.
        """
        answer = self.ask(do="time", mode=mode, count=count)
        if not answer["ok"]:
            raise RuntimeError(f"bench: {self.name}: it cannot be timed: {answer['why']}")
        seconds: list[float] = answer["seconds"]
        return seconds

    def close(self) -> None:
        """End the process."""
        self._end()
        self._complaints.close()

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
