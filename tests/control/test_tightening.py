"""A cascade that loses more than it may is tightened: once, by what its own requests show, until a person says more."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.answers.test_worth import START, cascaded, requests

import setpoint
from setpoint.control.cascade_checks import CASCADE_LOSS, Carried, find_loss
from setpoint.control.loop import tick
from setpoint.control.route_plans import publish
from setpoint.control.tightening import tighten
from setpoint.core.clock import DAY, HOUR
from setpoint.core.model import Model
from setpoint.core.route_plan import Cascade, Route, RoutePlan, Tightening
from setpoint.predictions.endpoint import Endpoint
from setpoint.predictions.recorder import Recorder
from setpoint.predictions.reply import Reply
from setpoint.project.plan import apply, plan
from setpoint.project.routes import route_of
from setpoint.store.findings import read_findings
from setpoint.store.kept import KeptEvidence
from setpoint.store.layout import Layout, ReplayClock
from setpoint.store.route_file import decoded, encoded, history, last_plan
from setpoint.store.spool import Spool
from setpoint.store.summaries import Summaries

DECLARED = Cascade("v1", "v2", at_least=0.55, audit=0.3, loss=0.02)
Row = Mapping[str, Any]


def routed(cascade: Cascade = DECLARED) -> Route:
    return Route("cascade", (("v1", 1.0),), stable="v2", cascade=cascade)


def served(found: Iterable[Row], cascade: Cascade = DECLARED, name: str = "") -> list[dict[str, object]]:
    """Return the rows that a cascade makes of requests, under other names."""
    threshold = 2.0 if cascade.threshold is None else cascade.threshold
    rows = cascaded(found, audit=cascade.audit, at_least=threshold)
    ids = ("prediction_id", "root_id", "parent_id")
    return [{key: f"{name}{value}" if key in ids else value for key, value in made.items()} for made in rows]


def set_clock(layout: Layout, now: float) -> None:
    assert isinstance(layout.clock, ReplayClock)
    layout.clock.set(int(now))
    layout.clock.save()


def record(layout: Layout, rows: Iterable[Mapping[str, object]], found: Iterable[Row], name: str = "") -> None:
    recorder = Recorder(layout, "m", spool=Spool(layout))
    for made in rows:
        told = {key: value for key, value in made.items() if key != "cost"}
        recorder.record({"x": 1.0}, **told)  # pyright: ignore[reportArgumentType] — the fields of a prediction
    for one in found:
        recorder.outcome(one["truth"], prediction_id=f"{name}r{one['n']:06d}", observed_at=one["at"] + HOUR)
    recorder.close()


def losing(folder: Path, cascade: Cascade = DECLARED, count: int = 6000) -> Layout:
    """Return a store with a cascade in force and a day of its requests, which lose too much, on the day after."""
    layout = Layout.create(folder, replay_now=START)
    layout.declare(Model("m", route=routed(cascade)))
    publish(layout, "m", routed(cascade))
    found = requests(count)
    record(layout, served(found, cascade), found)
    set_clock(layout, START + 2 * DAY)
    return layout


def in_force(layout: Layout) -> Cascade:
    found = last_plan(layout, "m")
    assert found is not None
    assert found.route.cascade is not None
    return found.route.cascade


def losses(layout: Layout) -> list[tuple[str, str]]:
    return [(one.state, one.said) for one in read_findings(layout, "m") if one.kind == "cascade_loss"]


def test_a_crossing_puts_a_tighter_plan_in_force_once_however_often_one_ticks(tmp_path: Path) -> None:
    layout = losing(tmp_path / "s")
    assert len(tick(layout).tightened) == 1
    assert tick(layout).tightened == []
    set_clock(layout, START + 3 * DAY)
    assert tick(layout).tightened == []
    assert [one.generation for one in history(layout, "m")] == [1, 2]
    found = in_force(layout)
    assert found.at_least == 0.55
    assert found.threshold is None or found.threshold > 0.55
    assert [state for state, _ in losses(layout)] == ["open", "closed"]
    assert "v2 answers all since 2026-01-03 00:00" in losses(layout)[0][1] or "go to v2 since" in losses(layout)[0][1]


def test_late_and_in_two_steps_the_same_threshold_is_found(tmp_path: Path) -> None:
    """The loss shows on the first day: whoever ticks then, or a week later, finds it by the same pairs."""
    early, late = losing(tmp_path / "a"), losing(tmp_path / "b")
    set_clock(late, START + 9 * DAY)
    tick(early)
    tick(late)
    assert in_force(early) == in_force(late)


def test_ticks_side_by_side_publish_one_plan(tmp_path: Path) -> None:
    layout = losing(tmp_path / "s")
    command = [sys.executable, "-m", "setpoint.cli", "tick", "--store", str(layout.root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    said = [one.communicate() for one in running]
    assert [one.returncode for one in running] == [0, 0, 0], said
    assert [one.generation for one in history(layout, "m")] == [1, 2]
    assert sum(b"route plan 2 is in force" in words for _, words in said) == 1


def test_who_publishes_meanwhile_is_not_overruled(tmp_path: Path) -> None:
    layout = losing(tmp_path / "s")
    with layout.lease("route-m"):
        assert tighten(layout, "m") is None
    assert len(history(layout, "m")) == 1


def test_the_new_threshold_is_watched_anew_by_its_own_requests(tmp_path: Path) -> None:
    """The pairs that broke the first promise say nothing against the second; its own do."""
    layout = losing(tmp_path / "s")
    set_clock(layout, START + 2 * DAY)
    publish(layout, "m", routed(replace(DECLARED, tightening=Tightening(0.6, START))))
    assert tick(layout).tightened == []
    found = [{**one, "at": one["at"] + 3 * DAY} for one in requests(6000, seed=8)]
    record(layout, served(found, in_force(layout), "b"), found, "b")
    set_clock(layout, START + 5 * DAY)
    assert len(tick(layout).tightened) == 1
    threshold = in_force(layout).threshold
    assert threshold is None or threshold > 0.6


def test_with_much_evidence_the_threshold_that_keeps_the_promise_is_taken(tmp_path: Path) -> None:
    """A loss just above the promise takes many pairs to show, enough to know a threshold that keeps it."""
    cascade = replace(DECLARED, at_least=0.7, audit=1.0, loss=0.045)
    layout = losing(tmp_path / "s", cascade, count=12_000)
    tick(layout)
    found = requests(12_000)
    threshold = in_force(layout).threshold
    assert threshold is not None
    assert threshold > 0.7
    lost = [(one["v2"] == one["truth"]) - (one["v1"] == one["truth"]) for one in found if one["sure"] >= threshold]
    assert sum(lost) / len(found) <= 0.045
    answer = route_of(layout.root)
    assert f"v1, below a confidence of {threshold:g} v2" in answer.headline
    assert any(f"declare `at_least: {threshold:g}`" in line for line in answer.because)
    plans = answer.table("plans")
    assert "loses more than 4.5 %" in str(plans.rows[-1][plans.columns.index("reason")])


def test_a_cascade_that_only_reports_publishes_nothing(tmp_path: Path) -> None:
    layout = losing(tmp_path / "s", replace(DECLARED, on_loss="report"))
    tick(layout)
    tick(layout)
    assert len(history(layout, "m")) == 1
    ((state, said),) = losses(layout)
    assert state == "open"
    assert "let v2 answer until" in said or "raise at_least to" in said


def test_a_kept_promise_changes_nothing(tmp_path: Path) -> None:
    layout = losing(tmp_path / "s", replace(DECLARED, at_least=0.97))
    tick(layout)
    assert (len(history(layout, "m")), losses(layout)) == (1, [])


def test_questions_publish_nothing(tmp_path: Path) -> None:
    layout = losing(tmp_path / "s")
    with setpoint.open(layout.root) as log:
        log.status("m")
        log.cascade_tune("m", cheap="v1", expensive="v2")
    route_of(layout.root)
    assert len(history(layout, "m")) == 1


PROJECT = "store: ./store\n"
MODEL = """
cohorts: [x]
route:
  strategy: cascade
  {limits}
  cascade: {{cheap: v1, expensive: v2, at_least: {at_least}, audit: {audit}, loss: 0.02}}
