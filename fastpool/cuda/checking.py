"""Whether a call can run on a GPU, and on which."""

from __future__ import annotations

from fastpool.cuda import devices
from fastpool.errors import type_error, value_error
from fastpool.problem import DTYPES, Problem


def computing(called: str, given: str, own: int | None, asked: str, problem: Problem) -> str:
    """The device that computes, if it is not that of the arrays; an error if it cannot.

    ``own`` is the arrays' device, None for the host; ``asked`` what the caller wrote, or ""; one of the two is a GPU.
    """
    if asked == "cpu":
        devices.check(called, given, own or 0)
        return asked
    number = int(asked.partition(":")[2] or own or 0)
    if own is not None and number != own:
        rule = f"the arrays are on cuda:{own}, and are not moved from one GPU to another"
        raise value_error(called, f"device={asked!r}", rule, "move them there first, or leave device out")
    devices.check(called, given if own is not None else f"device={asked!r}", number)
    reason = lacks(problem, number)
    if reason:
        way_out = "convert x, or pool on the CPU with device='cpu'"
        raise type_error(called, f"x of dtype {DTYPES[problem.dtype]}", reason, way_out)
    return "" if own is not None else f"cuda:{number}"


def lacks(problem: Problem, device: int) -> str:
    """Why a problem cannot be computed on a device, or ""."""
    from fastpool.cuda import planning

    if problem.dtype == "bf16" and devices.capability(device) < devices.BFLOAT_CAPABILITY:
        return f"bfloat16 needs compute capability 8.0, and device {device} has less"
    return planning.lacks(problem)
