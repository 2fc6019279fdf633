"""Who gets which version: a route, a numbered plan of it, and the pure function from plan and unit to a decision."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from setpoint.core.errors import DeclarationError

BUCKETS = 10_000
"""Into so many a unit's hash is put: shares are whole ten-thousandths."""

Strategy = Literal["single", "ab", "canary", "shadow", "cascade", "fallback"]
VersionRole = Literal["stable", "candidate"]
OnLoss = Literal["tighten", "report"]


@dataclass(frozen=True, slots=True)
class Tightening:
    """What `tick` asks of cheap answers since they lost more than was promised.

    Attributes:
        at_least: The confidence from which a cheap answer is taken; None when none is, and the expensive version
            answers all.
        noticed_at: When audited requests showed the loss, microseconds.
    """

    at_least: float | None
    noticed_at: int


@dataclass(frozen=True, slots=True)
class Cascade:
    """Cheap first, expensive for hard cases.

    Attributes:
        cheap: The version that is asked first.
        expensive: The one that is asked when the first is not sure enough.
        at_least: The confidence from which the cheap answer is taken, 0 to 1.
        audit: Share of the requests with a cheap answer that are also sent to the expensive version, in shadow.
        loss: How many more of all answers may be wrong than if the expensive version gave each, 0 to 1.
        on_loss: What `tick` does when audited requests show that more are: tighten, or report it only.
        tightening: What it has done; never declared.
    """

    cheap: str
    expensive: str
    at_least: float
    audit: float = 0.0
    loss: float = 0.01
    on_loss: OnLoss = "tighten"
    tightening: Tightening | None = None

    @property
    def threshold(self) -> float | None:
        """The confidence from which a cheap answer is taken now; None when none is."""
        return self.at_least if self.tightening is None else self.tightening.at_least


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take, and what all of one process may.

    Attributes:
        timeout_seconds: How long one attempt is waited for; None for as long as it takes.
        attempts: How often a version is asked before the next one is.
        retry_ratio: Retries as a share of requests, at most; ten more in a row at the start.
        breaker_failures: Failures in a row after which a version is not asked for a while; 0 for never.
        breaker_seconds: How long that is, before one request tries it again.
        concurrent: Requests that a version has at once, at most; None for no limit.
        usd_per_hour: Known cost of a version in any hour, at most; None for no limit.
    """

    timeout_seconds: float | None = None
    attempts: int = 1
    retry_ratio: float = 0.1
    breaker_failures: int = 5
    breaker_seconds: float = 10.0
    concurrent: int | None = None
    usd_per_hour: float | None = None

    @property
    def is_uncapped(self) -> bool:
        """Whether neither requests at once nor cost are limited."""
        return self.concurrent is None and self.usd_per_hour is None


@dataclass(frozen=True, slots=True)
class Route:
    """Which versions answer, and for which share of the units.

    Attributes:
        strategy: What the route is for.
        shares: Share of the units by version, above 0; together 1.
        stable: The version that the others are held against.
        shadows: Share of the requests by version that are also sent to it, whose answers nobody gets.
        fallback: The versions to ask, in this order, when the one that should answer cannot.
        cascade: How hard cases are passed on; None without it.
        limits: What requests may take.
    """

    strategy: Strategy
    shares: tuple[tuple[str, float], ...]
    stable: str
    shadows: tuple[tuple[str, float], ...] = ()
    fallback: tuple[str, ...] = ()
    cascade: Cascade | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what cannot be followed.

        Raises:
            DeclarationError: Shares that are none or do not sum to 1, a part that the strategy lacks, or one too many.
        """
        for fault, hint in _faults(self):
            raise DeclarationError(fault, hint=hint)

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that it names, once."""
        cascade = () if self.cascade is None else (self.cascade.cheap, self.cascade.expensive)
        named = (*(name for name, _ in (*self.shares, *self.shadows)), *cascade, *self.fallback)
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True)
class RoutePlan:
    """A route as it is published: numbered, and with the salt that its units are hashed with.

    Attributes:
        model: Whose.
        generation: Rises with every plan of a model: a reader never goes back.
        route: What to do.
        salt: Of the hash; another one draws the units anew.
        published_at: When, microseconds.
        reason: Why, in words; empty when somebody declared it.
        keeps_all: Whether the row of every request is kept, whatever share of them is declared: it is evidence.
    """

    model: str
    generation: int
    route: Route
    salt: str = ""
    published_at: int = 0
    reason: str = ""
    keeps_all: bool = False

    @cached_property
    def is_plain(self) -> bool:
        """Whether a request is asked of one version, once, for as long as it takes, unless that fails."""
        limits = self.route.limits
        is_waited_for = limits.attempts == 1 and limits.timeout_seconds is None
        return self.route.cascade is None and limits.is_uncapped and is_waited_for

    @cached_property
    def has_copies(self) -> bool:
        """Whether any request is also sent to a version whose answer nobody gets."""
        return bool(self.route.shadows) or (self.route.cascade is not None and self.route.cascade.audit > 0.0)

    @cached_property
    def copied_always(self) -> tuple[str, ...]:
        """The versions that every request is also sent to; empty when it is drawn which are."""
        shares = self.route.shadows if self.route.cascade is None else ()
        return tuple(name for name, _ in shares) if all(share == 1.0 for _, share in shares) else ()

    @cached_property
    def candidates(self) -> frozenset[str]:
        """The versions that are held against the stable one."""
        cheap = () if self.route.cascade is None else (self.route.cascade.cheap,)
        return frozenset({*dict(self.route.shares), *cheap}) - {self.route.stable}

    @cached_property
    def bucket(self) -> Callable[[str], int]:
        """Gives the bucket of a unit."""
        return bucketing(self.salt)

    @cached_property
    def draw(self) -> Callable[[str], Arm]:
        """Gives the arm of a unit; see `arm_of`."""
        first, *others = self.arms
        bucket, arm_by_bucket = self.bucket, [first] * first.end
        for arm in others:
            arm_by_bucket += [arm] * (arm.end - len(arm_by_bucket))
        return (lambda unit: arm_by_bucket[bucket(unit)]) if others else (lambda _unit: first)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The versions with the buckets that are theirs, in order.

        The first candidate takes buckets from the first on, a second one from the last on, and the stable version has
        what is left. So either of two candidates that grows takes units from the stable version only, and gives none.
        """
        shares, stable = dict(self.route.shares), self.route.stable
        candidates = [name for name in shares if name != stable]
        order = [*candidates[:1], *([stable] if stable in shares else []), *candidates[:0:-1]]
        widths = {name: max(round(shares[name] * BUCKETS), 1) for name in order}
        largest = stable if stable in shares else max(order, key=lambda name: widths[name])
        widths[largest] += BUCKETS - sum(widths.values())
        found: list[Arm] = []
        for name in order:
            end = widths[name] + (found[-1].end if found else 0)
            found.append(Arm(name, "stable" if name == stable else "candidate", end, widths[name] / BUCKETS))
        return tuple(found)

    @cached_property
    def shadows(self) -> tuple[tuple[str, Callable[[str], int], int], ...]:
        """The shadow versions, each with buckets of its own and how many of them it is sent."""
        return tuple(
            (name, bucketing(f"{self.salt}/{name}"), round(share * BUCKETS)) for name, share in self.route.shadows
        )


