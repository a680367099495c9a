"""The other libraries: which there are, which of them are installed, and how each one is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import NamedTuple

from fastpool.bench.data import Prepared
from fastpool.bench.planes import Unsupported
from fastpool.problem import Problem

__all__ = ["DEFAULT", "FAMILY", "OTHERS", "PEERS", "Peer", "Unsupported", "chosen", "installed", "versions"]


class Peer(NamedTuple):
    """One way to ask another library.

    Attributes
    ----------
    packages : dict of str
        The distributions that it needs, by the modules that they bring; the first one is the peer itself, and without
        any it is fastpool in another way.
    module, function : str
        What prepares a problem for it.
    options : dict of bool
        Arguments of that function.
    """

    packages: dict[str, str]
    module: str
    function: str = "prepare"
    options: dict[str, bool] = {}  # noqa: RUF012

    def prepare(self, problem: Problem) -> Prepared:
        """Its call for a problem, and what that computes.

        Raises
        ------
        Unsupported
            If it cannot do the problem.
        """
        function: Callable[[Problem], Prepared] = getattr(import_module(f"fastpool.bench.{self.module}"), self.function)
        return partial(function, **self.options)(problem)


_TORCH = {"torch": "torch"}

PEERS = {
    "torch": Peer(_TORCH, "torch_peer"),
    "torch-other": Peer(_TORCH, "torch_peer", options={"other": True}),
    "torch.compile": Peer(_TORCH, "torch_peer", options={"compiled": True}),
    "onnxruntime": Peer({"onnxruntime": "onnxruntime", "onnx": "onnx"}, "onnx_peers", "prepare_onnxruntime"),
    "openvino": Peer({"openvino": "openvino", "onnx": "onnx"}, "onnx_peers", "prepare_openvino"),
    "jax": Peer({"jax": "jax", "jaxlib": "jaxlib"}, "jax_peer"),
    "skimage": Peer({"skimage": "scikit-image"}, "filter_peers", "prepare_skimage"),
    "scipy": Peer({"scipy": "scipy"}, "filter_peers", "prepare_scipy"),
    "numpy": Peer({"numpy": "numpy"}, "family", "prepare_none"),
    "built-in": Peer({}, "family", "prepare_none"),
    "serial": Peer({}, "data", "prepare_serial"),
}
"""By name, the most alike first; ``torch-other`` is torch on the other memory format of the same data, ``serial``
fastpool itself, for how far more threads are ahead of one. ``numpy``, a loop around NumPy, and ``built-in``, fastpool's
own reduction beside a user's of the same definition, have cases of the set "family" alone."""

FAMILY = ("torch", "onnxruntime", "scipy", "numpy", "built-in")
"""The peers of the set "family"."""

OTHERS = tuple(name for name, peer in PEERS.items() if peer.packages and name != "numpy")

DEFAULT = tuple(name for name in OTHERS if name != "torch.compile")
"""The peers of a short run; ``torch.compile`` takes seconds for each case before it can be timed."""


def installed(names: Iterable[str] = PEERS) -> list[str]:
    """Those of the named peers that are installed."""
    return [name for name in names if all(find_spec(module) is not None for module in PEERS[name].packages)]


def versions() -> dict[str, str]:
    """Versions of what the peers are made of, by distribution, as far as they are installed."""
    found = {}
    for package in {package: None for peer in PEERS.values() for package in peer.packages.values()}:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def chosen(text: str) -> list[str]:
    """The peers that a word of the command line means.

    Parameters
    ----------
    text : str
        Names between commas, ``"none"``, ``"default"`` (those installed, without ``torch.compile``), or ``"all"``.

    Raises
    ------
    ValueError
        If a name is unknown.
    ModuleNotFoundError
        If a peer that is named is not installed.

    Examples
    --------
    >>> chosen("none")
    []
    """
    if text in ("none", ""):
        return []
    if text in ("default", "all"):
        return installed(DEFAULT if text == "default" else OTHERS)
    names = list(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ValueError(
            f"bench: peers={text!r}: {unknown[0]!r} is none of {', '.join(PEERS)}; "
            "or say none, default or all instead of names"
        )
    for name in names:
        if not installed([name]):
            needed = " ".join(PEERS[name].packages.values())
            raise ModuleNotFoundError(
                f"bench: peers={text!r}: {name} is not installed; "
                f"install it with: pip install {needed}, or leave it out"
            )
    return names
