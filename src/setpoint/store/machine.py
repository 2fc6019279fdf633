"""What the process had of its machine between two looks: of its processors, and of graphics cards when it sees any."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger("setpoint")

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Machine:
    """Looks at the machine now and then, from the thread that writes.

    A look takes microseconds without a graphics card. The time of a card is that of all who use it, as a sample at
    each look has it.

    Example:
        >>> machine = Machine()
        >>> sorted(machine.look())[:2]
        ['cpu', 'cpu_limit']
    """

    def __init__(self) -> None:
        self._cards: Callable[[], list[float]] | None = None
        self._looked_at, self._used = time.monotonic(), time.process_time()

    def look(self) -> dict[str, float]:
        """Return seconds used and seconds there were since the last look, by `cpu`, `cpu_limit`, `gpu`, `gpu_limit`."""
        now, used = time.monotonic(), time.process_time()
        passed = max(now - self._looked_at, 0.0)
        found = {"cpu": max(used - self._used, 0.0), "cpu_limit": passed * processors()}
        self._looked_at, self._used = now, used
        if self._cards is None:
            self._cards = _cards()
        if busy := self._cards():
            found |= {"gpu": passed * sum(busy), "gpu_limit": passed * len(busy)}
        return found


def processors() -> float:
    """Return how many processors this process may use: by its affinity, and by its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return float(allowed)
    return float(allowed) if quota == "max" else min(float(allowed), int(quota) / int(period))


def _cards() -> Callable[[], list[float]]:
    """Return a function to the busy share of each graphics card; without NVIDIA's library there is none to see."""
    if "pynvml" not in sys.modules and importlib.util.find_spec("pynvml") is None:
        return list
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        cards = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        log.debug("setpoint sees no graphics card: %s", error)
        return list

    def busy() -> list[float]:
        try:
            return [nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100 for card in cards]
        except nvml.NVMLError as error:  # one was taken away
            log.debug("setpoint sees its graphics cards no more: %s", error)
            return []

    return busy
