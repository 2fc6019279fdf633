"""Reading declarations: what they become, and what is said about those that do not hold."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.core.clock import DAY, HOUR, parse_time
from setpoint.core.errors import DeclarationError, UsageError
from setpoint.core.model import (
    NAME_RULE,
    BusinessMetric,
    Cohort,
    DriftLimit,
    Expectation,
    Feature,
    Model,
    OutcomeKind,
    Owner,
    Rates,
    Retention,
    Schedule,
    Silence,
    Success,
    Task,
)
from setpoint.declare.load import load_model, load_text
from setpoint.store.layout import check_name

if TYPE_CHECKING:
    from pathlib import Path

TASKS = "binary, regression, multiclass, ranking or generation"
FULL = """\
name: flights
task: regression
endpoint: /predict
owner: {team: ops, on_call: "#ops"}
business_metric: {name: missed_connections, unit: passengers, better: lower}
success: {tolerance: 15}
cost_unit: flight
features:
  dep_delay: {kind: numeric, importance: 0.6}
  carrier: {kind: categorical}
  NO: {policy: hash}
cohorts:
  - carrier
  - {name: origin airport, by: origin}
  - {name: late, where: "dep_delay > 60 AND carrier IN ('AA', 'DL')"}
quality:
  rmse: {at_most: 20, source: last year}
drift_limits:
  - {metric: psi, at_most: 0.2}
  - {metric: psi, at_most: 0.1, feature: carrier}
reference: 2013-01-01..2013-04-01
timezone: America/New_York
outcomes:
  arrived: {final: true}
  landed:
outcome_horizon: 2d
outcome_if_silent: {value: 0, after: 36h}
rates: {per_prediction_usd: 1e-3, per_month_usd: 100}
schedule: {every: 1h}
retention: {age: 52w, size: 1.5GB}
trained_until: 2013-04-01
keep: 0.1
keep_where: late
free_text: keep
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_every_key(tmp_path: Path) -> None:
    path = write(tmp_path, {"flights.yaml": FULL}) / "flights.yaml"
    assert load_model(path) == Model(
        name="flights",
        task=Task.REGRESSION,
        endpoint="/predict",
        owner=Owner("ops", "#ops"),
        business_metric=BusinessMetric("missed_connections", "passengers", "lower"),
        success=Success(tolerance=15.0),
        cost_unit="flight",
        features=(
            Feature("dep_delay", "numeric", 0.6),
            Feature("carrier", "categorical"),
            Feature("NO", policy="hash"),
        ),
        cohorts=(
            Cohort("carrier", by="carrier"),
            Cohort("origin airport", by="origin"),
            Cohort("late", where="dep_delay > 60 AND carrier IN ('AA', 'DL')"),
        ),
        expectations=(Expectation("rmse", at_most=20.0, source="last year"),),
        drift_limits=(DriftLimit("psi", 0.2), DriftLimit("psi", 0.1, "carrier")),
        reference="2013-01-01..2013-04-01",
        timezone="America/New_York",
        outcomes=(OutcomeKind("arrived", final=True), OutcomeKind("landed", final=False)),
        outcome_horizon=2 * DAY,
        outcome_if_silent=Silence(0.0, 36 * HOUR),
        rates=Rates(per_prediction_usd=0.001, per_month_usd=100.0),
        schedule=Schedule(every=HOUR, grace=6 * HOUR),
        retention=Retention(364 * DAY, 1_500_000_000),
        trained_until=parse_time("2013-04-01T04:00:00+00:00"),
        keep=0.1,
        keep_where="late",
        free_text="keep",
    )


def test_defaults_are_those_of_the_core() -> None:
    assert load_text("task: binary", "flights") == Model("flights")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("features: [a, NO, on, 1e]", Model("m", features=tuple(map(Feature, ["a", "NO", "on", "1e"])))),
        ("positive: yes", Model("m", positive="yes")),
        ("positive: 1", Model("m", positive="1")),
        ("positive: true", Model("m", positive="true")),
        ("owner:", Model("m")),
        ("outcomes: [arrived]", Model("m", outcomes=(OutcomeKind("arrived"),))),
        ("outcomes: {arrived: }", Model("m", outcomes=(OutcomeKind("arrived"),))),
        (
            "outcomes: [click, {name: sale, final: true}]",
            Model("m", outcomes=(OutcomeKind("click", final=False), OutcomeKind("sale"))),
        ),
        ("retention: {size: 2TiB}", Model("m", retention=Retention(size_bytes=2 * 2**40))),
        ("reference: last month", Model("m", reference="last month")),
        (
            "keep: &half 0.5\nsuccess: {threshold: *half}",
            Model("m", keep=0.5, success=Success(threshold=0.5)),
        ),
        ("\ufeffkeep: 0.5\r\nfree_text: hash\r\n", Model("m", keep=0.5, free_text="hash")),
    ],
)
def test_spellings(tmp_path: Path, text: str, expected: Model) -> None:
    assert load_model(write(tmp_path, {"m.yaml": text}) / "m.yaml") == expected


