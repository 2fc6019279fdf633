"""Begins rollouts, and asks about them."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from setpoint.answers.answer import Answer
from setpoint.answers.rollout import explain_rollout, rehearsal, rollout_status
from setpoint.control.decision import UNOWNED_SHARE
from setpoint.control.ownership import undeclared
from setpoint.control.rehearsal import rehearse
from setpoint.control.rollouts import Moved, advance, is_watched, start
from setpoint.control.way_back import no_help
from setpoint.core.clock import DAY, duration_text
from setpoint.core.errors import StoreBusy, UsageError
from setpoint.core.model import Model
from setpoint.core.rollout import (
    COUNTED,
    LATE,
    USUAL_RED_LINES,
    Phase,
    RedLine,
    Rollout,
    RolloutEvent,
    RolloutRules,
    Usual,
)
from setpoint.core.route_plan import Route
from setpoint.core.window import Window
from setpoint.store.arms import metrics_known, occurs, requests_of, usual, values_known
from setpoint.store.decisions import decisions_of
from setpoint.store.evidence import RowEvidence
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.rollouts import (
    active_rollout,
    events_of,
    evidence_of,
    last_look,
    refuse_second,
    rollouts_of,
)
from setpoint.store.route_file import last_plan

_USUAL_WITHIN = 7 * DAY


def start_rollout(
    store: Path, model: str, candidate: str, *, stable: str = "", actor: str = "", least_shadow: int = 0
) -> tuple[Rollout, RolloutEvent]:
    """Begin the rollout of a candidate, by the rules that are declared now.

    Args:
        store: The store's folder.
        model: The model.
        candidate: The version that is to take the place of the stable one.
        stable: The version that answers now; the one of the route in force, or of the traffic, by default.
        actor: Who begins it; the user of this process by default.
        least_shadow: How long it is asked in shadow at least, microseconds, whatever is declared.

    Raises:
        UsageError: The versions are the same, several share the traffic already, or nothing feeds a red line.
        StoreBusy: Another rollout of the model is under way.
    """
    layout = Layout.open(store)
    refuse_second(active_rollout(layout, layout.model(model).name))
    now = layout.clock.now()
    with closing(KeptEvidence(layout, layout.model(model), now, now, None)) as evidence:
        rollout = _drafted(layout, evidence, candidate, stable, now)
    rollout = replace(rollout, rules=replace(rollout.rules, shadow=max(rollout.rules.shadow, least_shadow)))
    return rollout, start(layout, rollout, actor=actor or getpass.getuser())


def rehearse_rollout(store: Path, model: str, *, over: str = "7d", runs: int = 20, stable: str = "") -> Answer:
    """Return what the declared red lines would have done to past requests, and how long a rollout takes.

    Args:
        store: The store's folder.
        model: The model.
        over: The window of past requests, such as `7d`.
        runs: How often each candidate is rehearsed.
        stable: The version whose requests they are; the one that answers by default.

    Raises:
        UsageError: Several versions share the traffic already, or nothing feeds a red line.
    """
    layout = Layout.open(store)
    declared, now = layout.model(model), layout.clock.now()
    with closing(KeptEvidence(layout, declared, now, now, None)) as evidence:
        rollout = _drafted(layout, evidence, "a candidate", stable, now)
        window = Window.parse(over, now=now, zone=declared.timezone)
        requests = requests_of(
            evidence,
            rollout.stable,
            window,
            within=rollout.rules.outcome_age,
            most=_REHEARSED_REQUESTS,
            cohorts={line.of for line in rollout.rules.red_lines if line.cohort},
        )
    ends = rehearse(rollout, requests, runs=runs)
    return rehearsal(rollout, ends, len(requests.asked_at), now=now, zone=declared.timezone)


_REHEARSED_REQUESTS = 200_000


def _drafted(layout: Layout, evidence: RowEvidence, candidate: str, stable: str, now: int) -> Rollout:
    """Return a rollout as it would begin now; see `start_rollout`."""
    declared = evidence.model
    plan = last_plan(layout, declared.name)
    under_way = active_rollout(layout, declared.name)  # of which only a rehearsal takes no notice
    route = under_way.before if under_way else plan and plan.route
    before = _base(declared.name, route) if route else None
    stable = stable or (before.stable if before else _answering(evidence, now))
    if stable == candidate:
        msg = f"{candidate} is the stable version of {declared.name} already"
        raise UsageError(msg, hint="name the version that is to take its place")
    past = _usual_in(declared.rollout or RolloutRules(), now)
    rules, found = _fed(evidence, declared.rollout or RolloutRules(), stable, past)
    if undeclared(declared) and rules.steps[0] > UNOWNED_SHARE:
        rules = replace(rules, steps=(UNOWNED_SHARE, *rules.steps))
    refused = [unread(declared), _unknown_value(evidence, rules, stable, past)]
    for said in filter(None, refused):
        raise UsageError(said, hint="declare and record what it is about first, or leave it out")
    return Rollout(
        f"{declared.name}/{candidate}/{len(rollouts_of(layout, declared.name)) + 1}",
        declared.name,
        stable,
        candidate,
        rules,
        found,
        before or Route("single", ((stable, 1.0),), stable),
        now,
        declared.business_metric.name if declared.business_metric else "",
        declared.business_metric.better if declared.business_metric else "higher",
    )


def unread(declared: Model) -> str:
    """Return why a test of a model could not be read out, in words; empty when it can, or there is none."""
    metric = declared.business_metric
    if declared.rollout is None or declared.rollout.ab is None or (metric is not None and metric.better != "none"):
        return ""
    return "rollout.ab is read out on the business metric, and nobody declared one of which more is better or worse"


def _unknown_value(evidence: RowEvidence, rules: RolloutRules, stable: str, past: Window) -> str:
    if rules.ab is None or values_known(evidence, stable, past, rules.ab.value):
        return ""
    within = duration_text(past.length)
    return f"no outcome of {stable} of the last {within} says its {rules.ab.value}, on which rollout.ab is read out"


def _usual_in(rules: RolloutRules, now: int) -> Window:
    """Return where what is usual is looked for: a week, and longer by the age of outcomes where these are asked for."""
    is_late = rules.ab is not None or any(line.metric in LATE for line in rules.red_lines)
    return Window(now - _USUAL_WITHIN - (rules.outcome_age if is_late else 0), now)


def unwatched(layout: Layout | None, declared: Model) -> list[str]:
    """Return what a model's rollouts would look at and no data feeds, in words; nothing while nothing was recorded."""
    rules = declared.rollout
    if layout is None or rules is None or not (rules.ab or rules.red_lines):
        return []
    now = layout.clock.now()
    past = _usual_in(rules, now)
    found = [unread(declared)]
    with closing(KeptEvidence(layout, declared, now, now, None)) as evidence:
        if evidence.span is not None:
            if rules.ab is not None:
                plan = last_plan(layout, declared.name)
                with suppress(UsageError):  # while nobody knows who answers, nobody knows what is said of it
                    stable = plan.route.stable if plan else _answering(evidence, now)
                    found.append(_unknown_value(evidence, rules, stable, past))
            found += [*_unseen_cohorts(evidence, rules), *_unfed(evidence, rules, past)]
    return [said for said in found if said]


