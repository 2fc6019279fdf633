"""Which outcome belongs to which prediction, as SQL over the views of a snapshot.

By identifier: the outcome names the root prediction. By key: the latest root prediction with that
key not later than the outcome, within the declared horizon. Every row of a root inherits its
outcome. Of several, the latest by (revision, observed_at, recorded_at) counts; a retraction that is
latest leaves none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from setpoint.core.clock import MICROS
from setpoint.core.model import Model, Task
from setpoint.core.rates import Rates
from setpoint.core.spelling import class_name
from setpoint.core.window import Window
from setpoint.store.engines.duck import at, literal
from setpoint.store.primitives import finite, printed, weight
from setpoint.store.task_sql import class_losses, class_text, confidence, decision_class, gains, grade, ndcg, recall

NEVER = "make_timestamptz(253402300799000000)"  # an outcome without a time is later than every prediction


@dataclass(frozen=True, slots=True)
class Matching:
    """What the SQL of examples depends on.

    Attributes:
        model: The declaration.
        types: SQL types of `prediction` and `outcome`.
        as_of: Nothing recorded later counts, microseconds.
        window: Predictions of this window only; None for all.
        kind: The kind of outcome; the final one by default.
        has_calls: Whether any call was recorded.
        has_children: Whether any prediction has shadow or cascade rows.
        has_keys: Whether any outcome came by key.
        has_unkept: Whether a prediction with a key may not have been kept.
        is_joined: Whether the predictions view has `outcome`, `value_usd` and `cost_usd` itself: a file
            in which every row knows its outcome.
        cohorts: SQL of each cohort's value, by cohort name.
        within: Only outcomes learned at most this long after their prediction, microseconds; None for all.
    """

    model: Model
    types: dict[str, str]
    as_of: int
    window: Window | None = None
    kind: str = ""
    has_calls: bool = True
    has_children: bool = True
    has_keys: bool = True
    has_unkept: bool = True
    is_joined: bool = False
    cohorts: tuple[tuple[str, str], ...] = ()
    within: int | None = None

    @property
    def outcome_alias(self) -> str:
        """Where the outcome's columns stand: the joined outcomes, or the predictions themselves."""
        return "p" if self.is_joined else "o"


def latest_outcomes(matching: Matching) -> str:
    """Return SQL for the outcome of each root: root_id, outcome, value_usd, observed_at, learned_at."""
    kind = literal(matching.kind or matching.model.final_kind)
    columns = "revision, observed_at, recorded_at, outcome_id, retracted, outcome, value_usd, ship"
    after = f" AND observed_at >= {at(matching.window.start)}" if matching.window else ""
    age = "epoch_us(o.recorded_at) - epoch_us(r.predicted_at)"
    early = "" if matching.within is None else f"{age} <= {matching.within}"
    by_id = "FROM outcomes AS o"
    if early:
        by_id += f" SEMI JOIN predictions AS r ON r.prediction_id = o.prediction_id AND {early}"
    by_id += f" WHERE kind = {kind} AND prediction_id IS NOT NULL"
    sources = [f"SELECT prediction_id AS root_id, {columns} {by_id}"]
    if matching.has_keys:
        horizon = matching.model.outcome_horizon // MICROS
        sources.append(
            f"SELECT r.prediction_id AS root_id, {', '.join('o.' + c for c in columns.split(', '))}"
            f" FROM (SELECT * FROM outcomes WHERE kind = {kind} AND prediction_id IS NULL{after}) AS o"
            " ASOF JOIN (SELECT key, coalesce(predicted_at, make_timestamptz(0)) AS predicted_at,"
            f" max(prediction_id) AS prediction_id FROM ({_roots(matching)}) GROUP BY ALL) AS r"
            " ON o.key = r.key AND o.observed_at >= r.predicted_at"
            f" WHERE epoch_us(o.observed_at) - epoch_us(r.predicted_at) <= {horizon * MICROS}"
            f"{f' AND {early}' if early else ''}"
        )
    order = "revision DESC, observed_at DESC, recorded_at DESC, outcome_id DESC"
    return (
        "SELECT root_id, outcome, value_usd, observed_at, recorded_at AS learned_at FROM ("
        f"SELECT *, row_number() OVER (PARTITION BY root_id ORDER BY {order}) AS place"
        f" FROM ({' UNION ALL '.join(sources)})) WHERE place = 1 AND NOT retracted"
    )


def _roots(matching: Matching) -> str:
    """Return SQL for what an outcome by key may belong to; one of a row that was not kept belongs to that."""
    columns = "SELECT key, predicted_at, prediction_id FROM"
    kept = f"{columns} predictions WHERE key IS NOT NULL AND parent_id IS NULL"
    return f"{kept} UNION ALL {columns} unkept" if matching.has_unkept else kept