BAD = [
    # text, line, key, what the message says, what the hint says
    ("ower: {team: x}", 1, "ower", "unknown key", "did you mean owner?"),
    ("keep: 1\nzebra: 1", 2, "zebra", "unknown key", "the keys are"),
    ("owner:\n  team: x\n  oncall: y", 3, "owner.oncall", "unknown key", "did you mean on_call?"),
    ("owner:\n  on_call: y", 1, "owner.team", "the key is missing", ""),
    ("owner: ops", 1, "owner", "found 'ops', expected a mapping", ""),
    ("owner: {team: 5}", 1, "owner.team", "found 5, expected text", 'write it in quotes: "5"'),
    ("owner: {team: ''}", 1, "owner.team", "expected text that is not empty", ""),
    (
        "\ntask: binry",
        2,
        "task",
        f"found 'binry', expected {TASKS}",
        "did you mean binary?",
    ),
    ("task: 5", 1, "task", f"found 5, expected {TASKS}", ""),
    ("features:\n  a: {kind: numerc}", 2, "features.a.kind", "expected numeric, integer", "mean numeric?"),
    ("features:\n  a:\n    polcy: keep", 3, "features.a.polcy", "unknown key", "did you mean policy?"),
    ("features:\n  a: {importance: 2}", 2, "features.a.importance", "found 2, expected at most 1", ""),
    (
        "sources: {payments-etl: payments}\nfeatures:\n  a: {source: payment-etl}",
        3,
        "features.a.source",
        "found payment-etl, expected one of the model's sources",
        "did you mean payments-etl?",
    ),
    ("features: {a: {source: crm}}", 1, "features.a.source", "found crm", "declare sources: {crm: TEAM}"),
    ("sources: {crm: }", 1, "sources.crm", "expected text", ""),
    ("features:\n  - a\n  - 5", 3, "features[1]", "found 5, expected text", "in quotes"),
    ("features: [a, b, a]", 1, "features", "found the feature a twice", ""),
    ("features: 5", 1, "features", "found 5, expected a list of names or a mapping", ""),
    (
        "drift_limits:\n- {metric: kl, at_most: 0.2}",
        2,
        "drift_limits[0].metric",
        "found 'kl', expected psi, kullback_leibler, jensen_shannon, total_variation or wasserstein",
        "",
    ),
    ("drift_limits:\n- {metric: psi}", 2, "drift_limits[0].at_most", "the key is missing", ""),
    ("drift_limits:\n- {metric: psi, at_most: 0}", 2, "drift_limits[0].at_most", "found 0, expected more than 0", ""),
    (
        "drift_limits:\n- {metric: jensen_shannon, at_most: 20}",
        2,
        "drift_limits[0].at_most",
        "found 20, expected between 0 and 1",
        "",
    ),
    (
        "drift_limits:\n- {metric: psi, at_most: 1, feature: a}\n- {metric: psi, at_most: 2, feature: a}",
        1,
        "drift_limits",
        "found the limit psi of a twice",
        "",
    ),
    ("drift_limits: {psi: 0.2}", 1, "drift_limits", "found a mapping, expected a list", ""),
    ("cohorts: carrier", 1, "cohorts", "found 'carrier', expected a list", ""),
    ("cohorts:\n- a\n- {name: b}", 3, "cohorts[1]", "found neither by nor where", ""),
    (
        "cohorts:\n- {name: b, by: c, part: hour, edges: [1]}",
        2,
        "cohorts[0]",
        "found part and edges, expected one of them",
        "",
    ),
    ("cohorts:\n- {name: b, where: d > 1, mapping: {x: y}}", 2, "cohorts[0]", "found mapping and where", ""),
    ("cohorts:\n- {name: b, by: c, edges: [2, 1]}", 2, "cohorts[0].edges", "found edges that do not rise", "in order"),
    ("cohorts:\n- {name: b, by: c, part: minute}", 2, "cohorts[0].part", "found 'minute'", ""),
    ("cohorts:\n- {name: b, by: c, where: d}", 2, "cohorts[0]", "found both by and where", ""),
    ("cohorts:\n- {name: b, wher: c}", 2, "cohorts[0].wher", "unknown key", "did you mean where?"),
    ("cohorts:\n- a\n- a", 1, "cohorts", "found the cohort a twice", ""),
    (
        "cohorts:\n- a\n- day",
        3,
        "cohorts[1]",
        "found 'day', a word that answers group by",
        "{name: day_value, by: day}",
    ),
    (
        "cohorts:\n- name: version\n  by: v",
        2,
        "cohorts[0].name",
        "found 'version', a word that answers group by",
        "`--by version` needs no cohort",
    ),
    (
        "cohorts:\n- {name: endpoint, where: a > 1}",
        2,
        "cohorts[0].name",
        "found 'endpoint', a word that answers group by",
        "`--by endpoint` needs no cohort",
    ),
    ("cohorts:\n- 7", 2, "cohorts[0]", "found 7, expected a column or a mapping", ""),
    (
        "cohorts:\n- name: b\n  where: a ADN b",
        3,
        "cohorts[0].where",
        "(column 3)\n  a ADN b\n    ^",
        "mean AND?",
    ),
    ("keep_where: lowr(a) = 'x'", 1, "keep_where", "no function is called lowr", "did you mean lower?"),
    ("quality:\n  auc: {}", 2, "quality.auc", "found no bar", ""),
    (
        "quality:\n  auc: {at_least: high}",
        2,
        "quality.auc.at_least",
        "found 'high', expected a number",
        "quotes",
    ),
    ("quality:\n  auc: {at_least: 2, at_most: 1}", 2, "quality.auc", "found at_least 2 above at_most 1", ""),
    ("quality:\n  auc:\n    at_least: 7", 3, "quality.auc.at_least", "found 7, expected 0 to 1", ""),
    (
        "quality:\n  accuracy: {at_least: 85}",
        2,
        "quality.accuracy.at_least",
        "found 85, expected 0 to 1",
        "write 85 % as 0.85",
    ),
    ("quality: {brier: {at_most: -0.1}}", 1, "quality.brier.at_most", "found -0.1, expected 0 to 1", ""),
    ("quality: {log_loss: {at_most: -1}}", 1, "quality.log_loss.at_most", "found -1, expected at least 0", ""),
    (
        "task: regression\nquality: {rmse: {at_most: -20}}",
        2,
        "quality.rmse.at_most",
        "found -20, expected at least 0",
        "",
    ),
    (
        "task: regression\nquality: {r_squared: {at_least: 200}}",
        2,
        "quality.r_squared.at_least",
        "found 200, expected at most 1",
        "",
    ),
    (
        "quality:\n  acuracy: {at_least: 0.8}",
        2,
        "quality.acuracy",
        "a binary model has no metric of this name",
        "did you mean accuracy?",
    ),
    ("quality: {zebra: {at_least: 0.8}}", 1, "quality.zebra", "a binary model has no metric", "the metrics are auc, "),
    (
        "quality: {rmse: {at_most: 20}}",
        1,
        "quality.rmse",
        "a binary model has no metric of this name",
        "it is a metric of regression models: change task, or the metric",
    ),
    (
        "task: regression\nquality: {within_tolerance: {at_least: 0.9}}",
        2,
        "quality.within_tolerance",
        "found no success.tolerance",
        "success: {tolerance: ...}",
    ),
    ("quality:\n  auc: {at_lest: 0.7, source: x}", 2, "quality.auc.at_lest", "unknown key", "mean at_least?"),
    ("outcomes: [a, b]", 1, "outcomes", "found none marked final", "final: true"),
    (
        "outcomes:\n  a: {final: true}\n  b: {final: true}",
        1,
        "outcomes",
        "found a and b marked final",
        "final",
    ),
    ("outcomes: {a: {final: false}}", 1, "outcomes", "found none marked final", "final: true"),
    ("outcomes: []", 1, "outcomes", "found none marked final", "final"),
    (
        "outcome_horizon: 30",
        1,
        "outcome_horizon",
        "found 30, expected a duration",
        "add a unit: 30s, 30h or 30d",
    ),
    ("outcome_horizon: 30 days", 1, "outcome_horizon", "found '30 days', expected a duration", "90s, 30m"),
    ("outcome_horizon: 0s", 1, "outcome_horizon", "above zero", ""),
    (f"outcome_horizon: {'9' * 400}d", 1, "outcome_horizon", "below 200 years", ""),
    ("outcome_if_silent: {value: 1}", 1, "outcome_if_silent.after", "the key is missing", ""),
    ("rates: {per_month_usd: -1}", 1, "rates.per_month_usd", "found -1, expected at least 0", ""),
    (
        "rates: {per_month_usd: $5}",
        1,
        "rates.per_month_usd",
        "found '$5', expected a number",
        "without quotes",
    ),
    ("keep: .nan", 1, "keep", "expected a finite number", ""),
    ("keep: true", 1, "keep", "found true, expected a number", ""),
    ("timezone: Europe/Berln", 1, "timezone", "expected a time zone", "did you mean Europe/Berlin?"),
    ("trained_until: yesterday", 1, "trained_until", "found 'yesterday', expected a time", "2026-11-24"),
    ("reference: lst week", 1, "reference", "found 'lst week', expected a window", "last week"),
    ("reference: 2013-02-01..2013-01-01", 1, "reference", "ends before it starts", ""),
    ("retention: {size: 5XB}", 1, "retention.size", "found '5XB', expected a size", "500MB"),
    ("retention: {size: 0}", 1, "retention.size", "found 0, expected at least 1", ""),
    ("schedule: {evry: 1d}", 1, "schedule.evry", "unknown key", "did you mean every?"),
    (
        "success: {tolerance: 1}",
        1,
        "success.tolerance",
        "found tolerance for a binary model",
        "use threshold",
    ),
    (
        "keep: 0.1\nkeep_where: a > 5\nfeatures: {a: {policy: hash}}",
        2,
        "keep_where",
        "found a, whose policy is hash, so no condition on its values ever holds",
        "change its policy",
    ),
    ("keep: 1\nfeatures: {a: {policy: drop}}\ncohorts: [a]", 3, "cohorts", "found a, whose policy is drop", "is kept"),
    (
        "keep: 1\nname: other",
        2,
        "name",
        "found 'other', expected 'm', the name of the file",
        "rename the file",
    ),
    ("keep: 1\nkeep: 2", 2, "keep", "the key is written twice, first on line 1", "keep one"),
    ("<<: {keep: 1}", 1, "<<", "merge keys are not read", "defaults.yaml"),
    (
        "keep: !!python/object:os.system x",
        1,
        "keep",
        "found the tag !!python/object:os.system",
        "remove the tag",
    ),
    ("keep: !!int x", 1, "keep", "found 'x', which is no int", ""),
    ("keep: !bag [1]", 1, "keep", "found the tag !bag", "remove the tag"),
    ("", 1, "", "the file is empty", ""),
    ("# nothing\n", 1, "", "the file is empty", ""),
    ("- a", 1, "", "found a list, expected a mapping of keys", "key: value"),
    ("words", 1, "", "found 'words', expected a mapping of keys", "key: value"),
    ("owner:\n\tteam: x", 2, "", "found a tab character", "indent with spaces"),
    ("keep: 1\nowner: a: b", 2, "", "found a colon", "quote text"),
    ("keep: [1", 1, "", "not YAML", ""),
    ("keep: 1\n---\nkeep: 2", 2, "", "found a second document", ""),
    ("keep: 1\n? [a]\n: 1", 2, "", "found a key that is not text", ""),
    ("keep: 1\na: \x01", 2, "", "found the character '\\x01', which YAML forbids", ""),
    ("keep: &a [*a]", 1, "", "an anchor holds itself", ""),
    ("keep: *a", 1, "", "undefined alias", ""),
    ("a: " + "[" * 5000, 0, "", "nests too deep", ""),
]