def _unfed(evidence: RowEvidence, rules: RolloutRules, past: Window) -> Iterator[str]:
    """Yield each red line on what no request says, of whatever version; none while there were no requests."""
    told, within = metrics_known(evidence, past), duration_text(past.length)
    for line in rules.red_lines:
        if told["error_ratio"] and not told[line.metric]:
            yield f"the red line on {line.name}: no request of the last {within} says its {line.metric}"


def without_help(layout: Layout | None, declared: Model) -> list[str]:
    """Return in words that going back to the version before would not help, by the contract that is declared."""
    found = [] if layout is None or declared.contract is None else rollouts_of(layout, declared.name)
    if layout is None or not found:
        return []
    rollout, now = found[-1], layout.clock.now()
    last = events_of(layout, rollout.rollout_id)[-1]
    if last.phase.is_over and not is_watched(rollout, last, now):
        return []
    with closing(KeptEvidence(layout, declared, now, now, None)) as evidence:
        said = no_help(evidence, rollout.stable, rollout.candidate, rollout.started_at)
    instead = f"fall back to {rollout.others[0]}" if rollout.others else "page: no fallback is declared"
    return [f"rollout: no rollback to {rollout.stable} helps: {said}; what is left is to {instead}"] if said else []


def beyond_already(layout: Layout | None, declared: Model) -> list[str]:
    """Return which absolute red lines the version that answers now would be beyond, in words."""
    rules = declared.rollout
    lines = [line for line in rules.red_lines if line.above and not line.cohort] if rules else []
    if layout is None or rules is None or not lines:
        return []
    now = layout.clock.now()
    with closing(KeptEvidence(layout, declared, now, now, None)) as evidence, suppress(UsageError):
        stable = _answering(evidence, now)
        found = usual(evidence, stable, _usual_in(rules, now))
        return [
            f"rollout: {stable} is beyond the red line already: its {line.name} is {found[line.metric].mean:.3g},"
            f" and the line is {line.said}"
            for line in lines
            if line.metric in found and found[line.metric].mean >= (line.above or 1.0)
        ]
    return []


