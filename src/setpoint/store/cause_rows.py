"""Every root row of a stretch with what may tell why it fared as it did, in one temporary table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from setpoint.core.errors import UsageError
from setpoint.core.window import Window
from setpoint.store.defining import is_nested_type, is_number_type
from setpoint.store.engines.duck import literal, quoted
from setpoint.store.evidence import PREDICTION, SCORE, RowEvidence
from setpoint.store.matching import examples

TABLE = "cause_rows"


@dataclass(frozen=True, slots=True)
class CauseRows:
    """The columns of the table that a model's own names stand for.

    Attributes:
        numbers: Column by the name of each input that is a number, ages of times among them.
        names: Column by the name of each input that has named values.
        cohorts: Column by the name of each declared cohort.
    """

    numbers: Mapping[str, str]
    names: Mapping[str, str]
    cohorts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OneCohort:
    """One value of a declared cohort.

    Attributes:
        cohort: The cohort.
        value: Its value.
        column: What `examples` call the cohort.
    """

    cohort: str
    value: str
    column: str

    @property
    def name(self) -> str:
        """The cohort in words."""
        return f"{self.cohort} {self.value}"

    @property
    def where(self) -> str:
        """SQL of whether a row is in it."""
        return f"CAST({self.column} AS VARCHAR) = {literal(self.value)}"


def one_cohort(evidence: RowEvidence, cohort: str, value: str) -> OneCohort:
    """Return one value of a declared cohort.

    Raises:
        UsageError: No such cohort is declared.
    """
    names = [name for name, _ in evidence.matching(None).cohorts]
    if cohort not in names:
        msg = f"no cohort is called {cohort!r}"
        raise UsageError(msg, hint=f"declared: {', '.join(names)}" if names else "declare it under cohorts:")
    return OneCohort(cohort, value, f"cohort_{names.index(cohort)}")


def keep_only(evidence: RowEvidence, of: OneCohort) -> None:
    """Leave only the rows of a cohort in the table."""
    evidence.connection.execute(f"DELETE FROM {TABLE} WHERE ({of.where}) IS NOT TRUE")


_CALLS = (
    "SELECT prediction_id, coalesce(sum(cost_nano_usd) FILTER (attempt > 1), 0) / 1e9 AS retry_usd,"
    " coalesce(sum(latency_seconds) FILTER (attempt > 1), 0.0) AS retry_seconds, max(attempt) AS attempts,"
    " bool_or(purpose = 'cache') AS is_cached, any_value(provider_model) AS provider_model,"
    " any_value(provider) AS provider, any_value(prompt_version) AS prompt_version,"
    " sum(coalesce(input_tokens, 0) + coalesce(cached_read_tokens, 0) + coalesce(cached_write_tokens, 0)"
    " + coalesce(output_tokens, 0) + coalesce(reasoning_tokens, 0)) AS tokens,"
    " any_value(price_id) AS price_id FROM calls WHERE purpose IS DISTINCT FROM 'judge' GROUP BY prediction_id"
)
_SOURCES = "SELECT {by}, arg_max(source, recorded_at) AS source FROM outcomes WHERE source IS NOT NULL GROUP BY {by}"


def load_cause_rows(evidence: RowEvidence, window: Window) -> CauseRows:
    """Make the table of a recorded model's rows in a window, and return how its columns are called."""
    inputs = {name: column for name, column in evidence.profiled.items() if name not in {SCORE, PREDICTION}}
    numbers = {name: f"n{i}" for i, (name, one) in enumerate(inputs.items()) if is_number_type(one.kind)}
    names = {
        name: f"v{i}"
        for i, (name, one) in enumerate(inputs.items())
        if name not in numbers and not is_nested_type(one.kind) and not one.is_text
    }
    matching = evidence.matching(window)
    cohorts = {name: f"cohort_{n}" for n, (name, _) in enumerate(matching.cohorts)}
    picked = "".join(f", CAST({inputs[name].sql} AS DOUBLE) AS {quoted(to)}" for name, to in numbers.items())
    picked += "".join(f", CAST({inputs[name].sql} AS VARCHAR) AS {quoted(to)}" for name, to in names.items())
    of_cohorts = "".join(f", CAST(e.{column} AS VARCHAR) AS {column}" for column in cohorts.values())
    evidence.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {TABLE} AS SELECT epoch_us(e.predicted_at) AS moment, e.weight, e.score,"
        " e.decision, e.outcome_number, CAST(e.is_success AS DOUBLE) AS success, e.outcome_age / 1e6 AS outcome_age,"
        " e.cost_usd, e.latency_seconds, e.error, e.version, i.*, c.* EXCLUDE (prediction_id),"
        f" coalesce(s.source, k.source) AS outcome_source{of_cohorts}"
        f" FROM ({examples(matching)}) AS e JOIN (SELECT prediction_id, key, feature_version, source,"
        f" contract_violations, upstream_seconds{picked} FROM predictions) AS i ON i.prediction_id = e.prediction_id"
        f" LEFT JOIN ({_CALLS}) AS c ON c.prediction_id = e.prediction_id"
        f" LEFT JOIN ({_SOURCES.format(by='prediction_id')}) AS s ON s.prediction_id = e.prediction_id"
        f" LEFT JOIN ({_SOURCES.format(by='key')}) AS k ON k.key = i.key WHERE e.is_root"
    )
    return CauseRows(numbers, names, cohorts)