def examples(matching: Matching) -> str:
    """Return SQL for every prediction with what is known of its outcome and cost.

    Columns: prediction_id, root_id, predicted_at, version, endpoint, role, is_root, unit,
    assignment_probability, weight, score, sureness, decision, outcome_age, outcome_number, has_outcome, is_success,
    cost_usd (null unknown), latency_seconds, error, value_usd, one `cohort_N` a cohort; what `_of_task` adds.
    """
    model = matching.model
    where = f" WHERE true{windowed('p.predicted_at', matching.window)}" if matching.window else ""
    joins = "" if matching.is_joined else f" LEFT JOIN ({latest_outcomes(matching)}) AS o ON o.root_id = p.root_id"
    if model.judge_kind and not matching.is_joined:
        judged = latest_outcomes(replace(matching, kind=model.judge_kind))
        joins += f" LEFT JOIN ({judged}) AS j ON j.root_id = p.root_id"
    cost = _cost(matching)
    if matching.has_calls:
        joins += (
            " LEFT JOIN (SELECT prediction_id, sum(cost_nano_usd) AS nano, count(*) - count(cost_nano_usd)"
            " AS unpriced FROM calls WHERE purpose IS DISTINCT FROM 'judge' GROUP BY prediction_id) AS c"
            " ON c.prediction_id = p.prediction_id"
        )
    cohorts = "".join(f", {sql} AS cohort_{n}" for n, (_, sql) in enumerate(matching.cohorts))
    of_task = "".join(f", {sql} AS {name}" for name, sql in _of_task(matching).items())
    inner = (
        "SELECT p.prediction_id, p.root_id, p.predicted_at, p.version, p.endpoint, p.role,"
        " p.parent_id IS NULL AS is_root, p.unit, p.assignment_probability,"
        f" {printed(weight())} AS weight, {_score(matching)} AS score, {_sureness(matching)} AS sureness,"
        f" {_decision(matching)} AS decision, {outcome_age(matching)} AS outcome_age,"
        f" {outcome_number(matching)} AS outcome_number, {matching.outcome_alias}.value_usd,"
        f" p.latency_seconds, p.error, {cost} AS cost_usd{of_task}{cohorts} FROM predictions AS p{joins}{where}"
    )
    success = _success(model)
    return f"SELECT *, outcome_number IS NOT NULL AS has_outcome, {success} AS is_success FROM ({inner}) AS example"


def family_costs(matching: Matching) -> str:
    """Return SQL for the cost of each root with its shadow and cascade rows; null when one is unknown."""
    return (
        "SELECT root_id, CASE WHEN count(*) = count(cost_usd) THEN sum(cost_usd) END AS family_cost_usd"
        f" FROM ({examples(matching)}) AS family GROUP BY root_id"
    )


def _of_task(matching: Matching) -> dict[str, str]:
    """Return SQL of what only rows of the model's task have, by column."""
    match matching.model.task:
        case Task.MULTICLASS:
            came = outcome_class(matching)
            return {"decision_class": _decided(matching), "outcome_class": came, **class_losses(came)}
        case Task.RANKING:
            relevant = _relevant(matching)
            measured = outcome_of_ranking(matching, recall(relevant, matching.model))
            return {"recall": measured, "relevant": relevant}
        case Task.GENERATION if matching.model.judge_kind:
            return {"judge_number": grade(*_judged(matching))}
        case _:
            return {}


def _judged(matching: Matching) -> tuple[str, str]:
    """Return SQL of what a judge said, and its type."""
    return ("p.judge", matching.types["judge"]) if matching.is_joined else ("j.outcome", matching.types["outcome"])


def _decided(matching: Matching) -> str:
    return decision_class(matching.types["prediction"])


def _relevant(matching: Matching) -> str:
    return gains(f"{matching.outcome_alias}.outcome", matching.types["outcome"])


def _score(matching: Matching) -> str:
    if matching.model.task is Task.MULTICLASS:
        return confidence(_decided(matching))
    if matching.model.task is not Task.BINARY:
        return "CAST(NULL AS DOUBLE)"
    return "CASE WHEN p.score BETWEEN 0.0 AND 1.0 THEN p.score END"


def _sureness(matching: Matching) -> str:
    """How sure the version is of its answer, 0 to 1, as `predictions.reply.Reply.sureness`: a cascade decides by it."""
    if matching.model.task is Task.BINARY:
        return f"greatest({_score(matching)}, 1.0 - {_score(matching)})"
    told = "coalesce(list_max(map_values(p.scores)), p.score)"
    return f"CASE WHEN {told} BETWEEN 0.0 AND 1.0 THEN {told} END"


