"""The numbers of a plan for separable filters: where its tables lie, in one form for both directions.

A filter along an axis is a list of *rows*, one for each position that is written: positions that are read, and what
each is multiplied by. Integers stand in one table, factors in another, and these numbers say where::

    rows of an axis    OUT: one integer a row | its first entry, for each row and one past | positions of the entries

``<axis>_OUT`` is the place of the first of them, ``<axis>_FACTORS`` that of the first factor. Along the first two
spatial axes positions are elements of memory; along the last one they are places in the scratch line.

A scratch line is what is left when the first two axes are done: ``SEGMENTS`` pieces of ``COUNT`` elements, one for
each band that is read, each with room for what a border rule puts around it.
"""

from __future__ import annotations

DEPTH = 0  # rows along the first axis,
DEPTH_OUT = 1
DEPTH_FACTORS = 2
FILTERED_DEPTH = 3  # 0 where that axis is left as it is
HEIGHT = 4  # along the second,
HEIGHT_OUT = 5
HEIGHT_FACTORS = 6
WIDTH_OUT = 7  # and along the last one
WIDTH_FACTORS = 8
GROUP = 9  # rows along the second axis in a tile
SEGMENTS = 10
SEGMENT_AT = 11  # for each segment: place in the line, elements of memory from the plane's first
COUNT = 12
LINES = 13  # lines that are written, one for each band
LINE_AT = 14  # for each: elements of memory from the row's first
LINE_COUNT = 15
SECOND = 16  # where regions of scratch begin, in elements: the depth's line,
THIRD = 17  # the line taken apart,
FOURTH = 18  # the results of one phase behind the other,
FIFTH = 19  # and the line that is written
# ---- rows that are neighbours in memory ----
COPIES = 20  # places that a border rule fills from others
COPIES_AT = 21
ZEROS = 22  # places that stay 0
ZEROS_AT = 23
SPLIT = 24  # steps in the line from one result to the next: it is taken apart into so many phases
EXTENT = 25  # elements of a phase, with room for whole vectors
SPREAD = 26  # phases that results are put together from
EXTRAS = 27  # products that are added to single results
EXTRAS_AT = 28
EXTRAS_FACTORS = 29
# ---- lanes ----
CHUNK = 20  # lanes that are worked on at a time
NUMBERS = 30
