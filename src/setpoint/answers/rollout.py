"""Where does the rollout stand, what has been found, and what was decided about it?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control.gathered import gathered_of
from setpoint.control.judge import Judgement
from setpoint.control.readouts import Readout, difference_text, doubt_of, readout_of
from setpoint.control.rehearsal import End
from setpoint.core.clock import duration_text, text
from setpoint.core.decision import Recorded
from setpoint.core.metric import Metric, counted, number
from setpoint.core.rollout import COUNTED, Phase, Rollout, RolloutEvent
from setpoint.core.verdict import Verdict
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import mean, wilson
from setpoint.store.rollouts import Look, Numbers

EVENT_COLUMNS = ("seq", "at", "phase", "share", "actor", "cause", "said")
METRIC_COLUMNS = (
    *("metric", "version", "units", "value", "low", "high"),
    *("red_line", "red_line_above", "evidence_of_worse", "needed_to_roll_back"),
)
DECISION_COLUMNS = ("at", "action", "rule", "is_carried_out", "said", "numbers", "alternatives")
REHEARSAL_COLUMNS = (
    *("candidate", "runs", "promoted", "rolled_back", "undecided"),
    *("units_median", "seconds_median"),
)
_REHEARSAL_SHOWN = ("a candidate that is", "promoted", "rolled back", "undecided", "after units", "and")
READOUT_COLUMNS = (
    *("metric", "readout", "units", "difference", "low", "high", "smallest"),
    *("known_ratio_stable", "known_ratio_candidate"),
)
_READOUT_SHOWN = ("business metric", "readout", "units", "B less A, a unit", "matters from", "known of A", "known of B")
_EVENTS_SHOWN = ("since", "phase", "share", "by", "because")
_METRICS_SHOWN = ("metric", "version", "units", "value", "red line", "evidence against it")
_DECISIONS_SHOWN = ("when", "action", "rule", "why")
_UNITS = {"latency_seconds": "seconds", "cost_usd": "usd", "loss_usd": "usd"}
_VERDICTS = {
    Phase.STABLE: Verdict.OK,
    Phase.ROLLED_BACK: Verdict.BREACH,
    Phase.READ_OUT: Verdict.OK,
    Phase.FALLEN_BACK: Verdict.BREACH,
    Phase.PAUSED: Verdict.WARNING,
    Phase.INCONCLUSIVE: Verdict.WARNING,
}


def rollout_status(
    rollout: Rollout, events: Sequence[RolloutEvent], batches: Iterable[Numbers], look: Look, *, now: int, zone: str
) -> Answer:
    """Where does a rollout stand? From what was taken so far; it takes no look itself.

    Args:
        rollout: The rollout.
        events: What has happened.
        batches: What each batch held.
        look: The last look.
        now: The time the answer is for.
        zone: The zone its times are shown in.
    """
    last = events[-1]
    held, gathered = list(batches), gathered_of(rollout, look.state)
    judgement, doubt = gathered.judgement(rollout), doubt_of(events) or gathered.arrivals.difference(rollout)
    readout = readout_of(rollout, gathered.business, held, doubt)
    share = f" at {number(last.share, 'share')}" if last.phase in {Phase.CANARY, Phase.PAUSED} else ""
    headline = f"{rollout.model}: {rollout.candidate} is {_WORDS[last.phase]}{share} since {text(last.at, zone)}"
    rows, lines = _metrics(rollout, held, judgement)
    verdict = _VERDICTS.get(last.phase, Verdict.UNKNOWN)
    view, won = judgement.least_fine
    open_ = f"whether {rollout.candidate} is better than the red line of {view}: its evidence is {won:.3g}"
    unknowns = (
        (f"{open_}, {1 / rollout.rules.miss:.0f} is needed", *_nothing_to_compare(rollout, rows, view))
        if verdict is Verdict.UNKNOWN
        else ()
    )
    if readout is not None and verdict is Verdict.UNKNOWN:
        unknowns = (readout.said,)
    return Answer(
        "rollout",
        rollout.model,
        verdict,
        headline,
        (f"{last.said} ({last.actor})", *_looked(look, gathered.missed, zone)),
        unknowns,
        now,
        zone,
        (
            Table("metrics", METRIC_COLUMNS, rows, _METRICS_SHOWN, lines),
            *_readouts(rollout, readout),
            _events(events, zone),
        ),
    )


def _readouts(rollout: Rollout, readout: Readout | None) -> Iterator[Table]:
    """Yield what a test says: A is the stable version, B the candidate."""
    if readout is None or rollout.rules.ab is None:
        return
    found, smallest = readout.difference, rollout.rules.ab.smallest
    known = [readout.known[name] for name in (rollout.stable, rollout.candidate)]
    yield Table(
        "readout",
        READOUT_COLUMNS,
        [
            (
                *(rollout.business_metric, readout.says, readout.units, found.value, found.low, found.high),
                *(smallest, *known),
            )
        ],
        _READOUT_SHOWN,
        [
            (
                *(rollout.business_metric, readout.says, f"{readout.units:,}", difference_text(found)),
                "nobody said" if smallest is None else f"{smallest:g}",
                *("" if one is None else number(one, "share") for one in known),
            )
        ],
    )


_WORDS = {
    Phase.DRAFT: "a draft",
    Phase.SHADOW: "in shadow",
    Phase.CANARY: "a canary",
    Phase.PROMOTING: "being promoted",
    Phase.STABLE: "the stable version",
    Phase.PAUSED: "paused",
    Phase.INCONCLUSIVE: "neither worse nor shown to be fine",
    Phase.ROLLED_BACK: "rolled back",
    Phase.READ_OUT: "read out, and the stable version stays",
    Phase.FALLEN_BACK: "gone, and another version answers",
}


def explain_rollout(
    rollout: Rollout, events: Sequence[RolloutEvent], decisions: Sequence[Recorded], *, now: int, zone: str
) -> Answer:
    """Why does a rollout stand where it does? Every decision with its rule, numbers and alternatives."""
    last = events[-1]
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    because: list[str] = []
    for one in decisions:
        told = one.decision
        numbers = "; ".join(f"{name} {value}" for name, value in told.numbers.items())
        others = "; ".join(f"not {action}: {why}" for action, why in told.alternatives.items())
        rows.append((one.at, told.action, told.rule, one.is_carried_out, told.said, numbers, others))
        lines.append((text(one.at, zone), told.action, told.rule, told.said))
        because = [told.said, *(f"not {action}: {why}" for action, why in told.alternatives.items())]
    return Answer(
        "rollout",
        rollout.model,
        _VERDICTS.get(last.phase, Verdict.UNKNOWN),
        f"{rollout.model}: {rollout.candidate} is {_WORDS[last.phase]} by the rule {last.cause}",
        tuple(because),
        (),
        now,
        zone,
        (Table("decisions", DECISION_COLUMNS, rows, _DECISIONS_SHOWN, lines), _events(events, zone)),
    )


def _nothing_to_compare(rollout: Rollout, rows: Iterable[tuple[Cell, ...]], view: str) -> Iterator[str]:
    """Say so when of neither version anything was counted that the other could be held against."""
    counted = {line.name for line in rollout.rules.red_lines if line.metric in COUNTED}
    units, found = [row[2] for row in rows if row[0] == view], [row[3] for row in rows if row[0] == view]
    if view in counted and all(units) and not any(found):
        yield (
            f"{view} is 0 of {' and of '.join(f'{count:,}' for count in units)} units: with none on either side the"
            " odds cannot be compared; promote by hand, or say what happens at_horizon"
        )


def _looked(look: Look, missed: int, zone: str) -> Iterator[str]:
    if look.number:
        yield f"looked {look.number:,} times, the last time at requests until {text(look.until, zone)}"
        if missed:
            yield f"{counted(missed, 'unit')} reached the store after the look at their time, so they are no evidence"
    else:
        yield "nobody has looked yet: `setpoint tick` does, or `setpoint rollout watch`"


def _metrics(
    rollout: Rollout, batches: Iterable[Numbers], judgement: Judgement
) -> tuple[list[tuple[Cell, ...]], list[tuple[str, ...]]]:
    sums: dict[tuple[str, str], list[float]] = {}
    for numbers in batches:
        for version, metrics in numbers.items():
            for metric, one in metrics.items():
                held = sums.get((metric, version), [0.0] * len(one))
                sums[metric, version] = [was + more for was, more in zip(held, one, strict=True)]
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    needed = 1 / rollout.rules.risk
    for line in rollout.rules.red_lines:
        won = judgement.evidence.get(line.name, 1.0)
        for version in (rollout.stable, rollout.candidate):
            told = _estimate(line.metric, sums.get((line.name, version)))
            units = int(sums.get((line.name, version), [0.0])[0])
            is_held = version == rollout.candidate
            rows.append(
                (
                    *(line.name, version, units, told.value, told.low, told.high),
                    *((line.times, line.above, won, needed) if is_held else (None,) * 4),
                )
            )
            unit = _UNITS.get(line.metric, "share")
            value = Metric("", told.value, told.low, told.high, unit, "lower", units, told.reason).text()
            against = (line.said, f"{won:.3g} of {needed:.0f}") if is_held else ("", "")
            lines.append((line.name, version, f"{units:,}", value, *against))
    return rows, lines


def _estimate(metric: str, sums: list[float] | None) -> Estimate:
    if not sums or not sums[0]:
        return Estimate.unknown("no unit yet")
    if metric in COUNTED:
        return wilson(sums[1], sums[0])
    return mean(sums[1], sums[2], sums[0], sums[0])


def _events(events: Sequence[RolloutEvent], zone: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (one.seq, one.at, one.phase.value, one.share, one.actor, one.cause, one.said) for one in events
    ]
    lines = [(text(one.at, zone), one.phase.value, number(one.share, "share"), one.actor, one.said) for one in events]
    return Table("events", EVENT_COLUMNS, rows, _EVENTS_SHOWN, lines)


def rehearsal(rollout: Rollout, ends: Mapping[str, Sequence[End]], requests: int, *, now: int, zone: str) -> Answer:
    """What would the red lines have done to past requests, and how long does a rollout take?

    Args:
        rollout: What was rehearsed.
        ends: How each run ended, by what the candidate was like.
        requests: How many past requests there were.
        now: The time the answer is for.
        zone: The zone its times are shown in.
    """
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    short = {line.name: line.short for line in rollout.rules.red_lines}
    for name, runs in ends.items():
        counts = [sum(one.action == action for one in runs) for action in ("promote", "roll_back", "stay")]
        done = [one for one in runs if one.action != "stay"]
        units = median(one.units for one in done) if done else None
        length = median(one.length for one in done) if done else None
        rows.append((name, len(runs), *counts, units, None if length is None else length / 1e6))
        told = short.get(name, name)
        took = ("", "") if units is None or length is None else (f"{units:,.0f}", duration_text(int(length)))
        lines.append((told, *(f"{count} of {len(runs)}" for count in counts), *took))
    fine = rows[0]
    said = f"a candidate that is no worse is promoted in {fine[2]} of {fine[1]} rehearsals"
    is_known = bool(fine[2])
    when = f", after about {lines[0][4]} of its units and {lines[0][5]}" if is_known else ""
    too_few = "the past requests are too few for a verdict: a longer window, or fewer and larger steps"
    return Answer(
        "rehearsal",
        rollout.model,
        Verdict.OK if is_known else Verdict.UNKNOWN,
        f"{rollout.model}: {said}{when}",
        (f"{requests:,} past requests of {rollout.stable}, dealt out anew {fine[1]} times",),
        () if is_known else (too_few,),
        now,
        zone,
        (Table("rehearsal", REHEARSAL_COLUMNS, rows, _REHEARSAL_SHOWN, lines),),
    )
