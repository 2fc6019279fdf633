"""The checks that `tick` runs: each reads a model's events and returns what it noticed.

A check returns episodes of the whole history it sees, not just of now. So running it once a day or
once a minute, late or twice, gives the same findings.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import cast

from setpoint.control.cascade_checks import CASCADE_LOSS, cascade_loss
from setpoint.control.cohort_checks import cohort_drift
from setpoint.control.column_checks import new_inputs, varying_constants
from setpoint.control.contract_checks import broken_contracts
from setpoint.control.drift_checks import input_drift, output_drift
from setpoint.control.episode import Episode
from setpoint.control.estimate_checks import concept_drift
from setpoint.control.gross_checks import gross_drift
from setpoint.control.guardrail_checks import crossed_guardrails
from setpoint.control.limit_checks import drift_limits
from setpoint.control.objectives import BURN_CHECKS
from setpoint.control.outcome_checks import changed_delays, new_outcome_sources, stalled_outcomes
from setpoint.control.ownership import unowned
from setpoint.core.clock import DAY, HOUR, MICROS, duration_text, text
from setpoint.core.events import SCHEDULE
from setpoint.core.finding import (
    COHORT_DRIFT,
    DRIFT_LIMIT,
    GROSS_DRIFT,
    GUARDRAIL,
    INPUT_DRIFT,
    OUTPUT_DRIFT,
    UNOWNED,
    VARYING_CONSTANT,
)
from setpoint.core.model import Retention
from setpoint.feedback.quality import odd_outcome_words
from setpoint.store.engines.duck import literal, rows
from setpoint.store.evidence import RowEvidence
from setpoint.store.matching import odd_outcome
from setpoint.store.primitives import keeps, printed

QUIET = DAY
_FUTURE = 300 * MICROS


Check = Callable[[RowEvidence, int], list[Episode]]


def missed_runs(evidence: RowEvidence, now: int) -> list[Episode]:
    """A batch-scoring job that did not run when its schedule says it must have."""
    schedule = evidence.model.schedule
    if schedule is None:
        return []
    runs = [
        cast("int", row[0])
        for row in rows(
            evidence.connection,
            "SELECT min(ran) AS ran FROM ("
            "SELECT run_id, epoch_us(predicted_at) AS ran FROM predictions"
            " UNION ALL SELECT run_id, epoch_us(recorded_at) FROM tallies"  # a run of no row, or of none that is kept
            ") WHERE run_id IS NOT NULL GROUP BY run_id ORDER BY ran",
        )
    ]
    zone = evidence.model.timezone
    episodes: list[Episode] = []
    scheduled_at = _scheduled_at(evidence)
    since = [] if scheduled_at is None or scheduled_at > min(runs, default=scheduled_at) else [scheduled_at]
    for last, following in pairwise([*since, *runs, None]):
        if last is None:  # pairwise cannot know that only the end is
            continue
        due = last + schedule.every + schedule.grace
        if due > now or (following is not None and following <= due):
            continue
        told = "last ran" if last in runs else "never ran since"
        said = f"the scoring job {told} {text(last, zone)}; the next run was due {text(due, zone)} at the latest"
        details: dict[str, object] = {"last_run_at": last, "due_at": due}
        episodes.append(Episode("missed_run", "", "schedule", due, following, "breach", said, details))
    return episodes


def _scheduled_at(evidence: RowEvidence) -> int | None:
    """Return since when there is this schedule, as `setpoint apply` noted it."""
    return max((change.started_at for change in evidence.changes(None) if change.subject == SCHEDULE), default=None)


def quarantined_rows(evidence: RowEvidence, now: int) -> list[Episode]:
    """Rows that fit no table any more: kept, with their reason."""
    return _counted(
        evidence,
        now,
        "quarantined_rows",
        "SELECT epoch_us(recorded_at), source_table || ': ' || reason FROM quarantine",
        lambda subject: f"rows were put aside, {subject}; read them in the quarantine table",
    )


def dropped_events(evidence: RowEvidence, now: int) -> list[Episode]:
    """Events lost because a recorder's queue was full."""
    return _counted(
        evidence,
        now,
        "dropped_events",
        "SELECT epoch_us(recorded_at), 'queue full' FROM tallies WHERE dropped > 0",
        lambda _: "a recorder's queue was full and events were dropped; raise queue_limit or record less",
    )


def failed_events(evidence: RowEvidence, now: int) -> list[Episode]:
    """Events that a recorder could not record, which its caller was not told."""
    return _counted(
        evidence,
        now,
        "failed_events",
        "SELECT epoch_us(recorded_at), 'recorder' FROM tallies WHERE failed > 0",
        lambda _: "a service could not record events; the first error is in its log",
    )


