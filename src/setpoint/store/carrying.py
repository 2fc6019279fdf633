"""Carries kept states over to a newer form: those of days whose rows were let go exist nowhere else.

A state of an older version is read by the form it was written in. Where that form lacks a column, or
the whole kind, what it would tell is unknown for those days; such states stay as they are, under
another name. States of days whose rows are there are dropped, and the next refresh makes them anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import cast

import msgspec

from setpoint.store.arrivals import ARRIVALS
from setpoint.store.exposure import EXPOSURE
from setpoint.store.measures import PROFILE, SPENDING, TRAFFIC
from setpoint.store.money import MONEY
from setpoint.store.quality_kinds import QUALITY_KINDS
from setpoint.store.states import StateKind, StateTable, merge

KINDS = {kind.name: kind for kind in (*QUALITY_KINDS.values(), TRAFFIC, PROFILE, SPENDING, ARRIVALS, MONEY, EXPOSURE)}
"""Every kind of state that is kept."""
_FORMS = "forms"


def save_forms(connection: sqlite3.Connection) -> None:
    """Note in which form the states are, for a later version to read."""
    content = msgspec.msgpack.encode({**_forms(connection), **KINDS})
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FORMS, content))


def carry_over(connection: sqlite3.Connection, let_go_before: int, version: int) -> list[str]:
    """Bring the states of days whose rows were let go into the present form, and drop all others.

    Args:
        connection: The states of an older version.
        let_go_before: Rows before it are gone.
        version: Which one that is.

    Returns:
        Kinds of which nothing can be told for those days: that version did not keep what they need.
    """
    connection.execute("DELETE FROM states WHERE start >= ?", (let_go_before,))
    forms = dict(_forms(connection))
    lacking: list[str] = []
    for name, kind in KINDS.items():
        form = forms.get(name)
        if form is None or not _carried(connection, form, kind):
            lacking.append(name)
            old = f"{name} of version {version}"
            connection.execute("UPDATE states SET kind = ? WHERE kind = ?", (old, name))
            forms |= {old: form} if form else {}
    content = msgspec.msgpack.encode(forms)
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FORMS, content))
    return lacking


def _forms(connection: sqlite3.Connection) -> Mapping[str, StateKind]:
    """Return how the states were written; a version that did not say so wrote them as today."""
    found = connection.execute("SELECT content FROM meta WHERE name = ?", (_FORMS,)).fetchone()
    try:
        return KINDS if found is None else msgspec.msgpack.decode(found[0], type=dict[str, StateKind])
    except msgspec.MsgspecError:
        return {}


def _carried(connection: sqlite3.Connection, form: StateKind, kind: StateKind) -> bool:
    """Rewrite the states of a kind in its present form; return False, and change nothing, when that is impossible."""
    found = connection.execute("SELECT cohort, grain, start, content FROM states WHERE kind = ?", (kind.name,))
    try:
        changed = [
            (reformed(StateTable.decode(form, content), kind).encode(), kind.name, cohort, grain, start)
            for cohort, grain, start, content in cast("list[tuple[str, str, int, bytes]]", found.fetchall())
        ]
    except (ValueError, IndexError, msgspec.MsgspecError):
        return False
    connection.executemany(
        "UPDATE states SET content = ? WHERE kind = ? AND cohort = ? AND grain = ? AND start = ?", changed
    )
    return True


def reformed(table: StateTable, kind: StateKind) -> StateTable:
    """Return a state in another form of its kind, which may have fewer columns, or another order of them.

    Raises:
        ValueError: The form has a column that the state lacks.

    Example:
        >>> old, new = StateKind("visits", ("page",), ("rows", "usd")), StateKind("visits", ("page",), ("usd",))
        >>> reformed(StateTable.of(old, [("a", 2.0, 0.5)]), new).rows()
        [('a', 0.5)]
    """
    keys = [table.kind.keys.index(name) for name in kind.keys]
    values = [table.kind.values.index(name) for name in kind.values]
    levels = [table.levels[place] for place in keys]
    return merge(kind, [StateTable(kind, levels, table.codes[:, keys], table.values[:, values])])
