"""Pooling layers of well-known networks, images, rasters and sound, through the public functions.

A parameter is a name in the table of ``fastpool.bench.networks``. A case whose problem changes gets another name, so
that a graph shows one problem.
"""

from benchmarks.calls import CASES, LAYOUTS, Checked, text_in
from fastpool.problem import Problem

FORWARD = (
    "resnet stem",
    "resnet stem, taps",
    "resnet stem, float16",
    "vgg 1",
    "sppf",
    "inception mean",
    "densenet transition",
    "global mean",
    "unet 3d",
)
BACKWARD = (
    "resnet stem, gradient",
    "vgg 1, gradient",
    "inception mean, gradient",
    "densenet transition, gradient",
    "unet 3d, gradient",
)
IMAGES = (
    "image half",
    "image half, uint8",
    "image half, mean",
    "image dilation",
    "photograph",
    "raster with gaps",
    "audio m5",
)
DTYPES = ("f16", "bf16", "f32", "f64", "i8", "u8", "i16", "i32", "i64")


class Forward(Checked):
    """Layers of networks in both layouts, their result allocated beforehand."""

    params = (FORWARD, LAYOUTS)
    param_names = ("layer", "layout")
    text = staticmethod(text_in)

    def time_pool(self, layer, layout):
        self.prepared.call()


class Backward(Checked):
    """Gradients of layers in both layouts, from indices by tap for max, from the shape for means."""

    params = (BACKWARD, LAYOUTS)
    param_names = ("layer", "layout")
    text = staticmethod(text_in)

    def time_gradient(self, layer, layout):
        self.prepared.call()


class Images(Checked):
    """Images, rasters and sound."""

    params = (IMAGES,)
    param_names = ("case",)
    text = staticmethod(CASES.get)

    def time_pool(self, case):
        self.prepared.call()


class ElementTypes(Checked):
    """Two layers in the element types that a network or an image may have."""

    params = (("resnet stem", "inception mean"), LAYOUTS, DTYPES)
    param_names = ("layer", "layout", "dtype")

    def text(self, layer, layout, dtype):
        return str(Problem.parse(text_in(layer, layout))._replace(dtype=dtype))

    def time_pool(self, layer, layout, dtype):
        self.prepared.call()


class Table(Checked):
    """Every case of the table."""

    params = (tuple(CASES),)
    param_names = ("case",)
    text = staticmethod(CASES.get)

    def time_call(self, case):
        self.prepared.call()
