"""Chains of the windows' own kernels: several poolings in turns over parts of the same arrays.

The kernels are those of ``max_pool2d`` and its like, and so are the results, to the bit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from fastpool import config, dispatch, library
from fastpool.family import tasks
from fastpool.family.framing import merged
from fastpool.kernels import links as L
from fastpool.kernels.programs import Program
from fastpool.memory import Array, element_strides
from fastpool.problem import Ints, Problem

PROGRAM = Program("chain", ("run",))
COPY = Program("chain", ("copy",))

CACHED_BYTES = 1 << 20
"""What the links of a chain read and write in one turn: it stays in a second-level cache."""


class Native(NamedTuple):
    """Compiled code of one stage of a problem: see ``kernels/links.py``."""

    way: int
    function: int
    plan: int
    stage: int
    tiles: int
    work: int
    shared: int
    passes: int
    owner: object


@functools.lru_cache(maxsize=1024)
def native(problem: Problem, wanted: str) -> tuple[Native, ...]:
    """The code of a problem's stages, from the engine that is wanted."""
    owner = library.library()
    plan = library.plan(problem) if owner is not None and wanted not in ("jit", "njit") else None
    if owner is not None and plan is not None:
        handle = owner.ffi.cast("fastpool_plan *", plan.address)
        lib, back = owner.lib, problem.direction == "bwd"
        function = owner.address("fastpool_backward_range" if back else "fastpool_forward_range")
        way = L.BACKWARD if back else L.FORWARD
        work, shared = int(lib.fastpool_scratch_size(handle)), int(lib.fastpool_shared_size(handle))
        stages = range(int(lib.fastpool_stages(handle)))
        tiles = [int(lib.fastpool_tiles(handle, stage)) for stage in stages]
        return tuple(Native(way, function, plan.address, i, tiles[i], work, shared, 0, plan) for i in stages)
    from fastpool import jit

    (task,) = jit.tasks(problem, "")
    _, kernel, address, work, count = task.loaded
    return (Native(L.KERNEL, kernel.address, address, 0, count, work, 0, kernel.passes, task),)


def placed(problem: Problem, x: Array, y: Array, indices: Array | None = None, aux: Array | None = None) -> Problem:
    """The problem on arrays that lie like these."""
    return problem._replace(
        x_strides=element_strides(x),
        y_strides=element_strides(y),
        index_strides=() if indices is None else element_strides(indices),
        aux_strides=() if aux is None else element_strides(aux),
    )


def code_of(program: Program) -> Native:
    """The code of a program, as a link: its plan, tiles and work are for the caller to fill in."""
    found = tasks._ahead(program) if tasks.engine_of(program) == "aot" else 0
    if found:
        return Native(L.KERNEL, found, 0, 0, 0, 0, 0, 0, None)
    from fastpool.kernels.cpu import engine

    kernel = engine.compile_program(program, config.cache_dir(), config.cpu_level())
    return Native(L.KERNEL, kernel.address, 0, 0, 0, 0, 0, 0, kernel)


Place: TypeAlias = "int | np.ndarray | tuple[int, int | np.ndarray]"
"""Where a buffer lies: an address, or one for each turn; or the number of an array and bytes from where it begins."""


Steps: TypeAlias = list[tuple[int, int, int]]
"""How arrays are cut: for each axis that is, its number, how many parts, and elements of a part."""


def local(offset: int) -> int:
    """The address of a byte of the workspace that the links share."""
    return ~offset


