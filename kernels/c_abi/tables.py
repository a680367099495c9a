"""The C sources that are written from the tables of the package: the public header, and what the library knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fastpool.kernels import plan, registry, rows
from fastpool.kernels.c_abi.compile import PREFIX, Job, jobs, shared_name, symbol
from fastpool.kernels.cpu.engine import SPLIT
from fastpool.kernels.native.objects import Level
from fastpool.kernels.table import Table

HERE = Path(__file__).parent
ABI = 1
"""Number of the binary interface, see the header."""

MAX_RANK = 16
OPERATIONS = rows.OPS[: rows.OPS.index("lp") + 1]
DTYPES = (*rows.DTYPES, *rows.PARTS)
INDEX_KINDS = ("plane", "tensor", "tap")
ENUMERATORS = {"b1": "bool"}


class Interface(NamedTuple):
    """What the package says of its interface: its version, the statuses in order with their texts, and the numbers
    that the library needs besides those of the kernels.
    """

    version: str
    statuses: tuple[tuple[str, str], ...]
    constants: dict[str, int]


def _enum(name: str, about: str, words: Iterable[tuple[str, int]]) -> str:
    lines = [f"    FASTPOOL_{word.upper()} = {number}," for word, number in words]
    return "\n".join([f"/* {about} */", f"typedef enum fastpool_{name} {{", *lines, f"}} fastpool_{name};"])


def _numbered(words: Iterable[str]) -> list[tuple[str, int]]:
    return [(ENUMERATORS.get(word, word), number) for number, word in enumerate(words)]


def header(interface: Interface) -> str:
    """``fastpool.h``."""
    enums = (
        _enum("operation", "What a window does with its taps.", _numbered(OPERATIONS)),
        _enum("direction", "The result, or the gradient.", _numbered(("forward", "backward"))),
        _enum(
            "dtype",
            "Element types. Half types by their 16 bits; complex numbers as pairs, for sums and means.",
            _numbered(DTYPES),
        ),
        _enum(
            "index_kind",
            "Indices of max and min: flat in the plane of the pooled axes, flat in the whole array, or the number of\n"
            " * the tap in its window. int64, but for taps one byte: windows of more than 255 taps have none.",
            [("no_indices", -1), *_numbered(INDEX_KINDS)],
        ),
        _enum("status", "What came of a call.", _numbered(name for name, _ in interface.statuses)),
    )
    text = (HERE / "fastpool.h.in").read_text(encoding="utf-8")
    for mark, value in {
        "@VERSION@": interface.version,
        "@ABI@": str(ABI),
        "@MAX_RANK@": str(MAX_RANK),
        "@ENUMS@": "\n\n".join(enums),
    }.items():
        text = text.replace(mark, value)
    return text


def declarations(interface: Interface) -> str:
    """What ``fastpool.h`` declares, without comments and preprocessor, as cffi reads it."""
    text = re.sub(r"/\*.*?\*/", "", header(interface), flags=re.DOTALL)
    text = text.replace("FASTPOOL_MAX_RANK", str(MAX_RANK)).replace("FASTPOOL_API ", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    lines = [line for line in lines if line not in ('extern "C" {', "}")]
    return "\n".join([f"#define FASTPOOL_MAX_RANK {MAX_RANK}", *lines, ""])


def _constants(interface: Interface) -> dict[str, int]:
    roles = {"ROLE_" + role.upper(): number for number, role in enumerate(registry.ROLES)}
    return {
        **interface.constants,
        **roles,
        "DTYPES": len(DTYPES),
        "STATUSES": len(interface.statuses),
        "FORMS": rows.COUNT,
        "FORM": rows.FORM,
        "F_MATCH": rows.MATCH,
        "F_FUSED": rows.FUSED,
        "F_SLIDE": rows.SLIDE,
        "F_STACKED": rows.STACKED,
        "ACROSS_LANES": rows.ACROSS_LANES,
        "T_NUMBER": rows.NUMBER,
        "T_READS_X": rows.READS_X,
        "HEADER": plan.HEADER,
        "AXIS": plan.AXIS,
        "P_TILES": plan.TILES,
        "P_BYTES": plan.BYTES,
        "P_WORK": plan.WORK,
        "KIND_TAP": INDEX_KINDS.index("tap"),
    }


def _array(kind: str, name: str, values: Sequence[str]) -> str:
    lines = [", ".join(values[at : at + 16]) for at in range(0, len(values), 16)]
    return f"static {kind} {name}[] = {{\n    " + ",\n    ".join(lines) + "\n};"


def _level(table: Table, wanted: Sequence[Job], level: Level) -> str:
    """The declarations and arrays of one level."""
    family = [job.name for job in wanted if job.what == "program"]
    own = [job for job in wanted if job.what not in ("walk", "program")]
    symbols = {(job.what, job.number): symbol(job.name, level) for job in own}
    count = range(len(table.variants))
    lines = [f"extern kernel_function {symbol(walk, level)};" for walk in SPLIT]
    for (what, _), name in symbols.items():
        lines.append(f"extern {'kernel' if what in ('whole', 'fused', 'stacked') else 'pass'}_function {name};")
    whole = [symbols.get(("whole", number), "0") for number in count]
    kinds = ("passes", "match", "lanes")
    passes = [f"{{{', '.join(symbols.get((kind, n), '0') for kind in kinds)}}}" for n in count]
    known = {job.name for job in wanted if job.what in ("fused", "stacked")}
    shared = {}
    for what in ("fused", "stacked"):
        names = [shared_name(variant, what) for variant in table.variants]
        shared[what] = [symbol(name, level) if name in known else "0" for name in names]
    lines += [f"extern kernel_function {symbol(name, level)};" for name in family]
    lines.append(_array("kernel_function *const", f"programs_{level.name}", [*(symbol(n, level) for n in family), "0"]))
    lines.append(_array("kernel_function *const", f"whole_{level.name}", whole))
    lines.append(_array("kernel_function *const", f"fused_{level.name}", shared["fused"]))
    lines.append(_array("kernel_function *const", f"stacked_{level.name}", shared["stacked"]))
    lines.append(_array("const struct passes", f"passes_{level.name}", passes))
    return "\n".join(lines)


def library_tables(table: Table, interface: Interface, levels: Sequence[Level]) -> str:
    """``fastpool_tables.h``: numbers, the registry's table, and the kernels of each level."""
    wanted = jobs(table.variants)
    defines = [f"#define {name} {number}" for name, number in _constants(interface).items()]
    functions = (
        "measure(int64_t *request)",
        "tasks_of(int64_t *request, const int64_t *table, int64_t *found)",
        "row_for(int64_t *request, const int64_t *table, int64_t form, int64_t role, int64_t kind)",
        "choose(int64_t *request, const int64_t *table, int64_t role, int64_t kind, int64_t *spec, int64_t *plan,\n"
        "    int64_t *verdicts)",
        "output_size(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad_begin,\n"
        "    int64_t pad_end, int64_t ceil)",
    )
    records = [
        f'    {{"{level.name}", {", ".join(symbol(walk, level) for walk in SPLIT)}, '
        f"whole_{level.name}, fused_{level.name}, stacked_{level.name}, programs_{level.name}, passes_{level.name}}},"
        for level in levels
    ]
    texts = [f'    "{text}",' for _, text in interface.statuses]
    return "\n".join(
        [
            "/* Written by the build; do not edit. */",
            *defines,
            f"#define LEVELS {len(levels)}",
            "typedef void kernel_function(int64_t *plan, int64_t *bufs, int64_t *work, int64_t begin, int64_t end);",
            "typedef void pass_function(int64_t *words);",
            "struct passes { pass_function *loops, *match, *lanes; };",
            "struct kernels { const char *name; kernel_function *sweep, *slide, *match, *lanes;",
            "    kernel_function *const *whole, *const *fused, *const *stacked, *const *programs;",
            "    const struct passes *passes; };",
            "static const char *const program_names[] = {",
            *(f'    "{job.name}",' for job in wanted if job.what == "program"),
            "    0};",
            *(f"extern int64_t {PREFIX}{function};" for function in functions),
            _array("const int64_t", "fastpool_table", [str(n) for n in table.dump(registry.is_ahead)]),
            *(_level(table, wanted, level) for level in levels),
            "static const struct kernels fastpool_levels[] = {",
            *records,
            "};",
            "static const char *const status_texts[] = {",
            *texts,
            "};",
            "",
        ]
    )
