"""check, contract import and contract export, as a user and a CI job run them."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.commands import setpoint

MODEL = """\
contract:
  version: 3
  fields:
    delay: {required: true, at_least: -60, at_most: 600}
    carrier: {allowed: [AA, DL]}
"""


def run(folder: Path, *words: str) -> CompletedProcess[str]:
    return setpoint(*words, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "setpoint.yaml").write_text("store: ./store\n", encoding="utf-8")
    (tmp_path / "models" / "flights.yaml").write_text(MODEL, encoding="utf-8")
    (tmp_path / "fine.csv").write_text("delay,carrier\n1,AA\n2,DL\n", encoding="utf-8")
    (tmp_path / "bad.csv").write_text("delay,carrier\n1,AA\n900,ZZ\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("delay,carrier\n", encoding="utf-8")
    return tmp_path


def test_exit_codes_say_kept_broken_unusable_and_unknown(folder: Path) -> None:
    contract = ("--contract", "models/flights.yaml")
    codes = {name: run(folder, "check", f"{name}.csv", *contract).returncode for name in ("fine", "bad", "empty", "no")}
    assert codes == {"fine": 0, "bad": 1, "empty": 3, "no": 2}


def test_reports_are_written_beside_the_answer(folder: Path) -> None:
    reports = ("--junit", "junit.xml", "--markdown", "check.md")
    done = run(folder, "check", "bad.csv", "--contract", "models/flights.yaml", "--json", *reports)
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "breach"
    assert 'failures="2"' in (folder / "junit.xml").read_text(encoding="utf-8")
    assert (folder / "check.md").read_text(encoding="utf-8").startswith("**✗ 2 of ")


def test_a_contract_in_force_is_found_by_its_model(folder: Path) -> None:
    assert run(folder, "apply").returncode == 0
    assert run(folder, "check", "bad.csv", "--model", "flights").returncode == 1
    nothing_yet = run(folder, "check", "--model", "flights")
    assert nothing_yet.returncode == 3
    assert nothing_yet.stdout.startswith("? cannot say: no rows in ")
    without_option = run(folder, "check", "flights")
    assert without_option.returncode == 2
    assert "hint: `setpoint check --model flights` looks at its predictions" in without_option.stderr


def test_notations_of_others_go_out_and_come_back(folder: Path) -> None:
    run(folder, "apply")
    for notation, name in (("odcs", "c.odcs.yaml"), ("json-schema", "c.schema.json")):
        written = run(folder, "contract", "export", "flights", "--format", notation)
        assert (written.returncode, written.stderr) == (0, "")
        (folder / name).write_text(written.stdout, encoding="utf-8")
        back = run(folder, "contract", "import", name)
        assert "    delay: {kind: numeric, required: true, at_least: -60, at_most: 600}\n" in back.stdout
        assert run(folder, "check", "bad.csv", "--contract", name).returncode == 1


def test_an_imported_contract_goes_into_the_file_of_its_model(folder: Path) -> None:
    schema = {"properties": {"delay": {"type": "number", "minimum": 0}, "carrier": {"type": "string"}}}
    (folder / "c.json").write_text(json.dumps(schema), encoding="utf-8")
    target = folder / "models" / "flights.yaml"
    above, below = "# ours\ntask: regression  # minutes\n\n", "\n# how much may be lost\nkeep: 0.5\n"
    told = "contract:\n  fields:\n    delay: {kind: numeric, at_least: 0}\n    carrier: {kind: categorical}\n"
    into = ("contract", "import", "c.json", "--into", "models/flights.yaml")
    target.write_text(above + MODEL + below, encoding="utf-8")
    refused = run(folder, *into)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: models/flights.yaml has a contract already\nhint: ")
    assert target.read_text(encoding="utf-8") == above + MODEL + below
    assert run(folder, *into, "--force").stdout == "models/flights.yaml\n"
    assert target.read_text(encoding="utf-8") == above + told + below
    for before, after in ((above.rstrip(), above.rstrip() + "\n" + told), ("", told), ("contract:\n", told)):
        target.write_text(before, encoding="utf-8")
        assert run(folder, *into).returncode == 0
        assert target.read_text(encoding="utf-8") == after
    assert run(folder, "apply").returncode == 0
    unfit = "features: {delay: {kind: boolean}}\n"
    for text in (unfit, "{keep: 0.5}\n", "keep: [\n"):
        target.write_text(text, encoding="utf-8")
        done = run(folder, *into)
        assert (done.returncode, done.stdout) == (2, "")
        assert target.read_text(encoding="utf-8") == text
    assert run(folder, *into[:-1], "no/flights.yaml").returncode == 2


def test_a_file_that_needs_the_projects_defaults_takes_a_contract(folder: Path) -> None:
    (folder / "c.json").write_text(json.dumps({"properties": {"delay": {"type": "number"}}}), encoding="utf-8")
    target = folder / "models" / "flights.yaml"
    bar = "quality: {mae: {at_most: 20}}\n"  # of a regression only
    target.write_text(bar, encoding="utf-8")
    into = ("contract", "import", "c.json", "--into", "models/flights.yaml")
    alone = run(folder, *into)
    assert (alone.returncode, target.read_text(encoding="utf-8")) == (2, bar)
    assert "mae" in alone.stderr
    (folder / "defaults.yaml").write_text("task: regression\n", encoding="utf-8")
    assert run(folder, *into).returncode == 0
    assert target.read_text(encoding="utf-8").startswith(bar + "contract:\n")
    assert run(folder, "check", "fine.csv", "--contract", "models/flights.yaml").returncode == 0
    assert run(folder, "apply").returncode == 0
    (folder / "defaults.yaml").write_text("task: [\n", encoding="utf-8")
    broken = run(folder, *into, "--force")
    assert broken.returncode == 2
    assert "defaults.yaml" in broken.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "--contract", "models/flights.yaml"), "--contract goes with a file"),
        (("check", "bad.csv", "--contract", "models/none.yaml"), "models/none.yaml: cannot be read"),
        (("check", "bad.csv", "--contract", "models/flights.yaml", "--over", "7d"), "--over goes without a file"),
        (("check", "bad.csv", "--contract", "setpoint.yaml"), "unknown key"),
        (("contract", "export", "--contract", "models/flights.yaml", "--format", "avro"), "no notation is called"),
        (("check", "bad.csv", "--contract", "models/flights.yaml", "--junit", "no/x.xml"), "cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_in_words(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = run(folder, *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_contract_that_contradicts_itself_is_told_at_its_line(folder: Path) -> None:
    (folder / "models" / "flights.yaml").write_text(MODEL.replace("-60", "700"), encoding="utf-8")
    done = run(folder, "check", "bad.csv", "--contract", "models/flights.yaml")
    assert done.returncode == 2
    expected = "error: models/flights.yaml:4: contract.fields.delay.at_least: found at_least 700 above at_most 600\n"
    assert done.stderr == expected
