"""How kernels walk over memory: the list of forms that a kernel is looked for in. Nothing here needs a compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fastpool.kernels.registry import Variant

LONG_INTEGERS = ("i32", "i64")
"""Elements of planes that are not stacked: they are seldom pooled, and to compile four kernels for them ahead of time
took 31 of 368 seconds of processor time.
"""

ROLES = ("forward", "index", "weigh", "gather", "scatter", "check")
"""What a kernel does: forward; forward with indices; the share of a gradient that a window's taps receive; the
gradient of a sum; the gradient of a selection, by its indices; the check of indices that a caller gave."""


class Form(NamedTuple):
    """How a kernel walks over memory. ``kernel`` and ``stride`` are those that its loops have compiled in, or 0.

    ``match``: compares the index of each window with each of its taps. ``fused``: in explicit vectors, without scratch,
    for variants whose arithmetic works on vectors. ``stacked``: the same, on small planes that are stacked in scratch.
    ``slide``: keeps blocks of taps from one row of outputs to the next.
    """

    name: str
    family: str
    kernel: int
    stride: int
    roles: tuple[str, ...]
    match: bool = False
    fused: bool = False
    slide: bool = False
    stacked: bool = False

    @property
    def on_vectors(self) -> bool:
        """Whether it is made of explicit vectors."""
        return self.fused or self.stacked

    def walk(self, role: str) -> str:
        """The walk that it takes in a role: one of vectors, "slide", "match", or what the role says."""
        if self.fused and self.family == "lanes" and role != "gather":
            return "fused_lanes"
        if self.on_vectors:
            walk = "fused" if self.fused else "stacked"
            return walk if role == "forward" else f"{walk}_{role}"
        for walk in ("match", "slide"):
            if getattr(self, walk):
                return walk
        return role if role in ("scatter", "check") else "sweep"

    def variant(self, variant: Variant) -> Variant:
        """The variant that this form runs in place of another: where it combines much, the one by keys."""
        return variant.keys if self.slide and variant.keys is not None else variant

    def serves(self, variant: Variant) -> bool:
        """Whether there is a kernel of this form for a variant."""
        vectors = variant.across if self.family == "lanes" and variant.role != "gather" else variant.vector
        if self.stacked and variant.source in LONG_INTEGERS:
            return False
        return variant.role in self.roles and not (self.on_vectors and vectors is None)


_FUSED = ("forward", "index", "scatter")
_SWEEPS = ("forward", "index", "weigh")

FORMS = (
    Form("rows_stacked", "rows", 0, 0, ("forward", "index"), stacked=True),
    Form("rows_fused_k2s2", "rows", 2, 2, _FUSED, fused=True),
    Form("rows_fused_k3s2", "rows", 3, 2, _FUSED, fused=True),
    Form("rows_fused_k3s1", "rows", 3, 1, _FUSED, fused=True),
    Form("rows_apart", "rows", 0, 0, ("forward", "gather"), fused=True),
    Form("lanes_apart", "lanes", 0, 0, ("gather",), fused=True),
    Form("lanes_fused", "lanes", 0, 0, ("forward", "index"), fused=True),
    Form("lanes_slide", "lanes", 0, 0, _SWEEPS, slide=True),
    Form("rows_slide", "rows", 0, 0, _SWEEPS, slide=True),
    Form("rows_k2s2", "rows", 2, 2, _SWEEPS),
    Form("rows_k3s2", "rows", 3, 2, _SWEEPS),
    Form("rows_k3s1", "rows", 3, 1, _SWEEPS),
    Form("lanes_k2s2", "lanes", 2, 2, _SWEEPS),
    Form("lanes_k3s2", "lanes", 3, 2, _SWEEPS),
    Form("lanes_k3s1", "lanes", 3, 1, _SWEEPS),
    Form("lanes_match", "lanes", 0, 0, ("scatter",), match=True),
    Form("rows_match", "rows", 0, 0, ("scatter",), match=True),
    Form("lanes", "lanes", 0, 0, (*_SWEEPS, "gather", "scatter", "check")),
    Form("rows", "rows", 0, 0, (*_SWEEPS, "gather", "scatter", "check")),
    Form("reference", "reference", 0, 0, ROLES),
)

ON_VECTORS = frozenset(form.walk(role) for form in FORMS if form.on_vectors for role in form.roles)
"""The walks of kernels that write their vectors out."""
"""Best first, the reference last: the order in which a kernel is looked for."""
