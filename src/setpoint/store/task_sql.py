"""What a row says whose answer is a class, a ranking or a text, as SQL over a prediction `p` and its outcome."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from setpoint.core.errors import ColumnError
from setpoint.core.model import Model
from setpoint.store.engines.duck import literal, quoted
from setpoint.store.primitives import finite, printed

CLIP = 1e-15
"""The least probability that log loss takes for the class that came, as `stats.classification.LOG_LOSS_CLIP`."""

_PASSED = ("pass", "passed", "win", "won", "yes", "true")
_FAILED = ("fail", "failed", "loss", "lost", "no", "false")
_TIED = ("tie", "draw")


def class_text(column: str, kind: str) -> str:
    """Return SQL of a class as text, as `core.spelling.class_name` spells it.

    Args:
        column: SQL of the class.
        kind: Its SQL type.
    """
    if kind in {"DOUBLE", "FLOAT"}:
        # What is not a number is no class.
        whole = f"CASE WHEN {column} = floor({column}) AND abs({column}) < 9e15 THEN CAST({column} AS BIGINT) END"
        return f"CASE WHEN isfinite({column}) THEN coalesce(CAST({whole} AS VARCHAR), CAST({column} AS VARCHAR)) END"
    return column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"


def spelled(column: str, kind: str) -> str:
    """Return SQL of an outcome or a class of a file as the text that a recorder makes of it: lists become JSON.

    Args:
        column: SQL of the value.
        kind: Its SQL type.
    """
    is_nested = kind.endswith("[]") or kind.startswith(("MAP", "STRUCT"))
    return f"CAST(to_json({column}) AS VARCHAR)" if is_nested else class_text(column, kind)


def decision_class(kind: str) -> str:
    """Return SQL of the class that a model answered: the recorded one, else that with the highest score.

    Args:
        kind: The SQL type of `prediction`.
    """
    scores = "map_values(p.scores)"
    likeliest = f"map_keys(p.scores)[list_position({scores}, list_max({scores}))]"
    return f"coalesce({class_text('p.prediction', kind)}, {likeliest})"


def confidence(decided: str) -> str:
    """Return SQL of the probability of the answered class; null when it is none."""
    told = f"coalesce(map_extract(p.scores, {decided})[1], p.score)"
    return f"CASE WHEN {told} BETWEEN 0.0 AND 1.0 THEN {told} END"


def class_losses(outcome: str) -> dict[str, str]:
    """Return SQL of the Brier score over all classes and of the log loss; null without a whole distribution.

    Args:
        outcome: SQL of the class that came.
    """
    scores = "map_values(p.scores)"
    is_whole = f"list_min({scores}) >= 0.0 AND abs(list_sum({scores}) - 1.0) <= 0.02 AND {outcome} IS NOT NULL"
    came = f"coalesce(map_extract(p.scores, {outcome})[1], 0.0)"
    squares = f"list_sum(list_transform({scores}, lambda v: v * v))"
    return {
        "class_brier": f"CASE WHEN {is_whole} THEN {squares} - 2.0 * {came} + 1.0 END",
        "class_log_loss": f"CASE WHEN {is_whole} THEN -ln(least(greatest({came}, {CLIP!r}), 1.0)) END",
    }


def grade(column: str, kind: str) -> str:
    """Return SQL of a grade as a number: a pass, a yes and a win are 1, a tie one half.

    Args:
        column: SQL of the outcome.
        kind: Its SQL type.
    """
    if kind != "VARCHAR":
        return printed(finite(f"CAST({column} AS DOUBLE)"))
    words = {1.0: _PASSED, 0.0: _FAILED, 0.5: _TIED}
    cases = " ".join(
        f"WHEN lower({column}) IN ({', '.join(map(literal, spelled))}) THEN {value!r}"
        for value, spelled in words.items()
    )
    return f"CASE {cases} ELSE {printed(finite(f'TRY_CAST({column} AS DOUBLE)'))} END"


def gains(column: str, kind: str) -> str:
    """Return SQL of the gain of each relevant item as a map; null when nobody said.

    Args:
        column: SQL of the outcome: one item, a list of items, or a mapping from item to gain, as JSON or as such.
        kind: Its SQL type.
    """
    if kind.startswith("MAP"):
        return f"CAST({column} AS MAP(VARCHAR, DOUBLE))"
    if kind.endswith("[]"):
        return _alike(f"CAST({column} AS VARCHAR[])")
    text = class_text(column, kind)
    json = f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) END"
    return (
        f"CASE json_type({json}) WHEN 'OBJECT' THEN TRY_CAST({json} AS MAP(VARCHAR, DOUBLE))"
        f" WHEN 'ARRAY' THEN {_alike(f'TRY_CAST({json} AS VARCHAR[])')}"
        # What begins like a list and is none was cut off: it says nothing.
        f" ELSE CASE WHEN {text} IS NOT NULL AND {text}[1] NOT IN ('[', '{{') THEN {_alike(f'[{text}]')} END END"
    )


def _alike(items: str) -> str:
    distinct = f"list_distinct({items})"
    return f"map({distinct}, list_transform({distinct}, lambda item: 1.0))"


def ndcg(relevant: str, model: Model) -> str:
    """Return SQL of the normalised discounted cumulative gain of the first `top` items; 0 when nothing is relevant.

    An item counts at its first place only; the gain is linear.

    Args:
        relevant: SQL of the gain of each relevant item.
        model: The declaration, for `success.top`.

    Source: Järvelin & Kekäläinen (2002), ACM TOIS 20.
    """
    shown = f"list_transform({_shown(model)}, lambda i: {_gain(relevant)} / log2(i + 1))"
    best = f"list_reverse_sort(list_filter(map_values({relevant}), lambda g: g > 0.0))[1:{model.success.top}]"
    ideal = f"list_transform({best}, lambda g, i: g / log2(i + 1))"
    return f"CASE WHEN {_is_shown(relevant)} THEN coalesce(list_sum({shown}) / list_sum({ideal}), 0.0) END"


def recall(relevant: str, model: Model) -> str:
    """Return SQL of the share of relevant items that are among the first `top`; 0 when nothing is relevant."""
    found = f"len(list_filter({_shown(model)}, lambda i: {_gain(relevant)} > 0.0))"
    known = f"len(list_filter(map_values({relevant}), lambda g: g > 0.0))"
    return f"CASE WHEN {_is_shown(relevant)} THEN coalesce(CAST({found} AS DOUBLE) / nullif({known}, 0), 0.0) END"


def _is_shown(relevant: str) -> str:
    return f"p.ranking IS NOT NULL AND {relevant} IS NOT NULL"


def _shown(model: Model) -> str:
    """Return SQL of the places that are looked at: of the first `top`, those whose item did not come before."""
    places = f"range(1, least(len(p.ranking), {model.success.top}) + 1)"
    return f"list_filter({places}, lambda i: list_position(p.ranking, p.ranking[i]) = i)"


def _gain(relevant: str) -> str:
    return f"greatest(coalesce(map_extract({relevant}, p.ranking[i])[1], 0.0), 0.0)"


def columns_of(pattern: str, names: Collection[str]) -> dict[str, str]:
    """Return the columns of a file that hold the score of a class each, by class.

    Args:
        pattern: Such as `proba_*`: what stands for the star is the class.
        names: The file's columns.

    Example:
        >>> columns_of("proba_*", ["id", "proba_cat", "proba_dog"])
        {'cat': 'proba_cat', 'dog': 'proba_dog'}
    """
    before, star, after = pattern.partition("*")
    if not star:
        return {}
    size = len(before) + len(after)
    found = [name for name in names if name.startswith(before) and name.endswith(after) and len(name) > size]
    return {name[len(before) : len(name) - len(after)]: name for name in found}


def scores_sql(column: str, types: Mapping[str, str]) -> str:
    """Return SQL of the score of each class in a file: a map, a struct, JSON, or one column a class.

    Args:
        column: The column, or the pattern of several; empty for none.
        types: The file's column types.
    """
    by_class = columns_of(column, types)
    if by_class:
        values = ", ".join(f"CAST({quoted(name)} AS DOUBLE)" for name in by_class.values())
        return f"map([{', '.join(map(literal, by_class))}], [{values}])"
    nested = f"to_json({quoted(column)})" if types.get(column, "").startswith("STRUCT") else ""
    if types.get(column) == "VARCHAR":
        nested = f"CASE WHEN json_valid({quoted(column)}) THEN CAST({quoted(column)} AS JSON) END"
    _check(column, types, nested or types.get(column, "").startswith("MAP"), "the probability of each class", "score")
    source = nested or (quoted(column) if column else "NULL")
    return f"TRY_CAST({source} AS MAP(VARCHAR, DOUBLE))"


def ranking_sql(column: str, types: Mapping[str, str]) -> str:
    """Return SQL of the items of a ranking in a file: a list, or a list as JSON.

    Args:
        column: The column; empty for none.
        types: The file's column types.
    """
    source = quoted(column) if column else "NULL"
    kind = types.get(column, "")
    _check(column, types, kind == "VARCHAR" or kind.endswith("[]"), "a list of items", "prediction")
    if kind == "VARCHAR":
        source = f"CASE WHEN json_valid({source}) THEN CAST({source} AS JSON) END"
    return f"TRY_CAST({source} AS VARCHAR[])"


def _check(column: str, types: Mapping[str, str], is_fit: object, what: str, other: str) -> None:
    """Refuse a column that cannot play a role.

    Raises:
        ColumnError: Its type cannot hold what the role asks for.
    """
    if column in types and not is_fit:
        msg = f"column {column} has type {types[column]}, which is not {what}"
        raise ColumnError(msg, hint=f"name it with {other}= when it is one value a row")
