"""What is done about a cascade that loses more than it may: fewer cheap answers are taken."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from setpoint.control.cascade_checks import find_loss, is_tightened_on_loss
from setpoint.control.route_plans import publish
from setpoint.core.errors import StoreBusy
from setpoint.core.route_plan import Cascade, Route, RoutePlan, Tightening
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout
from setpoint.store.route_file import plans_in_force
from setpoint.store.summaries import Summaries


def tighten(layout: Layout, model: str) -> RoutePlan | None:
    """Publish a plan that takes fewer cheap answers when those that are taken lose more than was promised.

    Once: what is in force then is watched by its own requests.

    Args:
        layout: The store.
        model: The model.

    Returns:
        The plan; None when there is nothing to tighten, or somebody else published one meanwhile.

    Raises:
        StoreReadOnly: The store cannot be written.
    """
    plans = plans_in_force(layout, model)
    cascade = plans[-1].route.cascade if plans else None
    if cascade is None or not is_tightened_on_loss(cascade, plans):
        return None
    now = layout.clock.now()
    with (
        Summaries.reading(layout.summaries(model)) as summaries,
        closing(KeptEvidence(layout, layout.model(model), now, now, summaries)) as evidence,
    ):
        before = dict(evidence.notes)
        lost = find_loss(evidence)
    if evidence.notes != before:
        with Summaries.amending(layout.summaries(model)) as amended:
            if amended is not None:
                amended[0].save_notes(evidence.notes)
    if lost is None:
        return None
    cascade = replace(lost.cascade, tightening=Tightening(lost.keeps_it, lost.at))
    reason = f"{lost.said}; {told(cascade)}"
    try:
        return publish(
            layout,
            model,
            replace(plans[-1].route, cascade=cascade),
            expected_generation=plans[-1].generation,
            reason=reason,
        )
    except StoreBusy:  # it is another plan's turn: the next tick looks at what that one loses
        return None


def told(cascade: Cascade) -> str:
    """Return what a cascade does with cheap answers, in words.

    Example:
        >>> told(Cascade("small", "large", 0.8))
        'answers below a confidence of 0.8 go to large'
    """
    if cascade.threshold is None:
        return f"{cascade.expensive} answers all"
    return f"answers below a confidence of {cascade.threshold:g} go to {cascade.expensive}"


def carried(route: Route, before: RoutePlan | None) -> Route:
    """Return a declared route with the tightening in force, unless its promise is declared anew."""
    was = before.route.cascade if before else None
    if was is None or route.cascade is None or not _is_same_promise(was, route.cascade):
        return route
    return replace(route, cascade=replace(route.cascade, tightening=was.tightening))


def tighter(route: Route | None, plan: RoutePlan | None) -> str:
    """Return in words how what is in force is tighter than what is declared, and how to declare it; empty if not."""
    cascade = plan.route.cascade if plan else None
    declared = route.cascade if route else None
    if cascade is None or cascade.tightening is None or declared is None:
        return ""
    if not _is_same_promise(cascade, declared):
        return f"takes the place of a tighter cascade: {told(cascade)}, since more was lost than promised"
    how = f"strategy: single, versions: {{{cascade.expensive}: 1}}"
    if cascade.threshold is not None:
        how = f"at_least: {cascade.threshold:g}"
    return (
        f"tighter than declared ({declared.at_least:g}) since more was lost than promised: {told(cascade)}; declare"
        f" `{how}`, or another at_least"
    )


def _is_same_promise(one: Cascade, other: Cascade) -> bool:
    """Return whether two cascades are declared alike, but for the audit."""
    return replace(one, audit=0.0, tightening=None) == replace(other, audit=0.0, tightening=None)
