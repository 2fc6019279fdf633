"""Free text that changes is found and named by what changed; texts like those before are not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import setpoint

START = np.datetime64("2026-03-02", "us")
PER_DAY = 1000
ENGLISH = ["the", "and", "of", "is", "that", "for", "with", "this", "you", "was", "are", "to", "in"]
GERMAN = np.array(
    ["der", "die", "und", "das", "nicht", "ist", "ich", "ein", "mit", "auf", "haus", "katze", "hund", "gehen", "machen"]
)
MADE_UP = [f"{a}{b}{n}" for a in "bdfgklmnprst" for b in ("a", "en", "or", "ul") for n in range(100)]
WORDS = np.array([*ENGLISH, *MADE_UP])
SHARES = 1.0 / np.arange(1, len(WORDS) + 1) ** 1.05


def reviews(
    days: int, seed: int, first: int = 0, *, german: float = 0.0, shouted: float = 0.0, cut: int | None = None,
    new: float = 0.0, missing: float = 0.0, turned: float = 0.0,
) -> pl.DataFrame:  # fmt: skip
    """Return days of texts of 5 to 40 words, some of them in German, in capitals, cut, new or with words in order."""
    rng = np.random.default_rng(seed)
    texts: list[str | None] = []
    for length in rng.integers(5, 40, days * PER_DAY):
        words = rng.choice(WORDS, length, p=SHARES / SHARES.sum())
        kind = rng.random(5)
        if kind[4] < turned:
            words = np.sort(words)
        if kind[0] < german:
            words = rng.choice(GERMAN, length)
        if kind[1] < new:
            words = [f"{word}ism" for word in words]
        text = " ".join(words)[:cut]
        texts.append(None if kind[3] < missing else text.upper() if kind[2] < shouted else text)
    at = (first * PER_DAY + np.arange(len(texts))) * np.timedelta64(86_400_000_000 // PER_DAY, "us")
    return pl.DataFrame({"ts": START + at, "review": texts}, schema_overrides={"review": pl.String})


@pytest.fixture(scope="module")
def detector() -> setpoint.DriftDetector:
    return setpoint.DriftDetector(reviews(28, 1), time="ts")


def test_texts_like_those_before_have_not_drifted(detector: setpoint.DriftDetector) -> None:
    answer = detector.check(reviews(1, 2, first=28))
    assert answer.headline == "no drift in 6 features"
    alarms = [detector.feed(reviews(1, 100 + day, first=28 + day)).verdict for day in range(10)]
    assert alarms.count(setpoint.Verdict.OK) >= 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"german": 0.05}, "review (language) values never seen in"),
        ({"shouted": 0.1}, "review (capitals)"),
        ({"cut": 100}, "review (length)"),
        ({"new": 0.03}, "review (new words)"),
        ({"missing": 0.1}, "review (length) missing in"),
        ({"turned": 0.5}, "review (word pairs)"),
    ],
)
def test_a_change_is_named(detector: setpoint.DriftDetector, change: dict[str, float], words: str) -> None:
    answer = detector.check(reviews(1, 3, first=28, **change))  # pyright: ignore[reportArgumentType] — a number each
    assert answer.verdict is setpoint.Verdict.WARNING
    assert words in answer.headline


def test_a_text_that_is_missing_is_one_change(detector: setpoint.DriftDetector) -> None:
    answer = detector.check(reviews(1, 3, first=28, missing=0.1))
    assert answer.headline.startswith("1 of 6 features drifted")


def test_a_text_that_becomes_a_number_or_goes_is_said(detector: setpoint.DriftDetector) -> None:
    rows = reviews(1, 3, first=28)
    number = detector.check(rows.with_columns(pl.lit(1.5).alias("review")))
    assert "type changed from VARCHAR to DOUBLE" in str(number)
    gone = detector.check(rows.select("ts", pl.lit(1).alias("other")))
    assert "vanished" in str(gone)


def test_two_tables_are_compared_as_the_first_is_read() -> None:
    before, after = (reviews(2, seed, german=german) for seed, german in ((1, 0.0), (2, 0.2)))
    answer = setpoint.diff(before.drop("ts"), after.drop("ts"))
    assert "review (language) has new values: German" in str(answer)
    few = setpoint.diff(before.drop("ts"), after.drop("ts").head(30))  # so few that by themselves they are no text
    assert "review (language)" in str(few.table("features").rows)


def test_a_text_that_is_a_number_in_the_other_table_has_another_type() -> None:
    before = reviews(1, 1).drop("ts")
    answer = setpoint.diff(before, before.with_columns(pl.lit(2.5).alias("review")))
    assert "review" in answer.headline
