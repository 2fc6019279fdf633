"""Reading a whole project: the store, defaults beneath every model, and one error for all files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from setpoint.core.errors import DeclarationError
from setpoint.core.model import Feature, Owner
from setpoint.declare.load import load_model, load_project

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = {
    "setpoint.yaml": "store: ./events\n",
    "defaults.yaml": """\
owner: {team: ml, on_call: night}
timezone: Europe/Berlin
features: {a: {kind: integer}}
""",
    "models/fraud.yaml": "owner: {on_call: day}\nfeatures: {b: , a: {policy: hash}}\n",
    "models/churn.yaml": "timezone:\nowner:\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_project(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, PROJECT))
    assert project.store == str(tmp_path / "events")
    assert list(project.models) == ["churn", "fraud"]
    assert sorted(str(path.relative_to(tmp_path)) for path in project.files) == sorted(PROJECT)
    fraud, churn = project.models["fraud"], project.models["churn"]
    assert (fraud.owner, fraud.timezone) == (Owner("ml", "day"), "Europe/Berlin")
    assert fraud.features == (Feature("a", "integer", policy="hash"), Feature("b"))
    assert (churn.owner, churn.timezone) == (None, "UTC")
    assert load_model(tmp_path / "models/fraud.yaml", tmp_path / "defaults.yaml") == fraud


def test_a_project_may_be_small(tmp_path: Path) -> None:
    write(tmp_path, {"setpoint.yaml": "store: s3://bucket/store"})
    project = load_project(tmp_path)
    assert (project.store, dict(project.models)) == ("s3://bucket/store", {})
    write(tmp_path, {"setpoint.yaml": "models: other", "other/m.yaml": "keep: 1", "other/.m.yaml": "junk"})
    assert list(load_project(tmp_path).models) == ["m"]


def problems(folder: Path) -> str:
    with pytest.raises(DeclarationError) as caught:
        load_project(folder)
    return str(caught.value).replace(f"{folder}/", "")


def test_problems_of_a_project(tmp_path: Path) -> None:
    assert "found no setpoint.yaml, expected one\nhint: run `setpoint init`" in problems(tmp_path)
    write(tmp_path, {"setpoint.yaml": "store: x\nmodels: gone"})
    assert "setpoint.yaml:2: models: found no folder gone" in problems(tmp_path)
    write(tmp_path, {"setpoint.yaml": "stor: x"})
    assert "setpoint.yaml:1: stor: unknown key\nhint: did you mean store?" in problems(tmp_path)


def test_problems_of_all_files_are_told_once_and_where_they_are_written(tmp_path: Path) -> None:
    files = {**PROJECT, "models/fraud.yaml": "keep: 2", "models/old.yml": "keep: 1"}
    text = problems(write(tmp_path, files))
    assert "2 problems" in text
    assert "models/fraud.yaml:1: keep: found 2" in text
    assert "models/old.yml: found the ending .yml" in text
    text = problems(write(tmp_path, {**files, "defaults.yaml": "\n\nkeeep: 1\nname: x\n", "models/old.yml": "a: 1"}))
    assert text.count("defaults.yaml:4: name: a name cannot be a default") == 1
    text = problems(write(tmp_path, {**files, "defaults.yaml": "\nkeeep: 1\n"}))
    assert text.count("defaults.yaml:2: keeep: unknown key (did you mean keep?)") == 1


def test_defaults_may_be_completed_by_the_model(tmp_path: Path) -> None:
    files = {
        "setpoint.yaml": "store: x",
        "defaults.yaml": "owner: {on_call: night}\nsuccess: {tolerance: 3}\nquality: {rmse: {source: us}}\n",
        "models/m.yaml": "task: regression\nowner: {team: a}\nquality: {rmse: {at_most: 1}}",
    }
    assert load_project(write(tmp_path, files)).models["m"].owner == Owner("a", "night")
    write(tmp_path, {"models/n.yaml": "task: regression\nquality: {rmse: {at_most: 1}}"})
    assert "defaults.yaml:1: owner.team: the key is missing" in problems(tmp_path)


def test_a_bar_of_the_defaults_that_a_models_task_lacks_is_told_where_it_is_written(tmp_path: Path) -> None:
    files = {
        "setpoint.yaml": "store: x",
        "defaults.yaml": "\nquality: {auc: {at_least: 0.7}}\n",
        "models/fraud.yaml": "keep: 1",
        "models/delay.yaml": "task: regression",
    }
    text = problems(write(tmp_path, files))
    assert text.startswith("defaults.yaml:2: quality.auc: a regression model has no metric of this name\nhint: it is a")


def test_a_wrong_default_is_told_even_without_models(tmp_path: Path) -> None:
    write(tmp_path, {"setpoint.yaml": "store: x", "defaults.yaml": "keep: 2"})
    assert "defaults.yaml:1: keep: found 2" in problems(tmp_path)
