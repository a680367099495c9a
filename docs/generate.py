"""Writes the pages that are printed from tables in the code.

python docs/generate.py            write them
python docs/generate.py --check    write nothing; exit code 1 if a page is not what it should be
"""

import json
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from fastpool import config  # noqa: E402
from fastpool.bench import networks  # noqa: E402
from fastpool.bench.report import Report  # noqa: E402
from fastpool.bench.rows import Row  # noqa: E402
from fastpool.bench.table import duration, markdown  # noqa: E402
from fastpool.bench.table import times as ratio  # noqa: E402
from fastpool.bench.timing import geometric_mean  # noqa: E402
from fastpool.family.operations import OPERATIONS  # noqa: E402
from fastpool.family.windows import WINDOWS  # noqa: E402
from fastpool.kernels import registry  # noqa: E402

NOTE = "<!-- Written by docs/generate.py; change the table in {source} instead. -->\n"

ROLES = {
    "forward": "the result",
    "index": "the result and its indices",
    "weigh": "the share of a window's gradient that its taps receive, where that depends on the result",
    "gather": "the gradient of a sum: each element adds up what its windows give it",
    "scatter": "the gradient of max or min: each window gives its own to the element that its index names",
    "check": "whether indices that a caller gave are in range",
}


def table(header, rows):
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def environment():
    """The page of environment variables."""
    rows = [(f"`{v.name}`", v.values, v.default, v.meaning) for v in config.VARIABLES]
    return f"""# Environment variables

{NOTE.format(source="fastpool/config.py")}
Variables are read when they are needed, so a change takes effect at the next call, except where it says
otherwise. An empty variable is an unset one. `python -m fastpool info` prints those that are set.

{table(["name", "values", "default", "meaning"], rows)}
Numba has variables of its own. `NUMBA_NUM_THREADS` limits how many threads it starts, and so how many a
call can use; `NUMBA_CACHE_DIR` is where it keeps compiled code; `NUMBA_THREADING_LAYER` chooses what runs the
threads.
"""


def kernels():
    """The page of kernels."""
    forms = [
        (
            f"`{form.name}`",
            form.family,
            f"{form.kernel}, {form.stride}" if form.kernel else "any",
            ", ".join(form.roles),
        )
        for form in registry.FORMS
    ]
    reductions = []
    for op in registry.REDUCTIONS:
        for role in registry.ROLES:
            dtypes = [dtype for dtype in registry.SIZES if registry.variant(op, 3.0, dtype, role)]
            if dtypes:
                reductions.append((op, role, " ".join(f"`{dtype}`" for dtype in dtypes)))
    roles = [(role, ROLES[role]) for role in registry.ROLES]
    compiled = [form for form in registry.FORMS if form.family != "reference"]
    variants = list(registry.variants())
    count = sum(form.serves(variant) for variant in variants for form in compiled)
    return f"""# Kernels

{NOTE.format(source="kernels/registry.py")}
A kernel is looked for in this order; the first form that accepts the problem runs. `rows` move along the
last spatial axis, `lanes` along the channels of a channels-last array, and `reference` is plain NumPy, exact,
for every problem and element type. `python -m fastpool explain` says which one runs, and why the others do
not.

{table(["form", "family", "kernel size, stride", "roles"], forms)}
{table(["role", "what the kernel does"], roles)}
A kernel is a form with a variant: a reduction in a role, for one element type. There are {count}, of {len(variants)}
variants, those that leave out NaN included. A form's walk over memory is compiled once, a variant's loops at the first
call that needs them. Complex numbers are handled as two floats each, `longdouble` and `clongdouble` by the reference.

{table(["reduction", "role", "element types"], reductions)}"""


