"""What is measured of free text equals the same in plain Python, and never says what a text was."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import duckdb
import numpy as np
import pytest

from setpoint.core.model import Feature, Model
from setpoint.inputs.profiles import profiles
from setpoint.store.engines.duck import connect
from setpoint.store.evidence import RowEvidence
from setpoint.store.files import Mapped, create_views, load
from setpoint.store.measures import Words
from setpoint.store.profile_file import SavedProfile
from setpoint.store.states import merge
from setpoint.store.texts import FIRST_WORDS, PARTS, known_words, measured, part_of

TEXTS = [
    "The cat and the dog, this is GOOD!", "Der Hund und die Katze. Die Straße ist hier", "El perro con los gatos",
    "ПРИВЕТ мир", "日本語 のテスト", "한국어 텍스트", "12 34", "", "  ", "hello", "ÉCOLE et les élèves",
    "\u0130stanbul \u0131",
    "a\tb\nc", "one" * 1000,
    " ".join(f"word{n}" for n in range(100)), "'; DROP TABLE x; --", "nul\0byte",
    None,
]  # fmt: skip
LANGUAGES = [
    "English", "German", "Spanish", "Cyrillic", "Han", "Hangul", "none", "none", "none", "Latin", "French", "Latin",
    "Latin", "Latin", "Latin", "Latin", "Latin", None,
]  # fmt: skip


def measure(texts: Sequence[str | None], known: bytes | None = None) -> dict[str, list[object]]:
    connection = connect()
    connection.execute("CREATE TABLE t (place INTEGER, x VARCHAR)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(texts)))
    known = known_words(connection, "x", "t") if known is None else known
    told = ", ".join(f'"{part_of("x", part)}"' for part in PARTS)
    found = connection.execute(f"SELECT {told} FROM ({measured({'x': ('x', known)}, 't', ('place',))}) ORDER BY place")
    return dict(zip(PARTS, map(list, zip(*found.fetchall(), strict=True)), strict=True))


def place_of(word: str) -> int:
    return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest()[:4], 16)


def words_of(text: str) -> list[str]:
    for mark in ',.;:!?"()[]\n\t':
        text = text.replace(mark, " ")
    return [word for word in text.lower().split(" ") if word][:FIRST_WORDS]


def test_length_and_capitals_are_those_that_python_counts() -> None:
    found = measure(TEXTS)
    assert found["length"] == [None if text is None else len(text) for text in TEXTS]
    for text, capitals in zip(TEXTS, found["capitals"], strict=True):
        letters = [c for c in (text or "").replace("ß", "") if c.lower() != c.upper() and c not in {"\u0130", "\u0131"}]
        if "\u0130" in (text or ""):
            continue  # its small letter takes fewer bytes, so that letters are counted
        expected = sum(c.isupper() for c in letters) / len(letters) if letters else None
        assert capitals == (None if expected is None else pytest.approx(expected)), text


def test_a_language_is_told_by_its_common_words_and_another_script_by_its_first_letter() -> None:
    assert measure(TEXTS)["language"] == LANGUAGES


def test_new_words_are_those_that_no_text_of_the_other_half_has() -> None:
    texts = [text for text in TEXTS if text is not None]
    halves = [int(hashlib.md5(t.encode(), usedforsecurity=False).hexdigest()[:7], 16) // 1024 % 2 for t in texts]
    assert set(halves) == {0, 1}
    found = measure(texts)
    for text, half, share in zip(texts, halves, found["new words"], strict=True):
        other = {place_of(word) for t, h in zip(texts, halves, strict=True) if h != half for word in words_of(t)}
        words = words_of(text)
        expected = sum(place_of(word) not in other for word in words) / len(words) if words else None
        assert share == (None if expected is None else pytest.approx(expected)), text
    drawn = [{f"#{place_of(word) // 1024}" for word in words_of(text)} for text in texts]
    assert all(one is None or one in buckets for one, buckets in zip(found["words"], drawn, strict=True) if buckets)


def test_texts_that_words_are_learned_from_have_as_many_new_ones_as_later_texts() -> None:
    rng = np.random.default_rng(1)
    shares = 1.0 / np.arange(1, 5001)
    words = np.array([f"w{n}" for n in range(5000)])

    def some(count: int) -> list[str]:
        return [" ".join(rng.choice(words, 8, p=shares / shares.sum())) for _ in range(count)]

    first, later = some(1000), some(4000)
    found = measure([*first, *later])["new words"]  # of all, to have one table
    connection = connect()
    connection.execute("CREATE TABLE t AS SELECT unnest(?) AS x", [first])
    found = measure([*first, *later], known_words(connection, "x", "t"))["new words"]
    here, there = np.array(found[:1000], dtype=float), np.array(found[1000:], dtype=float)
    apart = here.mean() - there.mean()
    assert abs(apart) < 3.0 * np.sqrt(here.var() / 1000 + there.var() / 4000)
    assert 0.1 < there.mean() < 0.6


def evidence_of(sql: str, kind: str = "VARCHAR", *, is_declared: bool = False) -> RowEvidence:
    connection = connect()
    types = load(connection, cast("duckdb.DuckDBPyRelation", duckdb.sql(sql)), "raw_predictions")
    inputs = Mapped({"time": "ts"} if "ts" in types else {}, ("x",), texts=("x",))
    features = create_views(connection, ("raw_predictions", types, inputs), None, "UTC")
    assert features["x"].kind == kind
    model = Model("m", features=(Feature("x", "text"),)) if is_declared else Model("m")
    return RowEvidence(connection, model, features, 0, is_joined=True, is_recorded=False)


@pytest.mark.parametrize(
    ("sql", "kind", "rows", "present"),
    [
        ("SELECT NULL::VARCHAR AS x FROM range(100)", "VARCHAR", 100, 0),
        ("SELECT 'one row of text' AS x", "VARCHAR", 1, 1),
        ("SELECT '' AS x FROM range(100)", "VARCHAR", 100, 100),
        ("SELECT CASE WHEN i % 2 = 0 THEN 'a b c' ELSE i::VARCHAR END AS x FROM range(10) t(i)", "VARCHAR", 10, 10),
        ("SELECT i AS x FROM range(100) t(i)", "BIGINT", 100, 100),
    ],
)
def test_odd_columns_are_measured(sql: str, kind: str, rows: int, present: int) -> None:
    evidence = evidence_of(sql, kind, is_declared=True)
    found = profiles(evidence.profile(None), evidence.definition)
    length = found["x (length)"]
    assert (length.rows, length.present) == (rows, present)
    assert {part_of("x", part) for part in PARTS} <= found.keys()
    assert all(found[part_of("x", part)].missing == 0.0 for part in PARTS[1:])  # it is asked once


def test_hours_add_up_to_the_day_and_cohorts_to_all() -> None:
    evidence = evidence_of(
        "SELECT 'the text ' || i * 7919 % 101 || ' and Nr ' || i % 7 AS x, to_timestamp(i * 60) AS ts"
        " FROM range(2880) t(i)"
    )
    hours = evidence.profile(None, bucket_seconds=3600).at("bucket", 0)
    whole = profiles(evidence.profile(None), evidence.definition)
    merged = profiles(merge(hours.kind, [hours]), evidence.definition)
    by_version = profiles(evidence.profile(None, cohort="version").at("cohort_value", None), evidence.definition)
    for name, profile in whole.items():
        for other in (merged[name], by_version[name]):
            assert (other.rows, other.missing, dict(other.values)) == (
                profile.rows, profile.missing, dict(profile.values)
            )  # fmt: skip
            assert other.counts.tolist() == profile.counts.tolist()
            assert other.mean == (None if profile.mean is None else pytest.approx(profile.mean))


def test_no_text_and_no_word_of_it_is_kept() -> None:
    evidence = evidence_of("SELECT 'confidential matter ' || i AS x FROM range(200) t(i)")
    state, definition = evidence.profile(None), evidence.definition
    said = repr(sorted(map(repr, state.rows()))) + repr(definition)
    assert "x (new words)" in said
    assert "confidential" not in said
    assert "matter" not in said


def test_a_saved_profile_knows_the_same_words(tmp_path: Path) -> None:
    evidence = evidence_of("SELECT 'some text of ' || i AS x FROM range(200) t(i)")
    path = tmp_path / "x.profile"
    saved = SavedProfile(
        "x", "UTC", is_timed=False, kinds={"x": "VARCHAR"}, definition=evidence.definition,
        days=[(0, evidence.profile(None))],
    )  # fmt: skip
    saved.write(path)
    again = SavedProfile.read(path).definition.features
    assert again == dict(evidence.definition.features)
    assert isinstance(again["x (new words)"], Words)


def test_scores_are_known_by_part() -> None:
    evidence = evidence_of("SELECT 'the text ' || i AS x FROM range(200) t(i)")
    found = evidence.answers_by_bin("x (language)", None)
    assert found["score"] == {}  # no row has a score
