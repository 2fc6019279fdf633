"""A plan says which names of a declaration nobody has declared or recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.core.model import Cohort, Feature, Model
from setpoint.predictions.recorder import Recorder
from setpoint.project.plan import apply, plan
from setpoint.project.unseen import unseen_features
from setpoint.store.layout import Layout
from setpoint.store.spool import Spool

DECLARED = (Feature("region", "categorical"), Feature("amount"))
FIXED = (Cohort("release", by="version"), Cohort("sure", where="score > 0.9 AND inputs.amount > 5"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            Model("m", features=DECLARED, cohorts=(Cohort("region", by="regoin"),)),
            ["cohort region: no feature `regoin` is declared or was ever recorded; did you mean region?"],
        ),
        (
            Model("m", features=DECLARED, cohorts=(Cohort("large", where="amuont > 5 AND zebra = 'x'"),)),
            [
                "cohort large: no feature `amuont` is declared or was ever recorded; did you mean amount?",
                "cohort large: no feature `zebra` is declared or was ever recorded",
            ],
        ),
        (
            Model("m", features=DECLARED, cohorts=(Cohort("release", by="versoin"),)),
            ["cohort release: no feature `versoin` is declared or was ever recorded; did you mean version?"],
        ),
        (
            Model("m", features=DECLARED, keep_where="amount > 5 OR score > 0.9"),
            ["keep_where: no feature `score` is declared or was ever recorded, and only features are read here"],
        ),
        (
            Model("m", features=DECLARED, cohorts=(Cohort("sure", where="inputs.score > 0.9"),)),
            ["cohort sure: no feature `score` is declared or was ever recorded, and only features are read here"],
        ),
        (Model("m", features=DECLARED, cohorts=FIXED, keep_where="inputs.amount > 5"), []),
        (Model("m", cohorts=(Cohort("region", by="region"),)), []),
    ],
)
def test_names_that_mean_nothing_are_told(model: Model, said: list[str]) -> None:
    assert unseen_features(None, model) == tuple(said)


def test_what_was_recorded_is_known_though_nobody_declared_it(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    recorder = Recorder(layout, "m", spool=Spool(layout))
    recorder.record({"region": "eu"})
    assert recorder.flush(30)
    known = Model("m", features=(Feature("amount"),), cohorts=(Cohort("region", by="region"),))
    assert unseen_features(layout, known) == ()
    wrong = Model("m", cohorts=(Cohort("region", by="regoin"),))
    (said,) = unseen_features(layout, wrong)
    assert said.endswith("did you mean region?")
    recorder.close()


def test_a_doubt_is_said_by_plan_and_apply_and_stops_neither(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n")
    (tmp_path / "models" / "fraud.yaml").write_text("features: [region]\ncohorts: [regoin]\n")
    said = "! fraud: cohort regoin: no feature `regoin` is declared or was ever recorded; did you mean region?"
    assert said in plan(tmp_path).text().splitlines()
    assert said in apply(tmp_path).text(storage=False).splitlines()
    again = apply(tmp_path)
    assert again.is_empty
    assert again.text(storage=False).splitlines() == [said, "nothing to change"]