def _unseen_cohorts(evidence: RowEvidence, rules: RolloutRules) -> Iterator[str]:
    """Yield each red line on a cohort that nobody declared, or that no request ever was of."""
    declared = {one.name for one in evidence.model.cohorts}
    for line in rules.red_lines:
        if line.cohort and line.cohort not in declared:
            yield f"the red line on {line.name}: no cohort is called {line.cohort}"
        elif line.cohort and not occurs(evidence, line.cohort, line.value):
            yield f"the red line on {line.name}: {line.cohort} {line.value} never occurred"


def _base(model: str, route: Route) -> Route:
    """Return the route that a rollout starts from.

    Raises:
        UsageError: Versions share the units already, or one passes hard cases on to another.
    """
    if route.cascade is None and len(route.shares) == 1:
        return route
    msg = f"the route of {model} is a {route.strategy} of {' and '.join(route.versions)}"
    raise UsageError(msg, hint="a rollout starts where one version answers all: declare `strategy: single` first")


def _answering(evidence: RowEvidence, now: int) -> str:
    """Return the version that answered most of the last week's requests."""
    counts = evidence.traffic(Window(now - _USUAL_WITHIN, now)).only(measure="requests").without(role="shadow")
    found = {str(version): 0.0 for version in counts.key("version") if version}
    for version in found:
        found[version] = counts.only(version=version).total("amount")
    if not found and counts.total("amount"):
        msg = f"no row of {evidence.model.name} within a week says which version answered"
        raise UsageError(msg, hint="record or import predictions with their version: setpoint import FILE --version v1")
    if not found:
        msg = f"nothing was recorded of {evidence.model.name} within a week, so nobody knows the stable version"
        raise UsageError(msg, hint="name it: --stable VERSION")
    return max(found, key=lambda version: found[version])


