"""Freezing what a model does now as what is expected of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from setpoint.core.clock import DAY, day_text, duration_text
from setpoint.core.errors import StoreError, UsageError
from setpoint.core.events import Change
from setpoint.core.metric import QUALITY_METRICS, Metric, number
from setpoint.core.model import Expectation, Model
from setpoint.core.window import Window
from setpoint.feedback.expectation import lowers, worse_end
from setpoint.feedback.quality import arrival, headline, quality_metric
from setpoint.predictions.recorder import spool_of
from setpoint.project.log import Log, StoreSource
from setpoint.stats.estimate import Estimate
from setpoint.store.evidence import RowEvidence
from setpoint.store.frozen import Frozen, add_frozen, read_frozen, with_frozen
from setpoint.store.layout import Layout

SHORTEST, LONGEST = 7 * DAY, 28 * DAY
DEFAULT_LIFE = 90 * DAY


@dataclass(frozen=True, slots=True)
class Freeze:
    """What a person says when they freeze an expectation.

    Attributes:
        reason: Why these numbers are fine.
        author: Who says so.
        metrics: Which; the model's headline metric when empty.
        over: The window that is measured, one to four weeks.
        life: How long the bar holds, microseconds.
    """

    reason: str
    author: str
    metrics: Sequence[str] = ()
    over: str = "28d"
    life: int = DEFAULT_LIFE


def freeze(layout: Layout, name: str, asked: Freeze) -> list[str]:
    """Freeze a model's quality as its expectation, and return what was frozen in words.

    Args:
        layout: The store.
        name: The model's name.
        asked: What, by whom and why.

    Raises:
        UsageError: A metric is unknown or has a declared bar, the window is not one to four weeks long, there is no
            reason, or too little is known to set a bar.
        StoreError: The change could not be recorded.
    """
    if not asked.reason.strip():
        msg = "a bar needs a reason"
        raise UsageError(msg, hint='say why these numbers are fine: --reason "agreed with payments"')
    model = layout.model(name)
    now = layout.clock.now()
    window = Window.parse(asked.over, now=now, zone=model.timezone)
    if not SHORTEST <= window.length <= LONGEST + DAY:
        msg = f"the window is {duration_text(window.length)} long, expected one to four weeks"
        raise UsageError(msg, hint="write --over 28d: a shorter one freezes a mood, a longer one what was")
    before = {one.metric: one for one in with_frozen(model, read_frozen(layout, name), now).expectations}
    with Log(StoreSource(layout)).evidence(name) as evidence:
        bars = [_bar(evidence, window, metric) for metric in asked.metrics or [headline(model)]]
    by = f"frozen {day_text(now, model.timezone)} by {asked.author}: {asked.reason}"
    made = [replace(bar, expires_at=now + asked.life, source=f"{bar.source}; {by}") for bar in bars]
    add_frozen(layout, name, [
        Frozen(expectation=bar, author=asked.author, reason=asked.reason, frozen_at=now) for bar in made
    ])  # fmt: skip
    said = [_words(bar, before.get(bar.metric), model) for bar in made]
    _record(layout, name, asked, said, now)
    return said


def _bar(evidence: RowEvidence, window: Window, metric: str) -> Expectation:
    model = evidence.model
    known = [one.name for one in QUALITY_METRICS[model.task] if one.better != "none"]
    if metric not in known:
        msg = f"no bar can be set for {metric!r}"
        raise UsageError(msg, hint=f"known here: {', '.join(known)}")
    if any(one.metric == metric and one.expires_at is None for one in model.expectations):
        msg = f"{metric} has a declared bar"
        raise UsageError(msg, hint=f"change it in models/{model.name}.yaml, and run `setpoint apply`")
    state = evidence.quality(window).only(is_root=True)
    found = quality_metric(state, model, metric, outcome_shift=evidence.definition.outcome_shift)
    share = arrival(state).share
    arrived = "no" if share is None else number(share, "share")
    measured_on = f"{window.text(model.timezone)}, {arrived} of the outcomes"
    bar = worse_end(model.task, metric, _estimate(found), measured_on)
    if bar is None:
        msg = f"{metric} of {window.text(model.timezone)} sets no bar: {found.unknown or 'its interval has no end'}"
        raise UsageError(msg, hint="wait for more outcomes, or name another --metric")
    return bar


def _estimate(metric: Metric) -> Estimate:
    if metric.value is None:
        return Estimate.unknown(metric.unknown)
    return Estimate(metric.value, metric.low, metric.high)


def _words(bar: Expectation, before: Expectation | None, model: Model) -> str:
    asks = _asks(bar)
    until = "" if bar.expires_at is None else f" until {day_text(bar.expires_at, model.timezone)}"
    changed = ""
    if before is not None:
        changed = f", {'lowered' if lowers(before, bar) else 'raised'} from {_asks(before)}"
    return f"{bar.metric} {asks}{until}{changed} ({bar.source})"


def _asks(bar: Expectation) -> str:
    return f"at least {bar.at_least:g}" if bar.at_least is not None else f"at most {bar.at_most:g}"


def _record(layout: Layout, name: str, asked: Freeze, said: Sequence[str], now: int) -> None:
    """Note the new bars as changes: a lower one must not pass unseen."""
    spool = spool_of(layout)
    for words in said:
        change = Change(
            change_id=spool.make_id(now),
            kind="policy",
            subject=f"expectation of {words.split()[0]}",
            started_at=now,
            recorded_at=now,
            note=words,
            author=asked.author,
        )
        spool.put(name, change)
    if not spool.flush():
        msg = f"the bar holds, but the change could not be recorded: {spool.last_error or 'timed out'}"
        raise StoreError(msg, hint="check the disk of the store")
