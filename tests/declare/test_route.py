"""What is said of a route that does not hold: the fault, and what was probably meant."""

from __future__ import annotations

import pytest

from setpoint.core.errors import DeclarationError
from setpoint.declare.load import load_text


@pytest.mark.parametrize(
    ("route", "fault", "hint"),
    [
        (
            "{strategy: ab, versions: {v1: 0.5, v2: 0.5}}",
            "a route with two or more versions needs stable",
            "write stable: v1 or v2",
        ),
        (
            "{strategy: ab, versions: {v1: 50, v2: 50}, stable: v1}",
            "version v1 has a share of 50, expected more than 0 and at most 1",
            "for 50 % write 0.5",
        ),
        ("{strategy: shadow, versions: {v1: 1}, shadow: {v2: 5}}", "v2 has a share of 5", "for 5 % write 0.05"),
        ("{versions: {v1: 1, v2: 0}, stable: v1}", "v2 has a share of 0", "leave it out instead"),
        ("{versions: {v1: 1}, limits: {timeout: 0}}", "found 0, expected a duration above zero", "1s, 1h or 1d"),
        ("{versions: {v1: 1}, limits: {timeout: 0s}}", "found '0s', expected a duration above zero", ""),
        ("{versions: {v1: 1}, limits: {timeout: 2}}", "found 2, expected a duration", "add a unit: 2s"),
        ("{versions: {v1: 1}, limits: {usd_per_hour: 0}}", "usd_per_hour: found 0, expected more than 0", ""),
        (
            "{strategy: cascade, cascade: {cheap: v1, expensive: v1, at_least: 0.8}}",
            "cheap and expensive are the same version, v1",
            "name another one as expensive",
        ),
    ],
)
def test_a_route_that_does_not_hold_says_what_was_meant(route: str, fault: str, hint: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        load_text(f"route: {route}\n", "m")
    assert fault in caught.value.message
    assert hint in caught.value.hint
