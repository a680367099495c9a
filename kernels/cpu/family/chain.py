"""A chain: kernels that take turns over parts of the same arrays, so that each finds in a cache what the last one read.

Numbers of its own (there is no frame): LINKS, LOCAL, SHARED, then a record for each link, see ``kernels/links.py``.
``bufs[0]`` is a table of a row for each tile and link: the range of the kernel's tiles, and the addresses of its four
buffers. An address below 0 is one in the thread's workspace: ``~address`` bytes from where it begins.

The workspace: 64 bytes for the addresses of a kernel, LOCAL bytes that the links share, SHARED bytes that the stages of
one plan of the C library share, and then a kernel's own.
A tile runs all links, one after the other, over their ranges of that tile.

"copy" is a link of its own: it copies runs of bytes. Its numbers: AXES, RUN (bytes), then for each axis its size, and
bytes from one run to the next in the source and in what is written. A tile is a run.
"""

from __future__ import annotations

from fastpool.kernels import links as L
from fastpool.kernels.cpu.call import call_kernel, call_status
from fastpool.kernels.cpu.family.access import codes
from fastpool.kernels.cpu.memory import RESULT, SOURCE, address, load, pointer, pointer_like, store

BYTES = codes("u8")


def make(digest, role):
    """The kernel that runs a chain, or a link that copies runs of bytes."""

    def run(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        links = plan[L.LINKS]
        base = address(work)
        shared = base + L.ADDRESSES + plan[L.LOCAL]
        scratch = shared + plan[L.SHARED]
        table = pointer_like(bufs[0], bufs)
        for tile in range(begin, end):
            for link in range(links):
                record = L.RECORDS + link * L.RECORD
                row = (tile * links + link) * L.ROW
                first, last = table[row + L.BEGIN], table[row + L.END]
                if first == last:
                    continue
                for i in range(4):
                    given = table[row + L.BUFFERS + i]
                    work[i] = given if given >= 0 else base + L.ADDRESSES + ~given
                way, function, block = plan[record + L.WAY], plan[record + L.FUNCTION], plan[record + L.PLAN]
                if way == L.KERNEL:
                    call_kernel(function, block, base, scratch, first, last)
                elif way == L.FORWARD:
                    call_status(function, (block, first, last, work[0], work[1], work[2], scratch))
                else:
                    stage = plan[record + L.STAGE]
                    own = (block, stage, first, last, work[0], work[1], work[2], work[3], shared, scratch)
                    call_status(function, own)

    def copy(plan, bufs, work, begin, end):
        digest  # noqa: B018  (captured, so that a changed source is another kernel in the cache)
        x, y = pointer(bufs[0], BYTES), pointer(bufs[1], BYTES)
        axes, run_bytes = plan[L.AXES], plan[L.RUN]
        for tile in range(begin, end):
            source, target, rest = 0, 0, tile
            for i in range(axes):
                at = L.COPY + 3 * (axes - 1 - i)
                place, rest = rest % plan[at], rest // plan[at]
                source += place * plan[at + 1]
                target += place * plan[at + 2]
            for i in range(run_bytes):
                store(y, target + i, load(x, source + i, SOURCE), RESULT)

    return run if role == "run" else copy