"""


def write(folder: Path, at_least: float = 0.55, audit: float = 0.3, limits: str = "") -> None:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "setpoint.yaml").write_text(PROJECT)
    (folder / "models" / "m.yaml").write_text(MODEL.format(at_least=at_least, audit=audit, limits=limits))


def test_apply_leaves_a_tightening_in_force_until_the_promise_is_declared_anew(tmp_path: Path) -> None:
    write(tmp_path)
    layout = Layout.create(tmp_path / "store", replay_now=START)
    apply(tmp_path)
    tightening = Tightening(0.8, START)
    publish(layout, "m", routed(replace(DECLARED, tightening=tightening)), reason="it lost")
    assert apply(tmp_path).is_empty
    assert "tighter than declared (0.55)" in plan(tmp_path).text()
    assert "declare `at_least: 0.8`" in plan(tmp_path).text()
    write(tmp_path, audit=0.4, limits="limits: {attempts: 2}")
    apply(tmp_path)
    assert in_force(layout) == replace(DECLARED, audit=0.4, tightening=tightening)
    write(tmp_path, at_least=0.7)
    assert "takes the place of a tighter cascade" in plan(tmp_path).text()
    apply(tmp_path)
    assert in_force(layout) == replace(DECLARED, at_least=0.7)
    assert "tighter" not in plan(tmp_path).text()


def answered(endpoint: Endpoint) -> str:
    return endpoint.predict({"x": 1.0}).version


def sure(version: str) -> Reply:
    return Reply(prediction=version, confidence=0.9)


def test_a_cascade_that_takes_no_cheap_answer_asks_the_expensive_version_only(tmp_path: Path) -> None:
    layout, asked = Layout.create(tmp_path / "s"), list[str]()

    def version(name: str) -> Callable[[object], Reply]:
        def answer(_: object) -> Reply:
            asked.append(name)
            if name == "v2" and is_down:
                raise TimeoutError
            return sure(name)

        return answer

    is_down = False
    publish(layout, "m", routed(replace(DECLARED, audit=0.0, tightening=Tightening(None, 0))))
    endpoint = Endpoint(layout, "m", {"v1": version("v1"), "v2": version("v2")})
    with closing(endpoint):
        assert answered(endpoint) == "v2"
        assert asked == ["v2"]
        is_down = True
        assert answered(endpoint) == "v1"


def test_a_cascade_that_takes_no_cheap_answer_goes_on_asking_for_the_audited_share(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "s")
    publish(layout, "m", routed(replace(DECLARED, audit=0.5, tightening=Tightening(None, 0))))
    with closing(Endpoint(layout, "m", {"v1": lambda _: sure("v1"), "v2": lambda _: sure("v2")})) as endpoint:
        assert {answered(endpoint) for _ in range(40)} == {"v2"}
    said = route_of(layout.root)
    assert "v2 answers all, as v1 lost more than was promised" in said.headline
    assert not any("has no share" in line for line in said.because)
    with setpoint.open(layout.root) as log:
        found = log.cascade_tune("m", cheap="v1", expensive="v2")
    pairs = int(str(found.table("metrics").rows[0][5]))
    assert 5 < pairs < 35


def test_a_raised_threshold_holds_for_an_endpoint_that_accepts_by_its_own_function(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "s")
    declared = replace(DECLARED, audit=0.0, at_least=0.95)
    versions = {"v1": lambda _: sure("v1"), "v2": lambda _: sure("v2")}
    for cascade, expected in ((declared, "v1"), (replace(declared, tightening=Tightening(0.97, 0)), "v2")):
        publish(layout, "m", routed(cascade))
        with closing(Endpoint(layout, "m", versions, accept=lambda _: True)) as endpoint:
            assert answered(endpoint) == expected


def test_what_an_endpoint_accepts_by_its_own_function_is_watched_as_it_was_accepted(tmp_path: Path) -> None:
    """Declared is .99, and a function took all from .55 on."""
    layout = Layout.create(tmp_path / "s", replay_now=START)
    cascade = replace(DECLARED, at_least=0.99)
    publish(layout, "m", routed(cascade))
    found = requests(6000)
    record(layout, served(found, DECLARED), found)
    set_clock(layout, START + 2 * DAY)
    assert len(tick(layout).tightened) == 1


def test_an_audit_share_is_the_one_that_held_when_the_rows_were_made(tmp_path: Path) -> None:
    """A tenth was audited, now all are: what was passed on then counts a tenth, as what was accepted does."""
    layout = Layout.create(tmp_path / "s", replay_now=START)
    cascade = replace(DECLARED, at_least=0.8, audit=0.1, on_loss="report")
    publish(layout, "m", routed(cascade))
    found = requests(8000)
    record(layout, served(found, cascade), found)
    set_clock(layout, START + 2 * DAY)
    publish(layout, "m", routed(replace(cascade, audit=1.0)))
    layout.declare(Model("m", route=routed(replace(cascade, audit=1.0))))
    with setpoint.open(layout.root) as log:
        answer = log.cascade_tune("m", cheap="v1", expensive="v2", loss=0.05)
    table = answer.table("curve")
    shares = {one[0]: one[1] for one in table.rows}
    for threshold, share in shares.items():
        assert share == pytest.approx(sum(one["sure"] >= threshold for one in found) / len(found), abs=0.05)


def test_plans_written_before_there_were_tightenings_are_read() -> None:
    old = encoded(RoutePlan("m", 1, routed(), "m/1", START)).replace(b',"on_loss":"tighten","tightening":null', b"")
    assert b"tighten" not in old
    body = json.dumps(json.loads(old)["plan"]).encode()
    file = json.dumps({"checksum": hashlib.blake2b(body, digest_size=8).hexdigest(), "plan": None}).encode()
    file = file.replace(b'"plan": null', b'"plan":' + body)
    assert decoded(file, Path("m.json")) == RoutePlan("m", 1, routed(), "m/1", START)


@pytest.mark.parametrize("on_loss", ["tighten", "report"])
def test_old_requests_are_read_once_and_what_they_showed_is_carried_on(tmp_path: Path, on_loss: str) -> None:
    cascade = replace(DECLARED, on_loss=on_loss)
    layout = losing(tmp_path / "s", replace(cascade, loss=0.5), count=1500)  # nothing shows yet
    layout.declare(Model("m", route=routed(cascade), outcome_horizon=7 * DAY))
    publish(layout, "m", routed(cascade))
    early = [{**one, "at": one["at"] + 3 * DAY} for one in requests(100, seed=5)]
    record(layout, served(early, cascade, "a"), early, "a")
    set_clock(layout, START + 40 * DAY)
    for _ in range(2):  # the first one makes the states, beside which notes are kept
        tick(layout)
    assert losses(layout) == []
    late = [{**one, "at": one["at"] + 41 * DAY} for one in requests(6000, seed=6)]
    record(layout, served(late, cascade, "b"), late, "b")
    now = START + 43 * DAY
    set_clock(layout, now)
    with Summaries.reading(layout.summaries("m")) as summaries:
        assert summaries is not None
        notes = summaries.notes()
        carried = msgspec.msgpack.decode(notes[CASCADE_LOSS], type=Carried)
        assert carried.pairs > 10
        with closing(KeptEvidence(layout, layout.model("m"), now, now, summaries)) as evidence:
            found = find_loss(evidence)
            evidence.notes = {}
            of_all = find_loss(evidence)
        with closing(KeptEvidence(layout, layout.model("m"), now, now, summaries)) as evidence:
            other = msgspec.structs.replace(carried, of="another promise")
            evidence.notes = {CASCADE_LOSS: msgspec.msgpack.encode(other)}
            assert find_loss(evidence) == of_all
    assert found is not None
    assert of_all is not None
    assert (found.at, found.pairs, found.is_agreement) == (of_all.at, of_all.pairs, of_all.is_agreement)
    tick(layout)
    assert [state for state, _ in losses(layout)][:1] == ["open"]
