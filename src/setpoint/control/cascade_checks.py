"""The check of a cascade's promise: whether taking cheap answers loses more than was declared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile

import msgspec
import numpy as np

from setpoint.control.episode import Episode
from setpoint.core.clock import DAY, text
from setpoint.core.metric import number
from setpoint.core.route_plan import Cascade, RoutePlan
from setpoint.core.window import Window
from setpoint.predictions.cascades import Losses, audits, losses_of
from setpoint.stats.cascade import broken_by, safer, won_by
from setpoint.stats.special import FloatArray
from setpoint.store.evidence import RowEvidence
from setpoint.store.summaries import basis
from setpoint.store.versus import query_pairs

CASCADE_LOSS = NOTE = "cascade_loss"
_READ = 28 * DAY
"""How long requests are read, microseconds; for twice the outcome horizon where that is longer."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What audited requests show against a cascade.

    Attributes:
        cascade: The cascade.
        at: When they showed it, microseconds.
        pairs: How many did.
        keeps_it: The lowest threshold above the present one that is known to keep the promise; None without any.
        is_agreement: Whether an answer counts as lost that differs from the expensive one.
    """

    cascade: Cascade
    at: int
    pairs: int
    keeps_it: float | None
    is_agreement: bool

    @property
    def said(self) -> str:
        """What is wrong, in words."""
        told = "answers that differ" if self.is_agreement else "wrong answers more"
        return (
            f"the cascade from {self.cascade.cheap} to {self.cascade.expensive} loses more than"
            f" {number(self.cascade.loss, 'share')}: {told}, by audited requests since {self.cascade.threshold:g} was"
            " taken for sure enough"
        )

    @property
    def subject(self) -> str:
        """What the finding is about."""
        return _subject(self.cascade)


def cascade_loss(evidence: RowEvidence, _now: int) -> list[Episode]:
    """A cascade whose audited requests show that it loses more answers than it may.

    Audited are cheap answers that the expensive version was asked for too, by lot, and as small a share of the requests
    that were passed on. What `tick` tightened for it was over then, and is told by the plans; else it goes on until
    another threshold is in force.
    """
    plans = evidence.plans
    zone = evidence.model.timezone
    found = [episode for before, plan in pairwise(plans) for episode in _acted_on(before, plan, zone)]
    cascade = _cascade(evidence)
    lost = None if cascade is None or is_tightened_on_loss(cascade, plans) else find_loss(evidence)
    if lost is not None:
        raised = f"let {lost.cascade.expensive} answer until `setpoint cascade tune` names a threshold"
        if lost.keeps_it is not None:
            raised = f"raise at_least to {lost.keeps_it:g}, which keeps it"
        numbers: dict[str, object] = {
            "at_least": lost.cascade.threshold,
            "keeps_it": lost.keeps_it,
            "audited_pairs": lost.pairs,
            "loss": lost.cascade.loss,
        }
        said = f"{lost.said}; {raised}"
        found.append(Episode(CASCADE_LOSS, "", lost.subject, lost.at, None, "breach", said, numbers, lost.at))
    return found


def is_tightened_on_loss(cascade: Cascade, plans: list[RoutePlan]) -> bool:
    """Return whether `tick` acts on a loss; where no plan is in force there is none to tighten."""
    return bool(plans) and cascade.on_loss == "tighten"


class Carried(msgspec.Struct, frozen=True):
    """What old audited requests won in bets that the promise is broken, without having shown it.

    Attributes:
        of: Hash of the promise and of what a loss is; of another one they say nothing.
        until: Requests that came earlier are in it, by what was known of them when they were added, microseconds; None
            while none is.
        won: By each bet, see `won_by`.
        pairs: How many they were.
        heaviest: See `Pairs`.
        is_agreement: See `Losses`.
    """

    of: str
    until: int | None
    won: tuple[float, ...]
    pairs: int
    heaviest: float
    is_agreement: bool


def find_loss(evidence: RowEvidence) -> Lost | None:
    """Return what requests show against the cascade in force, since its threshold is; None while they show nothing.

    Whoever looks later finds the same, by what was known when it showed. Requests older than `_read` says are not read
    again: the bets on them are carried on in the evidence's notes, so that a tick takes no longer as time goes by.
    """
    cascade = _cascade(evidence)
    if cascade is None or cascade.threshold is None or not cascade.audit:
        return None
    since = _since(evidence.plans)
    of = _digest(evidence, cascade, since)
    carried = _carried(evidence, of)
    found = _losses(evidence, cascade, carried.until if carried else since, carried.heaviest if carried else 1.0)
    if carried and carried.is_agreement and not found.is_agreement:
        # What differed is no loss any more, now that outcomes tell: of all requests, as the promise is about all.
        carried, found = None, _losses(evidence, cascade, since)
    if not len(found.losses) or (carried and found.is_agreement != carried.is_agreement):  # outcomes are only late
        return None
    carried = carried or Carried(of, None, (), 0, 1.0, found.is_agreement)
    # What a plan took is known, whoever decided; without one the declared threshold stands in.
    taken = ~found.passed_on if evidence.plans else found.confidence >= cascade.threshold
    lost = np.where(taken, found.losses, 0.0)
    # What was known when requests were carried on was looked at then, in another order: to look at those moments again
    # with the carried requests first would be a second bet.
    seen = 0 if carried.until is None else int(np.sum(found.known_at <= carried.until + _read(evidence)))
    shown = broken_by(lost[seen:], cascade.loss, won_by(lost[:seen], cascade.loss, carried.won))
    if shown is None:
        _carry_on(evidence, carried, found, lost, cascade.loss)
        return None
    count = seen + shown + 1
    keeps_it = safer(
        found.confidence[:count], found.losses[:count], cascade.threshold, cascade.loss, units=found.unit[:count]
    )
    return Lost(cascade, int(found.known_at[count - 1]), carried.pairs + count, keeps_it, found.is_agreement)


def _losses(evidence: RowEvidence, cascade: Cascade, start: int | None, heaviest: float = 1.0) -> Losses:
    """Return what is lost by requests from some time on; of all when None.

    Agreement says nothing while outcomes may still come.
    """
    window = None if start is None else Window(start, max(start, evidence.as_of) + 1)
    versions = (cascade.cheap, cascade.expensive)
    pairs = query_pairs(evidence, evidence.matching(window), versions, audits(evidence, versions), heaviest)
    return losses_of(pairs, as_of=evidence.as_of, horizon=evidence.model.outcome_horizon)


def _read(evidence: RowEvidence) -> int:
    """Return how old requests are that are not read again, microseconds."""
    return max(_READ, 2 * evidence.model.outcome_horizon)


def _carried(evidence: RowEvidence, of: str) -> Carried | None:
    note = evidence.notes.get(NOTE)
    try:
        found = None if note is None else msgspec.msgpack.decode(note, type=Carried)
    except msgspec.MsgspecError:  # of an older version's form
        return None
    return found if found is not None and found.of == of else None


def _carry_on(evidence: RowEvidence, carried: Carried, found: Losses, lost: FloatArray, limit: float) -> None:
    """Add the requests that are old enough to what is carried on, a day's or more at once."""
    until = evidence.as_of - _read(evidence)
    old = found.asked_at < until
    if (carried.until is not None and until < carried.until + DAY) or not old.any():
        return
    more = msgspec.structs.replace(
        carried,
        until=until,
        won=won_by(lost[old], limit, carried.won),
        pairs=carried.pairs + int(old.sum()),
        heaviest=float(found.heaviest.max()),
    )
    evidence.notes[NOTE] = msgspec.msgpack.encode(more)


