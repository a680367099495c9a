"""Stars in frames of a telescope: a user's own compiled loop over frames, with pooling inside it.

``find`` is compiled once and kept on disk: the next process that runs this program starts at once.
"""

import numpy as np
from numba import njit, prange

import fastpool


@njit(parallel=True, cache=True)
def find(frames, reach, threshold):
    """How many stars each frame has, and where the brightest of them is, as row and column.

    A star is the brightest pixel within ``reach`` of it, and brighter than the sky around it by ``threshold``.
    """
    counts = np.zeros(frames.shape[0], np.int64)
    places = np.zeros((frames.shape[0], 2), np.int64)
    for i in prange(frames.shape[0]):
        frame = frames[i]
        # the sky: the mean of the darkest pixels near each pixel
        dark = fastpool.min_pool2d(frame, 5, stride=1, padding="same")
        sky = fastpool.avg_pool2d(dark, 15, stride=1, padding=7, count_include_pad=False)
        above = frame - sky
        peaks = fastpool.max_pool2d(above, 2 * reach + 1, stride=1, padding=reach)
        best = np.float32(-np.inf)
        for row in range(frame.shape[0]):
            for column in range(frame.shape[1]):
                value = above[row, column]
                if value > threshold and value == peaks[row, column]:
                    counts[i] += 1
                    if value > best:
                        best = value
                        places[i, 0], places[i, 1] = row, column
    return counts, places


def sky_with_stars(frames=6, size=200, stars=40):
    """Frames with a bright horizon, noise and stars, of which frame ``i`` lacks the last ``i``; and where they are."""
    rng = np.random.default_rng(8)
    # apart from each other, and from the border
    cells = rng.permutation(((size - 20) // 20) ** 2)[:stars]
    places = 15 + 20 * np.stack(np.divmod(cells, (size - 20) // 20), axis=1) + rng.integers(0, 6, (stars, 2))
    light = rng.uniform(20, 60, stars)
    rows = np.arange(size, dtype=np.float32)[:, None]
    result = np.empty((frames, size, size), np.float32)
    for i in range(frames):
        result[i] = 30 + rows / 10 + rng.normal(0, 1, (size, size))
        for place, brightness in list(zip(places, light, strict=True))[: stars - i]:
            result[i][tuple(place)] += brightness
    return result, places, light


def main():
    frames, places, light = sky_with_stars()
    counts, brightest = find(frames, 4, 12.0)
    for number, (count, place) in enumerate(zip(counts, brightest, strict=True)):
        print(f"frame {number}: {count} stars, the brightest at row {place[0]}, column {place[1]}")
    return counts, brightest, places, light


if __name__ == "__main__":
    main()
