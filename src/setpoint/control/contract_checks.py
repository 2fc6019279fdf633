"""The check of contracts: rules that the predictions of a day broke."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from setpoint.control.episode import Episode
from setpoint.control.reference_days import noted, past_days
from setpoint.core.clock import day_text
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window, shift_days
from setpoint.inputs.kept_contract import kept_rows
from setpoint.store.evidence import RowEvidence

NOTE = "contract"


def broken_contracts(evidence: RowEvidence, now: int) -> list[Episode]:
    """A rule of the contract that the predictions of a local day broke; a day that keeps it ends it.

    Each whole day is a table of its own: its rows are counted, its values must be unique, its times fresh at its end.
    """
    days = _broken_by_day(evidence, now)
    return [episode for rule in _rules(days) for episode in _episodes(rule, days, evidence.model.timezone)]


def _broken_by_day(evidence: RowEvidence, now: int) -> dict[int, dict[str, str]]:
    """Return what was found of each broken rule, by midnight; days that were judged and are the same, from notes."""
    contract, zone = evidence.model.contract, evidence.model.timezone
    if contract is None:
        return {}
    kept = noted(evidence, NOTE, dict[str, dict[str, str]])
    found: dict[str, dict[str, str]] = {}
    days: dict[int, dict[str, str]] = {}
    past = past_days(evidence, now)
    for midnight, print_ in zip(past.midnights, past.prints, strict=True):
        key = hashlib.blake2b(f"{contract.hash}{midnight}{print_}".encode(), digest_size=12).hexdigest()
        window = Window(midnight, shift_days(midnight, 1, zone))
        if key in kept:
            found[key] = kept[key]
        elif evidence.has_rows_of(window):
            results = kept_rows(evidence, contract, window, now=window.end).results
            found[key] = {one.rule.id: one.said for one in results if one.verdict is Verdict.BREACH}
        else:
            continue  # what was let go cannot be judged any more
        days[midnight] = found[key]
    evidence.notes[NOTE] = msgspec.msgpack.encode(found)
    return days


def _rules(days: Mapping[int, Mapping[str, str]]) -> list[str]:
    return sorted({rule for broken in days.values() for rule in broken})


def _episodes(rule: str, days: Mapping[int, Mapping[str, str]], zone: str) -> list[Episode]:
    """Return each stretch of days that broke a rule; its words are those of the first."""
    found: list[Episode] = []
    first: int | None = None
    for midnight, broken in days.items():
        if first is None and rule in broken:
            first = midnight
        elif first is not None and rule not in broken:
            found.append(_episode(rule, first, days[first][rule], shift_days(midnight, 1, zone), zone))
            first = None
    return found if first is None else [*found, _episode(rule, first, days[first][rule], None, zone)]


def _episode(rule: str, midnight: int, said: str, ended_at: int | None, zone: str) -> Episode:
    words = f"the contract's rule {rule} is broken on {day_text(midnight, zone)}: {said}; see setpoint check"
    start = shift_days(midnight, 1, zone)
    return Episode("broken_contract", "", rule, start, ended_at, "breach", words, {"rule": rule})