@pytest.mark.parametrize(("text", "line", "key", "message", "hint"), BAD, ids=[repr(case[0][:30]) for case in BAD])
def test_says_where_and_what(tmp_path: Path, text: str, line: int, key: str, message: str, hint: str) -> None:
    path = write(tmp_path, {"m.yaml": text}) / "m.yaml"
    with pytest.raises(DeclarationError) as caught:
        load_model(path)
    place = f"{path}:{line}: " if line else f"{path}: "
    assert caught.value.message.startswith(place + (f"{key}: " if key else ""))
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert bool(hint) == bool(caught.value.hint)
    assert "problems" not in caught.value.message
    assert caught.value.__cause__ is None


def test_an_anchor_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    names = "abcdefghij"
    lines = [f"a: &a [{', '.join('1' * 10)}]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in pairwise(names)]
    path = write(tmp_path, {"m.yaml": "\n".join(lines)}) / "m.yaml"
    with pytest.raises(DeclarationError, match="more than 20,000 values"):
        load_model(path)


def test_all_problems_of_a_file_are_told_in_order(tmp_path: Path) -> None:
    text = "task: binry\nkeep: 2\nowner: {teem: x}\nname: other\n"
    path = write(tmp_path, {"m.yaml": text}) / "m.yaml"
    with pytest.raises(DeclarationError) as caught:
        load_model(path)
    hint = " (rename the file, or remove the key)"
    assert caught.value.message == "\n".join(
        [
            "5 problems",
            f"  {path}:1: task: found 'binry', expected {TASKS} (did you mean binary?)",
            f"  {path}:2: keep: found 2, expected at most 1",
            f"  {path}:3: owner.team: the key is missing",
            f"  {path}:3: owner.teem: unknown key (did you mean team?)",
            f"  {path}:4: name: found 'other', expected 'm', the name of the file{hint}",
        ]
    )


def test_every_impossible_bar_is_told_at_its_place() -> None:
    text = "quality:\n  auc: {at_least: 70}\n  acuracy: {at_least: 0.8}\n  recall: {at_least: -1, at_most: 2}\n"
    with pytest.raises(DeclarationError) as caught:
        load_text(text, "m")
    assert caught.value.message.splitlines() == [
        "4 problems",
        "  m.yaml:2: quality.auc.at_least: found 70, expected 0 to 1 (write 70 % as 0.7)",
        "  m.yaml:3: quality.acuracy: a binary model has no metric of this name (did you mean accuracy?)",
        "  m.yaml:4: quality.recall.at_least: found -1, expected 0 to 1",
        "  m.yaml:4: quality.recall.at_most: found 2, expected 0 to 1",
    ]


@pytest.mark.parametrize(
    ("task", "quality"),
    [
        ("binary", "{auc: {at_least: 0, at_most: 1}, log_loss: {at_most: 40}, base_rate: {at_least: 0.1}}"),
        ("regression", "{bias: {at_least: -5, at_most: 5}, skill: {at_least: -2}, mae: {at_most: 1e9}}"),
    ],
)
def test_bars_at_the_ends_of_a_range_are_fine(task: str, quality: str) -> None:
    assert load_text(f"task: {task}\nquality: {quality}", "m").expectations


@pytest.mark.parametrize(("length", "fits"), [(100, True), (101, False)])
def test_a_models_name_follows_the_same_rule_here_and_in_a_store(tmp_path: Path, length: int, *, fits: bool) -> None:
    name = "m" * length
    path = write(tmp_path, {f"{name}.yaml": "keep: 1"}) / f"{name}.yaml"
    if fits:
        assert check_name(load_model(path).name) == name
        return
    with pytest.raises(DeclarationError, match=f"name: found .* expected {NAME_RULE}"):
        load_model(path)
    with pytest.raises(UsageError) as refusal:
        check_name(name)
    assert NAME_RULE in refusal.value.hint


@given(st.from_regex(r"\A[a.Z_\n-]{1,3}\Z") | st.text(max_size=5))
def test_a_name_that_one_side_takes_the_other_takes_too(name: str) -> None:
    try:
        declared = load_text("keep: 1", name).name == name
    except DeclarationError:
        declared = False
    assert declared == is_name(name)


def is_name(name: str) -> bool:
    try:
        return check_name(name) == name
    except UsageError:
        return False


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"gone\.yaml: cannot be read: No such file"):
        load_model(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"keep: 1\npositive: \xe9")
    with pytest.raises(DeclarationError, match=r"latin\.yaml:2: found a byte that is not UTF-8"):
        load_model(tmp_path / "latin.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(DeclarationError, match="expected at most 1,000,000"):
        load_model(tmp_path / "huge.yaml")
    (tmp_path / "m.yml").write_text("keep: 1")
    with pytest.raises(DeclarationError, match=r"found the ending \.yml(.|\n)*rename it to m\.yaml"):
        load_model(tmp_path / "m.yml")


@given(st.text(max_size=60) | st.text(st.sampled_from("abk:{}[]-,&*!|>'\"%@`#?~ \n\t1.<"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = load_text(text, "m")
    except DeclarationError as error:
        found = None
        told = error.message
    else:
        told = "m.yaml"
    assert told.startswith("m.yaml") or "problems" in told
    assert found is None or found.name == "m"
