"""A learner that never stops: the route has one name for it, the log says which checkpoint answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import setpoint
from setpoint import Endpoint, Model, Reply, Task
from setpoint.answers.route import route
from setpoint.control.route_plans import publish
from setpoint.core.route_plan import Route
from setpoint.store.layout import Layout


class Learner:
    """Is another one after each outcome."""

    def __init__(self, better: float) -> None:
        self.updates, self.better = 0, better

    def __call__(self, _: Mapping[str, object]) -> Reply:
        self.updates += 1
        return Reply(prediction=float(self.updates % 10 < 10 * self.better), checkpoint=f"{self.updates // 50}")


@pytest.fixture(params=["canary", "shadow"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("m", task=Task.BINARY))
    split = (("new", 0.5), ("old", 0.5))
    plan = Route("canary", split, stable="old")
    if request.param == "shadow":
        plan = Route("shadow", (("old", 1.0),), stable="old", shadows=(("new", 1.0),))
    publish(layout, "m", plan)
    endpoint = Endpoint(layout, "m", {"old": Learner(0.5), "new": Learner(0.9)})
    for n in range(400):
        reply = endpoint.predict({"x": float(n)}, unit=f"u{n}", key=f"k{n}")
        assert reply.version in {"old", "new"}
        assert reply.checkpoint
        assert endpoint.shadows.wait()
        endpoint.recorder.outcome(1, key=f"k{n}")
    assert endpoint.close()
    return tmp_path / "store"


def test_its_rows_say_which_checkpoint_answered_and_answers_group_by_family(store: Path) -> None:
    with setpoint.open(store) as log, log.evidence("m") as evidence:
        names = evidence.connection.execute("SELECT DISTINCT version FROM predictions").fetchall()
        families = {row[0]: row for row in log.status("m", by="version_family").table("by_version_family").rows}
    assert {name.partition("@")[0] for (name,) in names} == set(families)
    assert len(names) > len(families)


def test_the_route_and_the_worth_of_it_are_of_the_whole_family(store: Path) -> None:
    with setpoint.open(store) as log, log.evidence("m") as evidence:
        told = route(evidence)
        worth = log.worth("new", over="old", model="m")
    requests = {row[0]: row[3] for row in told.table("versions").rows if row[3]}
    assert set(requests) == {"old", "new"}
    assert sum(int(str(count)) for count in requests.values()) == (800 if told.tables[1].name == "shadows" else 400)
    assert told.because == ()
    assert worth.headline.startswith("m: new over old: +40.")  # as they are made: 0.9 and 0.5
    assert {row[0] for row in worth.table("versions").rows} == {"old", "new"}


def test_a_checkpoint_that_is_named_beside_its_family_is_of_its_own(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    layout.declare(Model("m", task=Task.BINARY))
    publish(layout, "m", Route("shadow", (("new", 1.0),), stable="new", shadows=(("new@0", 1.0),)))
    endpoint = Endpoint(layout, "m", {"new": Learner(0.9), "new@0": lambda _: 0.0})
    for n in range(200):
        endpoint.predict({"x": float(n)}, unit=f"u{n}", key=f"k{n}")
        assert endpoint.shadows.wait()
        endpoint.recorder.outcome(1, key=f"k{n}")
    assert endpoint.close()
    with setpoint.open(tmp_path / "store") as log:
        worth = log.worth("new", over="new@0", model="m")
    assert worth.headline.startswith("m: new over new@0: +90.")


@pytest.mark.parametrize(("checkpoint", "version"), [(0, "v1@0"), ("", "v1"), (None, "v1")])
def test_the_first_checkpoint_of_one_that_counts_is_0(tmp_path: Path, checkpoint: object, version: str) -> None:
    endpoint = Endpoint(tmp_path / "store", "m", {"v1": lambda _: {"prediction": 1.0, "checkpoint": checkpoint}})
    endpoint.predict({})
    assert endpoint.close()
    with setpoint.open(tmp_path / "store") as log, log.evidence("m") as evidence:
        assert evidence.connection.execute("SELECT version FROM predictions").fetchall() == [(version,)]
