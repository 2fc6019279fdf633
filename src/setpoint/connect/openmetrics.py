"""What was counted of every prediction, as OpenMetrics text for Prometheus and its like: from tallies, never per call.

Counters count since the first prediction that the store knows. Labels are the model, its version, endpoint and role:
no unit, key or error text, of which there are ever more. Of versions like `family@checkpoint` it is the family.

Source: the OpenMetrics specification 1.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from setpoint.connect.asgi import Receive, Scope, Send
from setpoint.store.counters import Counters
from setpoint.store.states import StateTable
from setpoint.store.version_cohorts import by_family

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_BINS_PER_OCTAVE = 32
_OCTAVES = range(-10, 7)
"""Ends of the buckets of a latency: from 2**-10 seconds, a millisecond, to 64. Each is the end of a tally's bin too."""

_COUNTERS = {
    "requests": (
        "setpoint_predictions",
        "",
        "Predictions, kept or not; nobody got those with the role stage or shadow.",
    ),
    "errors": ("setpoint_errors", "", "Predictions that failed."),
    "not_kept": ("setpoint_predictions_not_kept", "", "Predictions that are counted and whose row is not stored."),
    "dropped": ("setpoint_events_dropped", "", "Events that a recorder's full queue refused."),
    "unsent": ("setpoint_shadow_requests_unsent", "", "Copies of requests that a shadow was too slow for."),
    "compute_seconds": ("setpoint_compute_seconds", "seconds", "Time that machines were busy with predictions."),
}
_SPENT = {
    "usd": ("setpoint_calls_cost_usd", "usd", "Known cost of billed calls, by line of the bill."),
    "unpriced": ("setpoint_calls_unpriced", "", "Billed calls of which nobody knows the cost."),
}
_LABELLED = {
    "error_kind": ("setpoint_errors_by_kind", "", "Predictions that failed, by what they failed of.", "kind"),
    "tokens": ("setpoint_tokens", "", "Tokens of billed calls, each in one class.", "class"),
    "seconds": ("setpoint_latency_part_seconds", "seconds", "Where callers' waiting went; latency is all.", "part"),
    "machine_seconds": ("setpoint_machine_seconds", "seconds", "Time used of a machine, and what there was.", "of"),
}
_KINDS = 20
"""Kinds of errors with a line of their own, the most frequent ones; the rest is `other`."""
Labels = tuple[tuple[str, str], ...]


def openmetrics(models: Iterable[tuple[str, Counters | None]]) -> str:
    """Return the counters and the latency of models as OpenMetrics text.

    Args:
        models: The name and the counters of each; None: they cannot be read.
    """
    families: dict[str, list[str]] = {}
    for name, counters in models:
        model = ("model", name)
        if counters is None:
            families.setdefault(_UNREADABLE[0], []).append(f"{_UNREADABLE[0]}{_braces((model,))} 1")
            continue
        traffic, spending = by_family(counters.traffic), by_family(counters.spending)
        for family, lines in [*_counted(model, traffic), *_spent(model, spending)]:
            families.setdefault(family, []).extend(lines)
    labelled = [one[:3] for one in _LABELLED.values()]
    known = (*_COUNTERS.values(), *labelled, *_SPENT.values(), *_HISTOGRAMS.values(), _UNREADABLE)
    said = {name: (unit, words) for name, unit, words in known}
    text: list[str] = []
    for name, (unit, words) in said.items():
        if families.get(name):
            kind = "histogram" if name in _IN_BUCKETS else "gauge" if name == _UNREADABLE[0] else "counter"
            text += [f"# TYPE {name} {kind}", *([f"# UNIT {name} {unit}"] if unit else []), f"# HELP {name} {words}"]
            text += families[name]
    return "\n".join([*text, "# EOF", ""])


_HISTOGRAMS = {
    "latency": ("setpoint_latency_seconds", "seconds", "What callers waited for a prediction."),
    "first_chunk": ("setpoint_first_chunk_seconds", "seconds", "What callers waited for the first piece of an answer."),
}
_UNREADABLE = ("setpoint_unreadable", "", "Models of which nothing else is told here: what is kept of them is damaged.")
_IN_BUCKETS = {name for name, _, _ in _HISTOGRAMS.values()}


