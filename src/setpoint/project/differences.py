"""In which keys two declarations of a model differ, as people spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

from setpoint.core.model import Expectation, Model
from setpoint.declare.source import read_text
from setpoint.declare.write import to_yaml
from setpoint.feedback.expectation import lowers
from setpoint.store.summaries import basis

_KEY_OF = {"expectations": "quality"}
_UNSET = "not set"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One key of a declaration that would change.

    Attributes:
        key: Dotted, as in the YAML file.
        before: What is in force, in words.
        after: What is declared, in words.
        voids: Whether kept summaries depend on it, so that they are made anew.
    """

    key: str
    before: str
    after: str
    voids: bool = False

    @property
    def text(self) -> str:
        """The change in one line."""
        lower = ", lowers the bar" if self._lowers else ""
        return f"{self.key}: {self.before} -> {self.after}{lower}"

    @property
    def _lowers(self) -> bool:
        """Whether a bar of quality asks less than before."""
        _, _, end = self.key.rpartition(".")
        if end not in {"at_least", "at_most"} or self.before == _UNSET:
            return False
        least = end == "at_least"
        sides = [None if side == _UNSET else float(side) for side in (self.before, self.after)]
        before, after = (
            Expectation("", at_least=side if least else None, at_most=None if least else side) for side in sides
        )
        return lowers(before, after)


def differences(before: Model, after: Model) -> list[FieldChange]:
    """Return the keys in which two declarations of a model differ, as the YAML file spells them.

    Example:
        >>> [change.text for change in differences(Model("a", keep=0.5), Model("a", positive="late"))]
        ['keep: 0.5 -> not set', 'positive: not set -> late']
    """
    if before == after:
        return []
    voiding = {
        _KEY_OF.get(field.name, field.name)
        for field in fields(Model)
        if basis(replace(before, **{field.name: getattr(after, field.name)})) != basis(before)
    }
    old, new = _flat(before), _flat(after)
    return [
        FieldChange(key, old.get(key, _UNSET), new.get(key, _UNSET), _voids(key, voiding))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _voids(key: str, voiding: set[str]) -> bool:
    return key.split(".", maxsplit=1)[0] in voiding and not (key.startswith("features.") and not key.endswith(".kind"))


def _flat(model: Model) -> dict[str, str]:
    """Return a declaration as words by dotted key; keys at their default are left out."""
    found = {f"features.{feature.name}": "declared" for feature in model.features}
    found |= {f"drift_limits.{limit.name}.at_most": f"{limit.at_most:g}" for limit in model.drift_limits}
    rates = replace(model.rates, since=None, earlier=None)  # what was paid earlier is said apart
    now = replace(model, rates=rates, drift_limits=())
    _flatten(read_text(to_yaml(now, {}), model.name).data, "", found)
    return found


def _flatten(value: object, at: str, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, part in cast("Mapping[str, object]", value).items():
            _flatten(part, f"{at}.{key}" if at else key, found)
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            if isinstance(part, (int, float)):
                found[at] = f"{found[at]}, {part:g}" if at in found else f"{part:g}"
                continue
            named = cast("dict[str, object]", part) if isinstance(part, dict) else {"name": part}
            _flatten({k: v for k, v in named.items() if k != "name"} or "declared", f"{at}.{named['name']}", found)
    else:
        found[at] = "true" if value is True else "false" if value is False else str(value)
