"""The JSON Schema that editors read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from setpoint.declare.json_schema import model_schema
from setpoint.declare.schema import ModelDeclaration

if TYPE_CHECKING:
    from collections.abc import Iterator

Node = dict[str, object]


def objects(node: object) -> Iterator[Node]:
    if isinstance(node, dict):
        yield cast("Node", node)
        for value in cast("Node", node).values():
            yield from objects(value)
    elif isinstance(node, list):
        for value in cast("list[object]", node):
            yield from objects(value)


def test_it_is_json_of_the_declared_dialect() -> None:
    schema = model_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False


def test_every_key_is_described_and_every_reference_resolves() -> None:
    schema = cast("Node", model_schema())
    definitions = cast("dict[str, Node]", schema["$defs"])
    for declaration in (schema, *definitions.values()):
        assert declaration["description"]
        for name, key in cast("dict[str, Node]", declaration["properties"]).items():
            assert "description" in key or "$ref" in key, name
    for node in objects(schema):
        if "$ref" in node:
            assert str(node["$ref"]).removeprefix("#/$defs/") in definitions


def test_it_knows_the_keys_and_spellings() -> None:
    keys = cast("dict[str, Node]", model_schema()["properties"])
    assert set(keys) == set(ModelDeclaration.model_fields)
    assert keys["outcome_horizon"]["type"] == "string"
    assert keys["outcome_horizon"]["default"] == "30d"
    assert {branch.get("type") for branch in cast("list[Node]", keys["features"]["oneOf"])} == {
        "array",
        "object",
    }
    assert keys["task"]["enum"] == ["binary", "regression", "multiclass", "ranking", "generation"]
