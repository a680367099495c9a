"""Every kernel that is compiled ahead of time, on a problem of about a mebibyte.

The list is made from the registry of the working tree, and not of the fastpool that is measured, so that names stay the
same from commit to commit; what a commit lacks is skipped.
"""

import contextlib
import importlib
import sys
from pathlib import Path

import fastpool
from benchmarks.calls import TREE, WithEngine, attach
from fastpool import dispatch
from fastpool.problem import Problem

SIZE = 1 << 20
"""Bytes of x."""
SIDE = 128

PACKAGE = "fastpool.kernels"


@contextlib.contextmanager
def registry_of_the_tree():
    """The registry of the working tree's kernels; afterwards the kernels are those that were there before."""

    def loaded():
        return {name: module for name, module in sys.modules.items() if f"{name}.".startswith(f"{PACKAGE}.")}

    measured = importlib.import_module(PACKAGE)
    if Path(measured.__file__).parent.resolve() == (TREE / "kernels").resolve():
        # a second copy of modules that are measured would be another one to those that hold the first
        yield importlib.import_module(f"{PACKAGE}.registry")
        return
    before = loaded()
    attach(PACKAGE, TREE / "kernels")
    try:
        yield importlib.import_module(f"{PACKAGE}.registry")
    finally:
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(before)
        fastpool.kernels = measured


def problem_for(form, op, role, dtype, size):
    """A problem that this form does in this role, with a window that its loops were made for."""
    kernel, stride = form.kernel or (9 if form.slide else 3 if form.match else 5), form.stride or 2
    stride = 1 if form.slide else stride
    channels = max(SIZE // (SIDE * SIDE * size), 1)
    plane, padding = (SIDE, SIDE), kernel // 2
    if form.fused and not form.kernel and (form.family == "rows" or role == "gather"):
        # windows that share nothing, along one axis
        plane, kernel, stride, padding = (SIDE * SIDE,), 4, 4, 0
    last = form.family == "lanes"
    rank = len(plane)
    return Problem(
        op="lp" if op in ("l1", "l2") else op,
        direction="bwd" if role in ("weigh", "gather", "scatter") else "fwd",
        dtype=dtype,
        shape=(1, *plane, channels) if last else (1, channels, *plane),
        axes=tuple(range(1, 1 + rank) if last else range(2, 2 + rank)),
        kernel=(kernel,) * rank,
        stride=(stride,) * rank,
        pad_begin=(padding,) * rank,
        pad_end=(padding,) * rank,
        dilation=(1,) * rank,
        indices="tap" if role in ("index", "scatter") else "",
        norm={"l1": 1.0, "l2": 2.0, "lp": 3.0}.get(op, 2.0),
    )


def table(registry):
    """Problem texts by form, by what it does, and by element type.

    What it does is an operation in a role. Of operations and element types that one kernel serves, as max and min, or
    integers with and without a sign, the first one stands for it. The check of indices runs before a gradient, and has
    no problem of its own; kernels that leave NaN out differ from the others in one step.
    """
    found, seen = {}, set()
    for ask in registry.asks():
        variant = ask.variant
        if ask.skip_nan or ask.role == "check" or variant in seen or not registry.is_ahead(variant):
            continue
        seen.add(variant)
        for form in registry.FORMS:
            if form.family != "reference" and form.serves(variant):
                problem = problem_for(form, ask.op, ask.role, ask.dtype, registry.SIZES[ask.dtype])
                found.setdefault(form.name, {})[f"{ask.op} {ask.role}", ask.dtype] = str(problem)
    return found


with registry_of_the_tree() as known:
    TABLE = table(known)


class Kernels(WithEngine):
    """One form of kernels, tried before all others."""

    param_names = ("kernel", "dtype")
    rounds = 1
    engine = "aot"

    def text(self, kernel, dtype):
        if (kernel, dtype) not in TABLE[self.form]:
            raise NotImplementedError(f"{self.form} {kernel} is not compiled ahead for {dtype}")
        return TABLE[self.form][kernel, dtype]

    def setup(self, kernel, dtype):
        self.role = kernel.split()[1]
        self.before = {}
        if self.form not in forms():
            raise NotImplementedError(f"there is no {self.form} here")
        super().setup(kernel, dtype)

    def need(self, text):
        super().need(text)
        tasks = dispatch.explain(Problem.parse(text)).tasks
        if not any(task.role == self.role and task.form.name == self.form for task in tasks):
            raise NotImplementedError(f"{self.form} does not do {text}")


def forms():
    """Names of the forms of the fastpool that is measured."""
    return {form.name for form in importlib.import_module(f"{PACKAGE}.registry").FORMS}


def class_of(form):
    """The benchmarks of one form: a page of asv's for each."""

    def time_kernel(self, kernel, dtype):
        self.prepared.call()

    kernels, dtypes = (tuple(dict.fromkeys(words)) for words in zip(*TABLE[form], strict=True))
    name = "".join(word.capitalize() for word in form.split("_"))
    body = {"form": form, "params": (kernels, dtypes), "time_kernel": time_kernel, "__module__": __name__}
    return type(name, (Kernels,), body)


CLASSES = {made.__name__: made for made in map(class_of, TABLE)}
# asv looks for classes among a module's names
globals().update(CLASSES)
