"""A photograph pooled in several ways: timed, checked against other libraries, and drawn on one sheet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NEEDED = {"skimage": "scikit-image", "scipy": "SciPy", "PIL": "Pillow"}


def run(image: Path | None, output: Path) -> bool:
    """Pool an image, print a table of times, and write the sheet.

    Parameters
    ----------
    image : Path, optional
        An 8-bit image file; a photograph that scikit-image carries if left out.
    output : Path
        Where the sheet goes; the suffix chooses the format.

    Returns
    -------
    bool
        Whether all results agree with those of the other libraries.

    Raises
    ------
    ModuleNotFoundError
        If a library of the ``demo`` extra is missing.
    ValueError
        If the image is not an 8-bit one or too small to be pooled, or the sheet's suffix is not an image's.
    OSError
        If the image cannot be read or the sheet cannot be written.
    """
    missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ModuleNotFoundError(
            f"{', '.join(missing)} not found: the demo compares with other libraries; "
            'install them with: pip install "fastpool[demo]"'
        )
    from fastpool.demo import cases, sheet

    sheet.check(output)
    name, pixels = cases.photograph(image)
    measured = cases.measure_all(name, pixels)
    width, height = sheet.write(output, name, measured)
    print(f"sheet: {output} ({width} x {height} pixels)")
    return all(result.agrees for _, results in measured for result in results)