class Chain:
    """Links that take turns: ``turns`` times each, in the order in which they were added.

    Parameters
    ----------
    turns : int
        They may run in any order and in any thread: a link reads what links before it wrote in the same turn alone.
    local_bytes : int
        Workspace that the links of a turn share, see ``local``.
    """

    def __init__(self, turns: int, local_bytes: int = 0) -> None:
        self.turns = turns
        self._local = -(-local_bytes // 64) * 64
        self._links: list[Native] = []
        self._ranges: list[tuple[Place, Place]] = []
        self._buffers: list[tuple[Place, ...]] = []
        self._kept: list[object] = []
        self._wanted = config.engine()

    def add(self, link: Native, buffers: tuple[Place, ...], split: bool = False) -> None:
        """Add a link. ``split``: each turn does its share of the tiles; else it does all of them."""
        shares = np.arange(self.turns + 1, dtype=np.int64) * link.tiles // self.turns
        self._links.append(link)
        self._ranges.append((shares[:-1], shares[1:]) if split else (0, link.tiles))
        self._buffers.append((*buffers, *(0,) * (4 - len(buffers))))

    def forward(self, problem: Problem, x: Place, y: Place, indices: Place = 0, split: bool = False) -> None:
        """Add a forward pooling: of the whole of x in parts, or of what lies at these addresses in each turn."""
        (link,) = native(problem, self._wanted)
        self.add(link, (x, y, indices, link.passes), split)

    def program(self, program: Program, plan: list[int], buffers: tuple[Place, ...], tiles: int, work: int = 0) -> None:
        """Add a program over all of its tiles."""
        block = np.array(plan, np.int64)
        self._kept.append(block)
        self.add(code_of(program)._replace(plan=library.address_of(block), tiles=tiles, work=work), buffers)

    def copy(self, arrays: tuple[Array, Array], numbers: tuple[int, int], steps: Steps) -> None:
        """Add a copy of parts of one array to those of another, cut alike."""
        source, result = arrays
        part, to = first(source, steps), first(result, steps)
        order = sorted(range(part.ndim), key=lambda axis: -abs(part.strides[axis]))
        strides = [[array.strides[axis] for axis in order] for array in (part, to)]
        sizes, (from_step, to_step) = merged([part.shape[axis] for axis in order], strides)
        run = part.itemsize
        if sizes and from_step[-1] == to_step[-1] == run:
            run *= sizes.pop()
        records = [n for three in zip(sizes, from_step, to_step, strict=False) for n in three]
        plan = [len(sizes), run, *records]
        buffers = (places(source, steps, numbers[0]), places(result, steps, numbers[1]))
        self.program(COPY, plan, buffers, math.prod(sizes))

    def prepare(self) -> Prepared:
        """The chain, ready for arrays that lie like those that it was made for."""
        links = self._links
        table = np.empty((self.turns, len(links), L.ROW), np.int64)
        plan = [len(links), self._local, max(-(-link.shared // 64) * 64 for link in links)]
        fills = []
        for i, link in enumerate(links):
            plan += [link.way, link.function, link.plan, link.stage]
            table[:, i, L.BEGIN], table[:, i, L.END] = self._ranges[i]
            for at, place in enumerate(self._buffers[i], L.BUFFERS):
                if isinstance(place, tuple):
                    fills.append((i, at, place[0]))
                    place = place[1]
                table[:, i, at] = place
        work = L.ADDRESSES + plan[L.LOCAL] + plan[L.SHARED] + max(link.work for link in links) + 64
        return Prepared(plan, table, work, tuple(fills), (*self._kept, *links))


class Prepared(NamedTuple):
    """A chain without the addresses of its arrays: ``fills`` are link, place in a row, and number of an array."""

    plan: list[int]
    table: np.ndarray
    work: int
    fills: tuple[tuple[int, int, int], ...]
    kept: tuple[object, ...]

    def run(self, arrays: Sequence[Array], size: int) -> None:
        """Run it; ``size`` is how many bytes it moves."""
        table = self.table.copy()
        for link, at, number in self.fills:
            table[:, link, at] += library.address_of(arrays[number])
        tasks.run(PROGRAM, self.plan, (table,), len(table), self.work, size)


_prepared: dict[Hashable, Prepared] = {}
MOST_PREPARED = 256


def prepared(what: Hashable, arrays: Sequence[Array], build: Callable[[], Prepared]) -> Prepared:
    """A chain that is known for arrays of these shapes and strides, or built now. ``what`` says what it does."""
    lie = tuple([(array.shape, array.strides, array.dtype.char) for array in arrays])
    key = (what, lie, CACHED_BYTES, config.engine())
    found = _prepared.get(key)
    if found is None:
        found = build()
        if len(_prepared) >= MOST_PREPARED:
            _prepared.clear()
        _prepared[key] = found
    return found


def in_turns(problems: Sequence[Problem], x: Array, results: Sequence[Array]) -> None:
    """Pool one array in several ways, from one reading of it."""
    moved = x.nbytes + sum(y.nbytes for y in results)
    turns = math.ceil(moved / CACHED_BYTES)
    if turns < 2 or config.engine() == "reference":
        for problem, y in zip(problems, results, strict=True):
            dispatch.forward(placed(problem, x, y), x, y, None)
        return

    def build() -> Prepared:
        chain = Chain(turns)
        for i, problem in enumerate(problems):
            chain.forward(placed(problem, x, results[i]), (0, 0), (i + 1, 0), split=True)
        return chain.prepare()

    arrays = (x, *results)
    prepared(tuple(problems), arrays, build).run(arrays, moved)


def blocks(array: Array, whole: Ints, per_element: int) -> list[tuple[int, int]]:
    """How the axes of an array are cut, but for those that are to stay ``whole``, so that a part fits into a cache.

    ``per_element`` are the bytes that a chain touches for each element of it. Gives pairs of an axis and the size of
    its blocks, which divides its own.
    """
    rest = array.size * per_element
    cuts = []
    order = sorted((a for a in range(array.ndim) if a not in whole), key=lambda axis: -abs(array.strides[axis]))
    for axis in order:
        size = array.shape[axis]
        if rest <= CACHED_BYTES or size < 2:
            continue
        # whole cache lines, where elements along the axis are neighbours
        least = 64 // array.itemsize if abs(array.strides[axis]) == array.itemsize else 1
        fitting = [n for n in range(least, size) if size % n == 0 and rest // size * n <= CACHED_BYTES]
        smallest = next((n for n in range(least, size) if size % n == 0), size)
        block = fitting[-1] if fitting else smallest
        if block < size:
            cuts.append((axis, block))
            rest = rest // size * block
    return cuts


def places(array: Array, steps: Steps, number: int) -> tuple[int, np.ndarray]:
    """Where the parts of the array of that number lie."""
    found = np.zeros(1, np.int64)
    for axis, count, elements in steps:
        found = np.add.outer(found, np.arange(count, dtype=np.int64) * (elements * array.strides[axis])).reshape(-1)
    return number, found


def first(array: Array, steps: Steps) -> Array:
    """The first of those parts."""
    kept: list[slice] = [slice(None)] * array.ndim
    for axis, _, elements in steps:
        kept[axis] = slice(0, elements)
    return array[tuple(kept)]
