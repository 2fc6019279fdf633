"""What the columns of an unknown table are, guessed from their names, types and values.

Every guess is said, in a form that can be pasted back as an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Self, cast

import duckdb

from setpoint.core.errors import UsageError
from setpoint.core.model import Model, OutcomeKind, Task
from setpoint.core.reference import ROLES
from setpoint.declare.problems import did_you_mean
from setpoint.store.cells import as_numbers, is_csv, odd_cells, tried
from setpoint.store.defining import is_nested_type
from setpoint.store.engines.duck import quoted, rows
from setpoint.store.files import SECONDS, Mapped, check_columns
from setpoint.store.task_sql import columns_of
from setpoint.store.times import is_time_type

_SAMPLE = 10_000
_COHORT_VALUES = range(2, 21)
_FEW = 50


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What the first rows of a column show.

    Attributes:
        kind: Its SQL type.
        distinct: Distinct values among the rows looked at.
        rows: Rows looked at.
        minimum: Smallest value as a number; None for text.
        maximum: Largest value as a number; None for text.
        nulls: Rows without a value.
        longest: Length of the longest text; 0 for other types.
        odd: Numbers that a CSV has as text: values in all rows that are none; 0 where the type is what it is.
        values: Then how many values all rows have.
        words: How many words a text has on average; 0 for other types.
    """

    kind: str
    distinct: int
    rows: int
    minimum: float | None
    maximum: float | None
    nulls: int
    longest: int
    odd: int = 0
    values: int = 0
    words: float = 0.0

    @classmethod
    def unseen(cls, kind: str) -> Self:
        """Return the facts of a column that was not looked at."""
        return cls(kind, 0, 0, None, None, 0, 0)

    @property
    def is_number(self) -> bool:
        """Whether the column holds numbers."""
        return self.kind.split("(")[0] in _NUMBER_TYPES

    @property
    def is_probability(self) -> bool:
        """Whether all values lie in [0, 1] and are not just flags."""
        inside = self.minimum is not None and self.maximum is not None and 0 <= self.minimum <= self.maximum <= 1
        is_flag = self.minimum in {0, 1} and self.maximum in {0, 1} and self.distinct <= 2  # noqa: PLR2004 — 0 and 1
        return self.is_number and inside and not is_flag

    @property
    def is_text(self) -> bool:
        """Whether the column is free text: several words, and most values there but once."""
        is_different = self.rows > _FEW and self.distinct > _MOSTLY_DIFFERENT * (self.rows - self.nulls)
        return self.kind == "VARCHAR" and is_different and self.words >= _SEVERAL

    @property
    def is_time(self) -> bool:
        """Whether the column is a time by type."""
        return is_time_type(self.kind)


_NUMBER_TYPES = {
    "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "DECIMAL",
    "UBIGINT", "UINTEGER", "USMALLINT", "UTINYINT",
}  # fmt: skip

# Names people give to columns of each role, the surest first.
_NAMES: dict[str, str] = {
    "time": r"(predicted_at|timestamp|ts|event_time|time|datetime|date|created_at|time_hour|scored_at|.*_time|.*_at)",
    "prediction_id": r"(prediction_id|request_id|event_id|inference_id)",
    "key": r"(key|id|.*_id|uuid|row_id)",
    "version": r"(version|model_version)",
    "endpoint": r"(endpoint|service)",
    "score": r"(score|prob|proba|probability|p|y_score|y_prob|y_proba|pred_proba|.*_score|.*_proba?|score_.*)",
    "prediction": r"(prediction|pred|predicted|y_pred|y_hat|yhat|decision|forecast|.*_pred|.*_prediction|predicted_.*)",
    "scores": r"(scores|probabilities|probas?|class_scores|.*_scores|.*_probas)",
    "ranking": r"(ranking|ranked|ranked_items|recommendations|recommended|slate|.*_ranking)",
    "judge": r"(judge|judge_grade|judge_score|llm_judge|.*_judge)",
    "outcome": r"(outcome|label|target|y|y_true|actual|truth|ground_truth|class|is_.*|.*_label|.*_actual|actual_.*)",
    "latency_seconds": r"(latency|latency_s|latency_seconds|latency_ms|duration|duration_ms|duration_s|elapsed_ms)",
    "compute_seconds": r"(compute_seconds|compute_s|cpu_seconds|gpu_seconds)",
    "queue_seconds": r"(queue_seconds|queue_s|queue_ms|queue_time_ms|queued_ms)",
    "features_seconds": r"(features_seconds|features_s|features_ms|feature_seconds|feature_s|feature_ms)",
    "upstream_seconds": r"(upstream_seconds|upstream_s|upstream_ms)",
    "first_chunk_seconds": r"(first_chunk_seconds|first_chunk_s|first_chunk_ms|ttft|ttft_s|ttft_seconds|ttft_ms)",
    "cost_usd": r"(cost|cost_usd|price|price_usd|usd)",
    "value_usd": r"(value_usd|revenue|revenue_usd|amount_usd)",
    "error": r"(error|error_kind|exception)",
    "keep_probability": r"(keep_probability|sampling_probability)",
    "revision": r"(revision|revision_number)",
    "retracted": r"(retracted|is_retracted)",
    "unit": r"(unit|user|user_id|customer_id|account_id|session_id)",
}


