"""The speed of memory: how long it takes to copy as many bytes as a problem has to move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

import fastpool
from fastpool.bench.data import Prepared, moved
from fastpool.problem import Problem

SMALL = 1 << 20
"""Bytes below which one thread copies: to wake others takes longer."""


def prepare(problem: Problem) -> Prepared:
    """A copy of as many bytes as a problem has to move, see ``copy_of``.

    Parameters
    ----------
    problem : Problem
    """
    return copy_of(moved(problem))


def copy_of(many: int) -> Prepared:
    """A copy that reads and writes so many bytes, in sum.

    Half of them are read and half are written, by as many threads as fastpool uses, in memory whose pages have been
    touched. A pooling can be faster than this where it reads far more than it writes, and where data stay in a cache.

    Parameters
    ----------
    many : int

    Returns
    -------
    Prepared
        It computes nothing.
    """
    half = max(many // 2, 64)
    source, target = np.ones(half, np.uint8), np.ones(half, np.uint8)
    threads = fastpool.get_num_threads()
    if half < SMALL or threads == 1:
        return Prepared(lambda: np.copyto(target, source), ())
    workers = ThreadPoolExecutor(threads)
    cuts = [half * i // threads for i in range(threads + 1)]
    parts = [(target[i:j], source[i:j]) for i, j in pairwise(cuts)]

    def copy() -> object:
        return list(workers.map(lambda part: np.copyto(*part), parts))

    return Prepared(copy, ())
