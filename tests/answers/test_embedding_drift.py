"""Embeddings of two tables: drift is said with its size, and what cannot be compared is said too."""

from __future__ import annotations

import numpy as np
import pytest

import setpoint
from setpoint.answers.embedding_drift import MOST_ROWS


def test_embeddings_that_moved_have_drifted_and_others_have_not() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=(3000, 32))
    alike = setpoint.embedding_drift(before, rng.normal(size=(2500, 32)))
    assert alike.verdict is setpoint.Verdict.OK
    moved = setpoint.embedding_drift(before, rng.normal(0.1, 1.0, (2500, 32)))
    assert moved.verdict is setpoint.Verdict.WARNING
    assert moved.headline.startswith("embeddings drifted: coefficient")
    row = dict(zip(moved.tables[0].columns, moved.tables[0].rows[0], strict=True))
    assert (row["reference_rows"], row["current_rows"], row["p"]) == (MOST_ROWS, MOST_ROWS, 0.001)


def test_vectors_with_a_gap_are_left_out_and_counted() -> None:
    vectors = np.random.default_rng(1).normal(size=(100, 4))
    vectors[:3, 0] = np.nan, np.inf, -np.inf
    answer = setpoint.embedding_drift(vectors, vectors)
    assert "3 vectors" not in str(answer)
    assert "6 vectors with a number that is missing or infinite: left out" in str(answer)


@pytest.mark.parametrize("few", [np.zeros((1, 4)), np.zeros((0, 4)), np.full((100, 4), np.nan)])
def test_too_few_vectors_are_unknown(few: np.ndarray) -> None:
    answer = setpoint.embedding_drift(np.random.default_rng(1).normal(size=(100, 4)), few)
    assert answer.verdict is setpoint.Verdict.UNKNOWN
    assert "needs 20 of each" in answer.headline


@pytest.mark.parametrize("given", [[1.0, 2.0], [[1.0], [1.0, 2.0]], [["a"]], np.zeros((30, 0)), np.zeros((30, 3))])
def test_what_is_no_table_of_such_vectors_is_refused(given: list[object]) -> None:
    with pytest.raises(setpoint.UsageError):
        setpoint.embedding_drift(np.zeros((30, 4)), given)  # pyright: ignore[reportArgumentType] — on purpose
