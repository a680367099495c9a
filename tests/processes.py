"""Scenarios that run in a process of their own, because they may hang it or end it."""

import os
import signal
import subprocess
import sys

import pytest

TIMEOUT = 240


def run(code, root, environment, told):
    """Runs code in a new process; its children end with it if it hangs. ``told`` names the scenario in a failure."""
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", code],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed = process.communicate(timeout=TIMEOUT)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"{told} hangs: {process.communicate()[0][-4000:]}")
    assert process.returncode == 0, f"{told} ended with {process.returncode}: {printed[-4000:]}"
