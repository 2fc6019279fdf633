"""Contracts of pydantic models: their JSON Schema, and what that has no word for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from setpoint.core.errors import UsageError
from setpoint.declare.contract_schema import read_json_schema
from setpoint.declare.problems import Problems, declaration_error
from setpoint.declare.source import Source
from setpoint.declare.translated import Told, Translated

if TYPE_CHECKING:
    from pydantic import BaseModel


def contract_from_pydantic(model: type[BaseModel]) -> Translated:
    """Return the contract of a pydantic model.

    Args:
        model: The model. Its types, limits, literals and patterns are read; validators are code and are named among
            what is lost, as is all else that a contract has no word for.

    Raises:
        DeclarationError: A field cannot be in a contract.
        UsageError: It is no pydantic model, or one that is not defined in full.

    Example:
        >>> import pydantic
        >>> class Flight(pydantic.BaseModel):
        ...     delay: float = pydantic.Field(ge=-60)
        ...     carrier: str | None = None
        >>> [rule.id for rule in contract_from_pydantic(Flight).contract.rules]
        ['delay.required', 'delay.kind', 'delay.finite', 'delay.range', 'carrier.kind']
    """
    if not hasattr(model, "model_json_schema"):
        msg = f"found {model!r}, expected a pydantic model"
        raise UsageError(msg, hint="give the class: contract_from_pydantic(Flight)")
    validators: dict[str, None] = {}

    class Generator(_Generator):
        code = validators

    try:
        schema = cast("Told", model.model_json_schema(schema_generator=Generator))
    except (PydanticUserError, PydanticUndefinedAnnotation, AttributeError) as error:
        msg = f"{model.__name__} has no schema: {str(error).splitlines()[0]}"
        raise UsageError(msg, hint="give a model whose types are all known") from error
    try:
        found = read_json_schema(Source(model.__name__, schema))
    except Problems as error:
        raise declaration_error(error.problems) from None
    lost = [f"the validator {name}: not carried over, it is code" for name in validators]
    return Translated(found.contract, (*found.lost, *lost))


class _Generator(GenerateJsonSchema):
    """Pydantic's own, which keeps what it would leave out: validators, and limits of types without them in JSON."""

    code: dict[str, None]

    def generate_inner(self, schema: Any) -> JsonSchemaValue:  # noqa: ANN401 — one of fifty typed dictionaries
        sort = schema["type"]
        if sort.startswith("function-"):
            function = schema["function"]["function"]
            function = getattr(function, "func", function)  # of a partial one
            if not str(getattr(function, "__module__", "")).startswith("pydantic"):  # theirs are how a type is read
                self.code[getattr(function, "__name__", repr(function))] = None
        if sort == "decimal":
            schema = {**schema, "type": "float"}  # in JSON a text would do too; to us it is a number
        told = super().generate_inner(schema)
        unsaid = _LIMITS.get(sort, set()) & {key for key, value in schema.items() if value is not None}
        return {**told, **dict.fromkeys(sorted(unsaid), True)}

    def handle_invalid_for_json_schema(self, schema: object, error_info: str) -> JsonSchemaValue:  # noqa: ARG002
        return {"type": "object"}  # as one that is named among what is lost


_ENDS = {"ge", "gt", "le", "lt"}
_LIMITS = {
    "decimal": {"max_digits", "decimal_places"},
    "date": {*_ENDS, "now_op"},
    "datetime": {*_ENDS, "now_op", "tz_constraint"},
    "time": {*_ENDS, "tz_constraint"},
    "timedelta": _ENDS,
}
