"""The code of a public function inside ``@njit``: a few lines that fill in a spec and call by a symbol.

The lines are written for the types of one call, so that they hold no branch on what was given. They are::

    spec, words = a block of int64 on the stack, the same as int32
    words[..] = what is pooled                     constants
    spec[..] = sizes, strides, the window          from the arguments, checked on the way
    status = shape_of(spec, shape)
    y = an array of that shape, or the caller's
    status = run(spec, x, dy, indices, result)

Whatever the types alone tell is refused when the call is compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import as_dtype

from fastpool import arguments, host_arrays, measuring, own
from fastpool.axes import pooled_axes
from fastpool.errors import axes_text, type_error, value_error
from fastpool.njit import record, twins
from fastpool.njit.given import (
    constant,
    entries,
    is_array,
    is_flag,
    is_integer,
    is_none,
    is_number,
    types,
    value,
)
from fastpool.njit.lines import ERRORS, Lines, failing
from fastpool.njit.record import CURRENT
from fastpool.njit.reductions import ReductionType
from fastpool.njit.twins import INTERRUPTED, NUMBERED
from fastpool.problem import INDEX_KINDS, NAN_RULES, OPS, Problem


class Call:
    """One call: its types, and the lines that do it."""

    def __init__(self, called: str, given: dict[str, Any], helpers: dict[str, Any]) -> None:
        self.called = called
        self.given = given
        self.backward = called.endswith("_backward")
        self.lines = Lines(called, tuple(given))
        self.lines.names |= helpers
        word, self.place = arguments.operation(called)
        self.own = given["op"] if isinstance(given.get("op"), ReductionType) else None
        self.op = word or (self.own.key_of if self.own else self._word("op", OPS))
        self.source_name = next(name for name in ("x", "x_or_shape") if name in given)
        self.grad: Any = self._array("grad_output") if self.backward else None
        shape = entries(given[self.source_name]) if self.source_name == "x_or_shape" else None
        self.x: Any = None
        if shape is None:
            self.x = self._array(self.source_name)
        else:
            self._check_sizes(shape)
        self.rank: int = self.x.ndim if shape is None else len(shape)
        self.dtype = self.dtype_of(self.source_name, self.x) if self.x is not None else self.dtype_of("x", self.grad)
        if not 1 <= self.rank <= record.MAX_RANK:
            rule = f"inside @njit arrays have from 1 to {record.MAX_RANK} axes"
            raise value_error(called, f"x with {axes_text(self.rank)}", rule, "index or reshape it first")
        self._check_device(constant(called, "device", given["device"]))
        self.nan = self._word("nan", NAN_RULES)
        if self.dtype[0] in "iu" or self.dtype == "b1":
            self.nan = "propagate"
        own.check_nan(called, self.op, self.nan, self.dtype)
        arguments.check_dtype(called, self.op, "bwd" if self.backward else "fwd", self.dtype)
        self.kind = self._kind()
        self.axes = self._axes()
        # for the rules that do not depend on sizes
        ones = (1,) * len(self.axes)
        self.problem = Problem(
            op=self.op,
            direction="bwd" if self.backward else "fwd",
            dtype=self.dtype,
            shape=(1,) * self.rank,
            axes=tuple(range(len(self.axes))),
            kernel=ones,
            stride=ones,
            pad_begin=ones,
            pad_end=ones,
            dilation=ones,
            indices=self.kind,
            nan=self.nan,
        )

    # ---- what was given ----

    def _word(self, name: str, known: tuple[str, ...]) -> str:
        return arguments.one_of(self.called, name, constant(self.called, name, self.given[name]), known)

    def _array(self, name: str) -> Any:
        found = self.given[name]
        if not is_array(found):
            raise type_error(self.called, f"{name} of type {found}", "it must be an array", "give a NumPy array")
        return found

    def dtype_of(self, name: str, array: Any) -> str:
        """The short name of an array's element type; an error if it is no array."""
        if not is_array(array):
            raise type_error(self.called, f"{name} of type {array}", "it must be an array", "give a NumPy array")
        try:
            kind = np.dtype(as_dtype(array.dtype))
        except (NotImplementedError, TypeError):
            kind = np.dtype(object)
        if kind not in host_arrays.SHORT or host_arrays.SHORT[kind] not in NUMBERED or kind == np.float16:
            rule = "inside @njit it must be bool, an integer, float32, float64 or complex"
            raise type_error(self.called, f"{name} of dtype {array.dtype}", rule, "convert it first")
        return host_arrays.SHORT[kind]

    def _check_device(self, device: object) -> None:
        if arguments.device(self.called, device) not in ("", "cpu"):
            rule = "inside @njit a call runs on the CPU"
            raise value_error(self.called, f"device={device!r}", rule, "leave it out, or make the call outside")

    def _check_sizes(self, shape: tuple[Any, ...]) -> None:
        if not all(map(is_integer, shape)):
            raise type_error(self.called, self.source_name, "every entry must be an integer", "convert it with int()")

    def _kind(self) -> str:
        if not self.backward:
            asked = constant(self.called, "return_indices", self.given.get("return_indices", False))
            kind = arguments.index_kind(self.called, "return_indices", asked)
        else:
            given = self.given.get("indices")
            kind = "" if is_none(given) else self._word("index_kind", INDEX_KINDS)
        if kind and self.op not in arguments.SELECTING:
            name = "indices" if self.backward else "return_indices"
            raise value_error(
                self.called, name, f"{own.shown(self.op)} selects no element", "leave it out; max and min have them"
            )
        return kind

    def _axes(self) -> tuple[str, ...]:
        """The pooled axes as they are written in the code."""
        if self.place != "window":
            layout = constant(self.called, "layout", self.given["layout"])
            return tuple(map(str, pooled_axes(self.called, self.place, layout, None, None, self.rank)))
        axes, window = self.given["axes"], entries(self.given["window"])
        if is_none(axes):
            count = self.rank if window is None else len(window)
            if not 1 <= count <= self.rank:
                rule = "the window must not have more entries than x has axes"
                raise value_error(
                    self.called, f"window of {count} on x with {axes_text(self.rank)}", rule, "shorten it"
                )
            return tuple(map(str, range(self.rank - count, self.rank)))
        found = entries(axes)
        if found is None and is_integer(axes):
            found, words = (axes,), ["axes"]
        elif found:
            words = [f"axes[{i}]" for i in range(len(found))]
        if not found or not all(map(is_integer, found)) or len(found) > self.rank:
            rule = "it must be an integer, or a tuple of at most as many integers as x has axes"
            raise type_error(self.called, f"axes of type {axes}", rule, "give axis numbers")
        names = []
        for i, written in enumerate(words):
            self.lines.add(f"axis_{i} = np.int64({written})")
            self.lines.refuse(
                f"axis_{i} < {-self.rank} or axis_{i} >= {self.rank}",
                "axes",
                f"an axis does not exist in x with {axes_text(self.rank)}",
                f"axes go from {-self.rank} to {self.rank - 1}",
            )
            self.lines.add(f"if axis_{i} < 0:", f"    axis_{i} += {self.rank}")
            names.append(f"axis_{i}")
        return tuple(names)

    # ---- the spec ----

    def write_spec(self) -> None:
        """Fill in all but strides."""
        add = self.lines.add
        add("spec = new_spec()", "words = as_words(spec)")
        numbers = {
            "struct_size": CURRENT.size * 8,
            # the sizes of a result do not depend on the operation
            "operation": 0 if self.own else OPS.index(self.op),
            "direction": int(self.backward),
            "dtype": NUMBERED.index(self.dtype),
            "indices": INDEX_KINDS.index(self.kind) if self.kind else -1,
            "skip_nan": int(self.nan == "ignore"),
            "include_pad": 1,
            "rank": self.rank,
            "pooled": len(self.axes),
        }
        for name, number in numbers.items():
            add(f"words[{CURRENT.word(name)}] = {number}")
        for i in range(self.rank):
            add(f"spec[{CURRENT.entry('shape', i)}] = {self.size(i)}")
        if self.x is None:
            sizes = " or ".join(f"{self.size(i)} < 0" for i in range(self.rank))
            self.lines.refuse(sizes, self.source_name, "every entry must be at least 0", "give the shape of x")
        for i, axis in enumerate(self.axes):
            add(f"spec[{CURRENT.entry('axes', i)}] = {axis}")
        self._write_norm()
        self._write_divisor()
        self._write_window()

    def size(self, axis: int | str) -> str:
        """The size of an axis of x, as it is written in the code."""
        return f"{self.source_name}{'.shape' if self.x is not None else ''}[{axis}]"

    def _write_norm(self) -> None:
        if self.op != "lp":
            norm = self.own.parameter if self.own else 2.0
            self.lines.add(f"spec[{CURRENT.norm}] = float_bits({norm!r})")
            return
        if not is_number(self.given["norm_type"]):
            rule = f"must be a number, not {self.given['norm_type']}"
            raise type_error(self.called, "norm_type", rule, "2 is the Euclidean norm")
        self.lines.add("norm = float_bits(np.float64(norm_type))", f"spec[{CURRENT.norm}] = norm")
        # by its bits: a caller's fastmath would take it for granted that no number is infinite
        self.lines.refuse(
            f"norm <= 0 or norm >= {measuring.INFINITY}",
            "norm_type",
            "must be a finite number above 0",
            "for the largest magnitude pool abs(x) with max",
        )

    def _write_divisor(self) -> None:
        if (self.op != "mean" and not self.own) or "count_include_pad" not in self.given:
            return
        self._write_flag("count_include_pad", "include_pad")
        if self.own:
            return
        divisor = self.given["divisor_override"]
        if is_none(divisor):
            return
        if not is_integer(divisor):
            rule = f"must be None or an integer, not {divisor}"
            raise type_error(self.called, "divisor_override", rule, "for another factor scale a sum")
        self.lines.add("divisor = np.int64(divisor_override)")
        self.lines.refuse("divisor == 0", "divisor_override", "must not be 0", "leave it out to divide by taps")
        if self.dtype[0] == "u":
            rule = "the mean would be negative, which the dtype of x cannot hold"
            self.lines.refuse("divisor < 0", "divisor_override", rule, "convert x to int64")
        self.lines.add(f"spec[{CURRENT.divisor}] = divisor")

    def _write_flag(self, name: str, word: str) -> None:
        if not is_flag(self.given[name]):
            rule = f"must be True or False, not {self.given[name]}"
            raise type_error(self.called, name, rule, "pass it by name if it stands in another argument's place")
        self.lines.add(f"words[{CURRENT.word(word)}] = 1 if {name} else 0")

    def _per_axis(self, name: str, least: int, written: str = "") -> list[str]:
        """The entries of an argument, as they are written in the code; checked there."""
        found, count = entries(self.given[name]), len(self.axes)
        if found is None and is_integer(self.given[name]):
            words = [f"np.int64({name})"] * count
        elif found is not None and len(found) == count and all(map(is_integer, found)):
            words = [f"np.int64({name}[{i}])" for i in range(count)]
        else:
            rule = f"it must be an integer, or a tuple of {count}, one for each pooled axis; lists have no length here"
            raise type_error(self.called, f"{name} of type {self.given[name]}", rule, "give such a tuple")
        self._check_least(name, words, least)
        return words

    def _check_least(self, name: str, words: list[str], least: int) -> None:
        way_out = "to leave an axis alone use 1" if least else "to cut elements off slice x"
        condition = " or ".join(f"{word} < {least}" for word in dict.fromkeys(words))
        self.lines.refuse(condition, name, f"every entry must be at least {least}", way_out)

    def _write_window(self) -> None:
        count = len(self.axes)
        dilation, begin, end = ["np.int64(1)"] * count, ["0"] * count, ["0"] * count
        if self.place == "global":
            kernel = stride = [self.size(axis) for axis in self.axes]
        else:
            kernel = self._per_axis("window" if self.place == "window" else "kernel_size", 1)
            stride = kernel if is_none(self.given["stride"]) else self._per_axis("stride", 1)
            dilation = self._per_axis("dilation", 1)
            self._write_flag("ceil_mode", "ceil_mode")
            begin, end = self._padding(kernel, stride, dilation)
        names = ("kernel", "stride", "dilation", "pad_begin", "pad_end")
        for name, words in zip(names, (kernel, stride, dilation, begin, end), strict=True):
            for i, written in enumerate(words):
                self.lines.add(f"spec[{CURRENT.entry(name, i)}] = {written}")

    def _padding(self, kernel: list[str], stride: list[str], dilation: list[str]) -> tuple[list[str], list[str]]:
        given, count = self.given["padding"], len(self.axes)
        if given == types.unicode_type or isinstance(value(given), str):
            return self._named_padding(constant(self.called, "padding", given), kernel, stride, dilation)
        found = entries(given)
        if found is None or len(found) != count or all(map(is_integer, found)):
            words = self._per_axis("padding", 0)
            return words, words
        begin, end = [], []
        for i, entry in enumerate(found):
            pair = entries(entry)
            if pair is not None and len(pair) == 2 and all(map(is_integer, pair)):
                begin.append(f"np.int64(padding[{i}][0])")
                end.append(f"np.int64(padding[{i}][1])")
            elif is_integer(entry):
                begin.append(f"np.int64(padding[{i}])")
                end.append(f"np.int64(padding[{i}])")
            else:
                rule = "an entry must be an integer or a (begin, end) pair of integers"
                raise type_error(self.called, f"padding of type {given}", rule, "give one for each pooled axis")
        self._check_least("padding", [*begin, *end], 0)
        return begin, end

    def _named_padding(
        self, word: str, kernel: list[str], stride: list[str], dilation: list[str]
    ) -> tuple[list[str], list[str]]:
        arguments.one_of(self.called, "padding", word, arguments.PADDINGS)
        count = len(self.axes)
        if word == "valid":
            return ["0"] * count, ["0"] * count
        # "same" is made to measure: ceil mode finds no partial window to keep
        self.lines.add(f"words[{CURRENT.word('ceil_mode')}] = 0")
        less, more = [], []
        for i, axis in enumerate(self.axes):
            size = f"spec[{CURRENT.entry('shape')} + {axis}]"
            numbers = [size, *(words[i] for words in (kernel, stride, dilation))]
            self.lines.refuse(f"{size} < 1", *ERRORS[measuring.INVALID_SIZE])
            self.lines.add(f"total_{i} = same_padding({', '.join(numbers)})")
            self.lines.refuse(f"total_{i} < 0", "padding", "what an axis needs passes 2**63 - 1", "use smaller sizes")
            less.append(f"total_{i} // 2")
            more.append(f"total_{i} - total_{i} // 2")
        return (less, more) if word == "same" else (more, less)

    # ---- arrays ----

    def write_strides(self, name: str, array: Any, field: str, axes: list[int] | None = None) -> None:
        """The strides of an array that is not known to be in C order; ``axes`` are those of x that it has."""
        known = list(range(self.rank)) if axes is None else axes
        if array.layout == "C" and len(known) == self.rank:
            return
        size = np.dtype(as_dtype(array.dtype)).itemsize
        bit = 1 << record.STRIDES.index(field)
        self.lines.add(f"words[{CURRENT.word('strided')}] |= {bit}")
        for at, axis in enumerate(known):
            self.lines.refuse(
                f"{name}.strides[{at}] % {size} != 0",
                name,
                "its strides must be whole elements",
                "copy it first",
            )
            self.lines.add(f"spec[{CURRENT.entry(field, axis)}] = {name}.strides[{at}] // {size}")

    def need_aligned(self, name: str, array: Any) -> None:
        """Refuse an array whose elements are not aligned: kernels take them as a whole."""
        if not array.aligned:
            rule = "inside @njit its elements must be aligned"
            raise type_error(self.called, f"{name} of type {array}", rule, "copy it first")

    def reads_x(self) -> bool:
        """Whether a gradient is computed from the elements of x."""
        return self.problem.reads_x

    def check_status(self) -> None:
        """Raise what a status tells."""
        self.lines.add("if status != 0:", "    fail(status)")
        self.lines.names["fail"] = failing(self.called)

    def call(self, called: str, mark: str = "mark_of_twins()") -> None:
        """Call a function, which leaves a mark in the spec when it has come to its end."""
        place = f"words[{CURRENT.word(record.MARK)}]"
        self.lines.add(
            f"status = {called}",
            f"if {place} != {mark}:",
            f"    status = {INTERRUPTED}",
            f"{place} = 0",
        )

    def run(self, x: str, dy: str, indices: str, result: str) -> None:
        """Run, by the library or its twin; else by the engines for what the library lacks."""
        pointers = ", ".join(f"{name}.ctypes.data" if name else "0" for name in (x, dy, indices, result))
        if self.own:
            words, numbers = f"words[{CURRENT.word('operation')}]", (self.own.number, self.own.name_number)
            self.lines.add(f"{words} = {twins.OWN}")
            for at, number in enumerate(numbers):
                self.lines.add(f"spec[{CURRENT.entry(twins.OWN_NUMBERS, at)}] = {number}")
            self.call(f"other(spec, {pointers}, 1)", "1")
            self.check_status()
            return
        unsupported = measuring.UNSUPPORTED
        self.call(f"run(spec, {pointers}, thread_count())")
        self.lines.add(f"if status == {unsupported}:")
        with self.lines.indented():
            self.call(f"other(spec, {pointers}, 1)", "1")
        self.check_status()
