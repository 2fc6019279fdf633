"""The check of a cascade's promise: whether taking cheap answers loses more than was declared."""

from __future__ import annotations

from setpoint.control.episode import Episode
from setpoint.core.metric import number
from setpoint.predictions.cascades import losses_of
from setpoint.stats.cascade import tightened
from setpoint.store.evidence import RowEvidence
from setpoint.store.versus import query_pairs

CASCADE_LOSS = "cascade_loss"


def cascade_loss(evidence: RowEvidence, _now: int) -> list[Episode]:
    """A declared cascade whose audited requests show that it loses more answers than it may.

    Audited are cheap answers that the expensive version was asked for too, by lot, and as small a share of the requests
    that were passed on. It goes on until the declaration is another.
    """
    route = evidence.model.route
    cascade = route.cascade if route else None
    if cascade is None or not cascade.audit:
        return []
    versions = (cascade.cheap, cascade.expensive)
    found = losses_of(query_pairs(evidence, evidence.matching(None), versions, cascade.audit))
    if not len(found.losses):
        return []
    broken_by = tightened(found.confidence, found.losses, cascade.at_least, cascade.loss).broken_by
    if broken_by is None:
        return []
    # Whoever looks later says the same: by what was known when it showed.
    seen = broken_by + 1
    safer = tightened(found.confidence[:seen], found.losses[:seen], cascade.at_least, cascade.loss).at_least
    at = int(found.known_at[broken_by])
    raised = f"let {cascade.expensive} answer until `setpoint cascade tune` names a threshold"
    if safer is not None:
        raised = f"raise at_least to {safer:g}, which keeps it"
    told = "answers that differ" if found.is_agreement else "wrong answers more"
    said = (
        f"the cascade from {cascade.cheap} to {cascade.expensive} loses more than {number(cascade.loss, 'share')}:"
        f" {told}, by audited requests since {cascade.at_least:g} was taken for sure enough; {raised}"
    )
    numbers: dict[str, object] = {
        "at_least": cascade.at_least,
        "keeps_it": safer,
        "audited_pairs": seen,
        "loss": cascade.loss,
    }
    subject = f"{cascade.cheap} from {cascade.at_least:g}"
    return [Episode(CASCADE_LOSS, "", subject, at, None, "breach", said, numbers, noticed_at=at)]