def performance():
    """The page of measurements: the tables of the JSON files that it names, between its marks; the rest stays."""
    text = (DOCS / "performance.md").read_text(encoding="utf-8")

    def measured(match):
        report = Report.from_json((DOCS / match["file"]).read_text(encoding="utf-8"))
        return f"{match['begin']}\n\n{markdown(report)}\n\n{match['end']}"

    marks = r"(?P<begin><!-- begin (?P<file>\S+\.json)[^>]*-->)\n.*?(?P<end><!-- end (?P=file) -->)"
    return re.sub(marks, measured, text, flags=re.DOTALL)


def cuda():
    """The page of GPUs: the table of the machine code between its marks; the rest stays."""
    text = (DOCS / "cuda.md").read_text(encoding="utf-8")
    written = json.loads((DOCS / "cuda_code.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in written["versions"].items())
    rows = []
    for name, kernel in written["kernels"].items():
        facts = kernel["facts"]
        words = [_accesses(facts["90"][kind]) for kind in ("loads", "stores")]
        for kind in ("registers", "instructions", "local"):
            most = max(one[kind] for one in facts.values())
            words.append(f"{facts['90'][kind]}" + (f" ({most})" if most != facts["90"][kind] else ""))
        rows.append((f"`{name}`", kernel["case"], *words))
    header = ["kernel", "case", "loads", "stores", "registers", "instructions", "local memory"]
    told = f"Compiled with {versions}.\n\n{table(header, rows)}"
    for name, words in (("cuda_code.json", told), ("gpu.json", on_a_gpu())):
        marks = rf"(<!-- begin {name}[^>]*-->)\n.*?(<!-- end {name} -->)"
        text = re.sub(marks, lambda match, words=words: f"{match[1]}\n\n{words}\n{match[2]}", text, flags=re.DOTALL)
    return text


LARGE = 256 << 20
"""Bytes beyond which a case has nothing of a cache."""


def on_a_gpu():
    """What asv_benchmarks/gpu.py found on a GPU: what passed, and the times of cases."""
    found = json.loads((DOCS / "gpu.json").read_text(encoding="utf-8"))
    machine, matrix, tiny, threads = (found[part] for part in ("machine", "matrix", "tiny", "threads"))
    device, driver = machine["GPU"].split(", ")[:2]
    versions = ", ".join(f"{name} {word}" for name, word in machine.items() if name != "GPU")
    rows = [Row(**row) for row in found["time"]["rows"]]
    large = [row for row in rows if row.moved > LARGE]
    judged = [row for row in rows if row.moved <= LARGE and row.case in networks.JUDGE]
    header = ["case", "MB", "time", "GB/s", "of a copy", "torch", "torch.compile"]
    lines = []
    for row in [*large, *judged]:
        words = (row.of_floor, row.ahead("torch"), row.ahead("torch.compile"))
        seconds, rate = duration(row.seconds()), f"{row.rate() / 1e9:.0f}"
        lines.append((row.case, f"{row.moved / 1e6:.0f}", seconds, rate, *(ratio(word) for word in words)))
    claims = [
        f"- Tests on the device: {matrix['passed']} of {matrix['cases']} passed, {len(matrix['wrong'])} failed, "
        f"{matrix['left out']} left out for want of time; each twice, with the same bits, the second time with as much "
        "work for a thread as large problems have.",
        f"- Arrays of {', '.join(found['kinds'])}, and a captured graph: "
        f"{'all right' if not any(found['kinds'].values()) else found['kinds']}.",
        f"- {threads['calls']} calls from four threads on two streams: {threads['wrong']} wrong, "
        f"{threads['device memory']} bytes of the device more than before.",
        f"- A tiny call takes the host {tiny['fastpool']} us, into a result that is there {tiny['fastpool, out']} us; "
        f"torch's takes {tiny['torch']} us.",
    ]
    for what, some in (("all cases", rows), ("those above 256 MB", large)):
        for peer, name in (("floor", "a copy"), ("torch", "torch eager"), ("torch.compile", "torch.compile")):
            ahead = {row.case: word for row in some if (word := row.ahead(peer)) is not None}
            least = min(ahead, key=ahead.__getitem__)
            mean = ratio(geometric_mean(ahead.values()))
            claims.append(
                f"- {name} beside {what}: {mean} in the geometric mean of {len(ahead)}, the lowest "
                f"{ratio(ahead[least])} ({least}), below 1 in {sum(word < 1 for word in ahead.values())}."
            )
    return (
        f"On one {device}, driver {driver}, with {versions}. Times are medians of {found['time']['rounds']} rounds of "
        "calls that the device has queued; the last three columns are the other's time by fastpool's.\n\n"
        + "\n".join(claims)
        + "\n\n"
        + table(header, lines)
    )


NO_OPERATIONS = {
    "LiftPooling": "its predictions and updates are convolutions of a network, learned with it; the split that they "
    "start from is `stride_pool`, and with one filter pair, given or learned, it is `wavelet_pool` or `ldw_pool2d`",
    "region proposals (R-CNN, Fast R-CNN)": "drivers around `roi_pool` and `roi_align`, which are here",
    "window output size, padding, stride": "arguments of every function; the rule is in [Semantics](semantics.md)",
    "networks by name (LeNet, AlexNet, ZFNet, VGG, GoogLeNet, ResNet, NiN, SegNet, U-Net, YOLO, ...)": (
        "their pooling layers are cases of the benchmarks, see [Performance](performance.md)"
    ),
    "entropy of a histogram of the map": "has no gradient, and depends on bins that no source gives; softmax and "
    "normalised forms are here",
}
"""What the literature names that is no operation here, and why."""


def operations():
    """The page of operations."""
    rows = []
    for row in (*WINDOWS, *OPERATIONS):
        names = ", ".join(f"`{name}`" for name in _grouped(row.functions))
        rows.append((row.title, names, row.definition, row.gradient, row.source, row.dtypes, row.layouts, row.where))
    header = ["operation", "functions", "definition", "gradient", "source", "element types", "layouts", "runs on"]
    rows = [tuple(word.replace("|", "\\|") for word in row) for row in rows]
    return f"""# Operations

{NOTE.format(source="fastpool/family/listed")}
What is pooled how. x is the input, y the result, g the gradient of y, W the taps of a window that lie on the input, n
their number. Each function has a page with its rules, shapes, errors and an example: `help(fastpool.roi_align)`. Those
with a gradient are followed by a function `<name>_backward`, and `fastpool.vjp(function, x, ...)` gives result and
gradient together. Layouts: first, channels first; last, channels last. GPU: on CUDA arrays; C: in `fastpool.h`, too.

{table(header, rows)}
What the literature names, and is no operation here:

{table(["name", "why"], NO_OPERATIONS.items())}"""


def _grouped(names):
    """Names, those over one, two and three axes as one."""
    found = dict.fromkeys(re.sub(r"[123]d$", "{n}d", name) for name in names)
    ranks = {name: [n for n in "123" if name.replace("{n}", n) in names] for name in found}
    return [name.replace("{n}", f"{{{','.join(ns)}}}" if len(ns) > 1 else "".join(ns)) for name, ns in ranks.items()]


def _accesses(sizes):
    """Accesses in words: how many of the largest, of how many bytes, and how many others."""
    largest, many, count = sizes
    return f"{many} of {largest}" + (f", {count - many} smaller" if count > many else "")


PAGES = {
    "cuda.md": cuda,
    "environment.md": environment,
    "kernels.md": kernels,
    "operations.md": operations,
    "performance.md": performance,
}


def stale():
    """Names of the pages that differ from what is written now."""
    return [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != page()
    ]


def main():
    """Write the pages, or check them; returns the exit code."""
    names = stale()
    if sys.argv[1:] == ["--check"]:
        for name in names:
            print(f"docs/{name} is not fresh: run python docs/generate.py")
        return int(bool(names))
    for name in names:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