def _decision(matching: Matching) -> str:
    """The model's own answer as a number: 0 or 1 for binary, else 1 where a class, a ranking or a text is its own."""
    model = matching.model
    if model.task is Task.MULTICLASS:
        return f"CASE WHEN {_decided(matching)} IS NOT NULL THEN 1.0 END"
    if model.task in {Task.RANKING, Task.GENERATION}:
        return "1.0"
    recorded = _as_number("p.prediction", matching.types["prediction"], model)
    if model.task is Task.REGRESSION:
        return recorded
    score = f"({_score(matching)})"  # what is no probability decides nothing; NaN is above every threshold
    if model.success.threshold is not None:
        threshold = model.success.threshold
        return (
            f"coalesce(CASE WHEN {score} >= {threshold!r} THEN 1.0 WHEN {score} IS NOT NULL THEN 0.0 END, {recorded})"
        )
    return f"coalesce({recorded}, CASE WHEN {score} >= 0.5 THEN 1.0 WHEN {score} IS NOT NULL THEN 0.0 END)"


def outcome_number(matching: Matching) -> str:
    """Return SQL for the outcome of a prediction `p` as a number; null when it is not known, or cannot be read.

    Of a class whether it is the answered one, of a ranking its nDCG, of a text its grade.
    """
    column, kind = f"{matching.outcome_alias}.outcome", matching.types["outcome"]
    match matching.model.task:
        case Task.MULTICLASS:
            decided, came = _decided(matching), outcome_class(matching)
            return f"CASE WHEN {decided} = {came} THEN 1.0 WHEN {decided} <> {came} THEN 0.0 END"
        case Task.RANKING:
            return outcome_of_ranking(matching, ndcg(_relevant(matching), matching.model))
        case _:
            return _known(matching, _as_number(column, kind, matching.model), _silent(matching, repr))


def outcome_class(matching: Matching) -> str:
    """Return SQL for the class that came of a prediction `p`; null when it is not known."""
    told = class_text(f"{matching.outcome_alias}.outcome", matching.types["outcome"])
    return _known(matching, told, _silent(matching, lambda value: literal(class_name(value))))


def outcome_of_ranking(matching: Matching, measured: str) -> str:
    """Return SQL for what a ranking is worth; silence means that nothing was relevant."""
    return _known(matching, measured, _silent(matching, lambda _: "0.0"))


def _silent(matching: Matching, spelled: Callable[[float], str]) -> str:
    silence = matching.model.outcome_if_silent
    return "" if silence is None else spelled(float(silence.value))


def _known(matching: Matching, number: str, silent: str) -> str:
    """Return SQL for an outcome as it is known in time, or what silence stands for."""
    if matching.is_joined and matching.within is not None:
        number = f"CASE WHEN epoch_us(p.observed_at) - epoch_us(p.predicted_at) <= {matching.within} THEN {number} END"
    silence = matching.model.outcome_if_silent
    if silence is None or (matching.within is not None and silence.after > matching.within):
        return number
    ripe = f"epoch_us(p.predicted_at) + {silence.after} <= {matching.as_of}"
    absent = "p.outcome IS NULL" if matching.is_joined else "o.root_id IS NULL"
    return f"coalesce({number}, CASE WHEN {absent} AND {ripe} THEN {silent} END)"


def outcome_age(matching: Matching) -> str:
    """Return SQL for how old a prediction `p` was when its outcome was learned, microseconds; null if nobody knows."""
    learned = "p.observed_at" if matching.is_joined else "o.learned_at"
    age = f"(epoch_us({learned}) - epoch_us(p.predicted_at))"
    if not matching.is_joined:  # a file's outcome without a time
        age = f"CASE WHEN {learned} < {NEVER} THEN {age} END"
    silence = matching.model.outcome_if_silent
    absent = "p.outcome IS NULL" if matching.is_joined else "o.root_id IS NULL"
    return age if silence is None else f"CASE WHEN {absent} THEN {silence.after} ELSE {age} END"


def windowed(column: str, window: Window | None) -> str:
    """Return SQL that goes on with a condition: that a time lies in a window; empty for all times."""
    return f" AND {column} >= {at(window.start)} AND {column} < {at(window.end)}" if window else ""


def odd_outcome(kind: str, model: Model) -> str:
    """Return SQL for whether a value of `outcome` is there and cannot be read: neither yes nor no, or no number.

    Args:
        kind: The SQL type of `outcome`.
        model: The declaration.
    """
    if model.task is Task.MULTICLASS:
        return "false"  # any text is a class
    if model.task is Task.RANKING:
        return f"(outcome IS NOT NULL AND ({gains('outcome', kind)}) IS NULL)"
    return f"(outcome IS NOT NULL AND ({_as_number('outcome', kind, model)}) IS NULL)"