def future_times(evidence: RowEvidence, now: int) -> list[Episode]:
    """Predictions or outcomes from the future: a clock is wrong."""
    return _counted(
        evidence,
        now,
        "future_time",
        f"""
        SELECT epoch_us(recorded_at), 'predicted_at' FROM predictions
        WHERE epoch_us(predicted_at) > epoch_us(recorded_at) + {_FUTURE}
        UNION ALL SELECT epoch_us(recorded_at), 'observed_at' FROM outcomes
        WHERE epoch_us(observed_at) > epoch_us(recorded_at) + {_FUTURE}
        """,
        lambda subject: f"{subject} lies more than five minutes after it was recorded; check that machine's clock",
    )


def early_outcomes(evidence: RowEvidence, now: int) -> list[Episode]:
    """Outcomes that happened before the prediction they name, or before all that were answered under their key.

    One whose key is first seen more than an hour after it came is a stray one.
    """
    in_time = f"epoch_us(f.recorded_at) <= epoch_us(o.recorded_at) + {HOUR}"
    return _counted(
        evidence,
        now,
        "early_outcome",
        f"""
        SELECT epoch_us(greatest(o.recorded_at, p.recorded_at)), 'observed_at' FROM outcomes AS o
        JOIN predictions AS p ON p.prediction_id = o.prediction_id WHERE o.observed_at < p.predicted_at
        UNION ALL SELECT epoch_us(greatest(o.recorded_at, f.recorded_at)), 'observed_at' FROM outcomes AS o JOIN (
            SELECT key, min(predicted_at) AS predicted_at, min(recorded_at) AS recorded_at FROM ({_KEYED}) GROUP BY key
        ) AS f ON f.key = o.key AND {in_time}
        WHERE o.prediction_id IS NULL AND o.observed_at < f.predicted_at AND {_old_enough(evidence, now)}
        """,
        lambda _: "outcomes were observed before their prediction was made; check observed_at",
    )


def stray_outcomes(evidence: RowEvidence, now: int) -> list[Episode]:
    """Outcomes that belong to no prediction, an hour after they came; a later prediction changes nothing.

    One that names a shadow row belongs to none either: what really happened belongs to what the caller got.

    One of a row that was not kept belongs to that: its identifier says that it would not have been.
    """
    least = "coalesce((SELECT min(keep_probability) FROM predictions), 1.0)"
    kept = _old_enough(evidence, now)
    in_time = f"epoch_us(p.recorded_at) <= epoch_us(o.recorded_at) + {HOUR}"
    return _counted(
        evidence,
        now,
        "stray_outcome",
        f"""
        SELECT epoch_us(o.recorded_at), 'prediction_id' FROM outcomes AS o
        ANTI JOIN predictions AS p ON p.prediction_id = o.prediction_id AND p.parent_id IS NULL AND {in_time}
        WHERE o.prediction_id IS NOT NULL AND {kept} AND {printed(keeps("o.prediction_id", least))}
        UNION ALL SELECT epoch_us(o.recorded_at), 'key' FROM outcomes AS o
        ANTI JOIN ({_KEYED}) AS p
        ON p.key = o.key AND {in_time} WHERE o.prediction_id IS NULL AND {kept}
        """,
        lambda subject: (
            f"outcomes name a {subject} that nobody was answered under until then; check how it is passed on"
        ),
    )


def _old_enough(evidence: RowEvidence, now: int) -> str:
    """Return SQL for outcomes that came an hour ago, and whose prediction cannot have been let go by retention."""
    old = f"epoch_us(o.recorded_at) <= {now - HOUR}"
    if evidence.model.retention == Retention():
        return old
    first = "coalesce((SELECT min(epoch_us(predicted_at)) FROM predictions), 0)"
    return f"{old} AND epoch_us(o.observed_at) - {evidence.model.outcome_horizon} >= {first}"


_KEYED = (
    "SELECT key, recorded_at, predicted_at FROM predictions UNION ALL SELECT key, recorded_at, predicted_at FROM unkept"
)


def odd_scores(evidence: RowEvidence, now: int) -> list[Episode]:
    """Scores that are no probability: outside [0, 1], or not a number."""
    return _counted(
        evidence,
        now,
        "odd_score",
        "SELECT epoch_us(recorded_at), 'score' FROM predictions WHERE score < 0 OR score > 1 OR isnan(score)",
        lambda _: "scores outside [0, 1] were recorded; they count in no quality number",
    )


