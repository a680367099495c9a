"""Compiles the GPU's hot kernels and writes what their machine code consists of to cuda_code.json. Needs no GPU.

python docs/cuda_code.py              write it; then run docs/generate.py
python docs/cuda_code.py --print 90   write nothing; print the facts for compute capability 9.0

Needs the packages numba-cuda, nvidia-cuda-nvcc and nvidia-cuda-nvdisasm: pip install -e ".[cuda-check]"
"""

import json
import sys
from importlib import metadata
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from fastpool.cuda.hot import hot_kernels  # noqa: E402
from fastpool.kernels.cuda import assembly, package  # noqa: E402

CAPABILITIES = (80, 90, 100)
"""Of the A100, the H100 and H200, and the B200."""


def lacks():
    """Why there is nothing to compile with, or ""."""
    if package.builtin():
        return "numba-cuda is not installed"
    if package.SIMULATED:
        return "kernels run in the simulator: unset NUMBA_ENABLE_CUDASIM"
    return "" if assembly.tools() else "nvidia-cuda-nvcc or nvidia-cuda-nvdisasm is not installed"


def found(capabilities):
    """What is known of each kernel, by its name."""
    kernels = {}
    for hot in hot_kernels():
        facts = {}
        for number in capabilities:
            made = assembly.facts(hot.task.kernel, divmod(number, 10))
            facts[str(number)] = made._asdict() | {"loads": most(made.loads), "stores": most(made.stores)}
        kernels[hot.task.name] = {"case": hot.case, "form": hot.task.form, "promised": hot.promised, "facts": facts}
    return kernels


def most(sizes):
    """(bytes of the largest access, number of those, number of all)."""
    return [max(sizes, default=0), sizes.count(max(sizes, default=0)), len(sizes)]


def main():
    """Write the file, or print; returns the exit code."""
    if lacks():
        print(f"cuda_code: {lacks()}")
        return 2
    if sys.argv[1:2] == ["--print"]:
        print(json.dumps(found([int(word) for word in sys.argv[2:]])))
        return 0
    names = ("numba", "numba-cuda", "nvidia-cuda-nvcc", "nvidia-nvvm")
    versions = {name: metadata.version(name) for name in names}
    kernels = found(CAPABILITIES)
    # a line for each kernel
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(kernel)}" for name, kernel in kernels.items())
    text = f'{{"versions": {json.dumps(versions)},\n"kernels": {{\n{lines}\n}}}}\n'
    (DOCS / "cuda_code.json").write_text(text, encoding="utf-8")
    print(f"docs/cuda_code.json written: {len(kernels)} kernels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