@dataclass(frozen=True, slots=True)
class Arm:
    """A version and the buckets below `end` that no arm before it has.

    Attributes:
        version: Its name.
        role: Whether others are held against it.
        end: The first bucket that is not its own.
        share: Of all buckets.
    """

    version: str
    role: VersionRole
    end: int
    share: float


def bucketing(salt: str) -> Callable[[str], int]:
    """Return a function from a unit to its bucket, 0 to 9,999: the same in every process, unrelated between salts.

    BLAKE2b, for CRC-32 is linear: by two salts of one length each unit's hashes would differ by the same bits.

    Args:
        salt: What tells one drawing from another.

    Example:
        >>> bucket = bucketing("2026-11")
        >>> bucket("user-1"), bucket("user-1"), bucket("user-2")
        (5058, 5058, 1654)
    """
    begun = hashlib.blake2b(salt.encode("utf-8", "surrogatepass") + b"\0", digest_size=8).copy
    number = int.from_bytes  # looked up once: every request waits for this

    def bucket(unit: str) -> int:
        found = begun()
        try:
            found.update(unit.encode())
        except UnicodeEncodeError:  # to allow what is no text takes longer, for all others too
            found.update(unit.encode("utf-8", "surrogatepass"))
        return number(found.digest()) % BUCKETS

    return bucket


def arm_of(plan: RoutePlan, unit: str) -> Arm:
    """Return which version answers a unit.

    Args:
        plan: The plan.
        unit: What is randomised; a fresh identifier for what has no unit, which is then drawn each time.

    Example:
        >>> route = Route("canary", (("v13", 0.05), ("v12", 0.95)), stable="v12")
        >>> plan = RoutePlan("fraud", 1, route, salt="2026-11")
        >>> found = [arm_of(plan, f"user-{n}").version for n in range(10_000)]
        >>> found.count("v13")
        504
    """
    return plan.draw(unit)


