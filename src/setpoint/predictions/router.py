"""Knows the route plan in force: looks at its file now and then, and never goes back or without one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection

from setpoint.core.errors import StoreError
from setpoint.core.route_plan import Route, RoutePlan
from setpoint.store.layout import Layout
from setpoint.store.route_file import read_plan

log = logging.getLogger("setpoint")

LOOK_SECONDS = 0.02
"""A plan is in force in every service this long after it was published, or with the next request after that."""


class Router:
    """Gives the plan in force to the requests of one process.

    A file that is missing, torn, older than what is known or names a version that is not here changes nothing: the
    last good plan stays, and the reason is kept in `fault`. Safe to share between threads and across forks.

    Attributes:
        fault: Why the file's plan is not followed; empty when it is.
        known: The plan in force when the file was last looked at.
        look_at: When it is to be looked at again, by the performance counter.

    Args:
        layout: The store.
        model: The model.
        versions: The versions that can answer here; the first one answers all while no plan was published.
        look_seconds: How often the file is looked at, at most.
    """

    def __init__(
        self, layout: Layout, model: str, versions: Collection[str], *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        first = next(iter(versions))
        self.fault = ""
        self._path = layout.route(model)
        self._versions = frozenset(versions)
        self._look_seconds = look_seconds
        self.known = RoutePlan(model, 0, Route("single", ((first, 1.0),), stable=first))
        self._seen: tuple[int, int, int] | None = None
        self.forget_parent()
        self.plan()

    def forget_parent(self) -> None:
        """Start afresh in a forked child: a thread of the parent may have been looking."""
        self.look_at = 0.0
        self._looking = threading.Lock()

    def plan(self) -> RoutePlan:
        """Return the plan in force. Never raises."""
        now = time.perf_counter()
        if now >= self.look_at and self._looking.acquire(blocking=False):
            try:
                self.look_at = now + self._look_seconds
                before = self.fault
                self._look()
                if self.fault and self.fault != before:
                    log.warning("setpoint does not follow the route plan of %s: %s", self.known.model, self.fault)
            finally:
                self._looking.release()
        return self.known

    def _look(self) -> None:
        try:
            stat = self._path.stat()
            seen = stat.st_mtime_ns, stat.st_ino, stat.st_size
            if seen == self._seen:
                return
            found = read_plan(self._path)
        except FileNotFoundError:
            is_known = self._seen is not None or bool(self.fault)
            self.fault = f"{self._path.name} is gone: generation {self.known.generation} stays" if is_known else ""
            self._seen = None  # it may come back as it was
            return
        except (OSError, StoreError) as error:
            self.fault = str(error)
            return
        self._seen = seen
        if found is not None:
            self.fault = self._refusal(found)
            if not self.fault:
                self.known = found

    def _refusal(self, found: RoutePlan) -> str:
        if found.generation < self.known.generation:
            return f"generation {found.generation} is older than {self.known.generation}, which stays"
        missing = [name for name in found.route.versions if name not in self._versions]
        if missing:
            return f"generation {found.generation} names {', '.join(missing)}, which is not here"
        return ""
