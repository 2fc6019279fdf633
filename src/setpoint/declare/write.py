"""A model as YAML to read, edit and load again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import yaml

from setpoint.core.clock import DAY, moment
from setpoint.core.contract import Contract
from setpoint.core.model import Cohort, Model, OutcomeKind, Owner, Success, TrainingData
from setpoint.core.prices import STANDARD, USD, Price
from setpoint.declare.contract import told_contract
from setpoint.declare.guardrails import told_guardrail
from setpoint.declare.objectives import told_objective
from setpoint.declare.retraining import told_retraining
from setpoint.declare.rollout import told_rollout
from setpoint.declare.route import told_route
from setpoint.declare.source import is_text, read_text
from setpoint.declare.spellings import FIRST, SIZES, duration_spelling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCHEMA_FILE = "../model.schema.json"

_PLAIN = re.compile(r"[A-Za-z_](?:[\w ./()-]*[\w./()-])?|\d+(?:\.\d+)?[A-Za-z]{1,3}", re.ASCII)
_OLD_YAML_WORDS = {"y", "n", "yes", "no", "on", "off"}  # text here, but not to every reader of YAML
_WIDE = 1 << 30


def to_yaml(model: Model, notes: Mapping[str, str], schema: str = SCHEMA_FILE) -> str:
    """Return a declaration that reads back as the same model.

    Args:
        model: What to declare. Keys at their default are left out, unless there is a note on them.
        notes: Comments by dotted key, such as `positive` or `features.delay.kind`, for example to mark a
            guess. A note on a key that is not printed stands above all keys.
        schema: Where editors find the JSON Schema, relative to the file.

    Example:
        >>> print(to_yaml(Model("flights", positive="late"), {"positive": "guessed: the rarer value"}))
        # yaml-language-server: $schema=../model.schema.json
        name: flights
        task: binary
        positive: late  # guessed: the rarer value
        <BLANKLINE>
    """
    told, unset = _declared(model), _declared(Model(model.name))
    kept = {key: value for key, value in told.items() if value != unset.get(key) or _noted(key, notes)}
    kept = {"name": model.name, "task": told["task"], **kept}
    writer = _Writer(notes)
    body = list(writer.mapping(kept, "", ""))
    above = [f"# {_one_line(key)}: {_one_line(note)}" for key, note in notes.items() if key not in writer.used]
    return "\n".join([f"# yaml-language-server: $schema={schema}", *above, *body, ""])


def contract_yaml(contract: Contract) -> str:
    """Return a contract as the part of a declaration that it is.

    Example:
        >>> from setpoint.core.contract import ContractField
        >>> print(contract_yaml(Contract((ContractField("delay", at_least=0),))))
        contract:
          fields:
            delay: {kind: numeric, at_least: 0}
        <BLANKLINE>
    """
    return "\n".join([*_Writer({}).mapping({"contract": told_contract(contract)}, "", ""), ""])


def prices_yaml(prices: Iterable[Price]) -> str:
    """Return prices as the YAML of a price book.

    Example:
        >>> from decimal import Decimal
        >>> print(prices_yaml([Price("own", "v3", per_request=Decimal("0.01"))]), end="")
        prices:
          - {provider: own, model: v3, per_request: 0.01}
    """
    told = [
        {
            "provider": one.provider,
            "model": one.model,
            "since": None if one.since is None else _when(one.since),
            "until": None if one.until is None else _when(one.until),
            "tier": None if one.tier == STANDARD else one.tier,
            "above_input_tokens": one.above_input_tokens or None,
            "currency": None if one.currency == USD else one.currency,
            "per_million_tokens": {name: float(amount) for name, amount in one.per_million_tokens.items()} or None,
            "per_request": None if one.per_request is None else float(one.per_request),
            "per_compute_second": None if one.per_compute_second is None else float(one.per_compute_second),
            "per_tool_request": None if one.per_tool_request is None else float(one.per_tool_request),
            "per_refused_request": None if one.per_refused_request is None else float(one.per_refused_request),
        }
        for one in prices
    ]
    return "".join(f"{line}\n" for line in _Writer({}).mapping({"prices": told}, "", ""))


def _when(at: int) -> str:
    return moment(at).isoformat() if at % DAY else moment(at).date().isoformat()


def with_key(text: str, key: str, value: object, file: str) -> str:
    r"""Return the text of a declaration with another value of one key; all else stays as it is written.

    Args:
        text: The declaration; may be empty.
        key: The key; it stands where it stood, else at the end.
        value: Plain values, as YAML holds them; None takes the key out.
        file: What errors call the text.

    Raises:
        Problems: The text is no YAML.

    Example:
        >>> text = "owner: null  # to fill in\n# the rarer value\npositive: late"
        >>> print(with_key(text, "owner", {"team": "a"}, "m.yaml"))
        owner: {team: a}
        # the rarer value
        positive: late
    """
    told = "".join(f"{line}\n" for line in _Writer({}).mapping({key: value}, "", ""))
    if not text.strip():
        return told
    places = read_text(text, file).places
    lines = text.splitlines(keepends=True)
    start = places[key,][1] - 1 if (key,) in places else len(lines)
    end = min(
        (line - 1 for path, (_, line) in places.items() if len(path) == 1 and line - 1 > start), default=len(lines)
    )
    while end > start + 1 and lines[end - 1].strip("\r\n")[:1] in {"", "#"}:
        end -= 1  # what stands above the next key is about that
    before = "".join(lines[:start])
    if before and not before.endswith("\n"):
        before += "\n"
    return f"{before}{told}{''.join(lines[end:])}"


def _noted(key: str, notes: Mapping[str, str], *, inside: bool = False) -> bool:
    return any((noted == key and not inside) or noted.startswith((f"{key}.", f"{key}[")) for noted in notes)


def _declared(model: Model) -> dict[str, object]:
    """Return a model as the values of its declaration; None where nothing is declared."""
    owner, metric, silence, schedule = (
        model.owner,
        model.business_metric,
        model.outcome_if_silent,
        model.schedule,
    )
    return {
        "name": model.name,
        "task": model.task.value,
        "endpoint": model.endpoint,
        "owner": owner and _owner(owner),
        "business_metric": metric and {"name": metric.name, "unit": metric.unit, "better": metric.better},
        "positive": model.positive,
        "success": _success(model.success),
        "cost_unit": model.cost_unit,
        "baseline": model.baseline,
        "features": _features(model),
        "sources": dict(model.sources),
        "contract": told_contract(model.contract),
        "cohorts": [one.name if one == Cohort(one.name, by=one.name) else _cohort(one) for one in model.cohorts],
        "quality": {
            one.metric: {"at_least": one.at_least, "at_most": one.at_most, "source": one.source or None}
            for one in model.expectations
        },
        "drift_limits": [
            {"metric": one.metric, "feature": one.feature or None, "at_most": one.at_most} for one in model.drift_limits
        ],
        "reference": model.reference,
        "columns": dict(model.columns),
        "timezone": model.timezone,
        "outcomes": _outcomes(model.outcomes),
        "outcome_horizon": duration_spelling(model.outcome_horizon),
        "outcome_if_silent": silence and {"value": silence.value, "after": duration_spelling(silence.after)},
        "rates": _rates(model),
        "flops_per_request": model.flops_per_request,
        "route": told_route(model.route),
        "rollout": told_rollout(model.rollout),
        "guardrails": [told_guardrail(one) for one in model.guardrails],
        "objectives": [told_objective(one) for one in model.objectives],
        "retraining": told_retraining(model.retraining),
        "runbook": model.runbook,
        "schedule": schedule
        and {"every": duration_spelling(schedule.every), "grace": duration_spelling(schedule.grace)},
        "retention": {
            "age": None if model.retention.age is None else duration_spelling(model.retention.age),
            "size": None if model.retention.size_bytes is None else size_spelling(model.retention.size_bytes),
        },
        "training_data": _training_data(model.training_data),
        "trained_until": None if model.trained_until is None else moment(model.trained_until).isoformat(),
        "keep": model.keep,
        "keep_where": model.keep_where,
        "free_text": model.free_text,
    }


def _success(success: Success) -> dict[str, object]:
    unset = Success()
    told = {name: getattr(success, name) for name in ("threshold", "tolerance", "at_least", "top", "catalogue")}
    return {name: value if value != getattr(unset, name) else None for name, value in told.items()}


def _rates(model: Model) -> object:
    told = [
        {
            "since": None if one.since is None else moment(one.since, model.timezone).isoformat(),
            "per_prediction_usd": one.per_prediction_usd,
            "per_compute_second_usd": one.per_compute_second_usd,
            "per_month_usd": one.per_month_usd,
            "per_outcome_usd": one.per_outcome_usd,
            "per_idle_hour_usd": one.per_idle_hour_usd,
            "capacity": one.capacity,
        }
        for one in model.rates.periods
    ]
    return told[0] if len(told) == 1 else told


def _features(model: Model) -> dict[str, object]:
    return {
        one.name: {
            "kind": one.kind,
            "importance": one.importance,
            "policy": None if one.policy == "keep" else one.policy,
            "source": one.source or None,
        }
        for one in model.features
    }


def _cohort(one: Cohort) -> dict[str, object]:
    return {
        "name": one.name,
        "by": None if (one.part and one.by == "predicted_at") or one.new_for is not None else one.by or None,
        "where": one.where or None,
        "part": one.part or None,
        "mapping": dict(one.mapping) or None,
        "quantiles": one.quantiles or None,
        "edges": list(one.edges) or None,
        "new_for": None if one.new_for is None else duration_spelling(one.new_for) if one.new_for else FIRST,
    }


def _owner(owner: Owner) -> dict[str, object]:
    escalated = {"escalate_to": owner.escalate_to, "escalate_after": duration_spelling(owner.escalate_after)}
    return {"team": owner.team, "on_call": owner.on_call or None, **(escalated if owner.escalate_to else {})}


def _training_data(told: TrainingData) -> dict[str, object] | None:
    if told == TrainingData():
        return None
    return {
        "consent": told.consent or None,
        "maturity": duration_spelling(told.maturity) if told.maturity else None,
        "quotas": dict(told.quotas) or None,
        "exploration": told.exploration or None,
        "acted_where": told.acted_where or None,
    }


def _outcomes(kinds: tuple[OutcomeKind, ...]) -> object:
    if kinds == (OutcomeKind(kinds[0].name),):
        return [kinds[0].name]
    return {
        kind.name: {
            "final": kind.final,
            "source": kind.source or None,
            "selection": kind.selection or None,
            "judge": kind.judge or None,
            "cost_usd": kind.cost_usd,
        }
        for kind in kinds
    }


def size_spelling(size: int) -> str:
    """Return a size exactly, in its largest whole unit.

    Example:
        >>> size_spelling(50 * 10**9), size_spelling(3 * 2**30), size_spelling(7)
        ('50GB', '3GiB', '7B')
    """
    return next(f"{size // unit}{name}" for name, unit in SIZES.items() if size % unit == 0)


class _Writer:
    """Yields the lines of values, with notes beside their keys."""

    def __init__(self, notes: Mapping[str, str]) -> None:
        self.notes = notes
        self.used: set[str] = set()

    def mapping(self, values: dict[str, object], at: str, indent: str) -> Iterator[str]:
        """Yield the lines of a mapping; a value of None is left out unless there is a note on it."""
        for key, value in values.items():
            path = f"{at}.{key}" if at else key
            if value is not None or path in self.notes:
                yield from self.entry(f"{indent}{_scalar(key)}:", value, path, indent)

    def entry(self, lead: str, value: object, path: str, indent: str) -> Iterator[str]:
        """Yield the lines of one key or list item: in one line where no note stands inside."""
        comment = f"  # {_one_line(self.notes[path])}" if path in self.notes else ""
        self.used.update({path} & self.notes.keys())
        if isinstance(value, dict):
            told = cast("dict[str, object]", value)
            if not _noted(path, self.notes, inside=True) and not any(isinstance(one, dict) for one in told.values()):
                yield f"{lead} {_flow(told)}{comment}"
            else:
                yield from self.below(lead, comment, self.mapping(told, path, f"{indent}  "))
        elif isinstance(value, list) and value:
            yield f"{lead}{comment}"
            for index, item in enumerate(cast("list[object]", value)):
                yield from self.entry(f"{indent}  -", item, f"{path}[{index}]", f"{indent}  ")
        else:
            yield f"{lead} {_flow(cast('object', value))}{comment}"

    @staticmethod
    def below(lead: str, comment: str, lines: Iterator[str]) -> Iterator[str]:
        """Yield a mapping's lines below its key, or beside the dash of its list item."""
        if lead.endswith("-") and not comment:
            yield f"{lead} {next(lines, '').lstrip()}"
        else:
            yield f"{lead}{comment}"
        yield from lines


def _flow(value: object) -> str:
    if isinstance(value, dict):
        told = cast("dict[str, object]", value)
        pairs = [f"{_scalar(key)}: {_flow(one)}" for key, one in told.items() if one is not None]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(one) for one in cast("list[object]", value)) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case _:
            text = str(value)
    if _PLAIN.fullmatch(text) and is_text(text) and text.lower() not in _OLD_YAML_WORDS:
        return text
    return yaml.dump(text, default_style='"', allow_unicode=True, width=_WIDE).rstrip("\n")


def _one_line(note: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in note).split())
