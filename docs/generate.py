"""Writes `docs/reference/` from the code, so that it cannot say anything else.

`python docs/generate.py` writes the pages; `tests/docs/test_reference.py` compares them.
"""

# ruff: noqa: INP001 — a script, not a package to install

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import msgspec.structs
import typer

import setpoint
import setpoint.cli
from setpoint.answers import (
    aside,
    business,
    by_task,
    cascade,
    causes,
    cohorts,
    contract,
    cost,
    diff,
    drift,
    embedding_drift,
    estimates,
    evaluation,
    harm,
    incidents,
    inventory,
    meter,
    outcomes,
    prices,
    rollout,
    route,
    scores,
    status,
    training_age,
    why,
    worth,
)
from setpoint.answers import quality as quality_answer
from setpoint.answers.answer import SCHEMA, Answer
from setpoint.core.events import IDENTIFIER, PARTITIONED_BY, TABLES, column_types
from setpoint.core.finding import Finding
from setpoint.core.model import Model, Task
from setpoint.core.verdict import Verdict
from setpoint.feedback.quality import quality
from setpoint.predictions.details import RequestDetails, RowDetails
from setpoint.project import overview
from setpoint.store.quality_kinds import quality_kind
from setpoint.store.states import StateTable

FOLDER = Path(__file__).parent / "reference"
_WIDTH = 118
_NOTE = "<!-- Written by `docs/generate.py` from the code: change the code, then run it. -->\n"

_CLI = """Data goes to stdout, words to stderr. Exit codes: 0 ok or warning, 1 breach, 2 the request or the
store is not usable as asked, 3 unknown for want of evidence, 4 unknown because the source is silent, 5 an error
inside Setpoint. Every command takes `--help`."""
_PYTHON = """All of this is in the package `setpoint`; a name is loaded when it is first used. Examples are run
by the tests. What is not on this page may change without notice, apart from `setpoint.testing`, the kit for
your own tests."""
_LAKE = """Every model has these Delta tables under `STORE/lake/MODEL/`. Each has two more columns: `day`, the
UTC day that it is partitioned by, and `ship`, the number of the commit that brought the row. A reader of Delta
tables is all you need; rows that were recorded moments ago still lie in the spool."""
_JSON = f"""What `--json` prints and `answer.to_dict()` returns, in the schema `{SCHEMA}`. A key is never
renamed within a schema; new ones may come."""
_NUMBERS = """A number that is unknown is null, and the row's `unknown` says why. `low` and `high` are the ends
of the 95 % interval. Shares and ratios run from 0 to 1."""
_BESIDE = """Beside them `status` has `request_rate`, `error_ratio`, `latency_p50_seconds`,
`latency_p95_seconds`, `compute_seconds` and `outcome_share`."""


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    made = {"cli.md": _cli(), "python.md": _python(), "tables.md": _tables(), "answers.md": _answers()}
    return {name: "\n".join([*lines]).rstrip() + "\n" for name, lines in made.items()}


# The command line


def _cli() -> Iterator[str]:
    importlib.import_module("setpoint.cli.commands")  # registers the commands
    yield from ["# Command line", "", _NOTE]
    yield from _wrapped(_CLI)
    yield ""
    commands = [*_commands("setpoint", typer.main.get_command(setpoint.cli.app))]
    yield from _table(
        ("command", "what it does"), [(f"[`{path}`](#{_anchor(path)})", _first(c.help)) for path, c in commands]
    )
    for path, command in commands:
        yield from _command(path, command)


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 — typer's click has no public types
    for name, inner in sorted(command.commands.items()):
        if getattr(inner, "commands", None):
            yield from _commands(f"{path} {name}", inner)
        else:
            yield f"{path} {name}", inner


def _command(path: str, command: Any) -> Iterator[str]:  # noqa: ANN401 — as above
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    said = " ".join(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments)
    yield from ["", f"## {path}", "", *_wrapped(command.help), ""]
    yield from ["```text", f"{path} {said} [OPTIONS]".replace("  ", " "), "```", ""]
    rows = [(f"`{p.name.upper()}`", _cell(p.help), "" if p.required else _default(p)) for p in arguments]
    rows += [(_spelled(p), _cell(p.help), "required" if p.required else _default(p)) for p in options]
    if rows:
        yield from _table(("argument or option", "meaning", "default"), rows)


