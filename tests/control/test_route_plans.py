"""A plan is published in one piece, once, with a number that only rises; whatever a crash leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from setpoint.control.route_plans import publish
from setpoint.core.errors import SetpointError, StoreBusy, StoreError
from setpoint.core.route_plan import Route
from setpoint.store.layout import Layout
from setpoint.store.route_file import history, last_plan, read_plan
from setpoint.testing import temporary_store


def canary(share: float, candidate: str = "v2") -> Route:
    return Route("canary", ((candidate, share), ("v1", 1.0 - share)), stable="v1")


def test_numbers_rise_and_the_salt_stays_while_the_same_versions_share() -> None:
    with temporary_store() as (layout, _):
        first, second = publish(layout, "m", canary(0.05)), publish(layout, "m", canary(0.1))
        third = publish(layout, "m", canary(0.05, "v3"))
        assert [first.generation, second.generation, third.generation] == [1, 2, 3]
        assert first.salt == second.salt != third.salt
        assert read_plan(layout.route("m")) == third == last_plan(layout, "m")
        assert history(layout, "m") == [first, second, third]


def test_who_has_seen_another_plan_publishes_nothing() -> None:
    with temporary_store() as (layout, _):
        publish(layout, "m", canary(0.05), expected_generation=0)
        with pytest.raises(StoreBusy, match="at generation 1, expected 0"):
            publish(layout, "m", canary(0.5), expected_generation=0)
        assert len(history(layout, "m")) == 1


def test_of_many_who_try_at_once_one_wins_each_number() -> None:
    with temporary_store() as (layout, _):
        won: list[int] = []

        def compete() -> None:
            for _ in range(20):
                try:
                    seen = last_plan(layout, "m")
                    plan = publish(layout, "m", canary(0.1), expected_generation=seen.generation if seen else 0)
                except SetpointError:
                    continue
                won.append(plan.generation)

        threads = [threading.Thread(target=compete) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == list(range(1, len(won) + 1))


def test_a_plan_that_is_gone_or_torn_is_found_in_the_history() -> None:
    with temporary_store() as (layout, _):
        publish(layout, "m", canary(0.05))
        second = publish(layout, "m", canary(0.1))
        path = layout.route("m")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(StoreError, match="damaged"):
            read_plan(path)
        assert last_plan(layout, "m") == second
        path.unlink()
        assert publish(layout, "m", canary(0.2)).generation == 3
        with path.with_suffix(".ndjson").open("ab") as file:
            file.write(b'\n{"checksum":"torn')
        assert publish(layout, "m", canary(0.3)).generation == 4
        assert [plan.generation for plan in history(layout, "m")] == [1, 2, 3, 4]


def test_a_changed_byte_is_noticed() -> None:
    with temporary_store() as (layout, _):
        publish(layout, "m", canary(0.05))
        path = layout.route("m")
        path.write_bytes(path.read_bytes().replace(b"0.05", b"0.95"))
        with pytest.raises(StoreError, match="checksum"):
            read_plan(path)


PUBLISHER = """
import sys
from pathlib import Path
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Route
from setpoint.store.layout import Layout
layout = Layout.open(Path(sys.argv[1]))
for n in range(100_000):
    share = (n % 99 + 1) / 100
    publish(layout, "m", Route("canary", (("v2", share), ("v1", 1 - share)), stable="v1"))
    if n == 0:
        print("begun", flush=True)
"""


def test_a_publisher_that_is_killed_leaves_a_whole_plan() -> None:
    with temporary_store() as (layout, _):
        for _ in range(3):
            process = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(layout.root)], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
            found = read_plan(layout.route("m"))
            assert found is not None
            after = publish(Layout.open(layout.root), "m", canary(0.5))
            assert after.generation > found.generation
        numbers = [plan.generation for plan in history(layout, "m")]
        assert numbers == sorted(set(numbers))
