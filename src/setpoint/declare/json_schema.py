"""The JSON Schemas of a model's file and of a price book, for editors and for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from setpoint.declare.prices import PricesDeclaration
from setpoint.declare.schema import ModelDeclaration

if TYPE_CHECKING:
    from pydantic import JsonValue

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def model_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema (draft 2020-12) of `models/NAME.yaml`.

    Example:
        >>> model_schema()["properties"]["keep"]["description"]
        'Share of predictions whose rows are kept; all are counted.'
    """
    return {"$schema": DIALECT, **ModelDeclaration.model_json_schema(), "title": "Setpoint model"}


def prices_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema (draft 2020-12) of `prices.yaml`.

    Example:
        >>> sorted(prices_schema()["properties"])
        ['currencies', 'prices']
    """
    return {"$schema": DIALECT, **PricesDeclaration.model_json_schema(), "title": "Setpoint prices"}
