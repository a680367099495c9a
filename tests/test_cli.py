import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import fastpool
from fastpool import demo, diagnostics, library
from fastpool.__main__ import main

TEXT = "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1"


def test_info_prints_the_report(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert f"  numpy: {np.__version__}\n" in printed
    built = "yes\n  file: " if library.library() else "no\n  reason: "
    assert f"\nC library:\n  built: {built}" in printed
    assert "\nCUDA:\n  available: " in printed
    assert re.search(r"^  threading layers that load: .*workqueue", printed, re.MULTILINE)


def test_info_as_json(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FASTPOOL_CACHE_DIR", str(tmp_path / "new" / "cache"))
    assert main(["info", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["fastpool"] == fastpool.__version__
    assert report["versions"]["numba"] == version("numba")
    assert report["environment"]["FASTPOOL_CACHE_DIR"] == str(tmp_path / "new" / "cache")
    assert report["kernel cache"]["chosen by"] == "FASTPOOL_CACHE_DIR"
    assert report["kernel cache"]["writable"] is True
    assert not (tmp_path / "new").exists()


def test_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTPOOL_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert diagnostics.show_config("dicts")["kernel cache"]["writable"] is False


def test_show_config_survives_bad_settings(monkeypatch, clean_threads):
    monkeypatch.setenv("FASTPOOL_NUM_THREADS", "none")
    shown = diagnostics.show_config("dicts")["threads"]["threads per call"]
    assert shown.startswith("environment: FASTPOOL_NUM_THREADS='none': ")


def test_show_config_mode():
    with pytest.raises(ValueError, match=r"^show_config: mode='json': the mode must be 'stdout' or 'dicts'; "):
        fastpool.show_config("json")


def test_explain(capsys):
    assert main(["explain", TEXT]) == 0
    printed = capsys.readouterr().out
    assert TEXT in printed
    assert "reference" in printed


def test_explain_of_a_text_that_is_no_problem(capsys):
    assert main(["explain", "max2d"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastpool explain: Problem.parse: 'max2d' does not begin like ")


@pytest.mark.parametrize("arguments", [[], ["sing"], ["explain"], ["info", "--jsn"]])
def test_usage(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: fastpool" in capsys.readouterr().err


def python(*arguments):
    """What a new process prints that imports the same fastpool as this one."""
    root = Path(fastpool.__file__).parent.parent
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def test_module_and_version():
    assert python("-m", "fastpool", "--version") == f"fastpool {fastpool.__version__}\n"


def test_import_leaves_other_libraries_alone():
    code = "import fastpool, sys; print({'numba', 'torch', 'scipy', 'PIL'} & set(sys.modules))"
    assert python("-c", code) == "set()\n"


@pytest.fixture
def photograph(tmp_path):
    """A small colour image with every byte value, 45 x 70 pixels, so that no block size divides it."""
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("skimage")
    pixels = np.random.default_rng(3).integers(0, 256, (45, 70, 3), np.uint8)
    image.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def test_demo(capsys, monkeypatch, photograph, tmp_path):
    from PIL import Image

    monkeypatch.setattr("fastpool.demo.cases.BUDGET", 0.0)
    assert main(["demo", str(photograph), "--output", str(tmp_path / "sheet.png")]) == 0
    printed = capsys.readouterr().out
    assert "DIFFERS" not in printed
    rows = [line for line in printed.splitlines() if re.search(r" (uint8|float32) ", line)]
    assert [row.split("  ")[0] for row in rows] == 2 * [
        "max 2 x 2",
        "average 2 x 2",
        "min 2 x 2",
        "dilation 3 x 3",
        "global average",
    ]
    assert all("(45, 70, 3)" in row for row in rows)
    assert all("(22, 35, 3)" in row for row in rows if " 2 x 2 " in row)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert printed.endswith(f"({sheet.width} x {sheet.height} pixels)\n")
        assert sheet.width > 6 * 300


def test_demo_shows_what_was_pooled(monkeypatch, photograph, tmp_path):
    """The middle of each enlarged pixel on the sheet has the value of the pooled array."""
    from PIL import Image

    from fastpool.demo import cases, sheet

    pixels = np.random.default_rng(4).integers(0, 256, (4, 4, 3), np.uint8)
    pooled = pixels.reshape(2, 2, 2, 2, 3).max(axis=(1, 3))
    result = cases.Result("max", "numpy", pooled, 1.0, 1.0, 1.0, 0.0, True)
    width, height = sheet.write(tmp_path / "sheet.png", "four", [(pixels, [result])])
    with Image.open(tmp_path / "sheet.png") as image:
        drawn = np.asarray(image)
    assert drawn.shape == (height, width, 3)
    top = 2 * sheet.GAP + sheet.TITLE_SIZE
    left = sheet.GAP + sheet.TILE + sheet.GAP
    quarter = sheet.TILE // 4
    middles = drawn[top + quarter :: 2 * quarter, left + quarter :: 2 * quarter]
    np.testing.assert_array_equal(middles[:2, :2], pooled)


def test_demo_finds_a_difference(capsys, monkeypatch, photograph, tmp_path):
    right = fastpool.pool
    monkeypatch.setattr("fastpool.demo.cases.BUDGET", 0.0)
    monkeypatch.setattr(fastpool, "pool", lambda *a, **k: right(*a, **k) // 2)
    assert main(["demo", str(photograph), "--output", str(tmp_path / "sheet.png")]) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_demo_without_its_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "find_spec", lambda module: None if module == "skimage" else object())
    assert main(["demo", "--output", str(tmp_path / "sheet.png")]) == 2
    assert capsys.readouterr().err == (
        "fastpool demo: scikit-image not found: the demo compares with other libraries; "
        'install them with: pip install "fastpool[demo]"\n'
    )
    assert not os.listdir(tmp_path)


def test_demo_of_something_else(capsys, photograph, tmp_path):
    from PIL import Image

    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(np.ones((8, 8), np.uint16)).save(tmp_path / "deep.png")
    for name, words in (
        ("none.png", "No such file"),
        ("text.png", "cannot identify image file"),
        ("deep.png", "has mode I;16: the demo shows 8-bit images; convert it first"),
    ):
        assert main(["demo", str(tmp_path / name), "--output", str(tmp_path / "sheet.png")]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()


def test_demo_refuses_an_output_before_it_computes(capsys, photograph, tmp_path):
    for name, words in (
        ("sheet.xyz", "the suffix must name an image format; use .png"),
        ("none/sheet.png", "the folder does not exist; make it first"),
    ):
        assert main(["demo", str(photograph), "--output", str(tmp_path / name)]) == 2
        captured = capsys.readouterr()
        assert captured.err == f"fastpool demo: output={str(tmp_path / name)!r}: {words}\n"
        assert captured.out == ""
