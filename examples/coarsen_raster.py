"""A raster with missing values made coarser: means, maxima and their places, over the values there are."""

import numpy as np

import fastpool


def main():
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:720, :1440]
    temperature = 15 + 20 * np.cos(np.pi * (rows / 720 - 0.5)) + rng.normal(0, 2, rows.shape)
    temperature[np.hypot(rows - 300, columns - 700) < 200] = np.nan
    temperature = temperature.astype(np.float32)

    factor = (24, 36)
    mean = fastpool.pool(temperature, factor, "mean", nan="ignore")
    warmest, place = fastpool.pool(temperature, factor, "max", nan="ignore", return_indices=True)
    # a cell without any value is NaN, and the place of its maximum is -1
    empty = place == -1
    strict = fastpool.pool(temperature, factor, "mean")
    print(f"raster {temperature.shape}, {np.isnan(temperature).sum()} values missing")
    print(f"coarse {mean.shape}: {empty.sum()} cells without a value, {np.isnan(strict).sum()} with a gap")
    row, column = divmod(place.ravel()[np.nanargmax(warmest)], temperature.shape[1])
    print(f"warmest: {np.nanmax(warmest):.2f} at row {row}, column {column}")
    return temperature, mean, warmest, place


if __name__ == "__main__":
    main()