def shadows_of(plan: RoutePlan, unit: str) -> list[str]:
    """Return the versions that a request is also sent to, in shadow."""
    return [name for name, bucket, count in plan.shadows if count == BUCKETS or bucket(unit) < count]


def copies_of(plan: RoutePlan, unit: str, request: str, served: str) -> list[str]:
    """Return the versions whose answer nobody gets that a request is also sent to.

    Args:
        plan: The plan.
        unit: What is randomised.
        request: The request's own name: which cheap answers of a cascade are audited is drawn for each.
        served: The version that answered.
    """
    found = [version for version in shadows_of(plan, unit) if version != served]
    cascade = plan.route.cascade
    if cascade is not None and cascade.audit > 0.0 and plan.bucket(request) < cascade.audit * BUCKETS:
        if served == cascade.cheap:
            found.append(cascade.expensive)
        elif cascade.threshold is None:  # or nobody would ever know whether the cheap one is good enough again
            found.append(cascade.cheap)
    return found


def _faults(route: Route) -> Iterator[tuple[str, str]]:
    shares = dict(route.shares)
    for name, share in (*route.shares, *route.shadows):
        if not 0.0 < share <= 1.0:
            hint = f"for {share:g} % write {share / 100:g}" if 1.0 < share <= 100.0 else "leave it out instead"  # noqa: PLR2004 - per cent
            yield f"version {name} has a share of {share:g}, expected more than 0 and at most 1", hint
        if share * BUCKETS < 1.0:
            yield f"version {name} has a share of {share:g}, and the smallest is {1 / BUCKETS:g}", "give it more"
    if len(shares) < len(route.shares):
        yield "a version has two shares", "give it one"
    if abs(sum(shares.values()) - 1.0) > 1e-6:  # noqa: PLR2004 - thirds as people write them
        yield f"the shares of the versions sum to {sum(shares.values()):g}, expected 1", "every unit gets one version"
    if len(shares) > 1 and not route.stable:
        yield "a route with two or more versions needs stable", f"write stable: {' or '.join(shares)}"
    if route.stable not in {*shares, *([route.cascade.expensive] if route.cascade else [])}:
        yield f"stable is {route.stable or 'nothing'}, which has no share", f"name one of {', '.join(shares)}"
    if route.cascade is not None:
        yield from _cascade_faults(route.cascade)
    yield from _misfits(route)


def _cascade_faults(cascade: Cascade) -> Iterator[tuple[str, str]]:
    if not 0.0 <= cascade.at_least <= 1.0:
        yield "a cascade takes answers with a confidence of 0 to 1", "write at_least: 0.8"
    if not 0.0 < cascade.loss < 1.0:
        yield "a cascade may lose more than 0 and less than 1 of the answers", "write loss: 0.01"
    if cascade.cheap == cascade.expensive:
        yield f"cheap and expensive are the same version, {cascade.cheap}", "name another one as expensive"


_NEEDS: Mapping[Strategy, str] = {
    "single": "one version",
    "ab": "at least two versions",
    "canary": "the stable version and one candidate",
    "shadow": "a version in shadow",
    "cascade": "a cheap and an expensive version",
    "fallback": "a version to fall back to",
}


def _misfits(route: Route) -> Iterator[tuple[str, str]]:
    has: Mapping[Strategy, bool] = {
        "single": len(route.shares) == 1,
        "ab": len(route.shares) > 1,
        "canary": len(route.shares) == 2,  # noqa: PLR2004 - stable and candidate
        "shadow": bool(route.shadows),
        "cascade": route.cascade is not None,
        "fallback": bool(route.fallback),
    }
    if not has[route.strategy]:
        yield f"a route by {route.strategy} needs {_NEEDS[route.strategy]}", "add it, or change strategy"
    if route.strategy != "cascade" and route.cascade is not None:
        yield f"a route by {route.strategy} has a cascade", "write strategy: cascade"
    if route.strategy not in {"single", "ab", "canary"} and len(route.shares) > 1:
        yield (
            f"a route by {route.strategy} splits units",
            "write strategy: ab or canary; shadow and fallback go with both",
        )
    is_alone = len(route.shares) == 1 and route.cascade is None
    if is_alone and route.stable in dict(route.shadows):
        yield f"{route.stable} answers all, and nothing is sent to it in shadow too", "name another version in shadow"
    if is_alone and {route.stable} == set(route.fallback):
        yield f"{route.stable} falls back to itself, which is to nothing", "name another version"
    if route.cascade is not None and len(route.shares) == 1 and route.cascade.cheap not in dict(route.shares):
        yield (
            f"a cascade asks {route.cascade.cheap} first, and {route.shares[0][0]} has the share",
            "leave versions out",
        )