def _spelled(option: Any) -> str:  # noqa: ANN401 — as above
    value = "" if option.is_flag else f" {option.name.upper()}"
    return ", ".join(f"`{one}{value}`" for one in option.opts)


def _default(parameter: Any) -> str:  # noqa: ANN401 — as above
    value = parameter.default
    is_plain = value is None or value is False or value == "" or "[default:" in (parameter.help or "")
    if is_plain or not isinstance(value, str | int | float | Path):
        return ""
    return f"`{value}`"


# Python


@dataclass
class _Doc:
    """A docstring in the style of this code base, taken apart."""

    lead: list[str] = field(default_factory=list[str])
    named: dict[str, list[tuple[str, str]]] = field(default_factory=dict[str, list[tuple[str, str]]])
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


_NAMED = ("Args", "Attributes", "Raises")
_TEXTS = ("Returns", "Example")


def _python() -> Iterator[str]:
    yield from ["# Python", "", _NOTE, *_wrapped(_PYTHON)]
    yield ""
    names = [(name, getattr(setpoint, name)) for name in setpoint.__all__]
    yield from _table(
        ("name", "what it is"), [(f"[`{name}`](#{_anchor(name)})", _first(_doc(value))) for name, value in names]
    )
    for name, value in names:
        yield from _name(name, value)
    yield from ["", "## Details", "", *_wrapped(_first(_doc(RowDetails)))]
    yield from ["", *_prose(_parsed(_doc(RowDetails)).lead[1:]), ""]
    yield from _table(
        ("keyword", "type"),
        [(f"`{key}`", f"`{_type(hint)}`") for key, hint in typing.get_type_hints(RowDetails).items()],
    )
    asked = ", ".join(f"`{key}`" for key in typing.get_type_hints(RequestDetails))
    yield from [
        "",
        *_wrapped(f"`RequestDetails`, those that `Endpoint.predict` takes, is known before anybody answers: {asked}."),
    ]