def _digest(evidence: RowEvidence, cascade: Cascade, since: int | None) -> str:
    """Return a hash of all that makes a loss what it is."""
    told = f"{basis(evidence.model)} {cascade.cheap} {cascade.expensive} {cascade.threshold} {cascade.loss} {since}"
    return hashlib.blake2b(told.encode(), digest_size=12).hexdigest()


def _cascade(evidence: RowEvidence) -> Cascade | None:
    """Return the cascade in force; the declared one where no plan was published."""
    plans = evidence.plans
    route = plans[-1].route if plans else evidence.model.route
    return route.cascade if route else None


def _since(plans: list[RoutePlan]) -> int | None:
    """Return since when what the last plan promises is in force, microseconds; None without plans.

    Where a larger share is audited it starts anew: else later requests would count more than those before them, and the
    promise is about the mean of all.
    """
    if not plans:
        return None
    same = takewhile(lambda two: _goes_on(*two), pairwise(reversed(plans)))
    return min((before.published_at for _, before in same), default=plans[-1].published_at)


def _goes_on(plan: RoutePlan, before: RoutePlan) -> bool:
    now, was = plan.route.cascade, before.route.cascade
    if now is None or was is None:
        return False
    promises = [(one.cheap, one.expensive, one.threshold, one.loss) for one in (was, now)]
    return promises[0] == promises[1] and was.audit >= now.audit


def _acted_on(before: RoutePlan, plan: RoutePlan, zone: str) -> Iterator[Episode]:
    """Yield the loss that a plan was published for, if it was: it was over then."""
    was, now = before.route.cascade, plan.route.cascade
    if was is None or now is None or now.tightening is None or now.tightening == was.tightening:
        return
    said = f"{plan.reason} since {text(plan.published_at, zone)}"
    at = now.tightening.noticed_at
    numbers: dict[str, object] = {
        "at_least": was.threshold,
        "keeps_it": now.threshold,
        "loss": was.loss,
        "generation": plan.generation,
    }
    yield Episode(CASCADE_LOSS, "", _subject(was), at, plan.published_at, "breach", said, numbers, at)


def _subject(cascade: Cascade) -> str:
    return f"{cascade.cheap} from {cascade.threshold:g}"
