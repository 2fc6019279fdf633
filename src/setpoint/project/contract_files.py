"""Contracts in files of any notation: ours, ODCS, JSON Schema; read to check with, to paste, or written for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from setpoint.core.contract import Contract
from setpoint.core.errors import UsageError
from setpoint.core.model import Model
from setpoint.declare.contract import told_contract
from setpoint.declare.contract_schema import read_json_schema, write_json_schema
from setpoint.declare.load import defaults_for, load_model
from setpoint.declare.odcs import read_odcs, write_odcs
from setpoint.declare.problems import Problems, declaration_error
from setpoint.declare.source import Source, read_source, read_text
from setpoint.declare.translated import Translated
from setpoint.declare.write import contract_yaml
from setpoint.project.contracts import contract_of
from setpoint.project.editing import put_keys

Format = Literal["odcs", "json-schema"]
_WRITERS: dict[Format, Callable[[Contract, str], Translated]] = {"odcs": write_odcs, "json-schema": write_json_schema}


def read_contract(path: Path, object_name: str = "") -> tuple[Model, tuple[str, ...]]:
    """Return what a file declares, and what of it cannot be carried over.

    Args:
        path: A model's YAML with a contract, an ODCS file, or a JSON Schema.
        object_name: Which object of an ODCS file; may be left out when there is only one.

    Returns:
        The model, with little more than its contract unless the file declares more; and what is lost.

    Raises:
        DeclarationError: The file does not hold.
        UsageError: It has no contract.
    """
    try:
        source = _source(path)
        keys = source.data.keys()
        if "apiVersion" in keys or source.data.get("kind") == "DataContract":
            found = read_odcs(source, object_name)
        elif "$schema" in keys or "properties" in keys or "$ref" in keys:
            found = read_json_schema(source)
        else:
            model = load_model(path, defaults_for(path))
            contract_of(model)
            return model, ()
    except Problems as error:
        raise declaration_error(error.problems) from None
    return Model(_name(source, path), contract=found.contract), found.lost


def _source(path: Path) -> Source:
    """Read a file; JSON is YAML but for tabs, which stand in no text of it."""
    if path.suffix.lower() != ".json":
        return read_source(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return read_source(path)  # which says what is the matter
    return read_text(text.replace("\t", " "), str(path))


def _name(source: Source, path: Path) -> str:
    told = source.data.get("name", source.data.get("title"))
    name = told if isinstance(told, str) and told else path.name.partition(".")[0]
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)


def contract_text(model: Model) -> str:
    """Return a contract as YAML to paste into a model's file.

    Raises:
        UsageError: The model declares none.
    """
    return contract_yaml(contract_of(model))


def put_contract(model: Model, path: Path, *, force: bool = False) -> None:
    """Write a contract into a model's file; everything else in the file stays as it is, comments too.

    What the file leaves to the project's `defaults.yaml` holds for it here too.

    Args:
        model: Declares the contract.
        path: The model's file; made when it is not there.
        force: Replace the contract that the file has, with the comments in it.

    Raises:
        DeclarationError: The file does not hold, or would not with this contract; it is left as it was.
        StoreReadOnly: It cannot be written.
        UsageError: It has a contract already.
    """
    told = told_contract(contract_of(model))
    put_keys(path, {"contract": told}, "with the contract", force=force)


def export_contract(model: Model, notation: str) -> Translated:
    """Return the contract of a model in another notation.

    Args:
        model: The model.
        notation: `odcs` or `json-schema`.

    Raises:
        UsageError: The model declares none, or there is no such notation.
    """
    if notation not in _WRITERS:
        msg = f"no notation is called {notation!r}"
        raise UsageError(msg, hint=f"known: {', '.join(_WRITERS)}")
    return _WRITERS[notation](contract_of(model), model.name)