def look_at(connection: duckdb.DuckDBPyConnection, name: str, types: Mapping[str, str]) -> dict[str, ColumnFacts]:
    """Return what the first rows of each column show."""
    if not types:
        return {}
    texts = [column for column, kind in types.items() if kind == "VARCHAR"]
    odd = odd_cells(connection, name, texts) if texts and is_csv(connection, name) else {}
    parts: list[str] = []
    for column, kind in types.items():
        q = quoted(column)
        is_number = column in odd or kind.split("(")[0] in _NUMBER_TYPES
        number = (tried(column) if column in odd else f"CAST({q} AS DOUBLE)") if is_number else "NULL"
        longest = f"max(length({q}))" if kind == "VARCHAR" else "0"
        words = f"avg(len(string_split({q}, ' ')))" if kind == "VARCHAR" else "0.0"
        parts += [
            f"count(DISTINCT {q})",
            f"min({number})",
            f"max({number})",
            f"count(*) - count({q})",
            longest,
            words,
        ]
    sample = f"(SELECT * FROM {quoted(name)} LIMIT {_SAMPLE})"
    found = rows(connection, f"SELECT count(*), {', '.join(parts)} FROM {sample}")[0]
    count = cast("int", found[0])
    return {
        column: ColumnFacts(
            "DOUBLE" if column in odd else kind,
            cast("int", found[1 + 6 * n]),
            count,
            cast("float | None", found[2 + 6 * n]),
            cast("float | None", found[3 + 6 * n]),
            cast("int", found[4 + 6 * n]),
            cast("int", found[5 + 6 * n] or 0),
            *odd.get(column, (0, 0)),
            words=cast("float", found[6 + 6 * n] or 0.0),
        )
        for n, (column, kind) in enumerate(types.items())
    }


def guess(
    facts: Mapping[str, ColumnFacts],
    given: Mapping[str, str],
    inputs: tuple[str, ...] | None,
    known: Collection[str] = (),
    *,
    with_texts: bool = False,
) -> Mapped:
    """Return the role of each column: what was given, and the guess for the rest.

    Args:
        facts: What `look_at` returned.
        given: Column by role, as the user says. An empty column means: there is none.
        inputs: The feature columns, as the user says; None to guess.
        known: Columns that are features for sure, whatever they hold.
        with_texts: Whether free text is a feature, for rows that are read and not kept.

    Raises:
        ColumnError: A given column is not there.
    """
    wanted = {role: column for role, column in given.items() if column}
    types = {column: fact.kind for column, fact in facts.items()}
    check_columns(wanted, types)
    check_columns({f"inputs[{n}]": column for n, column in enumerate(inputs or ())}, types)
    roles = dict(wanted)
    taken = {*wanted.values(), *columns_of(wanted.get("scores", ""), types).values(), *(inputs or ())}
    free = [column for column in facts if column not in taken]
    for role, pattern in _NAMES.items():
        if role in given:
            continue
        for column in sorted(free, key=lambda name: _sureness(pattern, name)):
            # What was relevant of a ranking is a text that is different in every row.
            is_relevant = role == "outcome" and "ranking" in roles and facts[column].kind == "VARCHAR"
            if re.fullmatch(pattern, column.lower()) and (is_relevant or _suits(role, facts[column])):
                roles[role] = column
                free.remove(column)
                break
    if not {"score", "scores"} & {*roles, *given} and (column := _confidence(facts, roles, free)):
        roles["score"] = column
        free.remove(column)
    if "time" not in roles and "time" not in given:
        times = [column for column, fact in facts.items() if fact.kind.startswith("TIMESTAMP")]
        if len(times) == 1 and times[0] in free and times[0] not in known and times[0] != "observed_at":
            roles["time"] = times[0]
            free.remove(times[0])
    chosen = (
        inputs
        if inputs is not None
        else tuple(
            column
            for column in free
            if column in known
            or (with_texts and facts[column].is_text)
            or (_is_input(facts[column]) and not re.fullmatch(_NAMES["prediction_id"], column.lower()))
        )
    )
    scales = {role: 0.001 for role in SECONDS if roles.get(role, "").lower().endswith("_ms")}
    left_out = () if inputs is not None else tuple(column for column in free if column not in chosen)
    texts = tuple(column for column in chosen if facts[column].is_text)
    return Mapped(roles, chosen, scales, left_out, texts)