def _counted(model: tuple[str, str], traffic: StateTable) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of each family that tallies tell of."""
    whose = (traffic.key(name) for name in ("version", "endpoint", "role"))
    for version, endpoint, role in sorted(set(zip(*whose, strict=True)), key=_in_order):
        mine = traffic.only(version=version).only(endpoint=endpoint).only(role=role)
        labels = (model, ("version", _said(version)), ("endpoint", _said(endpoint)), ("role", _said(role) or "stable"))
        requests = mine.only(measure="requests").total("amount")
        for measure, (name, _, _) in _COUNTERS.items():
            amount = mine.only(measure=measure).total("amount")
            if amount or (requests and measure == "errors"):  # what was asked and has not failed is 0
                yield name, [f"{name}_total{_braces(labels)} {_number(amount)}"]
        for measure, (name, _, _, label) in _LABELLED.items():
            yield name, list(_by_label(name, labels, label, mine.only(measure=measure)))
        for measure, (name, _, _) in _HISTOGRAMS.items():
            if len(counted := mine.only(measure=measure)):
                yield name, list(_histogram(name, labels, counted))


def _by_label(name: str, labels: Labels, label: str, counted: StateTable) -> Iterator[str]:
    """Yield a line for each of the largest counts, and one for the rest."""
    told: dict[str, float] = {}
    for key, amount in sorted(
        zip(counted.key("feature"), counted.column("amount").tolist(), strict=True), key=lambda one: -one[1]
    ):
        kind = str(key) if len(told) < _KINDS or str(key) in told else "other"
        told[kind] = told.get(kind, 0.0) + amount
    for kind, amount in told.items():
        yield f"{name}_total{_braces((*labels, (label, kind)))} {_number(amount)}"


def _histogram(name: str, labels: Labels, counted: StateTable) -> Iterator[str]:
    index = np.array([int(str(label)) for label in counted.key("bin")], dtype=np.int64)
    counts = counted.column("amount")
    for octave in _OCTAVES:
        below = counts[index < octave * _BINS_PER_OCTAVE].sum()
        yield f"{name}_bucket{_braces((*labels, ('le', repr(2.0**octave))))} {_number(below)}"
    total = _number(counts.sum())
    yield f"{name}_bucket{_braces((*labels, ('le', '+Inf')))} {total}"
    yield f"{name}_count{_braces(labels)} {total}"
    # Of the middle of each bin, which is 2.2 % wide.
    yield f"{name}_sum{_braces(labels)} {_number(float(counts @ 2.0 ** ((index + 0.5) / _BINS_PER_OCTAVE)))}"


def _spent(model: tuple[str, str], spending: StateTable) -> Iterator[tuple[str, list[str]]]:
    for version, line in sorted(set(zip(spending.key("version"), spending.key("line"), strict=True)), key=_in_order):
        mine = spending.only(version=version).only(line=line)
        labels = (model, ("version", _said(version)), ("line", _said(line)))
        for column, (name, _, _) in _SPENT.items():
            yield name, [f"{name}_total{_braces(labels)} {_number(mine.total(column))}"]


def _in_order(keys: tuple[object, ...]) -> tuple[str, ...]:
    """Return what labels are sorted by: the same text for the same counts, whatever order an engine finds them in."""
    return tuple(map(_said, keys))


def _said(value: object) -> str:
    return "" if value is None else str(value)


def _braces(labels: Labels) -> str:
    """Return labels as they are written; an empty one is none."""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels if value) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


class MetricsApp:
    """An ASGI app that answers with OpenMetrics text, to be mounted at `/metrics`.

    Args:
        text: Makes the text; called for every request.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        del receive
        if scope["type"] != "http":
            return
        body = (await asyncio.to_thread(self._text)).encode()  # the app that it is mounted in answers meanwhile
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def wsgi(self, environ: Mapping[str, object], start_response: Callable[..., object]) -> list[bytes]:
        """Answer a request of a WSGI server."""
        del environ
        body = self._text().encode()
        start_response("200 OK", [("content-type", CONTENT_TYPE), ("content-length", str(len(body)))])
        return [body]
