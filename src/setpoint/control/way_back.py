"""Whether going back to a version helps: it does not when that version breaks the contract that is declared now."""

from __future__ import annotations

from setpoint.core.clock import DAY
from setpoint.core.contract import OnViolation, RuleSort
from setpoint.core.metric import number
from setpoint.core.window import Window
from setpoint.inputs.kept_contract import KeptRows, kept_rows
from setpoint.stats.estimate import Estimate
from setpoint.stats.intervals import wilson
from setpoint.store.evidence import RowEvidence

_WITHIN = 7 * DAY
_LEAST = 0.01
"""A rule that fewer rows break is no reason to keep a version that is worse."""


def no_help(evidence: RowEvidence, stable: str, candidate: str, since: int) -> str:
    """Return why going back from one version to another would not help, in words; empty when it may.

    Each rule of the contract in force now is held against the rows of both versions. The old one breaks a rule when
    the lower end of its 95 % interval is above what the rule tolerates, 1 %, and the upper end of the newer version's:
    a rule that both break alike is the data's, and says nothing against either. Assumes that rows break rules one by
    one.

    Args:
        evidence: The model's rows.
        stable: The version to go back to.
        candidate: The version that answers beside or after it.
        since: When the newer one came; rows of a week before count too, microseconds.
    """
    contract = evidence.model.contract
    if contract is None:
        return ""
    window = Window(since - _WITHIN, evidence.as_of)
    old, new = (
        kept_rows(evidence, contract, window, now=evidence.as_of, version=version) for version in (stable, candidate)
    )
    for rule in contract.rules:
        if rule.on_violation is OnViolation.SHADOW or not (rule.sort.is_per_row or rule.sort is RuleSort.MISSING):
            continue
        broken, other = _share(old, rule.id), _share(new, rule.id)
        if (broken.low or 0.0) > max(rule.tolerance, _LEAST, other.high if other.high is not None else 0.0):
            beside = f", and {number(other.value, 'share')} of those of {candidate}" if other.value is not None else ""
            low, high = (number(end or 0.0, "share") for end in (broken.low, broken.high))
            share = f"{number(broken.value or 0.0, 'share')} [{low}, {high}] of its rows"
            return f"{stable} breaks {rule.id} of the contract in force: {share}{beside}"
    return ""


def _share(found: KeptRows, rule: str) -> Estimate:
    return wilson(min(found.counts.broken.get(rule, 0), found.counts.rows), found.counts.rows)
