"""The gallery's page says what the table of operations says, and has a picture of each operation that can be drawn."""

from __future__ import annotations

import re
import runpy

import pytest

from fastpool.family import operations

pytestmark = pytest.mark.usefixtures("known_reductions")


@pytest.fixture(scope="module")
def gallery(repository):
    return runpy.run_path(str(repository / "docs" / "gallery.py"))


def test_the_page_is_fresh(gallery, repository):
    text = (repository / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert text == gallery["page"](), "run python docs/gallery.py"


def test_every_operation_is_on_the_page(repository):
    text = (repository / "docs" / "gallery.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^### (\w+)$|^- .*`(\w+)`$", text, re.M))
    named = {word for pair in named for word in pair if word}
    for row in operations.OPERATIONS:
        assert set(row.functions) & named, row.title


def test_pictures(gallery, repository):
    """There is one of each, they are small, and none is left of an operation that is gone."""
    folder = repository / "docs" / "gallery"
    files = {path.stem: path.stat().st_size for path in folder.glob("*.png")}
    assert set(files) == {"photograph", *gallery["names"]()}, "run python docs/gallery.py"
    assert max(files.values()) <= gallery["LARGEST"]
    assert sum(files.values()) < 1_000_000


def test_pictures_are_drawn(gallery, tmp_path):
    """A call of each kind; what a picture shows is for people to look at."""
    pytest.importorskip("skimage")
    pytest.importorskip("PIL")
    x = gallery["photograph"]()
    assert x.shape == (3, 144, 144)
    for name in ("max_pool2d", "stride_pool2d", "vlad_pool", "netvlad_pool"):
        panels = gallery["CALLS"][name](x.copy())
        assert all(values.ndim == 3 and values.shape[0] == 3 for _, values in panels)
        gallery["save"](tmp_path / f"{name}.png", panels)
        assert 0 < (tmp_path / f"{name}.png").stat().st_size <= gallery["LARGEST"]
