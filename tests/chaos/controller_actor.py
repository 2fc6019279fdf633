"""Does a controller's work once for each line `WHEN WHAT STORE` that it reads, in a child that is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from setpoint.connect.notify import send
from setpoint.control import guardrails, loop, paging, rollout_looks, rollout_routes, rollouts, route_plans
from setpoint.control.guardrail_checks import crossed_guardrails
from setpoint.core.finding import GUARDRAIL
from setpoint.project import retraining
from setpoint.store.layout import Layout
from setpoint.store.retrainings import retrainings_of


def advance(folder: Path) -> None:
    rollouts.advance(Layout.open(folder), "m")


def tick(folder: Path) -> None:
    loop.tick(Layout.open(folder), checks={GUARDRAIL: crossed_guardrails}, send=send)


def train(folder: Path) -> None:
    retraining.run_retraining(folder, retrainings_of(Layout.open(folder), "m")[-1].retraining_id)


PLACES: dict[str, tuple[Callable[[Path], None], Any, str]] = {
    "evidence": (advance, rollout_looks, "take"),
    "event": (advance, rollouts, "append"),
    "plan": (advance, rollout_routes, "publish"),
    "file": (advance, route_plans, "write_atomically"),
    "begin": (tick, guardrails, "begin_decision"),
    "fall_back": (tick, guardrails, "publish"),
    "roll_back": (tick, guardrails, "override"),
    "pause": (tick, guardrails, "override"),
    "retrain": (tick, guardrails, "begin"),
    "webhook": (tick, guardrails, "put_message"),
    "record": (tick, guardrails, "record_decision"),
    "incident": (tick, loop, "update_incidents"),
    "checks": (tick, loop, "attach_results"),
    "delivery": (tick, paging, "update_message"),
    "asked": (train, retraining, "put_message"),
    "candidate": (train, retraining, "start_rollout"),
}


def killed(function: Callable[..., object], *, is_before: bool) -> Callable[..., object]:
    @wraps(function)
    def ends(*args: object, **told: object) -> object:
        if not is_before:
            function(*args, **told)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    return ends


def work(when: str, name: str, store: str) -> None:
    run, module, attribute = PLACES[name]
    setattr(module, attribute, killed(getattr(module, attribute), is_before=when == "before"))
    run(Path(store))


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()  # a process of its own, without its start
        if not child:
            work(*line.split())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.write(sys.stdout.fileno(), f"{os.WTERMSIG(status)}\n".encode())
