"""Types of the public functions' arguments, and the signature of those that may return indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, SupportsIndex, TypeAlias, TypeVar, cast, overload

from fastpool.own import Reduction

A = TypeVar("A")
"""The caller's kind of array."""

Shape: TypeAlias = tuple[int, ...]
Sizes: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
Pair: TypeAlias = tuple[SupportsIndex, SupportsIndex]
Padding: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | Sequence[Pair] | Literal["valid", "same", "same_lower"]
IndexKind: TypeAlias = Literal["plane", "tensor", "tap"]
Indices: TypeAlias = Literal[True, "plane", "tensor", "tap"]
NanRule: TypeAlias = Literal["propagate", "ignore"]
Device: TypeAlias = str | None
Op: TypeAlias = Literal["max", "min", "mean", "sum", "lp"] | Reduction | type[Any]
"""Type checkers take a decorated class for the class that it was; at run time it is a Reduction."""

Words: TypeAlias = Literal["channels_first", "channels_last"]
Letters1d: TypeAlias = Literal["NCL", "NLC", "NL", "CL", "LC", "L", "NCW", "NWC", "NW", "CW", "WC", "W"]
Letters2d: TypeAlias = Literal["NCHW", "NHWC", "NHW", "CHW", "HWC", "HW"]
Letters3d: TypeAlias = Literal["NCDHW", "NDHWC", "NDHW", "CDHW", "DHWC", "DHW"]
Layout: TypeAlias = Words | Letters1d | Letters2d | Letters3d


class SelectingPool(Protocol):
    """Pooling that selects a tap, and so may return its index: with indices the result is a pair."""

    __name__: str

    @overload
    def __call__(
        self,
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: Literal[False] = False,
        *,
        layout: Layout = "channels_first",
        out: A | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> A: ...
    @overload
    def __call__(
        self,
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        *,
        return_indices: Indices,
        layout: Layout = "channels_first",
        out: tuple[A, A] | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> tuple[A, A]: ...
    @overload
    def __call__(
        self,
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None,
        padding: Padding,
        dilation: Sizes,
        ceil_mode: bool,
        return_indices: Indices,
        *,
        layout: Layout = "channels_first",
        out: tuple[A, A] | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> tuple[A, A]: ...
    @overload
    def __call__(
        self,
        x: A,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Padding = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool | IndexKind = False,
        *,
        layout: Layout = "channels_first",
        out: A | tuple[A, A] | None = None,
        nan: NanRule = "propagate",
        device: Device = None,
    ) -> A | tuple[A, A]: ...


def selecting(function: Callable[..., Any]) -> SelectingPool:
    """Give a function the signature of SelectingPool for type checkers; it stays as it is."""
    return cast(SelectingPool, function)
