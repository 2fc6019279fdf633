"""Knows the route plan in force: looks at its file now and then, and never goes back or without one."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection

from setpoint.core.errors import StoreError
from setpoint.core.events import UNFOLLOWED, Change
from setpoint.core.route_plan import Route, RoutePlan
from setpoint.predictions.recorder import Recorder
from setpoint.store.layout import Layout
from setpoint.store.route_file import read_plan

log = logging.getLogger("setpoint")

LOOK_SECONDS = 0.02
"""A plan is in force in every service this long after it was published, or with the next request after that."""
TELL_SECONDS = 900.0
"""A plan that is still not followed is told again after this long."""


class Router:
    """Gives the plan in force to the requests of one process.

    A file that is missing, torn, older than what is known or names a version that is not here changes nothing: the
    last good plan stays, and the reason is kept in `fault`, logged and told. Safe to share between threads and across
    forks.

    Attributes:
        fault: Why the file's plan is not followed; empty when it is.
        known: The plan in force when the file was last looked at.
        look_at: When it is to be looked at again, by the performance counter.

    Args:
        layout: The store.
        model: The model.
        versions: The versions that can answer here; the first one answers all while no plan was published.
        look_seconds: How often the file is looked at, at most.
        tell: Told why a plan is not followed, at once and then now and then; does not raise.
    """

    def __init__(
        self,
        layout: Layout,
        model: str,
        versions: Collection[str],
        *,
        look_seconds: float = LOOK_SECONDS,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        first = next(iter(versions))
        self.fault = ""
        self._path = layout.route(model)
        self._versions = frozenset(versions)
        self._look_seconds = look_seconds
        self._tell, self._told, self._tell_at = tell, "", 0.0
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
                self._look()
                if self.fault and (self.fault != self._told or now >= self._tell_at):
                    self._told, self._tell_at = self.fault, now + TELL_SECONDS
                    log.warning("setpoint does not follow the route plan of %s: %s", self.known.model, self.fault)
                    if self._tell is not None:
                        self._tell(self.fault)
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


def note_unfollowed(recorder: Recorder, why: str) -> None:
    """Record that a plan is not followed: the same change, whichever process says it and how often. Never raises."""
    told, at = f"{recorder.model}/{UNFOLLOWED}/{why}", recorder.now()
    change = Change(
        change_id=hashlib.blake2b(told.encode(), digest_size=15).hexdigest(),
        kind="config",
        subject=UNFOLLOWED,
        started_at=at,
        recorded_at=at,
        note=why,
        author="setpoint",
    )
    recorder.spool.put(recorder.model, change)
