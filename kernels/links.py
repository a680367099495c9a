"""The plan of a chain of kernels (``cpu/family/chain.py``) and its table: named offsets of their numbers."""

from __future__ import annotations

LINKS = 0
LOCAL = 1  # bytes of workspace that links share, a multiple of 64
SHARED = 2  # bytes that the stages of one plan of the C library share, a multiple of 64
RECORDS = 3
WAY, FUNCTION, PLAN, STAGE = range(4)  # fields of a record
RECORD = 4

KERNEL, FORWARD, BACKWARD = range(3)
"""Ways: a kernel by its address; a range of a plan of the C library, forward or backward."""

BEGIN, END, BUFFERS = range(3)
ROW = 6  # numbers in a row of the table
ADDRESSES = 64  # bytes at the beginning of the workspace, for the addresses of a kernel

AXES, RUN, COPY = range(3)
"""Of the link that copies: axes, bytes of a run, and where the records of the axes begin."""
