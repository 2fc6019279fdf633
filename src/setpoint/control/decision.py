"""What to do about a rollout: a pure function of where it stands, what is known, and the time.

So every decision can be made again from what was recorded of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from setpoint.control.judge import Judgement
from setpoint.control.readouts import Readout
from setpoint.core.clock import duration_text
from setpoint.core.decision import Decision, Number
from setpoint.core.metric import counted, number
from setpoint.core.rollout import Phase, Rollout, RolloutEvent

Action = Literal[
    "stay", "advance", "promote", "finish", "pause", "resume", "hold", "roll_back", "fall_back", "read_out"
]
UNOWNED_SHARE = 0.01
"""A version that nobody answers for gets no larger share of the units."""
PERSON = "person"
"""The rule of whatever a person decided."""
_FEW = 20.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a rollout when it is decided about.

    Attributes:
        judgement: What the evidence says.
        requests: By version, requests since the step began.
        units: Units of the candidate that are evidence so far, in all steps.
        step_since: When the step began, microseconds.
        answered_at: When the candidate last answered; None for never.
        missing: What is not declared that has to be before a larger share: `owner.on_call`.
        sick: Why the stable version is not well itself, in words; empty when it is.
        mismatch: In which way units are not shared out as the route says, in words; empty when they are.
        arrival: In which way outcomes of both versions do not arrive alike, in words; empty when they do.
        readout: What a test says on the business metric; None of a rollout that is none.
        no_help: Why going back to the stable version would not help, in words; empty when it may.
        missed: Units that reached the store too late to be evidence.
    """

    judgement: Judgement
    requests: Mapping[str, int]
    units: int
    step_since: int
    answered_at: int | None
    missing: tuple[str, ...] = ()
    sick: str = ""
    mismatch: str = ""
    arrival: str = ""
    readout: Readout | None = None
    no_help: str = ""
    missed: int = 0


