"""Charts are valid SVG, say in words what they show, and cannot be broken by odd names."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import duckdb

import setpoint
from setpoint.charts.bars import bar_chart
from setpoint.charts.intervals import IntervalRow, interval_chart

SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_is_valid_and_says_what_it_shows() -> None:
    rows = [IntervalRow("<auc> & co", 0.7, 0.65, 1.4, bar=0.75, is_bad=True), IntervalRow("f1", 0.2, 0.1, 0.3)]
    root = ET.fromstring(interval_chart(rows, "quality"))  # noqa: S314 — our own output
    description = root.find(f"{SVG}desc")
    assert description is not None
    assert "<auc> & co 0.700" in str(description.text)
    width = float(root.attrib["width"])
    assert all(float(mark.attrib["x2"]) <= width for mark in root.iter(f"{SVG}line"))
    assert len(list(root.iter(f"{SVG}circle"))) == 2


def test_bars_are_in_proportion() -> None:
    root = ET.fromstring(bar_chart([("a", 4.0, "4"), ("b", 1.0, "1")], "amounts"))  # noqa: S314 — our own output
    widths = [float(mark.attrib["width"]) for mark in root.iter(f"{SVG}rect")]
    assert widths[0] == 4 * widths[1]
    assert bar_chart([("a", 0.0, "0")], "nothing") == ""
    assert interval_chart([], "nothing") == ""


def test_answers_show_their_chart_in_a_notebook() -> None:
    table = duckdb.sql(
        "SELECT i % 2 AS outcome, 0.3 + 0.4 * (i % 2) + (i % 10) / 100 AS score, i % 7 AS x, 0.5 AS cost"
        " FROM range(2000) AS t(i)"
    )
    changed, before = (duckdb.sql(f"SELECT i % {n} AS x FROM range(2000) AS t(i)") for n in (5, 7))
    assert table is not None
    assert changed is not None
    assert before is not None
    log = setpoint.read(table, score="score", outcome="outcome", cost_usd="cost", inputs=["x"])
    for answer in (log.status(), log.cost(), setpoint.diff(before, changed)):
        page = answer._repr_html_()
        assert page.count("<svg") == 1
        assert "<script" not in page
        assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
