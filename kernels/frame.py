"""The frame of a program's plan: where the arrays of a call lie, in one form for every layout.

Arrays are *outer axes x three spatial axes x lanes*: outer axes and lanes are common to all arrays of a frame, spatial
sizes are each array's own, and missing spatial axes come first, with one element. Strides are in elements::

    OUTER  ARRAYS  LANES  OWN | outer sizes | array 0: 3 sizes, 3 strides, lane stride, outer strides | array 1 | ...

``OWN`` is where the program's own numbers begin.
"""

from __future__ import annotations

OUTER = 0  # outer axes
ARRAYS = 1
LANES = 2  # elements along the lanes: 1 where no axis but the last spatial one is dense
OWN = 3
SIZES = 4  # sizes of the outer axes

SPATIAL = 3


def array_at(outer, array):
    """Where the record of an array begins, for so many outer axes."""
    return SIZES + outer + array * (2 * SPATIAL + 1 + outer)


def size(plan, array, axis):
    """Elements of an array along one of the three spatial axes."""
    return plan[array_at(plan[OUTER], array) + axis]


def stride(plan, array, axis):
    """Elements of memory from one position along a spatial axis to the next."""
    return plan[array_at(plan[OUTER], array) + SPATIAL + axis]


def lane_stride(plan, array):
    """Elements of memory from one lane to the next."""
    return plan[array_at(plan[OUTER], array) + 2 * SPATIAL]


def offset(plan, array, number):
    """Where the plane, or the lanes of planes, of that number begins: numbers count outer axes in row-major order."""
    outer = plan[OUTER]
    at = array_at(outer, array) + 2 * SPATIAL + 1
    found = 0
    # no division for the outermost axis, which most often is the only one
    for i in range(outer - 1):
        axis = outer - 1 - i
        found += number % plan[SIZES + axis] * plan[at + axis]
        number //= plan[SIZES + axis]
    if outer > 0:
        found += number * plan[at]
    return found


def row_at(plan, array, tile):
    """Where a row of the last spatial axis begins: rows are numbered in row-major order, those of outer axes first."""
    rows = size(plan, array, 1)
    row, rest = tile % rows, tile // rows
    planes = size(plan, array, 0)
    found = offset(plan, array, rest // planes)
    return found + rest % planes * stride(plan, array, 0) + row * stride(plan, array, 1)