def _confidence(facts: Mapping[str, ColumnFacts], roles: Mapping[str, str], free: Collection[str]) -> str:
    """Return the column with the probability of the answered class; of yes or no that is not the score of yes."""
    if guess_task(facts, Mapped(roles, ())) is not Task.MULTICLASS:
        return ""
    named = (one for one in free if re.fullmatch(r"(.*_)?confidence", one.lower()))
    return next((one for one in named if facts[one].is_probability), "")


def mend(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    types: Mapping[str, str],
    facts: Mapping[str, ColumnFacts],
    mapped: Mapped,
) -> dict[str, str]:
    """Make numbers of columns that are numbers but for a few cells, where they are used as such.

    Args:
        connection: Where the table was loaded.
        name: The table.
        types: Its column types.
        facts: What `look_at` returned.
        mapped: Which column plays which role: an identifier stays a text.

    Returns:
        The column types now.
    """
    odd = [column for column in _numbers(mapped) if column in facts and facts[column].odd]
    as_numbers(connection, name, odd)
    return {column: "DOUBLE" if column in odd else kind for column, kind in types.items()}


def _numbers(mapped: Mapped) -> list[str]:
    """Return the columns whose values may be numbers."""
    return [*mapped.inputs, *(mapped.roles[role] for role in _OF_NUMBERS if role in mapped.roles)]


_OF_NUMBERS = (
    "prediction", "score", "outcome", *SECONDS, "cost_usd", "value_usd", "keep_probability",
)  # fmt: skip


def check_roles(columns: Mapping[str, str], known: tuple[str, ...] = ROLES) -> None:
    """Refuse a role that there is not.

    Raises:
        UsageError: No role has this name.
    """
    for role in columns:
        if role not in known:
            msg = f"no role is called {role!r}"
            raise UsageError(msg, hint=did_you_mean(role, known) or f"roles: {', '.join(known)}")


def warnings(
    facts: Mapping[str, ColumnFacts], mapped: Mapped, so: str = "", declared: Model | None = None
) -> list[str]:
    """Return what is odd about the columns, in words.

    Args:
        facts: What is known of each column.
        mapped: Which column is what.
        so: What becomes of a text among numbers.
        declared: The declaration, when there is one.
    """
    notes = [
        f"{column}: {facts[column].odd:,} of {facts[column].values:,} values are no numbers{so}"
        for column in _numbers(mapped)
        if column in facts and facts[column].odd
    ]
    if mapped.left_out:
        reasons = [f"{column} ({_why_left_out(facts[column])})" for column in mapped.left_out]
        notes.append(f"left out: {', '.join(reasons)}")
    score = facts.get(mapped.roles.get("score", ""))
    if score is not None and score.minimum is not None and not 0 <= score.minimum <= (score.maximum or 0.0) <= 1:
        notes.append(
            f"scores run from {score.minimum:g} to {score.maximum:g}: those outside [0, 1] are no probabilities"
        )
    outcome = facts.get(mapped.roles.get("outcome", ""))
    is_open = guess_task(facts, mapped) is Task.BINARY if declared is None else _is_open(declared)
    if outcome is not None and is_open and _is_neither(outcome):
        low, high = outcome.minimum or 0.0, outcome.maximum or 0.0
        notes.append(
            f"outcomes are {low:g} and {high:g}: say which means yes, with model=Model(..., positive='{high:g}')"
        )
    if outcome is not None and is_open and outcome.kind == "VARCHAR":
        notes.append("outcomes are text: say which value means yes, with model=Model(..., positive='yes')")
    return notes


def _is_open(declared: Model) -> bool:
    """Whether nobody said what yes is."""
    return declared.task is Task.BINARY and not declared.positive


def _is_neither(outcome: ColumnFacts) -> bool:
    """Whether an outcome is a number that is neither 0 nor 1."""
    return outcome.is_number and not {outcome.minimum, outcome.maximum} <= {0.0, 1.0, None}


def _why_left_out(fact: ColumnFacts) -> str:
    if fact.kind != "VARCHAR" or fact.distinct <= _DIFFERENT * (fact.rows - fact.nulls):
        if is_nested_type(fact.kind):
            return "nested"
        return "an identifier that stands more than once" if fact.rows else "an identifier, by its name"
    first = "the first " if fact.rows == _SAMPLE else ""
    return f"{fact.distinct:,} different texts in {first}{fact.rows:,} rows"


