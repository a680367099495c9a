"""Regions of interest beside ONNX Runtime and a loop around NumPy; medians beside SciPy and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastpool
from fastpool.bench.data import Array, Prepared, values
from fastpool.bench.family import Case, Results
from fastpool.bench.family_torch import ours, units
from fastpool.bench.onnx_peers import IR
from fastpool.problem import Ints

FEW = 6
"""Regions that are looked at for errors, and that the loop around NumPy pools: all of them would take minutes."""

Regions = tuple[Array, Array]


def _regions(count: int, height: int, width: int, scale: float) -> Regions:
    """Boxes of many sizes on one image, and the image's number for each."""
    rng = np.random.default_rng(11)
    size = rng.uniform(0.03, 0.7, (count, 2)) * (width, height)
    corner = rng.uniform(0, 1, (count, 2)) * ((width, height) - size)
    boxes = np.concatenate([corner, corner + size], 1) / scale
    return boxes.astype(np.float32), np.zeros(count, np.int64)


def _in_onnxruntime(node: str, opset: int, arrays: dict[str, Array], **options: Any) -> Prepared:
    import onnxruntime
    from onnx import helper

    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in arrays.items()}
    given = [helper.make_tensor_value_info(name, kinds[name], array.shape) for name, array in arrays.items()]
    y = helper.make_tensor_value_info("y", kinds["x"], None)
    graph = helper.make_graph([helper.make_node(node, list(arrays), ["y"], **options)], "regions", given, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = fastpool.get_num_threads()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output("y")

    def call() -> Any:
        return session.run_with_iobinding(binding)

    call()
    return Prepared(call, (binding.copy_outputs_to_cpu()[0],))


def _aligned(x: Array, boxes: Array, output: int, ratio: int, scale: float) -> Array:
    """RoI align by loops over bins and samples, all channels at a time; places are found in float32, as boxes are."""
    height, width = x.shape[2:]
    y = np.zeros((len(boxes), x.shape[1], output, output), x.dtype)
    for number, box in enumerate(boxes):
        x1, y1, x2, y2 = (v * np.float32(scale) - np.float32(0.5) for v in box)
        steps = ((y2 - y1) / np.float32(output), (x2 - x1) / np.float32(output))
        counts = [ratio or int(np.ceil(step)) for step in steps]
        for i in range(output):
            for j in range(output):
                for u in range(counts[0]):
                    for v in range(counts[1]):
                        # in the order of the ONNX operator's own definition
                        at = y1 + i * steps[0] + np.float32(u + 0.5) * steps[0] / np.float32(counts[0])
                        to = x1 + j * steps[1] + np.float32(v + 0.5) * steps[1] / np.float32(counts[1])
                        y[number, :, i, j] += _bilinear(x[0], at, to, height, width)
                y[number, :, i, j] /= counts[0] * counts[1]
    return y


def _bilinear(x: Array, at: float, to: float, height: int, width: int) -> Any:
    if not (-1 <= at <= height and -1 <= to <= width):
        return 0.0
    at, to = max(at, 0.0), max(to, 0.0)
    top, left = min(int(at), height - 1), min(int(to), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    a, b = (at - top if bottom > top else 0.0), (to - left if right > left else 0.0)
    upper = x[:, top, left] * (1 - b) + x[:, top, right] * b
    lower = x[:, bottom, left] * (1 - b) + x[:, bottom, right] * b
    return upper * (1 - a) + lower * a


def _roi_align(shape: Ints, count: int, output: int, ratio: int, last: bool = False) -> Case:
    x, scale = values("f32", shape), 0.25
    boxes, batch = _regions(count, shape[2], shape[3], scale)
    options = {"spatial_scale": scale, "sampling_ratio": ratio}

    def call() -> Prepared:
        given = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x
        layout = "channels_last" if last else "channels_first"
        return ours(fastpool.roi_align, given, boxes, batch, output, **options, layout=layout)

    def in_numpy() -> Prepared:
        # as long as it takes for all of them, by a part
        def part() -> Array:
            return _aligned(x, boxes[:FEW], output, ratio, scale)

        return Prepared(lambda: [part() for _ in range(-(-count // FEW))], ())

    def error(results: Results) -> float:
        found = np.moveaxis(results[0], -1, 1) if last and results[0].shape[-1] == shape[1] else results[0]
        return units(found[:FEW], _aligned(x.astype(np.float64), boxes[:FEW], output, ratio, scale))

    size = {"output_height": output, "output_width": output}
    arrays = {"x": x, "boxes": boxes, "batch": batch}
    peers: dict[str, Callable[[], Prepared]] = {
        "onnxruntime": lambda: _in_onnxruntime("RoiAlign", 16, arrays, **size, **options, mode="avg"),
    }
    if count <= 60:
        peers["numpy"] = in_numpy
    # four products for each sample, and a sum over samples
    return Case(x.nbytes + count * shape[1] * output**2 * 4, {"fastpool": call, **peers}, error, 8.0)


def _roi_pool(shape: Ints, count: int, output: int) -> Case:
    x, scale = values("f32", shape), 0.0625
    boxes, batch = _regions(count, shape[2], shape[3], scale)
    rois = np.concatenate([batch[:, None].astype(np.float32), boxes], 1)

    def pooled(regions: Array) -> Array:
        y = np.zeros((len(regions), shape[1], output, output), np.float32)
        for number, box in enumerate(regions):
            x1, y1, x2, y2 = (int(np.floor(float(v) * scale + 0.5)) for v in box)
            height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
            for i in range(output):
                for j in range(output):
                    rows = slice(max(y1 + i * height // output, 0), min(y1 + -(-(i + 1) * height // output), shape[2]))
                    columns = slice(max(x1 + j * width // output, 0), min(x1 + -(-(j + 1) * width // output), shape[3]))
                    part = x[0, :, rows, columns]
                    if part.size:
                        y[number, :, i, j] = part.max((1, 2))
        return y

    def error(results: Results) -> float:
        return units(results[0][:FEW], pooled(boxes[:FEW]))

    return Case(
        x.nbytes + count * shape[1] * output**2 * 4,
        {
            "fastpool": lambda: ours(fastpool.roi_pool, x, boxes, batch, output, spatial_scale=scale),
            "onnxruntime": lambda: _in_onnxruntime(
                "MaxRoiPool", 16, {"x": x, "rois": rois}, pooled_shape=[output, output], spatial_scale=scale
            ),
            "numpy": lambda: Prepared(lambda: pooled(boxes), (pooled(boxes),)),
        },
        error,
    )


def _median(dtype: str, size: int, kernel: int) -> Case:
    x = values(dtype, (size, size))

    def in_scipy() -> Prepared:
        from scipy import ndimage

        y = np.empty_like(x)
        inner = slice(kernel // 2, -(kernel // 2))

        def call() -> Any:
            return ndimage.median_filter(x, kernel, output=y)

        call()
        return Prepared(call, (y[inner, inner],))

    def error(results: Results) -> float:
        found = results[0]
        windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel))[:64]
        # what lies on the padding has another rule
        edge = (found.shape[0] - (size - kernel + 1)) // 2
        inner = found[edge : edge + 64, edge : edge + windows.shape[1]]
        return 0.0 if np.array_equal(inner, np.median(windows, (-2, -1)).astype(x.dtype)) else float("inf")

    return Case(
        2 * x.nbytes,
        {"fastpool": lambda: ours(fastpool.median_pool2d, x, kernel, 1, kernel // 2), "scipy": in_scipy},
        error,
    )


def _median_of_blocks(shape: Ints, kernel: int) -> Case:
    x = values("f32", shape)
    small = tuple(n // kernel for n in shape)

    def in_numpy() -> Prepared:
        blocks = x.reshape(small[0], kernel, small[1], kernel)
        return Prepared(lambda: np.median(blocks, (1, 3)), (np.median(blocks, (1, 3)),))

    def error(results: Results) -> float:
        blocks = x.astype(np.float64).reshape(small[0], kernel, small[1], kernel)
        return units(results[0], np.median(blocks, (1, 3)))

    return Case(
        x.nbytes * 5 // 4,
        {"fastpool": lambda: ours(fastpool.median_pool2d, x, kernel), "numpy": in_numpy},
        error,
        1.0,
    )


_RESNET = (1, 256, 100, 136)

CASES: dict[str, Callable[[], Case]] = {
    "roi align 7": lambda: _roi_align(_RESNET, 300, 7, 2),
    "roi align 7, last": lambda: _roi_align(_RESNET, 300, 7, 2, True),
    "roi align 7, any sampling": lambda: _roi_align(_RESNET, 300, 7, 0),
    "roi align 14": lambda: _roi_align(_RESNET, 100, 14, 2),
    "roi align 7, 30 regions": lambda: _roi_align(_RESNET, 30, 7, 2),
    "roi pool 7": lambda: _roi_pool((1, 512, 38, 63), 300, 7),
    "median 3x3": lambda: _median("f32", 2048, 3),
    "median 3x3, uint8": lambda: _median("u8", 2048, 3),
    "median 5x5": lambda: _median("f32", 1024, 5),
    "median of blocks 2x2": lambda: _median_of_blocks((2048, 2048), 2),
}
