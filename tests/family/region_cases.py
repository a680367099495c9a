"""Random problems of regions of interest, and onnxruntime as their peer."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest


class Case(NamedTuple):
    x: np.ndarray
    boxes: np.ndarray
    images: np.ndarray
    bins: tuple[int, int]
    scale: float

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.boxes, self.images, self.bins, self.scale


def case(rng: np.random.Generator, dtype: str = "float32", box: str | None = None, most: int = 24) -> Case:
    """A problem: boxes inside of the image, across its edges and outside; some of no length, some on whole numbers."""
    n, c, h, w = (int(rng.integers(1, top)) for top in (4, most, most, most))
    x = rng.standard_normal((n, c, h, w)).astype(dtype)
    scale = float(rng.choice([1.0, 0.5, 0.25, 0.0625]))
    k = int(rng.integers(1, 12))
    reach = np.array([w, h, w, h]) / scale
    corners = rng.uniform(-0.4, 1.4, (k, 4)) * reach
    if rng.random() < 0.3:
        corners = np.round(corners)
    if rng.random() < 0.2:
        corners[:, 2:] = corners[:, :2]
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    bins = int(rng.integers(1, 8)), int(rng.integers(1, 8))
    box = box or ("float64" if dtype == "float64" else "float32")
    return Case(x, boxes.astype(box), rng.integers(0, n, k), bins, scale)


@functools.cache
def session(op: str, dtype: str, opset: int, attributes: tuple[tuple[str, Any], ...]) -> Any:
    """A session of onnxruntime with one node, whose inputs are a, b and, for RoiAlign, c."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    inputs = ["a", "b", "c"] if op == "RoiAlign" else ["a", "b"]
    kind = {"float16": onnx.TensorProto.FLOAT16, "float32": onnx.TensorProto.FLOAT, "float64": onnx.TensorProto.DOUBLE}
    kinds = {"a": kind[dtype], "b": kind[dtype], "c": onnx.TensorProto.INT64}
    info = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(op, inputs, ["y"], **dict(attributes))
    given = [info(name, kinds[name], None) for name in inputs]
    graph = onnx.helper.make_graph([node], "graph", given, [info("y", kind[dtype], None)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_align(problem: Case, ratio: int, aligned: bool, mode: str) -> np.ndarray:
    """RoiAlign of opset 16."""
    attributes = (
        ("output_height", problem.bins[0]),
        ("output_width", problem.bins[1]),
        ("spatial_scale", problem.scale),
        ("sampling_ratio", ratio),
        ("mode", mode),
        ("coordinate_transformation_mode", "half_pixel" if aligned else "output_half_pixel"),
    )
    run = session("RoiAlign", str(problem.x.dtype), 16, attributes).run
    return run(None, {"a": problem.x, "b": problem.boxes, "c": problem.images.astype(np.int64)})[0]


def onnx_pool(problem: Case) -> np.ndarray:
    """MaxRoiPool of opset 16."""
    attributes = ("pooled_shape", problem.bins), ("spatial_scale", problem.scale)
    run = session("MaxRoiPool", "float32", 16, attributes).run
    rois = np.concatenate([problem.images[:, None], problem.boxes], 1).astype(np.float32)
    return run(None, {"a": problem.x, "b": rois})[0]