def guess_task(facts: Mapping[str, ColumnFacts], mapped: Mapped) -> Task:
    """Return the task that the roles, the outcome, else the prediction look like."""
    roles = mapped.roles
    for role, task in (("ranking", Task.RANKING), ("judge", Task.GENERATION), ("scores", Task.MULTICLASS)):
        if role in roles:
            return task
    told = roles.get("outcome") or ("" if "score" in roles else roles.get("prediction", ""))
    if not told or facts[told].distinct <= 2:  # noqa: PLR2004 — yes and no
        return Task.BINARY
    if facts[told].is_number:
        return Task.REGRESSION
    return Task.MULTICLASS if "outcome" in roles and "prediction" in roles else Task.BINARY


def guess_kinds(mapped: Mapped) -> tuple[OutcomeKind, ...]:
    """Return the kinds of outcome of a table: the final one, and the grade of a judge when there is one."""
    judges = (OutcomeKind("judge", final=False, judge=True),) if "judge" in mapped.roles else ()
    return (OutcomeKind(), *judges)


def guess_cohorts(facts: Mapping[str, ColumnFacts], mapped: Mapped, limit: int = 5) -> list[str]:
    """Return inputs that look like cohorts: few values, text or flags, the fewest values first."""
    found = [
        column
        for column in mapped.inputs
        if not facts[column].is_number and not facts[column].is_time and facts[column].distinct in _COHORT_VALUES
    ]
    return sorted(found, key=lambda column: (facts[column].distinct, column))[:limit]


def said(mapped: Mapped, given: Mapping[str, str]) -> str:
    """Return the guesses as arguments that can be pasted back."""
    guessed = [f"{role}={column!r}" for role, column in mapped.roles.items() if role not in given]
    return ", ".join(guessed)


def _sureness(pattern: str, column: str) -> int:
    names = pattern.strip("()").split("|")
    return names.index(column.lower()) if column.lower() in names else len(names)


def _suits(role: str, fact: ColumnFacts) -> bool:
    """Whether a column can play a role, whatever it is called."""
    if fact.nulls == fact.rows:
        return False
    return _SUITS.get(role, lambda fact: not fact.is_time)(fact)


def _is_amount(fact: ColumnFacts) -> bool:
    return fact.is_number and (fact.minimum or 0.0) >= 0


def _most_classes(fact: ColumnFacts) -> float:
    """Return how many different texts may be classes: more of them where each stands ten times on average."""
    return max(_FEW, 0.1 * (fact.rows - fact.nulls))


def _is_name(fact: ColumnFacts) -> bool:
    return fact.distinct > 0.5 * fact.rows


_SUITS: Mapping[str, Callable[[ColumnFacts], bool]] = {
    "time": lambda fact: fact.is_time or (fact.kind in {"VARCHAR", "BIGINT"} and fact.distinct > _FEW),
    "score": lambda fact: fact.is_probability,
    "scores": lambda fact: fact.kind.startswith(("MAP", "STRUCT")),
    "ranking": lambda fact: fact.kind.endswith("[]"),
    "judge": lambda fact: not fact.is_time and not is_nested_type(fact.kind),
    "outcome": lambda fact: (
        not fact.is_time and (fact.is_number or is_nested_type(fact.kind) or fact.distinct <= _most_classes(fact))
    ),
    "revision": lambda fact: fact.is_number,
    "retracted": lambda fact: fact.kind == "BOOLEAN",
    **dict.fromkeys(SECONDS, _is_amount),
    "cost_usd": _is_amount,
    "value_usd": lambda fact: fact.is_number,  # a loss is a value too
    "keep_probability": lambda fact: fact.is_number and 0 < (fact.minimum or 0.0) <= (fact.maximum or 0.0) <= 1,
    "key": _is_name,
    "prediction_id": _is_name,
    "version": lambda fact: fact.distinct <= _FEW,
    "endpoint": lambda fact: fact.distinct <= _FEW,
    "unit": lambda fact: fact.distinct > 1 and not fact.is_time,
}


def _is_input(fact: ColumnFacts) -> bool:
    """Whether an unnamed column is a feature: not nested, and not text that is different in every row."""
    is_text = fact.kind == "VARCHAR"
    is_different = is_text and fact.rows > _FEW and fact.distinct > _DIFFERENT * (fact.rows - fact.nulls)
    return not (is_nested_type(fact.kind) or is_different)


_DIFFERENT = 0.9
_MOSTLY_DIFFERENT = 0.5
_SEVERAL = 3.0
