"""The arguments of a call that is not made: for the functions that take a public function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from fastpool.arguments import Options
from fastpool.errors import shown, type_error
from fastpool.functional import avg_pool, general, global_pool, lp_pool, max_pool, min_pool, sum_pool
from fastpool.own import named

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(module, name)
    for module in (max_pool, min_pool, avg_pool, sum_pool, lp_pool, global_pool, general)
    for name in module.__all__
}
"""Every pooling function, forward and backward, by its name."""

FORWARD = tuple(name for name in FUNCTIONS if not name.endswith("_backward"))


class Call(NamedTuple):
    """A call that has not been made: the function's name, its arrays, and the other arguments."""

    called: str
    arrays: dict[str, Any]
    options: Options
    out: Any
    device: object


def bind(caller: str, function: object, known: Iterable[str], args: tuple[Any, ...], kwargs: Any) -> Call:
    """The call ``function(*args, **kwargs)``, for one of the known functions."""
    name = next((name for name in known if FUNCTIONS[name] is function), None)
    if name is None:
        names = ", ".join(f"fastpool.{name}" for name in known)
        raise type_error(caller, f"fn={shown(function)}", "the function must be one of fastpool's", f"known: {names}")
    try:
        bound = inspect.signature(FUNCTIONS[name]).bind(*args, **kwargs)
    except TypeError as error:
        rule = f"{error} of {name}"
        raise type_error(caller, "arguments", rule, "give them as in a plain call") from None
    bound.apply_defaults()
    given = dict(bound.arguments)
    arrays = {
        role: given[name]
        for role, names in {
            "x": ("x", "x_or_shape"),
            "grad_output": ("grad_output",),
            "indices": ("indices",),
            "keepdims": ("keepdims",),
        }.items()
        for name in names
        if name in given
    }
    if "window" in given:
        given["kernel_size"] = given["window"]
    if "op" in given:
        given["op"], given["norm_type"] = named(given["op"], given["norm_type"])
    options = Options(**{field: given[field] for field in Options._fields if field in given})
    return Call(name, arrays, options, given["out"], given["device"])
