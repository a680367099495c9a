"""A kernel's machine code, made and read without a GPU: by the compilers that come with the CUDA packages of PyPI."""

from __future__ import annotations

import pathlib
import re
import subprocess
import tempfile
from typing import NamedTuple

from fastpool.kernels.cuda.engine import Kernel
from fastpool.kernels.cuda.package import compile_text


class Facts(NamedTuple):
    """What the machine code of a kernel consists of.

    ``loads`` and ``stores`` are the bytes of those of global memory, the largest first; ``local`` the bytes of local
    memory; ``calls`` the calls of a routine, as for a quotient of floats that are too small or large for the fast way;
    ``divisions`` those that divide 64-bit integers.
    """

    instructions: int
    registers: int
    local: int
    loads: tuple[int, ...]
    stores: tuple[int, ...]
    calls: int
    divisions: int


def tools() -> pathlib.Path | None:
    """The folder of the assembler and disassembler of the packages nvidia-cuda-nvcc and nvidia-cuda-nvdisasm."""
    try:
        import nvidia
    except ImportError:
        return None
    for root in nvidia.__path__:
        for folder in sorted(pathlib.Path(root).glob("cu*/bin")):
            if (folder / "ptxas").exists() and (folder / "nvdisasm").exists():
                return folder
    return None


def disassembled(text: str, capability: tuple[int, int]) -> tuple[str, str]:
    """(what the assembler says of resources, the machine code as text), of a kernel in PTX."""
    folder = tools()
    if folder is None:
        raise RuntimeError(
            "assembly: no assembler: the packages nvidia-cuda-nvcc and nvidia-cuda-nvdisasm have it; install them"
        )
    arch = f"sm_{capability[0]}{capability[1]}"
    with tempfile.TemporaryDirectory() as name:
        source, made = pathlib.Path(name) / "kernel.ptx", pathlib.Path(name) / "kernel.cubin"
        source.write_text(text)
        command: list[str | pathlib.Path] = [folder / "ptxas", f"-arch={arch}", "-v", source, "-o", made]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        shown = subprocess.run([folder / "nvdisasm", "-c", made], capture_output=True, text=True, check=True).stdout
    return said, shown


def facts(kernel: Kernel, capability: tuple[int, int]) -> Facts:
    """What the machine code of a kernel consists of."""
    return facts_of(compile_text(kernel, capability), capability)


def facts_of(text: str, capability: tuple[int, int]) -> Facts:
    """The same of a kernel in PTX."""
    said, shown = disassembled(text, capability)
    lines = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(.*?);", shown)
    operations = [re.sub(r"^@!?U?P\w+\s+", "", line) for line in lines]
    registers, local = re.search(r"Used (\d+) registers", said), re.search(r"(\d+) bytes stack frame", said)
    if registers is None or local is None:
        raise RuntimeError(f"assembly: the assembler says nothing of registers: {said!r}; its format has changed")
    return Facts(
        sum(not operation.startswith(("NOP", "BRA `(.L_x_0)")) for operation in operations),
        int(registers[1]),
        int(local[1]),
        _sizes(operations, "LDG"),
        _sizes(operations, "STG"),
        sum(operation.startswith("CALL") and "`(.L_" not in operation for operation in operations),
        sum(re.match(r"CALL\S* .*_(div|rem)_[su]64", operation) is not None for operation in operations),
    )


def _sizes(operations: list[str], name: str) -> tuple[int, ...]:
    """The bytes that accesses of global memory move, the largest first."""
    found = []
    for operation in operations:
        words = operation.split()[0].split(".")
        if words[0] == name:
            found.append(next((_BYTES[word] for word in words if word in _BYTES), 4))
    return tuple(sorted(found, reverse=True))


_BYTES = {"128": 16, "64": 8, "U16": 2, "S16": 2, "16": 2, "U8": 1, "S8": 1, "8": 1}
