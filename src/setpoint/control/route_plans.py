"""Publishes route plans: numbered, one after the other, each in one piece."""

from __future__ import annotations

from typing import cast

from setpoint.core.clock import QUARTER_HOUR, text
from setpoint.core.errors import StoreBusy, StoreError
from setpoint.core.events import UNFOLLOWED
from setpoint.core.route_plan import Route, RoutePlan
from setpoint.store.engines.duck import at, literal, rows
from setpoint.store.layout import Layout, write_atomically, writing
from setpoint.store.route_file import encoded, history, history_path, last_plan, read_plan
from setpoint.store.snapshot import Snapshot

_LATELY = 2 * QUARTER_HOUR  # twice as long as until a service says it again


def publish(
    layout: Layout,
    model: str,
    route: Route,
    *,
    expected_generation: int | None = None,
    salt: str | None = None,
    reason: str = "",
    keeps_all: bool = False,
) -> RoutePlan:
    """Put a route in force: every service takes it with one of its next requests, within 20 ms.

    Args:
        layout: The store.
        model: The model.
        route: What to do from now on.
        expected_generation: The plan that the caller has seen, 0 for none: another one in force is an error.
        salt: Draws the units anew. None: they stay where they are while the same versions share them, and are drawn
            anew when others do.
        reason: Why, in words; empty when somebody declared it.
        keeps_all: Whether the row of every request is kept.

    Returns:
        The plan.

    Raises:
        StoreBusy: Another plan was published meanwhile.
        StoreReadOnly: The store cannot be written.
    """
    with layout.lease(f"route-{model}"):
        before = last_plan(layout, model)
        generation = before.generation if before else 0
        # A crash may have left a plan in the history that was never in force: its number is not used again.
        number = max([generation, *(plan.generation for plan in history(layout, model)[-1:])]) + 1
        if expected_generation is not None and expected_generation != generation:
            msg = f"the route of {model} is at generation {generation}, expected {expected_generation}"
            raise StoreBusy(
                msg, hint="somebody else published a plan: look at it with `setpoint route`, then try again"
            )
        if salt is None:
            stays = before is not None and set(dict(before.route.shares)) == set(dict(route.shares))
            salt = before.salt if before and stays else f"{model}/{number}"
        plan = RoutePlan(model, number, route, salt, layout.clock.now(), reason, keeps_all)
        path = layout.route(model)
        with writing(layout.root):
            path.parent.mkdir(exist_ok=True)
            with history_path(path).open("ab") as file:
                file.write(b"\n" + encoded(plan))  # a line that a crash tore ends here
            write_atomically(path, encoded(plan))
    return plan


def fault(layout: Layout, model: str) -> str:
    """Return why services cannot read the plan in force; empty when they can, or when none was published."""
    path = layout.route(model)
    try:
        found = read_plan(path)
    except StoreError as error:
        return error.message
    return f"{path} is gone" if found is None and history(layout, model) else ""


def unfollowed(layout: Layout, model: str) -> str:
    """Return why some service did not follow the plan in force lately, and when it said so; empty when none did.

    A service says it again as long as it answers requests, so what nobody says any more is mended, or has ended.
    """
    plan, now = last_plan(layout, model), layout.clock.now()
    since = max(now - _LATELY, (plan.published_at if plan else None) or 0)
    with Snapshot(layout, model, tables=("changes",)) as snapshot:
        told = rows(
            snapshot.connection,
            f"SELECT note, max(epoch_us(recorded_at)) FROM changes WHERE subject = {literal(UNFOLLOWED)}"
            f" AND author = 'setpoint' AND recorded_at >= {at(since)} GROUP BY note ORDER BY 2 DESC LIMIT 1",
        )
    return "".join(f"a service does not follow it, said at {text(cast('int', when))} UTC: {why}" for why, when in told)


def restore(layout: Layout, model: str) -> None:
    """Write the file of the plan in force again, from the history; nothing when services can read it.

    Raises:
        StoreReadOnly: The store cannot be written.
    """
    with layout.lease(f"route-{model}"):
        plan = last_plan(layout, model) if fault(layout, model) else None
        if plan is not None:
            with writing(layout.root):
                write_atomically(layout.route(model), encoded(plan))