def _name(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 — whatever is public
    yield from ["", f"## {name}", ""]
    is_plain = inspect.isclass(value) and issubclass(value, Exception | str | Enum)
    if not is_plain:
        yield from ["```text", *_signature(f"setpoint.{name}", value), "```", ""]
    yield from _documented(_doc(value))
    if inspect.isclass(value) and issubclass(value, Enum):
        yield from ["", *_table(("member", "value"), [(f"`{m.name}`", f"`{m.value}`") for m in value])]
    if inspect.isclass(value):
        for member, function in _methods(value):
            yield from ["", f"### {name}.{member}", ""]
            if not isinstance(function, property):
                yield from ["```text", *_signature(f"{name}.{member}", function), "```", ""]
            yield from _documented(inspect.getdoc(function) or "")


def _methods(owner: type) -> Iterator[tuple[str, Any]]:
    for name, raw in vars(owner).items():
        if name.startswith("_"):
            continue
        if isinstance(raw, property):
            yield name, raw
        elif inspect.isfunction(raw) or isinstance(raw, classmethod | staticmethod):
            yield name, getattr(owner, name)


def _documented(text: str) -> Iterator[str]:
    doc = _parsed(text)
    yield from _prose(doc.lead)
    for section, titles in (("Args", ("argument", "meaning")), ("Attributes", ("attribute", "meaning"))):
        if section in doc.named:
            yield from ["", *_table(titles, [(f"`{n}`", _cell(said)) for n, said in doc.named[section]])]
    if "Returns" in doc.texts:
        yield from ["", *_wrapped("Returns: " + " ".join(doc.texts["Returns"]))]
    if "Raises" in doc.named:
        yield from ["", *_table(("raises", "when"), [(f"`{n}`", _cell(said)) for n, said in doc.named["Raises"]])]
    if "Example" in doc.texts:
        yield from ["", "```pycon", *doc.texts["Example"], "```"]


def _parsed(text: str) -> _Doc:
    doc = _Doc()
    section = ""
    for line in text.splitlines():
        title = line.rstrip(":") if line.endswith(":") and not line.startswith(" ") else ""
        if title in _NAMED or title in _TEXTS:
            section = title
        elif not section:
            doc.lead.append(line)
        elif section in _TEXTS:
            doc.texts.setdefault(section, []).append(line.removeprefix("    "))
        elif line.startswith("     "):
            name, said = doc.named[section][-1]
            doc.named[section][-1] = (name, f"{said} {line.strip()}")
        elif line.strip():
            name, _, said = line.strip().partition(": ")
            doc.named.setdefault(section, []).append((name, said))
    for name, lines in doc.texts.items():
        doc.texts[name] = "\n".join(lines).strip("\n").splitlines()
    return doc


def _prose(lines: list[str]) -> Iterator[str]:
    """Yield paragraphs; lines that are indented stay as they are."""
    for n, paragraph in enumerate(re.split(r"\n\s*\n", "\n".join(lines).strip())):
        if not paragraph:
            continue
        yield from [""] * (n > 0)
        yield from _wrapped(" ".join(paragraph.split()))


def _signature(name: str, value: Any) -> list[str]:  # noqa: ANN401 — whatever is public
    parameters = [p for p in inspect.signature(value).parameters.values() if p.name not in {"self", "cls"}]
    shown: list[str] = []
    for parameter in parameters:
        has_star = any(part.startswith("*") for part in shown)
        if parameter.kind is parameter.KEYWORD_ONLY and not has_star:
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={_value(parameter.default)}"
        shown.append(stars + parameter.name + default)
    one = f"{name}({', '.join(shown)})"
    return [one] if len(one) < _WIDTH - 20 else [f"{name}(", *(f"    {part}," for part in shown), ")"]


def _value(value: object) -> str:
    if isinstance(value, Enum):
        return repr(value.value)
    text = repr(value)
    return "..." if "factory" in text or " at 0x" in text else text


def _doc(value: object) -> str:
    return inspect.getdoc(value) or ""


# Tables


def _tables() -> Iterator[str]:
    yield from ["# Tables", "", _NOTE]
    yield from _wrapped(_LAKE)
    yield ""
    yield from _table(
        ("table", "one row is"), [(f"[`{t}`](#{t})", _first(_doc(e))) for t, e in [*TABLES.items(), _FINDINGS]]
    )
    for table, event in TABLES.items():
        kinds = column_types(table)
        yield from ["", f"## {table}", "", *_prose(_parsed(_doc(event)).lead), ""]
        yield f"Its identifier is `{IDENTIFIER[table]}`; `day` is the day of `{PARTITIONED_BY[table]}`."
        yield ""
        yield from _columns(table, event, kinds)
    yield from ["", f"## {_FINDINGS[0]}", "", *_prose(_parsed(_doc(Finding)).lead), ""]
    said = dict(_parsed(_doc(Finding)).named["Attributes"])
    rows = [("`finding_id`", "`VARCHAR`", "The same for all rows of one finding.")]
    for name, hint in typing.get_type_hints(Finding).items():
        kind = "TIMESTAMP WITH TIME ZONE" if name.endswith("_at") else "BIGINT" if hint is int else "VARCHAR"
        rows.append((f"`{name}`", f"`{kind}`", _cell(said[name]).replace(", microseconds", "")))
    yield from _table(("column", "type", "meaning"), rows)


_FINDINGS: tuple[str, type[msgspec.Struct]] = ("findings", Finding)


def _columns(table: str, event: type[msgspec.Struct], kinds: dict[str, str]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = []
    for one in msgspec.structs.fields(event):
        kind = kinds.get(one.name, "STRUCT")
        if one.name in {"prediction", "outcome"}:
            kind = "DOUBLE or VARCHAR"
        default = "" if one.required or one.default is None else str(one.default).lower()
        said = _MEANING.get(f"{table}.{one.name}") or _MEANING[one.name]
        if not one.required and not default and "null" not in said:
            said += " May be null."
        rows.append((f"`{one.name}`", f"`{kind}`", said + (f" Default: {default}." if default else "")))
    yield from _table(("column", "type", "meaning"), rows)


_MEANING = {
    "prediction_id": "Of the prediction.",
    "predictions.prediction_id": "Ours, or as given; sorts by time when it is ours.",
    "root_id": "The prediction that the caller got; its own id for that one.",
    "parent_id": "The row that this shadow or later stage came from.",
    "key": "Your join key.",
    "unit": "Who it is about: a user, an account.",
    "predicted_at": "When it was made.",
    "recorded_at": "When the store learned of it.",
    "version": "The version that answered.",
    "endpoint": "Where it was asked for.",
    "role": "stable, candidate or shadow; stage for a turn whose answer the caller did not get.",
    "assignment_probability": "With which the version was chosen.",
    "inputs": "One typed field a feature.",
    "prediction": "The answer; true and false are 1 and 0.",
    "score": "Binary: the probability of the positive class.",
    "scores": "Multiclass: the probability of each class.",
    "ranking": "Ranking: the items, from the first place on.",
    "text": "Generation: what was generated, kept only when `free_text` says so.",
    "latency_seconds": "What the caller waited.",
    "error": "The kind of error.",
    "compute_seconds": "What the machine was busy.",
    "seconds": "Sums of the parts of the latency (`queue`, `features`, `upstream`), and of all of it (`latency`).",
    "machine_seconds": "Of the process since its last tally: `cpu` of `cpu_limit` it may use, `gpu` of `gpu_limit`.",
    "first_chunk_bins": "Waits for a first piece by floor(32 log2 seconds).",
    "error_kinds": "Errors by kind: the most frequent ones, the rest as `other`.",
    "queue_seconds": "What the request waited before anybody began to answer it.",
    "features_seconds": "What it took to compute or fetch the inputs.",
    "upstream_seconds": "What was waited for another server.",
    "first_chunk_seconds": "Of an answer that comes in pieces: what the caller waited for the first one.",
    "requested_model": "The model that was asked for, when the provider names another as the one that answered.",
    "tool_requests": "Requests to tools of the provider's own, such as web searches: charged beside the tokens.",
    "prompt_version": "Hash of the template of the prompt.",
    "tallies.compute_seconds": "Sum of what the machine was busy.",
    "keep_probability": "With which the row was kept; null means 1.",
    "feature_version": "The version of the features.",
    "contract_violations": "What the contract found.",
    "source": "Where it comes from.",
    "predictions.source": "The version of the pipeline upstream.",
    "trace_id": "Of your tracing.",
    "run_id": "The batch-scoring run.",
    "call_id": "Of the call.",
    "called_at": "When the provider was asked.",
    "attempt": "1 for the first try.",
    "purpose": "`judge` for a call that graded the answer.",
    "provider": "Who bills it.",
    "provider_model": "The provider's name of the model.",
    "tier": "The price tier.",
    "input_tokens": "Tokens sent.",
    "cached_read_tokens": "Tokens read from the provider's cache.",
    "cached_write_tokens": "Tokens written to it, for as long as the provider keeps them unasked.",
    "cached_write_1h_tokens": "Tokens written to it for an hour.",
    "input_audio_tokens": "Tokens of audio sent, where it is reported.",
    "input_image_tokens": "Tokens of images sent, where it is reported.",
    "reasoning_tokens": "Tokens of reasoning.",
    "output_tokens": "Tokens received.",
    "output_audio_tokens": "Tokens of audio received, where it is reported.",
    "output_image_tokens": "Tokens of images received, where it is reported.",
    "price_id": "The price that was applied: whose, since when, and a digest of its amounts.",
    "cost_nano_usd": "Cost in billionths of a dollar; null is unknown, never free.",
    "adjusts": "The call to whose cost this row adds its own, since the price changed; such a row is no call.",
    "outcome_id": "Of the outcome.",
    "kind": "Which kind.",
    "outcomes.kind": "The declared kind of outcome.",
    "changes.kind": "deploy, config, feature, price, prompt, policy, promotion, holiday or version.",
    "observed_at": "When it happened.",
    "revision": "The highest counts.",
    "retracted": "Whether it was taken back.",
    "outcome": "What really happened; true and false are 1 and 0. A ranking's relevant items are JSON.",
    "value_usd": "What it was worth.",
    "process": "The process that wrote it.",
    "sequence": "Counts the flushes of the process.",
    "bucket_at": "Start of the quarter of an hour.",
    "requests": "Predictions.",
    "errors": "Those with an error.",
    "not_kept": "Those whose row was not kept.",
    "dropped": "Events that a full queue refused.",
    "unsent": "Copies of requests that a version in shadow was too slow for.",
    "latency_bins": "Predictions by floor(32·log2 seconds).",
    "score_bins": "Predictions by floor(32·logit score).",
    "missing": "Rows without a value, by feature.",
    "change_id": "Of the change.",
    "subject": "What was changed, such as a version.",
    "started_at": "Since when.",
    "ended_at": "Until when; null for good.",
    "expected": "What it is expected to move.",
    "note": "Anything else.",
    "author": "Who changed it.",
    "quarantine_id": "Of the row put aside.",
    "source_table": "The table it was meant for.",
    "reason": "Why it does not fit.",
    "raw": "The row as text.",
    "line_number": "Its line in the segment, or its place in the imported file.",
}


# Answers


def _answers() -> Iterator[str]:
    yield from ["# Answers", "", _NOTE]
    yield from _wrapped(_JSON)
    yield ""
    said = dict(_parsed(_doc(Answer)).named["Attributes"])
    said |= {"schema": "Name and version of this form.", "as_of": "The time it holds for, UTC."}
    said |= {"as_of_micros": "The same in microseconds since 1970.", "tables": "By name, a list of rows each."}
    keys = Answer("status", "", Verdict.OK, "", (), (), as_of=0, zone="UTC", tables=()).to_dict()
    yield from _table(("key", "meaning"), [(f"`{key}`", _cell(said[key])) for key in keys])
    yield ""
    yield from _wrapped(_NUMBERS)
    for question, table, columns, words in [*_parts(), *_parts_of_control()]:
        yield from ["", f"## {question}: `{table}`", "", words, ""]
        yield from _wrapped(", ".join(f"`{column}`" if " " not in column else column for column in columns))
    yield from _metrics()


def _metrics() -> Iterator[str]:
    yield from ["", "## Quality metrics", ""]
    rows: list[tuple[str, ...]] = []
    for task in Task:
        model = Model("any", task=task)
        found = quality(StateTable.of(quality_kind(model), []), model)
        rows += [(task.value, f"`{m.name}`", m.unit, m.better if m.better != "none" else "") for m in found]
    yield from _table(("task", "metric", "unit", "better"), rows)
    yield ""
    yield from _wrapped(_BESIDE)


def _parts_of_control() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield the tables of answers about rollouts and incidents."""
    yield from (
        (
            "rollout",
            "metrics",
            rollout.METRIC_COLUMNS,
            "`status`: one row a metric and version, with what bets that the candidate is worse have won.",
        ),
        (
            "rollout",
            "readout",
            rollout.READOUT_COLUMNS,
            "Of a test: who is better in the business metric. A is the stable version, B the candidate.",
        ),
        ("rollout", "events", rollout.EVENT_COLUMNS, "One row an event, the last one says where it stands."),
        ("rollout", "decisions", rollout.DECISION_COLUMNS, "`explain`: one row a decision, with its alternatives."),
        (
            "rehearsal",
            "rehearsal",
            rollout.REHEARSAL_COLUMNS,
            "One row a candidate: one that is no worse, and one at each red line.",
        ),
        ("incidents", "incidents", incidents.LIST_COLUMNS, "Open incidents first."),
        ("incidents", "digest", incidents.DIGEST_COLUMNS, "What is wrong that nobody has to look at now."),
        ("incident", "timeline", incidents.TIMELINE_COLUMNS, "One row an entry, in the order of time."),
        (
            "incident_stats",
            "stats",
            incidents.STATS_COLUMNS,
            "Medians since an incident began, of all, by model, and by what found it.",
        ),
    )


def _parts() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield every table of an answer: the question, its name, its columns, and what it holds."""
    groups = status.METRIC_COLUMNS[:7]
    by = ("the group", "predictions", "outcome_share", "outcome_age_seconds", *groups)
    costs = ("the group", "cost_per_success_usd", "low_usd", "high_usd", "rows", "outcome_share", "unknown")
    yield from (
        ("status", "metrics", status.METRIC_COLUMNS, "One row a metric."),
        ("status", "by_GROUP", by, "With `--by`: one row a group, of the first metric."),
        (
            "status",
            "training",
            training_age.TRAINING_COLUMNS,
            "Where the end of the training data is declared: its age, the first and the latest mature weeks after it.",
        ),
        ("status", "quarantine", aside.QUARANTINE_COLUMNS, "Where rows were put aside: how many, in all tables."),
        (
            "status",
            "estimates",
            estimates.ESTIMATE_COLUMNS,
            "Before outcomes; `weighted_estimates`: inputs moved.",
        ),
        ("status of all models", "models", overview.COLUMNS, "Without a model's name: one row a model, worst first."),
        ("diff", "features", diff.COLUMNS, "One row a feature, the largest impact first."),
        ("diff", "by_GROUP", ("the group", *diff.COLUMNS), "With `--by`: one row a group and feature."),
        (
            "diff",
            "effects",
            harm.EFFECT_COLUMNS,
            "With `--explain`: what each changed feature alone does to the model's answers.",
        ),
        ("diff", "answers", diff.EXPLAINED_COLUMNS, "With `--explain`: one row an answer to a question."),
        ("drift", "features", drift.DRIFT_COLUMNS, "`DriftDetector`: one row a feature, the likeliest change first."),
        ("drift", "gross", drift.GROSS_COLUMNS, "What changed grossly within the last day; absent when nothing did."),
        ("embedding_drift", "distance", embedding_drift.COLUMNS, "One row: how far both sets lie from each other."),
        ("cost", "metrics", cost.METRIC_COLUMNS, "Per correct prediction, and per unit of work."),
        ("cost", "by_GROUP", costs, "With `--by`: one row a group."),
        (
            "cost",
            "lines",
            cost.LINE_COLUMNS,
            "The bill, one row a line; bounds where outcomes are estimated from kept rows.",
        ),
        (
            "cost",
            "priced",
            cost.PRICED_COLUMNS,
            "Where a price is missing: how many predictions have none, and lower bounds.",
        ),
        ("price check", "unpriced", prices.UNPRICED_COLUMNS, "Calls without a price, by model, tier and reason."),
        ("worth", "metrics", worth.METRIC_COLUMNS, "The gain, what it costs, and the net benefit at `--value`."),
        (
            "worth",
            "by_*NAME*",
            ("the cohort", *worth.GROUP_COLUMNS),
            "With `--by`: one row a group; intervals hold for all groups together.",
        ),
        ("worth", "versions", worth.SIDE_COLUMNS, "The candidate, and what it is held against."),
        ("cascade tune", "metrics", cascade.METRIC_COLUMNS, "The threshold, what it takes and loses, what it saves."),
        ("cascade tune", "curve", cascade.CURVE_COLUMNS, "What is lost at some thresholds; each interval for itself."),
        ("outcomes", "days", outcomes.DAY_COLUMNS, "One row a local day."),
        ("outcomes", "kinds", outcomes.KIND_COLUMNS, "One row a kind of outcome."),
        (
            "outcomes",
            "by_GROUP",
            ("the group", *outcomes.DELAY_COLUMNS),
            "With `--by`: one row a group, the slowest first.",
        ),
        (
            "quality",
            "by_GROUP",
            ("the group", *quality_answer.GROUP_COLUMNS),
            "With `--by`, all cut alike.",
        ),
        ("quality", "operating_point", quality_answer.POINT_COLUMNS, "Where scores are acted upon."),
        ("quality", "metrics", quality_answer.METRIC_COLUMNS, "One row a metric."),
        ("quality", "reliability", scores.RELIABILITY_COLUMNS, "One row a band of scores."),
        ("quality", "brier", scores.BRIER_COLUMNS, "The Brier score in parts that add up."),
        ("quality", "classes", by_task.CLASS_COLUMNS, "Multiclass: one row a class, the lowest F1 first."),
        ("quality", "confusions", by_task.CONFUSION_COLUMNS, "Multiclass: one row a mistake, the most frequent first."),
        ("quality", "exposure", by_task.EXPOSURE_COLUMNS, "Ranking: how much of the catalogue is shown, how evenly."),
        ("quality", "items", by_task.ITEM_COLUMNS, "Ranking: the hundred items that are shown most."),
        ("quality", "grades", by_task.GRADE_COLUMNS, "Generation with a judge: who graded how many."),
        ("quality", "money", business.MONEY_COLUMNS, "What predictions were worth, when outcomes say it."),
        ("quality", "audits", quality_answer.AUDIT_COLUMNS, "What was estimated of each week, and what came true."),
        ("quality", "weeks", business.WEEK_COLUMNS, "Quality and worth of each week."),
        ("why", "dimensions", why.DIMENSION_COLUMNS, "One row a version, endpoint or cohort that may explain it."),
        ("why", "groups", why.GROUP_COLUMNS, "One row a group of each of them."),
        ("why", "skill", why.SKILL_COLUMNS, "One row a baseline."),
        ("why", "causes", causes.CAUSE_COLUMNS, "One row a cause, the most likely first."),
        ("cohorts", "cohorts", cohorts.COHORT_COLUMNS, "One row a cohort and criterion, the largest excess first."),
        ("cohorts", "too_small", cohorts.TOO_SMALL_COLUMNS, "Cohorts with too few outcomes for a verdict."),
        ("check", "rules", contract.RULE_COLUMNS, "One row a rule of the contract."),
        ("evaluate", "leaks", evaluation.LEAK_COLUMNS, "One row a leak."),
        ("evaluate", "coverage", evaluation.COVERAGE_COLUMNS, "What production has and the set never saw."),
        ("evaluate", "quality", evaluation.QUALITY_COLUMNS, "What the set measures, and how many rows it lacks."),
        ("evaluate", "past", evaluation.PAST_COLUMNS, "How far offline and online disagreed before."),
        ("evaluate", "inputs", evaluation.INPUT_COLUMNS, "How strongly each input alone tells the outcome."),
        (
            "route",
            "shadows",
            route.SHADOW_COLUMNS,
            "One row a version in shadow: what became of the copies of requests, and whether it gave the same answer.",
        ),
        ("meter", "metrics", meter.METRIC_COLUMNS, "How much was asked, how fast, what failed and what was used."),
        ("meter", "latency", meter.PART_COLUMNS, "Where the time of a prediction goes; the parts sum to the mean."),
        ("meter", "errors", meter.ERROR_COLUMNS, "One row a kind of error, of all predictions, kept or not."),
        (
            "meter",
            "stage_errors",
            meter.STAGE_ERROR_COLUMNS,
            "One row a kind of error before another version was asked.",
        ),
        ("meter", "tokens", meter.TOKEN_COLUMNS, "One row a class of tokens in billed calls; each token is in one."),
        (
            "meter",
            "by_latency",
            meter.BAND_COLUMNS,
            "One row a band of latency, with `--by` a group and band: an association, no effect of latency.",
        ),
        ("route", "versions", route.COLUMNS, "One row a version and role: what is planned, and what it did since."),
        ("route", "plans", route.HISTORY_COLUMNS, "Every plan of the model, oldest first."),
        ("models", "models", inventory.COLUMNS, "The inventory."),
        ("models --debt", "debt", inventory.DEBT_COLUMNS, "What is missing, and what to do about it."),
        ("doctor", "checks", ("verdict", "what", "found"), "One row a check."),
        ("doctor", "figures", ("model", "figure", "value"), "The numbers behind them, one row a number."),
        ("doctor", "quarantine", ("model", "source_table", "reason", "rows"), "What was put aside, by reason."),
    )


# Markdown


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    yield from (f"| {' | '.join(row)} |".replace("  ", " ") for row in rows)


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _first(text: str | None) -> str:
    return _cell((text or "").split("\n\n", maxsplit=1)[0])


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", text.lower()).replace(" ", "-")


def _wrapped(text: str | None) -> Iterator[str]:
    line = ""
    for word in (text or "").split():
        if line and len(line) + len(word) >= _WIDTH:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        yield line


def _type(hint: object) -> str:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return " or ".join(_type(one) for one in typing.get_args(hint))
    return "None" if hint is types.NoneType else getattr(hint, "__name__", str(hint))


if __name__ == "__main__":
    main()
