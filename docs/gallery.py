"""Writes docs/gallery.md: what each operation does to one photograph, and its pictures in docs/gallery.

python docs/gallery.py             write the pictures and the page
python docs/gallery.py NAME ...    write the pictures of these alone, and the page

The photograph is scikit-image's astronaut (the extra ``demo``). What the installed fastpool lacks is left out; what the
page says of an operation is its row in ``fastpool.family.operations``.
"""

import sys
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import fastpool  # noqa: E402
from fastpool.family import operations  # noqa: E402

PICTURES = DOCS / "gallery"
SIDE = 288  # pixels of a picture's side, on the page
GAP = 12
LARGEST = 40_000  # bytes of a file


def photograph():
    """The face of the astronaut: (3, 144, 144) from 0 to 1."""
    from skimage import data

    face = data.astronaut()[24:168, 148:292]
    return np.ascontiguousarray(face.transpose(2, 0, 1) / 255.0)


def difference(a, b):
    """Where two pictures differ, four times as strong; grey is no difference."""
    return np.clip(0.5 + 4 * (a - b), 0, 1)


def signed(values):
    """Numbers as colours: red above 0, blue below."""
    scaled = values / max(np.abs(values).max(), 1e-12)
    channels = [1 + np.minimum(scaled, 0), 1 - np.abs(scaled), 1 - np.maximum(scaled, 0)]
    return np.stack(channels)


def outlined(x, boxes):
    """A picture with boxes (x1, y1, x2, y2) drawn into it."""
    drawn = x.copy()
    for left, top, right, bottom in np.asarray(boxes, int):
        for rows, columns in (
            (slice(top, bottom), [left, right - 1]),
            ([top, bottom - 1], slice(left, right)),
        ):
            drawn[0, rows, columns], drawn[1:, rows, columns] = 1, 0.1
    return drawn


def whole():
    """All of the photograph, of which the face is a part, smaller: (3, 128, 128)."""
    from skimage import data

    return fastpool.avg_pool2d(np.ascontiguousarray(data.astronaut().transpose(2, 0, 1) / 255.0), 4)


def centres(points, count):
    """Centres of points (P, C) by a few rounds of k-means, from points that are evenly spread over them."""
    order = np.argsort(points.sum(axis=1), kind="stable")
    found = points[order[np.linspace(0, len(points) - 1, count).astype(int)]]
    for _ in range(10):
        labels = np.argmin(((points[:, None] - found) ** 2).sum(axis=2), axis=1)
        found = np.stack([points[labels == k].mean(axis=0) if (labels == k).any() else found[k] for k in range(count)])
    return found


def first(result):
    """The values of a call that may also give indices."""
    return result[0] if isinstance(result, tuple) else result


