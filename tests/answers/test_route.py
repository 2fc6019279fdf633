"""The answer about a route says what is planned beside what was done, and who answers without being planned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from setpoint import Endpoint
from setpoint.cli import app, commands
from setpoint.core.verdict import Verdict
from setpoint.project.doctor import doctor
from setpoint.project.plan import apply, plan
from setpoint.project.routes import route_of
from setpoint.stats.intervals import wilson
from setpoint.store.layout import Layout
from setpoint.store.route_file import read_plan

MODEL = """
name: fraud
route:
  strategy: canary
  versions: {v2: 0.25, v1: 0.75}
  stable: v1
  shadow: {v3: 0.5}
  fallback: [v0]
  limits: {timeout: 2s, attempts: 2, breaker_pause: 500ms}
"""


def project(folder: Path, text: str = MODEL) -> Path:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "setpoint.yaml").write_text("store: ./store\n")
    (folder / "models" / "fraud.yaml").write_text(text.replace("500ms", "0.5s"))
    return folder


def test_a_declared_route_is_published_once_and_when_it_changes(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = Layout.open(tmp_path / "store")
    first = read_plan(layout.route("fraud"))
    assert first is not None
    assert (first.generation, first.route.limits.timeout_seconds, first.route.limits.breaker_seconds) == (1, 2.0, 0.5)
    apply(tmp_path)
    assert read_plan(layout.route("fraud")) == first
    changed = project(tmp_path, MODEL.replace("0.25", "0.5").replace("0.75", "0.5"))
    assert any("route.versions.v2" in line for line in plan(changed).text().splitlines())
    assert plan(changed).is_live
    done = CliRunner().invoke(app, ["apply", str(changed)])
    assert done.stderr == "running services take the route with one of their next requests\n"
    assert "counted since" in route_of(tmp_path / "store").because[-1]  # quarters of an hour: the first plan's too
    second = read_plan(layout.route("fraud"))
    assert second is not None
    assert (second.generation, second.salt) == (2, first.salt)


def test_requests_that_came_before_the_first_plan_are_said_to_be_counted_too(tmp_path: Path) -> None:
    apply(project(tmp_path, "name: fraud\n"))
    with closing(Endpoint(tmp_path / "store", "fraud", {"v1": lambda _: 1.0, "v2": lambda _: 1.0})) as endpoint:
        for _ in range(3):
            endpoint.predict({})
    apply(project(tmp_path))
    with closing(Endpoint(tmp_path / "store", "fraud", {"v1": lambda _: 1.0, "v2": lambda _: 1.0})) as endpoint:
        endpoint.predict({})
    told = route_of(tmp_path / "store").because[-1]
    assert told.startswith("counted since ")
    assert told.endswith(", with the last minutes before it, when the first version answered all")


def test_a_route_that_is_declared_no_longer_stays_in_force_and_that_is_said(tmp_path: Path) -> None:
    apply(project(tmp_path))
    ended = project(tmp_path, "name: fraud\n")
    assert "! fraud: no route is declared any more, and the last one stays in force" in plan(ended).text()
    assert not plan(ended).is_live
    apply(ended)
    plan_now = read_plan(Layout.open(tmp_path / "store").route("fraud"))
    assert plan_now is not None
    assert plan_now.generation == 1
    assert plan(ended).is_empty


def test_what_is_planned_stands_beside_what_was_done(tmp_path: Path) -> None:
    apply(project(tmp_path))
    store = tmp_path / "store"
    versions = {name: (lambda inputs: float(str(inputs["x"]))) for name in ("v1", "v2", "v3", "v0")}
    endpoint = Endpoint(store, "fraud", versions)
    for n in range(400):
        endpoint.predict({"x": n}, unit=f"user-{n}")
        endpoint.shadows.wait()
    endpoint.recorder.record({"x": 1.0}, version="v9", role="stable")
    assert endpoint.close()
    answer = route_of(store)
    assert "canary: v2 25.0 %, v1 75.0 %; in shadow v3 50.0 %; falls back to v0; generation 1" in answer.headline
    found = {(row[0], row[1]): row for row in answer.table("versions").rows}
    assert found["v1", "stable"][2] == 0.75
    assert sum(int(str(found[one][3])) for one in (("v1", "stable"), ("v2", "candidate"))) == 400
    assert 150 < int(str(found["v3", "shadow"][3])) < 250
    assert answer.verdict is Verdict.WARNING
    assert "v9 answered and is not in the plan" in answer.because[0]


def test_a_fallback_that_answers_is_planned_and_a_candidate_that_answers_nobody_is_said(tmp_path: Path) -> None:
    route = "{strategy: canary, versions: {v2: 0.5, v1: 0.5}, stable: v1, fallback: [v0]}"
    apply(project(tmp_path, f"name: fraud\nroute: {route}\n"))

    def fail(_: object) -> object:
        raise OSError

    endpoint = Endpoint(tmp_path / "store", "fraud", {"v1": lambda _: 1.0, "v2": fail, "v0": lambda _: 0.0})
    replies = [endpoint.predict({}, unit=f"user-{n}") for n in range(40)]
    assert endpoint.close()
    answer = route_of(tmp_path / "store")
    failed = sum(reply.version == "v0" for reply in replies)
    assert answer.because == (f"v2 answered nobody: all {failed} requests to it failed",)
    assert answer.verdict is Verdict.WARNING
    refused = [row for row in answer.table("versions").rows if row[1] == "stage"]
    assert [(row[0], row[3], row[5]) for row in refused] == [("v2", failed, failed)]


def test_a_cap_that_cannot_count_is_said(tmp_path: Path) -> None:
    limits = "limits: {usd_per_hour: 5}"
    apply(project(tmp_path, f"name: fraud\nroute: {{strategy: single, versions: {{v1: 1}}, {limits}}}\n"))
    calls = [{"provider": "p", "provider_model": "new", "input_tokens": 1_000_000}]
    endpoint = Endpoint(tmp_path / "store", "fraud", {"v1": lambda _: {"prediction": 1.0, "calls": calls}})
    for _ in range(3):
        endpoint.predict({})
    assert endpoint.close()
    answer = route_of(tmp_path / "store")
    assert answer.verdict is Verdict.WARNING
    assert "the cap of $5 an hour does not count 3 calls of which nobody knows the cost" in answer.because[0]


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text(path.read_text().replace("0.25", "0.9"))])
def test_a_file_that_services_cannot_read_is_said_and_applying_again_mends_it(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    apply(project(tmp_path))
    store = tmp_path / "store"
    path = Layout.open(store).route("fraud")
    before = path.read_bytes()
    harm(path)
    assert "`setpoint apply` writes it again" in route_of(store).because[0]
    assert any("fraud: route" in str(row) for row in doctor(store).table("checks").rows)
    assert "~ fraud: the route is written again: " in plan(tmp_path).text()
    apply(tmp_path)
    assert path.read_bytes() == before
    assert plan(tmp_path).is_empty
    assert route_of(store).verdict is Verdict.UNKNOWN  # nobody asked yet
    assert not route_of(store).because
    assert not any("fraud: route" in str(row) for row in doctor(store).table("checks").rows)


def test_a_plan_that_never_came_into_force_is_not_shown(tmp_path: Path) -> None:
    apply(project(tmp_path))
    layout = Layout.open(tmp_path / "store")
    first = layout.route("fraud").read_bytes()
    apply(project(tmp_path, MODEL.replace("0.25", "0.5").replace("0.75", "0.5")))
    layout.route("fraud").write_bytes(first)  # as a crash between the history and the plan's file leaves it
    answer = route_of(tmp_path / "store")
    assert "generation 1," in answer.headline
    assert len(answer.table("plans").rows) == 1


def test_the_command_shows_it(tmp_path: Path) -> None:
    assert commands
    apply(project(tmp_path))
    result = CliRunner().invoke(app, ["route", "fraud", "--store", str(tmp_path / "store")])
    assert result.exit_code == 3  # nobody asked yet, so nobody knows whether it is followed
    assert "no request came since" in result.stdout
    assert "v2" in result.stdout
    assert "25.0 %" in result.stdout


def test_copies_of_requests_are_counted_compared_and_billed(tmp_path: Path) -> None:
    text = MODEL.replace("shadow: {v3: 0.5}", "shadow: {v3: 1.0}")
    apply(project(tmp_path, text))

    class Unsent(OSError):
        calls = ()  # else nobody knew whether it was billed

    def shadow(inputs: object) -> object:
        x = int(str(inputs["x"]))  # pyright: ignore[reportIndexIssue] — inputs by name
        if x % 10 == 0:
            raise Unsent
        return {"prediction": x % 4 == 0, "score": 0.75, "calls": [{"cost_nano_usd": 1_000_000}]}

    served = {"prediction": False, "score": 0.5}
    versions = {"v1": lambda _: served, "v2": lambda _: served, "v3": shadow, "v0": lambda _: served}
    endpoint = Endpoint(tmp_path / "store", "fraud", versions)
    for n in range(200):
        endpoint.predict({"x": n})
        endpoint.shadows.wait()
    assert endpoint.close()
    table = route_of(tmp_path / "store").table("shadows")
    found = dict(zip(table.columns, table.rows[0], strict=True))
    agreed = 200 - 20 - 50 + 10  # not failed, not a multiple of 4; some are both
    share = wilson(agreed, 180)
    assert found == {
        "version": "v3", "sent": 200, "failed": 20, "unsent": 0, "compared": 180, "agreed_ratio": share.value,
        "agreed_low": share.low, "agreed_high": share.high, "mean_score_difference": 0.25, "cost_usd": 0.18,
        "unpriced": 0,
    }  # fmt: skip
