"""Edits the keys of a model's file, and leaves all else in it as it is written: comments too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import cast

from setpoint.core.errors import SetpointError, StoreReadOnly, UsageError
from setpoint.declare.load import MODELS_FOLDER, PROJECT_FILE, defaults_for, load_text
from setpoint.declare.problems import Problems, declaration_error, did_you_mean
from setpoint.declare.source import read_source, read_text
from setpoint.declare.write import with_key
from setpoint.project.plan import Plan, apply

_ADD = "+"


def models_folder(project: Path) -> Path:
    """Return the folder of a project's model declarations.

    Raises:
        DeclarationError: `setpoint.yaml` does not hold.
    """
    if not (project / PROJECT_FILE).exists():
        return project / MODELS_FOLDER
    try:
        named = read_source(project / PROJECT_FILE).data.get("models")
    except Problems as found:
        raise declaration_error(found.problems) from None
    return project / (named if isinstance(named, str) and named else MODELS_FOLDER)


def declare(project: Path, model: str, settings: Iterable[str], *, in_force: bool = True) -> Plan | None:
    """Set keys of a model's declaration and put it in force; return what that changed in the store.

    Args:
        project: The project's folder.
        model: The model.
        settings: `KEY=VALUE` each, the value as YAML: `runbook=quality-fell`, `owner.team=risk`, `runbook=` for not
            set. `guardrails+={...}` adds to a list, in the place of what has the same name.
        in_force: Otherwise only its file is written.

    Raises:
        UsageError: The model has no file, or a setting cannot be read.
        SetpointError: The file does not hold, or would not with these keys, or they cannot be put in force: see
            `apply`. It is left as it was.
    """
    folder = models_folder(project)
    path = folder / f"{model}.yaml"
    if not path.exists():
        near = did_you_mean(model, [one.stem for one in folder.glob("*.yaml")])
        msg = f"{model} has no declaration: there is no {path}"
        raise UsageError(msg, hint=near or f"setpoint init FILE --name {model} writes a first one")
    try:
        told = deepcopy(read_source(path).data)
    except Problems as error:
        raise declaration_error(error.problems) from None
    changed = list(dict.fromkeys([_put(told, setting) for setting in settings]))
    if not changed:
        msg = "nothing says what to declare"
        raise UsageError(msg, hint=f"setpoint declare {model} owner='{{team: risk, on_call: risk-rota}}'")
    before = path.read_bytes()
    put_keys(path, {key: told.get(key) for key in changed}, "after this change")
    try:
        return apply(project) if in_force else None
    except SetpointError:
        path.write_bytes(before)
        raise


def put_keys(path: Path, keys: Mapping[str, object], when: str, *, force: bool = True) -> None:
    """Write keys into a model's file; everything else in it stays as it is.

    What the file leaves to the project's `defaults.yaml` holds for it here too.

    Args:
        path: The model's file; made when it is not there.
        keys: Values by key of the declaration, as YAML holds them; None takes a key out.
        when: Which text of the file errors speak of.
        force: Also where a key is set already, with the comments inside it.

    Raises:
        DeclarationError: The file does not hold, or would not with these keys; it is left as it was.
        StoreReadOnly: It cannot be written.
        UsageError: It is not UTF-8, or has such a key already.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
        have = read_source(path).data if text.strip() and not force else {}
        for key in keys:
            if have.get(key) is not None:
                msg = f"{path} has a {key} already"
                raise UsageError(msg, hint="replace it, and the comments in it, with --force")
        for key, value in keys.items():
            text = with_key(text, key, value, str(path))
        load_text(text, path.stem, f"{path} {when}", defaults_for(path))
        path.write_text(text, encoding="utf-8", newline="")
    except Problems as error:
        raise declaration_error(error.problems) from None
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8"
        raise UsageError(msg, hint="save the file as UTF-8") from error
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise StoreReadOnly(msg, hint="check the permissions, or name another file") from error


def _put(told: dict[str, object], setting: str) -> str:
    """Put what a setting says where it belongs, and return the key of the declaration that it changes."""
    name, equals, text = setting.partition("=")
    adds = name.endswith(_ADD)
    *above, last = name.removesuffix(_ADD).strip().split(".")
    if not (equals and last and all(above)):
        msg = f"not a setting: {setting!r}"
        raise UsageError(msg, hint="write KEY=VALUE, such as runbook=quality-fell or owner.team=risk")
    inside = told
    for depth, key in enumerate(above, start=1):
        below = inside.get(key)
        if below is None:
            below = inside[key] = dict[str, object]()
        if not isinstance(below, dict):
            msg = f"{'.'.join(above[:depth])} has no keys, so nothing can be declared as {name}"
            raise UsageError(msg, hint="set it as a whole")
        inside = cast("dict[str, object]", below)
    value = _value(setting, text)
    inside[last] = _added(inside.get(last), value, name) if adds else value
    return (above or [last])[0]


def _value(setting: str, text: str) -> object:
    if not text.strip():
        return None
    try:
        return read_text(f"value: {text}", setting).data["value"]
    except Problems as error:
        raise declaration_error(error.problems) from None


def _added(have: object, value: object, name: str) -> list[object]:
    if not (have is None or isinstance(have, list)):
        msg = f"{name.removesuffix(_ADD)} is no list, so nothing can be added to it"
        raise UsageError(msg, hint=f"set it as a whole: {name.removesuffix(_ADD)}=...")
    listed = list(cast("list[object]", have or []))
    same = [n for n, one in enumerate(listed) if _name(one) == _name(value)]
    if same:
        listed[same[0]] = value
        return listed
    return [*listed, value]


def _name(one: object) -> object:
    return cast("dict[str, object]", one).get("name") or one if isinstance(one, dict) else one  # pyright: ignore[reportUnknownVariableType] — plain values of YAML