def odd_examples(matching: Matching) -> str:
    """Return SQL for the prediction_id of each root whose outcome came and cannot be read."""
    is_odd = odd_outcome(matching.types["outcome"], matching.model)
    where = f"parent_id IS NULL{windowed('predicted_at', matching.window)}"
    if matching.is_joined:
        return f"SELECT prediction_id FROM predictions WHERE {where} AND {is_odd}"
    odd = f"SELECT root_id FROM ({latest_outcomes(matching)}) WHERE {is_odd}"
    return f"SELECT prediction_id FROM predictions WHERE {where} AND root_id IN ({odd})"


def _as_number(column: str, kind: str, model: Model) -> str:
    # Recorded booleans are 1 and 0: a `positive` that is no number says which text is yes, and is not theirs.
    is_named = bool(model.positive) and (kind == "VARCHAR" or _is_number(model.positive))
    if model.task is Task.BINARY and kind != "BOOLEAN" and is_named:
        positive = literal(model.positive)
        same = f"CAST({column} AS VARCHAR) = {positive}"
        if kind != "VARCHAR":
            same = f"({same} OR TRY_CAST({column} AS DOUBLE) = TRY_CAST({positive} AS DOUBLE))"
        return f"CASE WHEN {column} IS NULL THEN NULL WHEN {same} THEN 1.0 ELSE 0.0 END"
    if model.task is Task.BINARY and kind == "VARCHAR":
        # Which of two words is yes, nobody has said: then a guess would give numbers that are wrong.
        return (
            f"CASE WHEN lower({column}) IN ('1', '1.0', 'true') THEN 1.0"
            f" WHEN lower({column}) IN ('0', '0.0', 'false') THEN 0.0 END"
        )
    if model.task is Task.GENERATION:
        return grade(column, kind)
    if kind == "VARCHAR":
        return printed(finite(f"TRY_CAST({column} AS DOUBLE)"))
    number = column if kind == "DOUBLE" else f"CAST({column} AS DOUBLE)"
    if model.task is Task.BINARY:
        return f"CASE WHEN {number} IN (0.0, 1.0) THEN {number} END"
    return printed(finite(number))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _success(model: Model) -> str:
    """Whether the prediction was right: 1, 0, or null without an outcome or a rule."""
    known = "decision IS NOT NULL AND outcome_number IS NOT NULL"
    if model.task is Task.GENERATION:
        return (
            f"CASE WHEN {known} THEN CASE WHEN outcome_number >= {model.success.at_least!r} THEN 1.0 ELSE 0.0 END END"
        )
    if model.task is Task.RANKING:
        return f"CASE WHEN {known} THEN CASE WHEN outcome_number > 0.0 THEN 1.0 ELSE 0.0 END END"
    if model.task is not Task.REGRESSION:
        return f"CASE WHEN {known} THEN CASE WHEN decision = outcome_number THEN 1.0 ELSE 0.0 END END"
    tolerance = model.success.tolerance
    if tolerance is None:
        return "CAST(NULL AS DOUBLE)"
    close = f"abs(decision - outcome_number) <= {tolerance!r}"
    return f"CASE WHEN {known} THEN CASE WHEN {close} THEN 1.0 ELSE 0.0 END END"


def _cost(matching: Matching) -> str:
    """Dollars a row: its calls plus the rates of its time; null when neither is known."""
    *past, last = [_price(matching, rates) for rates in matching.model.rates.periods]
    if not past:
        return last
    ends = [rates.since or 0 for rates in matching.model.rates.periods[1:]]
    cases = " ".join(f"WHEN p.predicted_at < {at(end)} THEN {price}" for end, price in zip(ends, past, strict=True))
    return f"CASE {cases} ELSE {last} END"


def _price(matching: Matching, rates: Rates) -> str:
    """Dollars a row while these rates hold."""
    parts: list[str] = []
    if rates.per_prediction_usd is not None:
        parts.append(repr(float(rates.per_prediction_usd)))
    if rates.per_compute_second_usd is not None:
        parts.append(f"p.compute_seconds * {float(rates.per_compute_second_usd)!r}")
    flat = " + ".join(parts) or "0.0"
    if matching.is_joined:
        return f"coalesce(p.cost_usd + {flat}, {flat})" if rates.is_paid else "p.cost_usd"
    if not rates.is_paid:  # what failed without a billed attempt cost nothing; who paid for an answer, nobody said
        flat = "CASE WHEN p.error IS NOT NULL THEN 0.0 END"
    if not matching.has_calls:
        return flat
    called = f"c.nano / 1e9 + {flat}" if rates.is_paid else "c.nano / 1e9"
    return f"CASE WHEN c.prediction_id IS NULL THEN {flat} WHEN c.unpriced > 0 THEN NULL ELSE {called} END"
