"""How a declaration spells a route: which versions answer, for whom, and what requests may take."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Self

from pydantic import Field, model_validator

from setpoint.core.clock import MICROS, parse_duration
from setpoint.core.errors import DeclarationError
from setpoint.core.route_plan import Cascade, Limits, OnLoss, Route, Strategy
from setpoint.declare.parts import Part, Share
from setpoint.declare.spellings import Duration, Word, duration_spelling, refuse

Positive = Annotated[int, Field(ge=1)]


class CascadeDeclaration(Part):
    """Cheap first, expensive for hard cases."""

    cheap: Word
    """The version that is asked first."""
    expensive: Word
    """The version that is asked when the first is not sure enough."""
    at_least: Share
    """The confidence from which the cheap answer is taken."""
    audit: Share = 0.0
    """Share of the requests with a cheap answer that are also sent to the expensive version, in shadow."""
    loss: Share = 0.01
    """How many more of all answers may be wrong than if the expensive version gave each."""
    on_loss: OnLoss = "tighten"
    """What `setpoint tick` does when audited requests show that more are: take fewer cheap answers, or only say so."""


class LimitsDeclaration(Part):
    """What a request may take, and what all of one process may."""

    timeout: Duration | None = None
    """How long one attempt is waited for."""
    attempts: Positive = 1
    """How often a version is asked before the next one is."""
    retry_ratio: Share = 0.1
    """Retries as a share of requests, at most."""
    breaker_failures: Annotated[int, Field(ge=0)] = 5
    """Failures in a row after which a version is not asked for a while; 0 for never."""
    breaker_pause: Duration = "10s"
    """How long that is, before one request tries it again."""
    concurrent: Positive | None = None
    """Requests that a version has at once in a process, at most."""
    usd_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Known cost of a version in any hour and process, at most."""

    def to_core(self) -> Limits:
        """Return the core noun."""
        return Limits(
            None if self.timeout is None else parse_duration(self.timeout) / MICROS,
            self.attempts,
            self.retry_ratio,
            self.breaker_failures,
            parse_duration(self.breaker_pause) / MICROS,
            self.concurrent,
            self.usd_per_hour,
        )


class RouteDeclaration(Part):
    """Which versions answer, and for which share of the units."""

    strategy: Strategy = "single"
    """What the route is for."""
    versions: dict[Word, float] = Field(default_factory=dict[str, float])
    """Share of the units by version; together 1. Of a cascade, the cheap version has all when left out."""
    stable: Word | None = None
    """The version that the others are held against; the only one, or the expensive one, when left out."""
    shadow: dict[Word, float] = Field(default_factory=dict[str, float])
    """Share of the requests by version that are also sent to it, whose answers nobody gets."""
    fallback: list[Word] = Field(default_factory=list[str])
    """The versions to ask, in this order, when the one that should answer cannot."""
    cascade: CascadeDeclaration | None = None
    """How hard cases are passed on."""
    limits: LimitsDeclaration = LimitsDeclaration()
    """What requests may take."""

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        try:
            self.to_core()
        except DeclarationError as error:
            refuse(error.message, error.hint, whole=True)
        return self

    def to_core(self) -> Route:
        """Return the core noun."""
        cascade = self.cascade and Cascade(**self.cascade.model_dump())
        shares = self.versions or ({cascade.cheap: 1.0} if cascade else {})
        alone = next(iter(shares)) if len(shares) == 1 else ""
        return Route(
            self.strategy,
            tuple(shares.items()),
            self.stable or (cascade.expensive if cascade else alone),
            tuple(self.shadow.items()),
            tuple(self.fallback),
            cascade,
            self.limits.to_core(),
        )


def told_route(route: Route | None) -> dict[str, object] | None:
    """Return a route as the values of its declaration, without those at their default; None for no route."""
    if route is None:
        return None
    cascade, limits = route.cascade, _told_limits(route.limits)
    usual = _told_limits(Limits())
    return {
        "strategy": route.strategy,
        "versions": dict(route.shares),
        "stable": route.stable,
        "shadow": dict(route.shadows) or None,
        "fallback": list(route.fallback) or None,
        "cascade": cascade and {**asdict(cascade), "tightening": None},
        "limits": {name: value for name, value in limits.items() if value != usual[name]} or None,
    }


def _told_limits(limits: Limits) -> dict[str, object]:
    timeout = limits.timeout_seconds
    return {
        **asdict(limits),
        "timeout": None if timeout is None else _spelled(timeout),
        "breaker_pause": _spelled(limits.breaker_seconds),
        "timeout_seconds": None,
        "breaker_seconds": None,
    }


def _spelled(seconds: float) -> str:
    return duration_spelling(round(seconds * MICROS))
