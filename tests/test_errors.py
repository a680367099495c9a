"""What bad input gets: an error of the right type with the right words, and an untouched ``out``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastpool
from tests import bad_arguments, bad_arrays

TABLE = bad_arguments.TABLE + bad_arrays.TABLE


def contents(out: Any) -> list[bytes]:
    """The bytes of every array in ``out``."""
    arrays = out if isinstance(out, tuple) else (out,)
    return [array.tobytes() for array in arrays if isinstance(array, np.ndarray)]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_bad_input(row):
    out = row.out()
    before = contents(out)
    with pytest.raises(row.error) as caught:
        row.call(out)
    text = str(caught.value)
    assert type(caught.value) is row.error
    for words in row.words:
        assert re.search(words, text), text
    # what was called: the values: the rule; the way out
    assert re.fullmatch(r"\w+: [^\n]+: [^\n]+; [^\n]+", text)
    assert contents(out) == before


def test_the_table_is_long_enough():
    assert len({row.id for row in TABLE}) == len(TABLE) >= 150


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (0, 0, 4, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_empty_batch_and_no_channels_give_an_empty_result(shape, dtype):
    x = np.empty(shape, dtype)
    y, indices = fastpool.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)
    assert y.shape == indices.shape == (*shape[:2], 2, 2)
    assert y.dtype == dtype
    assert indices.dtype == np.int64
    dx = fastpool.max_pool2d_backward(y, x, 3, stride=2, padding=1, indices=indices)
    assert dx.shape == shape
    assert dx.dtype == dtype
    assert fastpool.global_sum_pool(x).shape == shape[:2]


def test_an_infinite_window_of_padding_is_a_question_of_memory_alone():
    # one more than the largest array: refused as a size, not by the allocator
    with pytest.raises(ValueError, match=r"passes 2\*\*63 - 1"):
        fastpool.max_pool1d(np.zeros(4, np.float32), 1, 1, 2**59)
