"""A mipmap pyramid: an image halved again and again, each level the 2 x 2 average of the one before it."""

import numpy as np

import fastpool


def pyramid(image):
    """All levels of an image (height, width, channels), from the image itself to 1 x 1."""
    levels = [image]
    while max(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        window = (min(height, 2), min(width, 2))
        # ceil_mode keeps the last row and column of an odd size; they are averaged on their own
        levels.append(fastpool.pool(levels[-1], window, "mean", axes=(0, 1), ceil_mode=True))
    return levels


def main():
    rows, columns = np.mgrid[:300, :200]
    circle = (rows - 150) ** 2 + (columns - 100) ** 2 < 80**2
    image = np.where(circle[..., None], [230, 120, 40], [30, 60, 120]).astype(np.uint8)
    levels = pyramid(image)
    for number, level in enumerate(levels):
        height, width = level.shape[:2]
        print(f"level {number}: {height:3} x {width:3}, mean {level.mean(axis=(0, 1)).round(1)}")
    return levels


if __name__ == "__main__":
    main()
