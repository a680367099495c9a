"""Every public name is documented completely."""

from __future__ import annotations

import inspect
import re
import typing

import pytest

import fastpool
from fastpool import functional
from fastpool.axes import LAYOUTS
from fastpool.functional import _types

POOLS = [name for name in fastpool.__all__ if "pool" in name]


@pytest.mark.parametrize("name", [name for name in fastpool.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name):
    text = inspect.getdoc(getattr(fastpool, name))
    assert text
    if name in functional.__all__:
        assert "\n>>> " in text


@pytest.mark.parametrize("name", POOLS)
def test_pages_are_complete(name):
    function = getattr(fastpool, name)
    text = inspect.getdoc(function)
    sections = re.findall(r"^([A-Z][\w ]+)\n-+$", text, re.M)
    expected = ["Parameters", "Returns", "Raises", "See Also", "Notes", "References", "Examples"]
    assert [section for section in sections if section != "References"] == [s for s in expected if s != "References"]
    # nothing of the template is left
    assert not re.search(r"\{(?!\")", text)
    described = text[text.index("Parameters\n") : text.index("Returns\n")]
    assert re.findall(r"^(\w+) : ", described, re.M) == list(inspect.signature(function).parameters)
    assert all(len(line) <= 100 for line in text.splitlines())
    for related in re.findall(r"^(\w+) : .*", text[text.index("See Also\n") : text.index("Notes\n")], re.M):
        assert related in fastpool.__all__
    # a source is named where it is referred to
    assert set(re.findall(r"\[(\d)\]_", text)) == set(re.findall(r"^\.\. \[(\d)\]", text, re.M))


def test_layout_words_of_the_types_are_those_that_are_taken():
    assert set(literals(_types.Layout)) == set(LAYOUTS)


def literals(kind):
    """The words of a Literal, or of a union of them."""
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    return [word for part in typing.get_args(kind) for word in literals(part)]


def test_all_is_sorted_and_complete():
    assert list(fastpool.__all__) == sorted(fastpool.__all__)
    assert set(functional.__all__) <= set(fastpool.__all__)
    assert all(hasattr(fastpool, name) for name in fastpool.__all__)
