"""The twins of ``instructions`` in plain Python, for the simulator: with every access and alignment checked."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np


class Pointer:
    """Memory behind an address: elements by their distance from the first one of an array.

    Elements outside of the memory that the array spans cannot be reached.
    """

    def __init__(self, memory: np.ndarray, first: int) -> None:
        self.memory = memory
        self.first = first
        self.size = memory.itemsize

    def place(self, i: Any, count: int = 1) -> int:
        """Where an element lies in the memory, and whether ``count`` of them can be read as one vector."""
        at = self.first + int(i)
        assert 0 <= at <= len(self.memory) - count, f"element {int(i)} lies outside of the array"
        address = self.memory.__array_interface__["data"][0] + at * self.size
        assert address % min(16, count * self.size) == 0, f"{count} elements of {self.size} bytes at {address}"
        return at


def load(p, i):
    """Element ``i`` of a pointer."""
    return p.memory[p.place(i)]


def store(p, i, value):
    """Writes element ``i`` of a pointer."""
    p.memory[p.place(i)] = p.memory.dtype.type(value)


@functools.cache
def vector_load(count):
    """``load_vector(array, at, p, i)``: reads ``count`` neighbouring elements into a thread's array from ``at`` on."""

    def load_vector(array, at, p, i):
        begin = p.place(i, count)
        for j in range(count):
            array[at + j] = p.memory[begin + j]

    return load_vector


def load_or(p, i, there, other):
    """Element ``i`` of a pointer where it is ``there``, else ``other``."""
    return p.memory[p.place(i)] if there else p.memory.dtype.type(other)


@functools.cache
def vector_store(count):
    """``store_vector(p, i, array)``: writes the first ``count`` elements of a thread's array to neighbouring ones."""

    def store_vector(p, i, array):
        begin = p.place(i, count)
        for j in range(count):
            p.memory[begin + j] = array[j]

    return store_vector


def load_row(p, i, r, step):
    """Element ``i + r * step`` of a pointer."""
    return load(p, i + int(r) * int(step))


def behind(p, i):
    """The pointer to element ``i`` of a pointer: a place that further ones count from."""
    return Pointer(p.memory, p.first + int(i))


def shared_get(shared, i, j):
    """Element ``i + j`` of an array in shared memory."""
    assert 0 <= i + j < len(shared), f"element {int(i + j)} lies outside of the array"
    return shared[i + j]


def shared_put(shared, i, j, value):
    """Writes element ``i + j`` of an array in shared memory."""
    assert 0 <= i + j < len(shared), f"element {int(i + j)} lies outside of the array"
    shared[i + j] = value


@functools.cache
def shared_load(count):
    """``load_shared(array, at, shared, i, j)``: reads ``count`` neighbours from ``i + j`` on."""

    def load_shared(array, at, shared, i, j):
        begin = int(i + j)
        assert 0 <= begin <= len(shared) - count, f"element {begin} lies outside of the array"
        assert begin * shared.itemsize % min(16, count * shared.itemsize) == 0, f"{count} elements at {begin}"
        for v in range(count):
            array[at + v] = shared[begin + v]

    return load_shared


def divide(a, b):
    """The quotient of two integers that are not negative, rounded down."""
    return a // b


def scaled(n, factor, shift):
    """The quotient of a number below 2**31 by one of which ``planning.reciprocal`` has made a factor and a shift."""
    return np.int32((2 * int(n) * (int(factor) & 0xFFFFFFFF) >> 32) >> int(shift))


def ahead(p, i):
    """A pointer's element ``i`` as the first one of another pointer."""
    return Pointer(p.memory, p.first + int(i))


def largest(a, b):
    """The larger of two float32, or NaN where one of them is."""
    return a if (a > b) | (a != a) else b


def product(a, b):
    """The product of two integers of 32 bits, in 64 bits."""
    assert max(abs(int(a)), abs(int(b))) < 2**31
    return np.int64(a) * np.int64(b)


def from_float16(bits):
    """The float32 that the bits of a float16 stand for."""
    return np.float32(np.uint16(bits).view(np.float16))


def as_float16(value):
    """The bits of the float16 nearest to a float32."""
    return np.float32(value).astype(np.float16).view(np.uint16)


def from_bfloat16(bits):
    """The float32 that the bits of a bfloat16 stand for."""
    return np.uint32(int(bits) << 16).view(np.float32)


def as_bfloat16(value):
    """The bits of the bfloat16 nearest to a float32."""
    bits = int(np.float32(value).view(np.uint32))
    return np.uint16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 & 0xFFFF)


def multiply(a, b):
    """The rounded product of two float64."""
    return a * b


def from_bits(bits):
    """The float64 that the bits of an integer stand for."""
    return np.int64(bits).view(np.float64)


def corrected(s, d, r):
    """The quotient of two float32."""
    return np.float32(s / d)


def doubtful(s, q):
    """Whether ``corrected`` may have lost bits."""
    return False


def exponential(value):
    """The exponential of a float32 or float64: an infinity where Python has an error."""
    return np.exp(value)


def logarithm(value):
    """The natural logarithm of a float32 or float64: NaN or an infinity where Python has an error."""
    return np.log(value)


@functools.cache
def pairwise(name):
    """``best(a, b)``: the larger or smaller of each half of two words."""
    half = np.int16 if "s16" in name else np.uint16
    order = np.maximum if name.startswith("max") else np.minimum

    def best(a, b):
        first, second = (np.array([word], np.uint32).view(half) for word in (a, b))
        return order(first, second).view(np.uint32)[0]

    return best


@functools.cache
def picked(selector):
    """``pick(a, b)``: the four bytes of two words that a selector's digits name, the last digit's first."""
    places = [selector >> 4 * i & 7 for i in range(4)]

    def pick(a, b):
        return np.array([a, b], np.uint32).view(np.uint8)[places].view(np.uint32)[0]

    return pick


@functools.cache
def words_load(count):
    """``load_words(array, p, i)``: reads ``count`` words into a thread's array, from element ``i`` on."""

    def load_words(array, p, i):
        many = 4 * count // p.size
        begin = p.place(i, many)
        words = p.memory[begin : begin + many].view(np.uint32)
        for j in range(count):
            array[j] = words[j]

    return load_words


@functools.cache
def words_store(count):
    """``store_words(p, i, array)``: writes the first ``count`` words of a thread's array, from element ``i`` on."""

    def store_words(p, i, array):
        many = 4 * count // p.size
        begin = p.place(i, many)
        words = np.array([array[j] for j in range(count)], np.uint32)
        p.memory[begin : begin + many] = words.view(p.memory.dtype)

    return store_words
