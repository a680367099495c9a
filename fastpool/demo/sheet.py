"""The demo's sheet: the photograph and its results side by side, enlarged without smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fastpool.demo.cases import Pixels, Result

TILE = 320  # pixels that the longer side of a tile takes
GAP = 24
TITLE_SIZE, CAPTION_SIZE, SMALL_SIZE, LINE = 32, 22, 17, 22
CAPTION_WIDTH = 300  # of the longest caption
CAPTION_HEIGHT = 16 + CAPTION_SIZE + 3 * LINE
INK, GREY, PAPER, FRAME = "#1a1a1a", "#666666", "#ffffff", "#c8c8c8"

Tile = tuple[str, Pixels, list[str]]


def check(path: Path) -> None:
    """Refuse a path that a sheet cannot be written to, before anything is computed.

    Raises
    ------
    ValueError
        If the suffix is not that of an image format.
    FileNotFoundError
        If the folder does not exist.
    """
    if path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"output={str(path)!r}: the suffix must name an image format; use .png")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"output={str(path)!r}: the folder does not exist; make it first")


def write(path: Path, name: str, measured: Sequence[tuple[Pixels, list[Result]]]) -> tuple[int, int]:
    """Draw one row of tiles per photograph and write the sheet; returns its width and height in pixels."""
    rows = [[_original(photo), *map(_pooled, results)] for photo, results in measured]
    height, width = measured[0][0].shape[:2]
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    step_x = max(size[0], CAPTION_WIDTH) + GAP
    step_y = size[1] + CAPTION_HEIGHT + GAP
    top = GAP + TITLE_SIZE + GAP
    sheet = Image.new("RGB", (GAP + step_x * len(rows[0]), top + step_y * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), f"fastpool demo: {name}", INK, ImageFont.load_default(TITLE_SIZE))
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            _draw_tile(sheet, draw, tile, (GAP + c * step_x, top + r * step_y), size)
    sheet.save(path)
    return sheet.size


def _original(photo: Pixels) -> Tile:
    return "original", photo, [f"{photo.dtype} {photo.shape}"]


def _pooled(result: Result) -> Tile:
    return (
        result.title,
        result.pixels,
        [
            f"{result.pixels.dtype} {result.pixels.shape}",
            f"fastpool {result.ours * 1e3:.3g} ms",
            f"{result.other_name} {result.other * 1e3:.3g} ms",
        ],
    )


def _draw_tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    title, values, lines = tile
    x, y = corner
    width, height = size
    sheet.paste(_picture(values, size), corner)
    draw.rectangle((x - 1, y - 1, x + width, y + height), outline=FRAME)
    draw.text((x, y + height + 10), title, INK, ImageFont.load_default(CAPTION_SIZE))
    small = ImageFont.load_default(SMALL_SIZE)
    for i, line in enumerate(lines):
        draw.text((x, y + height + 16 + CAPTION_SIZE + i * LINE), line, GREY, small)


def _picture(values: Pixels, size: tuple[int, int]) -> Image.Image:
    if values.dtype != np.uint8:
        values = np.rint(values * 255).astype(np.uint8)
    picture = Image.fromarray(values.reshape(-1, 1, 3) if values.ndim == 1 else values)
    shrinks = picture.width > size[0]
    return picture.resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST)
