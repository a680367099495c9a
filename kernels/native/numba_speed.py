"""What Numba does more often than one that only lowers needs it, done once: what it lowers to is the same.

Typing and lowering are nearly half of a build, spread over thousands of functions of Numba. To resolve calls takes up
to a third of that, and passes that find nothing to do about another quarter. Keeping sizes of types, and finding an
instruction's variables faster, saved nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import compiler, typed_passes, untyped_passes

_LEFT_OUT = (
    untyped_passes.WithLifting,
    untyped_passes.InlineClosureLikes,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.InlineInlinables,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    typed_passes.NoPythonSupportedFeatureValidation,
    typed_passes.AnnotateTypes,
    typed_passes.DumpParforDiagnostics,
)


class Lowering(compiler.Compiler):
    """Numba's compiler without the passes that find nothing to do here: in kernels and planning there are no functions
    within functions, arrays, contexts or errors. Numba's own functions have them, and are compiled as ever.
    """

    def define_pipelines(self) -> list[Any]:
        """The passes of a function."""
        manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [(one, text) for one, text in manager.passes if one not in _LEFT_OUT]
        manager._finalized = False
        manager.finalize()
        return [manager]


@contextmanager
def hurried(typing: Any) -> Iterator[None]:
    """While it lasts, Numba types faster; ``typing`` is the context of its typing."""
    typing.resolve_function_type = _resolved_once(typing.resolve_function_type)
    try:
        yield
    finally:
        del typing.resolve_function_type


def _resolved_once(resolve: Callable[..., Any]) -> Callable[..., Any]:
    """What a call resolves to, kept for each type of function and arguments.

    Numba asks three times for each call, and looks for the sum of two integers among the universal functions of NumPy
    first. No function here calls itself, so nothing is resolved from a type that is known only in part.
    """
    known: dict[Any, Any] = {}

    def resolve_function_type(function: Any, arguments: Any, named: Any) -> Any:
        if named:
            return resolve(function, arguments, named)
        key = function, tuple(arguments)
        found = known.get(key)
        if found is None:
            found = resolve(function, arguments, named)
            if found is not None:
                known[key] = found
        return found

    return resolve_function_type