def simply(name, *args, beside_mean=False, **given):
    """A call whose result is a picture; where asked for beside it how it differs from the mean."""

    def draw(x):
        y = first(getattr(fastpool, name)(x, *args, **given))
        if beside_mean:
            return [("", y), ("less the mean, x 4", difference(y, fastpool.avg_pool2d(x, x.shape[1] // y.shape[1])))]
        return [("", y)]

    return draw


def own(x):
    """A reduction of one's own: the geometric mean."""
    import math

    @fastpool.reduction
    class gallery_geometric_mean:  # noqa: N801
        identity = 0.0

        @staticmethod
        def lift(x):
            return math.log(x)

        @staticmethod
        def combine(a, b):
            return a + b

        @staticmethod
        def lower(s, count):
            return math.exp(s / count)

    y = fastpool.pool(x + 0.01, (4, 4), gallery_geometric_mean)
    return [("geometric mean", y), ("less the mean, x 4", difference(y, fastpool.avg_pool2d(x, 4)))]


def two(name, words, *args, scales=(1, 1), **given):
    """A call that has two results."""

    def draw(x):
        found = getattr(fastpool, name)(x, *args, **given)
        return [(word, scale * y) for word, scale, y in zip(words, scales, found, strict=True)]

    return draw


def put_back(pool, unpool, size, scale=1):
    """Pooled, and the way back."""

    def draw(x):
        if pool == "max_pool2d":
            y, indices = fastpool.max_pool2d(x, size, return_indices=True)
            back = getattr(fastpool, unpool)(y, indices, size)
        else:
            y = getattr(fastpool, pool)(x, size)
            back = getattr(fastpool, unpool)(y, size)
        return [("pooled", y), ("put back", scale * back)]

    return draw


def wavelet(x):
    """Two levels of a wavelet that is smoother than the mean."""
    y = fastpool.wavelet_pool2d(x, "db2", levels=2) / 4
    return [("db2, two levels", y), ("less the mean, x 4", difference(y, fastpool.avg_pool2d(x, 4)))]


def lenet(x):
    """Sub-sampling with a squashing function: contrast of the middle."""
    y = fastpool.lenet_pool2d(x, 4, np.full(3, 1 / 4), np.full(3, -2.0))
    return [("tanh(4 (mean - 1/2)), as 0 to 1", 0.5 + 0.5 * y)]


def levels(x):
    """Levels of a pyramid side by side."""
    found = [level for level in fastpool.pyramid(x, 5, axes=(1, 2)) if level.shape[1] <= x.shape[1] // 2]
    sheet = np.ones((3, found[0].shape[1], sum(level.shape[2] for level in found)))
    at = 0
    for level in found:
        sheet[:, : level.shape[1], at : at + level.shape[2]] = level
        at += level.shape[2]
    return [("", sheet)]


def masked(name):
    """What is asked of a mask."""

    def draw(x):
        mask = x > 0.5
        return [("the mask: above a half", mask * 1.0), ("", getattr(fastpool, name)(mask, 4) * 1.0)]

    return draw


BOX = np.array([[36.0, 20.0, 116.0, 124.0]])


def region(name):
    """Pooling of one region of interest."""

    def draw(x):
        y = first(getattr(fastpool, name)(x[None], BOX, np.zeros(1, np.int64), (12, 12)))
        return [("the region", outlined(x, BOX)), ("12 x 12 bins", y[0])]

    return draw


def vlad(x):
    """Colours as points: which centre each belongs to, and the descriptor."""
    points, found = x.reshape(3, -1).T, centres(whole().reshape(3, -1).T, 8)
    nearest = np.argmin(((points[:, None] - found) ** 2).sum(axis=2), axis=1)
    y = fastpool.vlad_pool(x[None], found).reshape(8, 3)
    return [("colour of the nearest of 8 centres", found[nearest].T.reshape(x.shape)), ("8 centres x 3", signed(y))]


def netvlad(x):
    """Descriptors by soft and by sharp weights."""
    found = centres(whole().reshape(3, -1).T, 8)
    panels = []
    for sharpness in (10.0, 300.0):
        weight, bias = 2 * sharpness * found, -sharpness * (found**2).sum(axis=1)
        y = fastpool.netvlad_pool(x[None], found, weight, bias).reshape(8, 3)
        panels.append((f"8 centres x 3, sharpness {sharpness:.0f}", signed(y)))
    return panels


def mop(x):
    """The descriptor of patches of two sizes and of the whole, over mean colours as features."""

    def extract(patches):
        cells = patches.reshape(len(patches), 3, 4, patches.shape[2] // 4, 4, patches.shape[3] // 4)
        return cells.mean(axis=(3, 5)).reshape(len(patches), -1)

    windows = np.lib.stride_tricks.sliding_window_view(whole(), (3, 48, 48))[0, ::8, ::8]
    found = centres(extract(windows.reshape(-1, 3, 48, 48)), 5)
    y = fastpool.mop_pool(x, extract, found, levels=(None, 96, 48), stride=8)
    picture = signed(np.pad(y, (0, -len(y) % 32)).reshape(-1, 32))
    return [(f"{len(y)} numbers, row by row", picture)]


CALLS = {
    "max_pool2d": simply("max_pool2d", 4),
    "min_pool2d": simply("min_pool2d", 4),
    "avg_pool2d": simply("avg_pool2d", 4),
    "lp_pool2d": lambda x: [("p = 4, as a mean", fastpool.lp_pool2d(x, 4, 4) / 2)],
    "pool": own,
    "stride_pool2d": simply("stride_pool2d", 4, beside_mean=True),
    "max_avg_pool2d": two("max_avg_pool2d", ("largest", "mean"), 4),
    "mean_var_pool2d": two("mean_var_pool2d", ("mean", "variance, x 16"), 4, scales=(1, 16)),
    "mixed_pool2d": simply("mixed_pool2d", 4, beside_mean=True),
    "stochastic_pool2d": simply("stochastic_pool2d", 4, seed=0, beside_mean=True),
    "gem_pool2d": simply("gem_pool2d", 4, p=3.0, beside_mean=True),
    "logsumexp_pool2d": simply("logsumexp_pool2d", 4, sharpness=20.0, beside_mean=True),
    "soft_pool2d": simply("soft_pool2d", 4, beside_mean=True),
    "entropy_pool2d": lambda x: [("of 40 x, over ln 16", fastpool.entropy_pool2d(40 * x, 4) / np.log(16))],
    "prod_pool2d": lambda x: [("of 2 x 2, of the root of x", fastpool.prod_pool2d(x**0.5, 2))],
    "var_pool2d": lambda x: [("x 16", 16 * fastpool.var_pool2d(x, 4))],
    "std_pool2d": lambda x: [("x 4", 4 * fastpool.std_pool2d(x, 4))],
    "gamma_pool2d": lambda x: [("scale, x 20", 20 * fastpool.gamma_pool2d(x, 4))],
    "weibull_pool2d": simply("weibull_pool2d", 4, beside_mean=True),
    "any_pool2d": masked("any_pool2d"),
    "all_pool2d": masked("all_pool2d"),
    "median_pool2d": simply("median_pool2d", 4, beside_mean=True),
    "quantile_pool2d": simply("quantile_pool2d", 0.9, 4, beside_mean=True),
    "rank_pool2d": simply("rank_pool2d", 3, 4, beside_mean=True),
    "mode_pool2d": lambda x: [("of 8 levels", fastpool.mode_pool2d((x * 7.99).astype(np.uint8), 4) / 7.0)],
    "blur_pool2d": simply("blur_pool2d", 7, 4, beside_mean=True),
    "max_blur_pool2d": simply("max_blur_pool2d", 4, 4, beside_mean=True),
    "wavelet_pool2d": wavelet,
    "lenet_pool2d": lenet,
    "adaptive_avg_pool2d": lambda x: [("13 x 13 bins", fastpool.adaptive_avg_pool2d(x, 13))],
    "adaptive_max_pool2d": lambda x: [("13 x 13 bins", first(fastpool.adaptive_max_pool2d(x, 13)))],
    "pyramid": levels,
    "sppf_pool2d": lambda x: [("the last of three", fastpool.sppf_pool2d(x, 5, 3)[-3:])],
    "roi_pool": region("roi_pool"),
    "roi_align": region("roi_align"),
    "max_unpool2d": put_back("max_pool2d", "max_unpool2d", 4),
    "avg_unpool2d": put_back("avg_pool2d", "avg_unpool2d", 8, 64),
    "sum_unpool2d": put_back("avg_pool2d", "sum_unpool2d", 8),
    "upsample_nearest2d": lambda x: [
        ("a 36 x 36 picture, 4 times", fastpool.upsample_nearest2d(x[:, ::4, ::4].copy(), 4))
    ],
    "vlad_pool": vlad,
    "netvlad_pool": netvlad,
    "mop_pool": mop,
}
"""How a picture of an operation is made, by the name of its function: panels, each words and (3, h, w) from 0 to 1."""


def names():
    """Functions of this fastpool that have a picture, in the page's order."""
    return [name for name in CALLS if hasattr(fastpool, name)]


def row_of(name):
    """The row of a function in the table of operations, or None for those of windows."""
    return next((row for row in operations.OPERATIONS if name in row.functions), None)


def line(name):
    """What the page says of a function: title, definition and source, or the first line of its docstring."""
    row = row_of(name)
    if row is None:
        return getattr(fastpool, name).__doc__.strip().partition("\n")[0]
    return f"{row.title[0].upper()}{row.title[1:]}: `{row.definition}` ({row.source})."


def page():
    """The page, from the table and the pictures that there are."""
    shown = [name for name in names() if (PICTURES / f"{name}.png").exists()]
    parts = [f"### {name}\n\n{line(name)}\n\n![{name}](gallery/{name}.png)\n" for name in shown]
    without = [row for row in operations.OPERATIONS if not set(row.functions) & set(shown)]
    missing = "\n".join(f"- {row.title}: `{row.functions[0]}`" for row in without)
    rest = f"\n## Without a picture\n\n{missing}\n" if without else ""
    return f"""# Gallery

<!-- Written by docs/gallery.py; the words are those of fastpool/family/operations.py. -->

What the operations make of one photograph, 144 x 144 pixels of scikit-image's astronaut, enlarged without smoothing.
Windows are 4 x 4 where nothing else is said. Where a difference from the mean is shown, grey is none.

![the photograph](gallery/photograph.png)

{chr(10).join(parts)}{rest}"""


def save(path, panels):
    """Write panels side by side, with their words below, as a small file."""
    from PIL import Image, ImageDraw, ImageFont

    words = 24 if any(text for text, _ in panels) else 0
    tiles = []
    for text, values in panels:
        pixels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        height, width = pixels.shape[:2]
        # whole pixels become squares of equal size where that is possible
        scale = SIDE / max(height, width)
        scale = round(scale) if scale > 3 and abs(round(scale) - scale) < 0.25 else scale
        size = max(1, round(width * scale)), max(1, round(height * scale))
        tiles.append((text, Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)))
    font = ImageFont.load_default(15)
    height = max(tile.height for _, tile in tiles) + words
    columns = [max(tile.width, round(font.getlength(text))) for text, tile in tiles]
    sheet = Image.new("RGB", (sum(columns) + GAP * (len(tiles) - 1), height), "white")
    draw, at = ImageDraw.Draw(sheet), 0
    for (text, tile), width in zip(tiles, columns, strict=True):
        sheet.paste(tile, (at, 0))
        draw.text((at, height - 20), text, "#333333", font)
        at += width + GAP
    for colors in (256, 128, 64, 32):
        sheet.quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return


def main(asked):
    """Write pictures and page; returns the exit code."""
    PICTURES.mkdir(exist_ok=True)
    x = photograph()
    save(PICTURES / "photograph.png", [("", x)])
    failed = False
    for name in asked or names():
        try:
            save(PICTURES / f"{name}.png", CALLS[name](x.copy()))
        except Exception as error:
            failed = True
            print(f"{name} is left out: {error!r}", file=sys.stderr)
    (DOCS / "gallery.md").write_text(page(), encoding="utf-8")
    files = list(PICTURES.glob("*.png"))
    size = sum(path.stat().st_size for path in files)
    print(f"docs/gallery.md and {len(files)} pictures written, {size / 1000:.0f} kB")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
