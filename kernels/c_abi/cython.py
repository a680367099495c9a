"""What ``fastpool.h`` declares, for Cython: a ``.pxd``, and the signatures that its modules know functions by."""

from __future__ import annotations

import re
from typing import NamedTuple


class Prototype(NamedTuple):
    """A function of the header: its result and parameters, as types without ``const``."""

    result: str
    parameters: tuple[str, ...]

    @property
    def signature(self) -> str:
        """The signature, as Cython writes it."""
        space = "" if self.result.endswith("*") else " "
        return f"{self.result}{space}({', '.join(self.parameters) or 'void'})"


def _without_comments(header: str) -> str:
    return re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)


def _type(declared: str) -> str:
    """The type of a declared name: ``const void *x`` gives ``void *``."""
    plain = " ".join(re.sub(r"\bconst\b", "", declared).replace("*", " * ").split())
    found = re.fullmatch(r"(\w+) ((?:\* )*)\w+", plain)
    if found is None:
        raise ValueError(f"fastpool.h: {declared.strip()!r} is not a type of one word, stars, and a name")
    return f"{found[1]} {found[2].replace(' ', '')}".strip()


def prototypes(header: str) -> dict[str, Prototype]:
    """The functions that a header declares."""
    found = {}
    for declared in re.findall(r"^FASTPOOL_API ([^;]*);", _without_comments(header), re.MULTILINE):
        parts = re.fullmatch(r"(.*?)(\w+)\(([^()]*)\)", declared, re.DOTALL)
        if parts is None:
            raise ValueError(f"fastpool.h: {declared!r} is not a type of one word, stars, a name, and parameters")
        result, name, parameters = parts.groups()
        given = [] if parameters.strip() == "void" else parameters.split(",")
        found[name] = Prototype(_type(f"{result} x"), tuple(map(_type, given)))
    return found


def pxd(header: str) -> str:
    """What a header declares, for Cython."""
    text = _without_comments(header)
    structs, words = [], []
    for body, name in re.findall(r"typedef struct fastpool_\w+ \{(.*?)\} (\w+);", text, re.DOTALL):
        fields = [" ".join(field.split()) for field in body.split(";") if field.strip()]
        structs.append(f"    ctypedef struct {name}:\n" + "\n".join(f"        {field}" for field in fields))
    structs += [f"    ctypedef struct {name}" for name in re.findall(r"typedef struct \w+ (\w+);", text)]
    for body, name in re.findall(r"typedef enum fastpool_\w+ \{(.*?)\} (\w+);", text, re.DOTALL):
        structs.append(f"    ctypedef int {name}")
        words += re.findall(r"\bFASTPOOL_\w+", body)
    numbers = dict(re.findall(r"^#define (FASTPOOL_\w+) (\d+)$", text, re.MULTILINE))
    externals = "\n".join(structs)
    for name, number in numbers.items():
        externals = externals.replace(f"[{name}]", f"[{number}]")
    constants = "\n".join(f"        {name}" for name in (*words, *numbers))
    functions = "\n".join(
        f"cdef {found.result} {name}({', '.join(found.parameters)}) noexcept nogil"
        for name, found in prototypes(header).items()
    )
    return (
        "# Made from fastpool.h, which says what each of these is.\n"
        "from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t\n\n"
        f'cdef extern from "fastpool.h" nogil:\n{externals}\n    enum:\n{constants}\n\n{functions}\n'
    )
