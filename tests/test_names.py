"""Functions that the linker could take for each other have names of their own."""

from types import FunctionType
from typing import Any

from fastpool.kernels import registry
from fastpool.kernels.cpu import engine
from fastpool.kernels.cpu.match_passes import make_match_passes
from fastpool.kernels.cpu.passes import make_passes

MAKERS = {**engine._WHOLE, "sweep": make_passes, "match": make_match_passes}


def reached(function: Any, found: set[FunctionType]) -> set[FunctionType]:
    """The functions that a kernel is made of."""
    if isinstance(function, FunctionType) and function not in found:
        found.add(function)
        for cell in function.__closure__ or ():
            reached(cell.cell_contents, found)
        for name in function.__code__.co_names:
            reached(function.__globals__.get(name), found)
    return found


def test_functions_of_one_name_do_the_same() -> None:
    contents: dict[tuple[str, str], set[str]] = {}
    plain: dict[str, set[str]] = {}
    for variant in registry.variants():
        walks = {form.walk(variant.role) for form in registry.FORMS if variant.role in form.roles}
        for walk in walks & set(MAKERS):
            kernel = MAKERS[walk](variant, 0)
            kernel.__qualname__ = variant.name
            engine.name_by_content(kernel)
            for function in reached(kernel, set()) - {kernel}:
                key = (function.__module__, function.__qualname__)
                contents.setdefault(key, set()).add(registry.content(function))
                if "<" in function.__qualname__:
                    plain.setdefault(function.__qualname__.rpartition("_")[0], set()).add(function.__qualname__)
    assert {name: found for name, found in contents.items() if len(found) > 1} == {}
    # without the digests there would be many
    assert max(map(len, plain.values())) > 20
