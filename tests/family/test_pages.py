"""Every function of the family has a page, whose examples run, and a row in the table of operations."""

from __future__ import annotations

import doctest
import inspect
import re
from importlib import import_module

import pytest

import fastpool
from fastpool.family import operations

NAMES = tuple(operations.names())


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_complete(name):
    function = getattr(fastpool, name)
    assert function.__name__ == name
    text = inspect.getdoc(function)
    sections = re.findall(r"^([A-Z][\w ]+)\n-+$", text, re.M)
    assert {"Parameters", "Returns", "Raises", "Examples"} <= set(sections), sections
    # nothing of a template is left
    assert not re.search(r"<[a-z]+>", text)
    described = text[text.index("Parameters\n") : text.index("Returns\n")]
    lines = re.findall(r"^([\w, *]+)(?: : .*)?$", described, re.M)
    names = [word.lstrip("*") for line in lines for word in line.split(", ")]
    missing = set(inspect.signature(function).parameters) - set(names)
    assert not missing, f"{name} does not say what {missing} are"
    # the lines of a page that are not the words of an example
    assert all(len(line) <= 120 for line in text.splitlines())
    assert set(re.findall(r"\[(\d)\]_", text)) == set(re.findall(r"^\.\. \[(\d)\]", text, re.M))


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name):
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(getattr(fastpool, name)), {}, name, None, 0)
    assert test.examples
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0


def test_every_row_is_complete():
    for row in operations.OPERATIONS:
        assert all(row._replace(linear=True)), row
        module = import_module(f"fastpool.{row.module}")
        for name in row.functions:
            assert name in module.__all__, name
            has_gradient = not row.gradient.startswith("none")
            assert (f"{name}_backward" in module.__all__) == has_gradient, name


def test_modules_have_no_public_function_without_a_row():
    for module in {row.module for row in operations.OPERATIONS}:
        if module.startswith("family."):
            assert set(import_module(f"fastpool.{module}").__all__) <= set(NAMES), module
