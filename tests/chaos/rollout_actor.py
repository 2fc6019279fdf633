"""Moves a rollout once for each line `WHEN WHAT STORE` that it reads, in a child that is killed there on the way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from setpoint.control import rollout_looks, rollout_routes, rollouts, route_plans
from setpoint.store.layout import Layout

PLACES: dict[str, tuple[Any, str]] = {
    "evidence": (rollout_looks, "take"),
    "event": (rollouts, "append"),
    "plan": (rollout_routes, "publish"),
    "file": (route_plans, "write_atomically"),
}


def killed(function: Callable[..., object], *, is_before: bool) -> Callable[..., object]:
    @wraps(function)
    def ends(*args: object, **told: object) -> object:
        if not is_before:
            function(*args, **told)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    return ends


def move(when: str, name: str, store: str) -> None:
    module, attribute = PLACES[name]
    setattr(module, attribute, killed(getattr(module, attribute), is_before=when == "before"))
    rollouts.advance(Layout.open(Path(store)), "m")


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()  # a process of its own, without its start
        if not child:
            move(*line.split())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.write(sys.stdout.fileno(), f"{os.WTERMSIG(status)}\n".encode())