def _fed(
    evidence: RowEvidence, rules: RolloutRules, stable: str, past: Window
) -> tuple[RolloutRules, dict[str, Usual]]:
    """Return rules with the red lines that are looked at, and what is usual of what these are on.

    Raises:
        UsageError: One is on a metric that no request of the stable version has, or on a cohort that never occurred.
    """
    for said in _unseen_cohorts(evidence, rules):
        raise UsageError(said, hint="declare and record what it is about first, or leave it out")
    found = usual(evidence, stable, past)
    if all(line.cohort for line in rules.red_lines):
        lines = [RedLine(metric, times) for metric, times in USUAL_RED_LINES.items() if metric in found]
        rules = replace(rules, red_lines=(*lines, *rules.red_lines))
    for of in {line.of for line in rules.red_lines if line.cohort}:
        of_it = usual(evidence, stable, past, of)
        lines = [line for line in rules.red_lines if line.of == of and line.metric in of_it]
        found |= {line.name: of_it[line.metric] for line in lines}
    # What happens or does not needs no scale: it may be new to the cohort.
    starved = [
        line.name
        for line in rules.red_lines
        if line.name not in found and not (line.metric in COUNTED and line.metric in found)
    ]
    if starved or not rules.red_lines:
        within = duration_text(past.length)
        msg = f"no request of {stable} of the last {within} says its {' or '.join(starved) or 'errors'}"
        raise UsageError(
            msg,
            hint=f"record some first, 200 for {', '.join(sorted(set(USUAL_RED_LINES) - COUNTED))}, or leave out"
            " the red line",
        )
    return rules, found


def moved_on(layout: Layout, declared: Model) -> str:
    """Return in words how a rollout has moved the route of a model on from what is declared; empty when none has."""
    found = rollouts_of(layout, declared.name)
    if not found or declared.route is None:
        return ""
    rollout, last = found[-1], events_of(layout, found[-1].rollout_id)[-1]
    if not last.phase.is_over:
        return f"a rollout of {rollout.candidate} is under way: another one cannot be applied until it is over"
    if last.phase is Phase.STABLE and dict(declared.route.shares) == {rollout.stable: 1.0}:
        how = f"versions: {{{rollout.candidate}: 1}}"
        return f"{rollout.candidate} took the place of {rollout.stable} in a rollout: declare `{how}` under route"
    return ""


def move(store: Path, model: str) -> Moved | None:
    """Look at the rollout of a model, and do what follows; None when none is under way."""
    return advance(Layout.open(store), model)


def watch(store: Path, model: str, *, every_seconds: float, until: float) -> Answer:
    """Move a rollout again and again until it is over, or a time is reached; return where it stands then.

    Args:
        store: The store's folder.
        model: The model.
        every_seconds: How long to wait between two looks.
        until: When to stop, by `time.monotonic`.
    """
    while True:
        try:
            moved = move(store, model)
        except StoreBusy:  # somebody else moves it: all the better
            moved = None
            if time.monotonic() >= until:
                break
        else:
            if moved is None or time.monotonic() >= until:
                break
        time.sleep(every_seconds)
    return status_of(store, model)


def status_of(store: Path, model: str) -> Answer:
    """Return where the last rollout of a model stands.

    Raises:
        UsageError: There was none.
    """
    layout = Layout.open(store)
    rollout = _last(layout, model)
    batches = [numbers for _, numbers in evidence_of(layout, rollout.rollout_id)]
    return rollout_status(
        rollout,
        events_of(layout, rollout.rollout_id),
        batches,
        last_look(layout, rollout),
        now=layout.clock.now(),
        zone=layout.model(model).timezone,
    )


def explain(store: Path, model: str) -> Answer:
    """Return why the last rollout of a model stands where it does.

    Raises:
        UsageError: There was none.
    """
    layout = Layout.open(store)
    rollout = _last(layout, model)
    return explain_rollout(
        rollout,
        events_of(layout, rollout.rollout_id),
        decisions_of(layout, subject=rollout.rollout_id),
        now=layout.clock.now(),
        zone=layout.model(model).timezone,
    )


def _last(layout: Layout, model: str) -> Rollout:
    found = rollouts_of(layout, layout.model(model).name)
    if not found:
        msg = f"there was no rollout of {model}"
        raise UsageError(msg, hint=f"`setpoint rollout start {model} VERSION` begins one")
    return found[-1]
