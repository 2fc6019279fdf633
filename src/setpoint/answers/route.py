"""Which version gets which share of the units, and does it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.control import tightening
from setpoint.core.clock import QUARTER_HOUR
from setpoint.core.clock import text as time_text
from setpoint.core.events import STAGE
from setpoint.core.metric import Metric, counted, number
from setpoint.core.route_plan import RoutePlan
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.predictions.meter import latency
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import effective_size, wilson
from setpoint.store.evidence import RowEvidence
from setpoint.store.shadow_pairs import compared
from setpoint.store.states import StateTable
from setpoint.store.version_cohorts import by_family

COLUMNS = (
    "version", "role", "planned_ratio", "requests", "actual_ratio", "errors", "unsent", "latency_p95_seconds",
)  # fmt: skip
_SHOWN = ("version", "role", "planned", "requests", "got", "errors", "unsent", "P95")
SHADOW_COLUMNS = (
    "version", "sent", "failed", "unsent", "compared", "agreed_ratio", "agreed_low", "agreed_high",
    "mean_score_difference", "cost_usd", "unpriced",
)  # fmt: skip
_SHADOW_SHOWN = ("in shadow", "sent", "failed", "unsent", "compared", "same answer", "cost")
HISTORY_COLUMNS = ("generation", "published_at", "route", "reason")


def route(evidence: RowEvidence, *, fault: str = "", unfollowed: str = "") -> Answer:
    """Return the plan in force, beside what each version did since it was published.

    Args:
        evidence: The model's states.
        fault: Why services cannot read it now; empty when they can.
        unfollowed: Why some service said lately that it does not follow it; empty when none did.
    """
    plans = evidence.plans
    zone, now = evidence.model.timezone, evidence.as_of
    plan = plans[-1] if plans else None
    since = plan.published_at if plan else None
    window = None if since is None else Window(min(since, now), now)
    named = plan.route.versions if plan else ()
    rows = _rows(plan, by_family(evidence.traffic(window), named))
    history = Table(
        "plans",
        HISTORY_COLUMNS,
        [(one.generation, time_text(one.published_at, zone), told(one), one.reason or None) for one in plans],
    )
    lines = [_line(row) for row in rows]
    if plan is None:
        headline = "no route is published: the first version of each endpoint answers all"
    else:
        headline = f"{told(plan)}; generation {plan.generation}, since {time_text(plan.published_at, zone)}"
    because = [*_faults(fault, unfollowed), *(_doubts(plan, rows, evidence.spending(window)) if plan else ())]
    if is_tighter := tightening.tighter(evidence.model.route, plan):
        because.append(is_tighter)
    notes: list[str] = []
    if window is not None and (len(plans) > 1 or _came_before(evidence, window)):
        start = time_text(window.widened(QUARTER_HOUR).start, zone)
        before = "of the plan before" if len(plans) > 1 else "before it, when the first version answered all"
        notes = [f"counted since {start}, with the last minutes {before}"]
    is_seen = plan is None or any(row[3] for row in rows)
    fine = Verdict.OK if is_seen else Verdict.UNKNOWN
    return Answer(
        "route",
        evidence.model.name,
        Verdict.WARNING if because else fine,
        headline,
        (*because, *notes),
        () if is_seen else ("whether it is followed: no request came since",),
        now,
        zone,
        (Table("versions", COLUMNS, rows, _SHOWN, lines), *_shadows(evidence, window, rows, named), history),
    )


def _came_before(evidence: RowEvidence, window: Window) -> bool:
    """Whether requests of the first quarter of an hour came before the plan."""
    span = evidence.span
    return span is not None and span.start < window.start < span.end


def _shadows(
    evidence: RowEvidence, window: Window | None, versions: list[tuple[Cell, ...]], named: Sequence[str]
) -> list[Table]:
    """Return what became of copies of requests: sent, failed, dropped, held against what callers got, billed."""
    sent = {row[0]: row for row in versions if row[1] == "shadow"}
    if not sent:
        return []
    held = {one.version: one for one in compared(evidence, window, named)}
    spent = by_family(evidence.spending(window), named).only(line="shadow")
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for version, row in sent.items():
        one, mine = held.get(version if version is None else str(version)), spent.only(version=version)
        same = Estimate.unknown("nothing to compare yet")
        if one is not None and one.weight:
            same = wilson(one.agreed, one.weight, effective_size(one.weight, one.squares))
        pairs, unpriced, usd = one.pairs if one else 0, int(mine.total("unpriced")), mine.total("usd")
        known = None if unpriced or not mine.total("rows") else usd
        rows.append(
            (
                *(version, row[3], row[5], row[6], pairs, same.value, same.low, same.high),
                *(one.score_difference if one else None, known, unpriced),
            )
        )
        agreed = Metric("", same.value, same.low, same.high, "share", "none", pairs, same.reason).text()
        cost = number(usd, "usd") if known is not None else (f"unknown for {unpriced:,} calls" if unpriced else "")
        lines.append((str(version), *(f"{row[n]:,}" for n in (3, 5, 6)), f"{pairs:,}", agreed, cost))
    return [Table("shadows", SHADOW_COLUMNS, rows, _SHADOW_SHOWN, lines)]


def _faults(fault: str, unfollowed: str) -> Iterator[str]:
    if unfollowed:
        yield f"{unfollowed}: it goes on by its last good plan; start it with what it lacks, or publish another"
    if fault:
        yield (
            f"{fault}: services that run stay with the last good plan, and one that starts asks its first version;"
            " `setpoint apply` writes it again"
        )


def _doubts(plan: RoutePlan, rows: Sequence[tuple[Cell, ...]], spending: StateTable) -> Iterator[str]:
    """Yield in which way what was done is not what is planned."""
    strange = sorted({str(row[0] or "(no name)") for row in rows if row[3] and row[0] not in plan.route.versions})
    if strange:
        told = f"{', '.join(strange)} answered and {'is' if len(strange) == 1 else 'are'} not in the plan"
        yield f"{told}: of an older one, or recorded directly"
    failed = {row[0]: row[5] for row in rows if row[1] == STAGE and row[3] == row[5]}
    for version, _, share, requests, *_ in rows:
        if share is not None and not requests and failed.get(version):
            yield f"{version} answered nobody: all {counted(int(str(failed[version])), 'request')} to it failed"
    unpriced = int(spending.without(line="shadow").without(line="judging").total("unpriced"))
    if plan.route.limits.usd_per_hour is not None and unpriced:
        calls = f"{counted(unpriced, 'call')} of which nobody knows the cost"
        cap = f"the cap of ${plan.route.limits.usd_per_hour:g} an hour"
        yield f"{cap} does not count {calls}: see `setpoint price check`"


def told(plan: RoutePlan) -> str:
    """Return a plan in words.

    Example:
        >>> from setpoint.core.route_plan import Route
        >>> told(RoutePlan("m", 3, Route("canary", (("v13", 0.05), ("v12", 0.95)), stable="v12")))
        'canary: v13 5.0 %, v12 95.0 %'
    """
    one = plan.route
    said = f"{one.strategy}: " + ", ".join(f"{name} {number(share, 'share')}" for name, share in one.shares)
    if one.cascade is not None:
        cheap, expensive, threshold = one.cascade.cheap, one.cascade.expensive, one.cascade.threshold
        said = f"cascade: {expensive} answers all, as {cheap} lost more than was promised"
        if threshold is not None:
            said = f"cascade: {cheap}, below a confidence of {threshold:g} {expensive}"
    if one.shadows:
        said += "; in shadow " + ", ".join(f"{name} {number(share, 'share')}" for name, share in one.shadows)
    return said + (f"; falls back to {', '.join(one.fallback)}" if one.fallback else "")


def _rows(plan: RoutePlan | None, traffic: StateTable) -> list[tuple[Cell, ...]]:
    """Return a row for each version and role that is planned, or was seen."""
    planned: dict[tuple[str | None, str], float | None] = {}
    if plan is not None:
        planned |= {(arm.version, arm.role): arm.share for arm in plan.arms}
        planned |= {(name, "shadow"): share for name, share in plan.route.shadows}
    known = traffic.without(measure="tokens")  # of a row that was not kept nobody knows the version
    seen = zip(known.key("version"), known.key("role"), strict=True)
    for version, role in seen:
        planned.setdefault((version if version is None else str(version), str(role or "stable")), None)
    asked = traffic.without(role="shadow").without(role=STAGE).only(measure="requests").total("amount")
    found: list[tuple[Cell, ...]] = []
    for (version, role), share in sorted(
        planned.items(), key=lambda item: (_ORDER.get(item[0][1], 0), str(item[0][0]))
    ):
        mine = traffic.only(version=version)
        mine = (
            mine.without(role="shadow").without(role=STAGE).without(role="candidate")
            if role == "stable"
            else mine.only(role=role)
        )
        requests, errors, unsent = (
            int(mine.only(measure=name).total("amount")) for name in ("requests", "errors", "unsent")
        )
        found.append(
            (
                version,
                role,
                share,
                requests,
                requests / asked if asked else None,
                errors,
                unsent,
                latency(mine, 0.95).value,
            )
        )
    return found


_ORDER = {"stable": 0, "candidate": 1, STAGE: 2, "shadow": 3}


def _line(row: tuple[Cell, ...]) -> tuple[str, ...]:
    version, role, planned, requests, actual, errors, unsent, p95 = row
    return (
        str(version or "(no name)"),
        str(role),
        "" if planned is None else number(float(planned), "share"),
        f"{requests:,}",
        "" if actual is None else number(float(actual), "share"),
        f"{errors:,}",
        f"{unsent:,}" if unsent else "",
        "" if p95 is None else number(float(p95), "seconds"),
    )