def decide(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Decision:
    """Return what to do next.

    The first rule that has something to say decides: what is worse is rolled back before anything else, a person's
    pause holds, a sick stable version and silence pause, and only then is time counted.

    Args:
        rollout: What was fixed at the start.
        events: What has happened, in its order; the last one says where it stands.
        sight: What is known.
        now: Microseconds.
    """
    last = events[-1]
    if last.phase.is_over:
        return Decision("stay", "over", f"{rollout.candidate} is {_ENDS[last.phase]}")
    for rule in _RULES:
        for found in rule(rollout, events, sight, now):
            return found
    return _stay(rollout, sight, now)


_ENDS = {
    Phase.STABLE: "the stable version",
    Phase.ROLLED_BACK: "rolled back",
    Phase.READ_OUT: "read out, and the stable version stays",
    Phase.FALLEN_BACK: "gone, and another version answers",
}


def _red_line(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    del now
    if not sight.judgement.is_worse:
        return
    lines = [line for line in rollout.rules.red_lines if line.name in sight.judgement.worse]
    limits = [f"above {number(line.above, 'share')} of {line.name}" for line in lines if line.above is not None]
    if sight.sick and len(limits) == len(lines):
        return  # what befalls both versions may be beyond an absolute red line, and is not put down to the candidate
    worse = " and ".join(sight.judgement.worse) + "".join(f", or {limit}" for limit in limits)
    said = (
        f"{rollout.candidate} is worse than {rollout.stable} in {worse}, after {counted(sight.units, 'unit')}: a"
        f" version as good as {rollout.stable}{', and not above that,' if limits else ''} looks so at most once in"
        f" {round(1 / rollout.rules.risk)} rollouts"
    )
    numbers = _numbers(rollout, sight)
    others = {"stay": "more units would meet what is known to be worse", "promote": "it is beyond its red line"}
    if not sight.no_help:
        yield Decision("roll_back", "red_line", said, numbers, others)
        return
    others["roll_back"] = f"it would not help: {sight.no_help}"
    said = f"{said}; going back would not help: {sight.no_help}"
    if rollout.others:
        instead = f"{rollout.others[0]} answers instead, as fallback says"
        yield Decision("fall_back", "no_way_back", f"{said}; {instead}", numbers, others)
    elif _is_paused_by(events, "no_way_back"):
        yield Decision("stay", "no_way_back", f"paused: {said}")
    else:
        instead = "no fallback is declared, so a person has to decide"
        yield Decision("pause", "no_way_back", f"{said}; {instead}", numbers, others)


def _paused(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    del sight, now
    last = events[-1]
    if last.phase in {Phase.PAUSED, Phase.INCONCLUSIVE} and last.cause in {PERSON, "horizon"}:
        how = f"`setpoint rollout resume {rollout.model}` goes on"
        yield Decision("stay", "paused", f"{last.phase} since {last.said}; {how}")


def _sick_stable(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    del now
    if sight.sick and not _is_paused_by(events, "sick_stable"):
        yield Decision(
            "pause",
            "sick_stable",
            f"{rollout.stable} is not well itself: {sight.sick}; nothing is put down to {rollout.candidate}",
            _numbers(rollout, sight),
            {"roll_back": "it would give its units to a version that is not well"},
        )
    elif sight.sick:
        yield Decision("stay", "sick_stable", f"paused: {rollout.stable} is not well itself: {sight.sick}")


def _silence(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    if events[-1].phase not in {Phase.CANARY, Phase.PROMOTING, Phase.PAUSED}:
        return
    share = events[-1].share
    heard_at = max(sight.step_since, sight.answered_at or 0)
    expected = sight.requests.get(rollout.stable, 0) * share / max(1.0 - share, share)
    asked = sight.requests.get(rollout.candidate, 0)
    # Of no request at a small share little follows; of many that should have been there, that none came through.
    is_silent = now - heard_at >= rollout.rules.silent_after or (asked == 0 and expected >= _FEW)
    if not is_silent:
        return
    said = f"{rollout.candidate} has answered nobody for {duration_text(max(now - heard_at, 0))}"
    if asked == 0 and expected >= _FEW:
        said = f"{rollout.candidate} has answered nobody, where about {expected:,.0f} requests were due"
    if _is_paused_by(events, "no_data"):
        yield Decision("stay", "no_data", f"paused: {said}")
    else:
        yield Decision(
            "pause",
            "no_data",
            f"{said}: no data is no success",
            _numbers(rollout, sight),
            {"advance": "nothing is known of it", "roll_back": "nothing is known against it"},
        )


def _mismatch(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    """Pause where units are not shared out as meant."""
    del now
    so = "versions that get other units than they should cannot be compared"
    why = {"advance": "what is known may come from who was asked", "roll_back": "nothing is known against it"}
    yield from _incomparable("mismatch", sight.mismatch, events, so, _numbers(rollout, sight), why)


def _arrival(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    """Pause where outcomes of one version arrive otherwise than those of the other."""
    del now
    so = "what differs in quality may be the arrival, so there is no verdict on it"
    why = {"promote": "its quality is not known", "roll_back": "what is known of its quality may come from the arrival"}
    yield from _incomparable("arrival", sight.arrival, events, so, _numbers(rollout, sight), why)


def _incomparable(
    rule: str, said: str, events: list[RolloutEvent], so: str, numbers: Mapping[str, Number], why: Mapping[str, str]
) -> Iterator[Decision]:
    """Pause since versions cannot be compared; a person who goes on all the same is not stopped again."""
    causes = [event.cause for event in events]
    is_accepted = PERSON in causes and rule in causes[: _last(causes, PERSON)]
    is_paused_otherwise = events[-1].phase is Phase.PAUSED and causes[-1] != rule
    if not said or is_accepted or is_paused_otherwise:
        return
    if _is_paused_by(events, rule):
        yield Decision("stay", rule, f"paused: {said}")
    else:
        yield Decision("pause", rule, f"{said}: {so}", numbers, why)


def _last(values: list[str], value: str) -> int:
    return len(values) - 1 - values[::-1].index(value)


def _resumed(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    del now
    last = events[-1]
    if last.phase is Phase.PAUSED:
        reason = {
            "no_data": f"{rollout.candidate} answers again",
            "mismatch": "units are shared out as the route says again",
            "no_way_back": f"{rollout.candidate} is not shown to be worse any more",
            "arrival": "outcomes are not shown to arrive otherwise any more",
        }.get(last.cause, f"{rollout.stable} is well again")
        yield Decision("resume", last.cause, reason, _numbers(rollout, sight))


def _readout(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    rules, ab, found = rollout.rules, rollout.rules.ab, sight.readout
    is_due = _is_last(rollout, events) and now - sight.step_since >= rules.last_soak
    if ab is None or found is None or events[-1].phase is not Phase.CANARY or not is_due:
        return
    if found.says in {"not yet", "unknown"}:
        return
    if found.says != "B" or ab.at_readout == "hold":
        others = {"promote": "it is not better" if found.says != "B" else "at_readout says hold"}
        yield Decision("read_out", "readout", found.said, _numbers(rollout, sight), others)
    elif sight.missing:
        yield Decision("stay", "ownership", f"nobody answers for {rollout.model}: declare {', '.join(sight.missing)}")
    elif sight.judgement.is_fine:
        others = {"hold": "at_readout says promote"}
        yield Decision("promote", "readout", found.said, _numbers(rollout, sight), others)


def _horizon(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    rules = rollout.rules
    # A person who goes on after the horizon gives it the same time once more.
    again = [one.at for before, one in pairwise(events) if before.phase is Phase.INCONCLUSIVE]
    if events[-1].phase is Phase.PROMOTING or now - max(again, default=rollout.started_at) < rules.horizon:
        return
    action: Action = "hold" if rules.at_horizon == "promote" and sight.missing else rules.at_horizon
    said = f"{duration_text(rules.horizon)} have passed, and {_not_shown(rollout, sight)}"
    if rules.ab is not None or not (sight.judgement.is_fine and _is_last(rollout, events)):
        yield Decision(action, "horizon", said, _numbers(rollout, sight))


def _promoting(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    del now
    if events[-1].phase is not Phase.PROMOTING:
        return
    if sight.requests.get(rollout.candidate, 0):
        watched = duration_text(rollout.rules.watch)
        said = f"{rollout.candidate} answers everybody; {rollout.stable} stays ready for {watched}"
        yield Decision("finish", "promoted", said, _numbers(rollout, sight))
    else:
        yield Decision("stay", "promoted", f"{rollout.candidate} is to answer everybody, and no request came since")


def _next_step(rollout: Rollout, events: list[RolloutEvent], sight: Sight, now: int) -> Iterator[Decision]:
    rules, last = rollout.rules, events[-1]
    passed = now - sight.step_since
    unowned = f"nobody answers for {rollout.model}: declare {', '.join(sight.missing)}"
    is_first = last.phase is Phase.SHADOW or (last.phase is Phase.DRAFT and not rules.shadow)
    if is_first and sight.missing and rules.steps[0] > UNOWNED_SHARE:  # what was declared when it began is gone
        yield Decision("stay", "ownership", f"{rollout.candidate} gets no units, since {unowned}")
    elif last.phase is Phase.DRAFT:
        yield Decision("advance", "started", f"{rollout.candidate} is on its way")
    elif last.phase is Phase.SHADOW and passed >= rules.shadow:
        said = f"nothing was found against {rollout.candidate} in {duration_text(passed)} in shadow"
        yield Decision("advance", "soaked", said, _numbers(rollout, sight))
    elif last.phase is Phase.CANARY and not _is_last(rollout, events):
        following = rules.steps[rules.steps.index(last.share) + 1]
        if passed < rules.soak or not sight.requests.get(rollout.candidate):
            return
        if following > UNOWNED_SHARE and sight.missing:
            stays = f"{rollout.candidate} stays at {number(last.share, 'share')}"
            yield Decision("stay", "ownership", f"{stays}, since {unowned}")
            return
        said = f"nothing was found against {rollout.candidate} in {duration_text(passed)}"
        yield Decision("advance", "soaked", said, _numbers(rollout, sight))
    elif last.phase is Phase.CANARY and passed >= rules.last_soak and sight.judgement.is_fine and rules.ab is None:
        if sight.missing:
            yield Decision("stay", "ownership", unowned)
            return
        view, won = sight.judgement.least_fine
        yield Decision(
            "promote",
            "fine",
            f"{rollout.candidate} is better than every red line, by {counted(sight.units, 'unit')}: one as bad as"
            f" a red line looks so at most once in {round(1 / rules.miss)} rollouts",
            _numbers(rollout, sight) | {"least_sure": view, "least_sure_evidence": won},
            {"stay": "more would be seen, and nothing is likely to change"},
        )


# What is worse is rolled back before anything else.
_RULES = (
    *(_red_line, _paused, _sick_stable, _silence, _mismatch, _arrival),
    *(_resumed, _readout, _horizon, _promoting, _next_step),
)


def _stay(rollout: Rollout, sight: Sight, now: int) -> Decision:
    said = f"nothing is found against {rollout.candidate}; {_not_shown(rollout, sight)}"
    return Decision(
        "stay",
        "undecided",
        said,
        _numbers(rollout, sight) | {"step_seconds": (now - sight.step_since) / 1e6},
        {"promote": _not_shown(rollout, sight), "roll_back": "nothing is found against it"},
    )


def _not_shown(rollout: Rollout, sight: Sight) -> str:
    """Return what is not shown yet, and about how many units it takes; of a test, what it says."""
    if sight.readout is not None and (sight.readout.says != "B" or sight.judgement.is_fine):
        return sight.readout.said
    view, won = sight.judgement.least_fine
    goal, has = math.log(1 / rollout.rules.miss), math.log(max(won, 1e-300))
    if has >= goal:
        return "it is better than every red line"
    said = f"that it is better than the red line of {view} is not shown yet"
    if has > 0.0 and sight.units:
        more = (goal - has) / has * sight.units
        return f"{said}: about {counted(math.ceil(max(more, 1.0)), 'more unit')} of it"
    return f"{said}: {counted(sight.units, 'unit')} of it so far"


def _is_last(rollout: Rollout, events: list[RolloutEvent]) -> bool:
    return events[-1].share == rollout.rules.steps[-1]


def _is_paused_by(events: list[RolloutEvent], cause: str) -> bool:
    return events[-1].phase is Phase.PAUSED and events[-1].cause == cause


def _numbers(rollout: Rollout, sight: Sight) -> dict[str, float | int | str | bool | None]:
    found: dict[str, float | int | str | bool | None] = {
        "candidate_requests": sight.requests.get(rollout.candidate, 0),
        "stable_requests": sight.requests.get(rollout.stable, 0),
        "candidate_units": sight.units,
        "units_too_late": sight.missed,
        "needed_to_roll_back": 1 / rollout.rules.risk,
        "needed_to_promote": 1 / rollout.rules.miss,
    }
    found |= {f"evidence_of_{name}": won for name, won in sight.judgement.evidence.items()}
    if sight.readout is not None and rollout.rules.ab is not None:
        told = sight.readout.difference
        found |= {"readout": sight.readout.says, "difference": told.value, "low": told.low, "high": told.high}
        found |= {"smallest": rollout.rules.ab.smallest}
        found |= {f"outcomes_known_of_{name}": share for name, share in sight.readout.known.items()}
    return found