def odd_outcomes(evidence: RowEvidence, now: int) -> list[Episode]:
    """Outcomes, and grades of a judge, that came and cannot be read: neither yes nor no, or no number."""
    model = evidence.model
    kinds = ", ".join(literal(kind) for kind in (model.final_kind, model.judge_kind) if kind)
    subject = f"CASE WHEN kind = {literal(model.final_kind)} THEN 'outcome' ELSE kind END"
    is_odd = odd_outcome(evidence.matching(None).types["outcome"], model)
    said = f"{odd_outcome_words(model)}, and count in no quality number"
    return _counted(
        evidence,
        now,
        "odd_outcome",
        f"SELECT epoch_us(recorded_at), {subject} FROM outcomes WHERE kind IN ({kinds}) AND NOT retracted AND {is_odd}",
        lambda kind: said if kind == "outcome" else f"{kind}: {said}",
    )


def undeclared_outcomes(evidence: RowEvidence, now: int) -> list[Episode]:
    """Outcomes of a kind that nobody declared: they count nowhere."""
    declared = ", ".join(literal(kind.name) for kind in evidence.model.outcomes)
    return _counted(
        evidence,
        now,
        "undeclared_outcome",
        f"SELECT epoch_us(recorded_at), kind FROM outcomes WHERE kind NOT IN ({declared})",
        lambda kind: f"outcomes of the kind {kind} count nowhere; declare it under outcomes, or record another",
    )


def contradicting_outcomes(evidence: RowEvidence, now: int) -> list[Episode]:
    """Outcomes of one prediction that say different things about the same moment, and none of them corrects another."""
    return _counted(
        evidence,
        now,
        "contradicting_outcome",
        "SELECT epoch_us(max(recorded_at)), kind FROM outcomes WHERE NOT retracted AND outcome IS NOT NULL"
        " GROUP BY kind, prediction_id, key, revision, observed_at HAVING count(DISTINCT outcome) > 1",
        lambda kind: (
            f"outcomes ({kind}) contradict each other: the one recorded last counts; give corrections a revision"
        ),
    )


CHECKS: dict[str, Check] = {
    "missed_run": missed_runs,
    "quarantined_rows": quarantined_rows,
    "dropped_events": dropped_events,
    "failed_events": failed_events,
    "future_time": future_times,
    "early_outcome": early_outcomes,
    "stray_outcome": stray_outcomes,
    "odd_score": odd_scores,
    "odd_outcome": odd_outcomes,
    "undeclared_outcome": undeclared_outcomes,
    "contradicting_outcome": contradicting_outcomes,
    "stalled_outcomes": stalled_outcomes,
    "new_outcome_source": new_outcome_sources,
    "changed_delay": changed_delays,
    "concept_drift": concept_drift,
    "broken_contract": broken_contracts,
    "new_input": new_inputs,
    VARYING_CONSTANT: varying_constants,
    GROSS_DRIFT: gross_drift,
    INPUT_DRIFT: input_drift,
    COHORT_DRIFT: cohort_drift,
    OUTPUT_DRIFT: output_drift,
    DRIFT_LIMIT: drift_limits,
    CASCADE_LOSS: cascade_loss,
    GUARDRAIL: crossed_guardrails,
    **BURN_CHECKS,
    UNOWNED: unowned,
}


def _counted(evidence: RowEvidence, now: int, kind: str, sql: str, said: Callable[[str], str]) -> list[Episode]:
    """Return an episode for each stretch of bad rows of a subject; a quiet day ends it."""
    found = rows(
        evidence.connection,
        f"SELECT subject, happened // {HOUR} * {HOUR} AS hour, count(*) FROM ({sql}) AS bad(happened, subject)"
        " GROUP BY subject, hour ORDER BY subject, hour",
    )
    episodes: list[Episode] = []
    hours = cast("list[tuple[str, int, int]]", found)
    start, last, count = 0, 0, 0
    for n, (subject, hour, rows_here) in enumerate(hours):
        if n == 0 or hours[n - 1][0] != subject or hour - last > QUIET:
            start, count = hour, 0
        last, count = hour, count + rows_here
        is_last = n + 1 == len(hours) or hours[n + 1][0] != subject or hours[n + 1][1] - hour > QUIET
        if is_last:
            over = last + HOUR + QUIET
            episodes.append(
                Episode(
                    kind,
                    "",
                    subject,
                    start,
                    over if over <= now else None,
                    "warning",
                    said(subject),
                    {"rows_total": count, "lasted": duration_text(last + HOUR - start)},
                )
            )
    return episodes
