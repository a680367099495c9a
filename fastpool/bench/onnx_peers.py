"""The same problem as an ONNX model of one node, run by ONNX Runtime or OpenVINO; channels first, which both want."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastpool
from fastpool.bench.data import Array, Prepared, inputs
from fastpool.bench.planes import Planes, is_global, need, need_plain, sizes
from fastpool.problem import Problem

NODES = {"max": "MaxPool", "mean": "AveragePool"}
OPSET, IR = 13, 8
"""What the model is written for: old enough for every version of either."""


class _Model:
    """A model, its input, room for its result, and how that is read."""

    def __init__(self, problem: Problem) -> None:
        from onnx import helper

        need_plain(problem)
        need(problem.direction == "fwd", "has no gradient")
        need(not problem.indices, "has indices of another kind")
        need(problem.op in NODES, f"has no {problem.op} pooling that computes the same")
        planes = Planes.of(problem)
        self.x = np.ascontiguousarray(planes.view(inputs(problem).x, sizes(problem)))
        self.y: Array = np.empty((planes.batch, planes.channels, *problem.outputs), self.x.dtype)
        self.planes = planes
        self.problem = problem
        kind = helper.np_dtype_to_tensor_dtype(self.x.dtype)
        graph = helper.make_graph(
            [_node(problem)],
            "pooling",
            [helper.make_tensor_value_info("x", kind, self.x.shape)],
            [helper.make_tensor_value_info("y", kind, self.y.shape)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        self.text = model.SerializeToString()

    def results(self, y: Array) -> tuple[Array, ...]:
        return (self.planes.back(y, self.problem.out_shape),)


def _node(problem: Problem) -> Any:
    from onnx import helper

    if is_global(problem) and problem.op == "mean":
        return helper.make_node("GlobalAveragePool", ["x"], ["y"])
    options: dict[str, Any] = {
        "kernel_shape": problem.kernel,
        "strides": problem.stride,
        "pads": problem.pad_begin + problem.pad_end,
        "ceil_mode": int(problem.ceil),
    }
    if problem.op == "max":
        options["dilations"] = problem.dilation
    else:
        need(set(problem.dilation) == {1}, "has no dilation in means")
        options["count_include_pad"] = int(problem.include_pad)
    return helper.make_node(NODES[problem.op], ["x"], ["y"], **options)


def prepare_onnxruntime(problem: Problem) -> Prepared:
    """ONNX Runtime's call, its input and its result bound beforehand.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    Unsupported
        If ONNX has no such pooling.
    """
    import onnxruntime

    need(problem.op == "max" or problem.dtype in ("f16", "f32"), "has means of float16 and float32 alone")
    model = _Model(problem)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = fastpool.get_num_threads()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.text, options, providers=["CPUExecutionProvider"])
    y = onnxruntime.OrtValue.ortvalue_from_numpy(model.y)
    binding = session.io_binding()
    binding.bind_cpu_input("x", model.x)
    binding.bind_ortvalue_output("y", y)

    def call() -> object:
        return session.run_with_iobinding(binding)

    call()
    return Prepared(call, model.results(y.numpy()))


def prepare_openvino(problem: Problem) -> Prepared:
    """OpenVINO's call, on the memory of the arrays themselves.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    Unsupported
        If ONNX has no such pooling.
    """
    import openvino

    model = _Model(problem)
    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": fastpool.get_num_threads()}
    if problem.dtype == "f32":
        # else it may compute in bfloat16
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    request = core.compile_model(core.read_model(model.text, b""), "CPU", settings).create_infer_request()
    x, y = openvino.Tensor(model.x, shared_memory=True), openvino.Tensor(model.y, shared_memory=True)
    request.set_input_tensor(x)
    request.set_output_tensor(y)

    def call() -> object:
        # the request does not keep the arrays alive
        return request.infer(), x, y

    call()
    return Prepared(call, model.results(model.y))
