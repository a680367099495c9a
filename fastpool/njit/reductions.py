"""Users' reductions as values inside ``@njit``: each is a type of its own, so that a call knows which it is given."""

from __future__ import annotations

from typing import Any

from numba.core import types as numba_types
from numba.core.imputils import lower_constant
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

from fastpool import own

types: Any = numba_types


class ReductionType(types.Opaque):  # type: ignore[misc]
    """The type of one reduction with its parameter; two definitions that do the same have the same."""

    def __init__(self, key_of: str, parameter: float, number: int, name_number: int) -> None:
        self.key_of, self.parameter = key_of, parameter
        self.number, self.name_number = number, name_number
        super().__init__(name=f"fastpool.Reduction({key_of}, {parameter!r})")


def register() -> None:
    """Makes reductions known to Numba's compiler."""
    register_model(ReductionType)(models.OpaqueModel)

    def typeof(value: own.Reduction, context: Any) -> ReductionType:
        return ReductionType(value.key, value.norm, value.number, own.number_of(value.name))

    def constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        return context.get_dummy_value()

    def from_object(kind: Any, value: Any, context: Any) -> NativeValue:
        return NativeValue(context.context.get_dummy_value())

    typeof_impl.register(own.Reduction)(typeof)
    lower_constant(ReductionType)(constant)
    unbox(ReductionType)(from_object)
