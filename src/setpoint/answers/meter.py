"""Where does the time of a prediction go, what failed, what was used, and do slow answers fare worse?"""

from __future__ import annotations

from setpoint.answers.answer import Answer, Cell, Table
from setpoint.answers.groups import cohort_of
from setpoint.answers.status import observed
from setpoint.core.clock import DAY
from setpoint.core.events import STAGE
from setpoint.core.metric import Metric, counted, number
from setpoint.core.prices import TOKEN_CLASSES
from setpoint.core.verdict import Verdict
from setpoint.core.window import Window
from setpoint.predictions.meter import Traffic, latency, latency_parts, machine_metrics, traffic
from setpoint.predictions.spending import tokens_per_request
from setpoint.stats import intervals
from setpoint.stats.estimate import Estimate
from setpoint.store.counting import LATENCY_BINS_PER_OCTAVE, latency_bin
from setpoint.store.evidence import RowEvidence
from setpoint.store.latency_bands import Band, Sums, latency_bands
from setpoint.store.states import StateTable

DEFAULT_LENGTH = 7 * DAY
METRIC_COLUMNS = ("metric", "value", "low", "high", "unit", "better", "rows", "unknown")
PART_COLUMNS = ("part", "mean_seconds", "share")
ERROR_COLUMNS = ("kind", "errors", "ratio", "low", "high")
STAGE_ERROR_COLUMNS = ("kind", "errors")
TOKEN_COLUMNS = ("class", "tokens", "tokens_per_request")
BAND_COLUMNS = (
    "from_seconds", "to_seconds", "predictions", "success_rate", "success_low", "success_high", "outcomes",
    "mean_value_usd", "value_low_usd", "value_high_usd", "valued",
)  # fmt: skip
ASSOCIATION = "success and value by latency are associations: hard requests may take longer and also go wrong"
_QUANTILES = (0.5, 0.8, 0.95)


def meter(evidence: RowEvidence, *, window: Window | None = None, by: str = "") -> Answer:
    """Return what the predictions of a window took.

    Args:
        evidence: The model's states.
        window: The window; by default the last seven days, of files all of them.
        by: `version`, `endpoint` or a cohort, within which latency is held against what became of predictions.
    """
    cohort_of(by, evidence.model)
    if window is None and evidence.is_recorded:
        window = Window(evidence.as_of - DEFAULT_LENGTH, evidence.as_of)
    state = evidence.traffic(window)
    asked = state.without(role="shadow").without(role=STAGE)
    seen = traffic(state, observed(evidence, window))
    parts = latency_parts(state.without(role="shadow"))
    metrics = [
        *seen.metrics,
        latency(asked, 0.99),
        latency(asked, 0.5, "first_chunk"),
        latency(asked, 0.95, "first_chunk"),
        *machine_metrics(state, evidence.model),
        tokens_per_request(evidence.spending(window), seen.requests),
    ]
    bands = _bands(evidence, window, asked, by)
    zone = evidence.model.timezone
    return Answer(
        question="meter",
        model=evidence.model.name,
        verdict=Verdict.OK if seen.requests else Verdict.UNKNOWN,
        headline=_headline(evidence.model.name, seen, asked, parts),
        because=(*([window.text(zone) + f" ({zone})"] if window else []), *([ASSOCIATION] if bands else [])),
        unknowns=() if parts else ("where the time goes: no latency was recorded",),
        as_of=evidence.as_of,
        zone=zone,
        tables=(_metrics(metrics), *_tables(parts, asked, state, seen), *bands),
        is_silent=not seen.requests,
    )


def _headline(name: str, seen: Traffic, asked: StateTable, parts: dict[str, float]) -> str:
    subject = f"{name}: " if name else ""
    if not seen.requests:
        return f"{subject}no prediction in this window"
    said = f"{subject}{counted(seen.requests, 'prediction')}, {counted(seen.errors, 'error')}"
    median, slow = latency(asked, 0.5), latency(asked, 0.95)
    if median.value is None or slow.value is None:
        return f"{said}; latency unknown"
    said += f", P50 {number(median.value, 'seconds')}, P95 {number(slow.value, 'seconds')}"
    whole = sum(parts.values())
    largest = sorted(parts.items(), key=lambda one: -one[1])[:2]
    return f"{said}: " + ", ".join(f"{number(part / whole, 'share')} {name}" for name, part in largest if part > 0.0)


def _metrics(metrics: list[Metric]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (one.name, one.value, one.low, one.high, one.unit, one.better, one.rows, one.unknown or None) for one in metrics
    ]
    lines = [(one.name, one.text()) for one in metrics if one.value is not None]
    return Table("metrics", METRIC_COLUMNS, rows, ("metric", "value and 95 % interval"), lines)


def _tables(parts: dict[str, float], asked: StateTable, state: StateTable, seen: Traffic) -> list[Table]:
    """Return the latency's parts, the errors by kind and the tokens by class; what nobody recorded has no table."""
    found: list[Table] = []
    whole = sum(parts.values())
    if whole:
        rows: list[tuple[Cell, ...]] = [(name, mean, mean / whole) for name, mean in parts.items()]
        lines = [(name, number(mean, "seconds"), number(mean / whole, "share")) for name, mean in parts.items()]
        found.append(Table("latency", PART_COLUMNS, rows, ("part", "mean", "of the latency"), lines))
    kinds = _by_feature(asked.only(measure="error_kind"))
    if kinds:
        shares = {kind: intervals.wilson(errors, seen.requests) for kind, errors in kinds.items()}
        rows = [(kind, round(kinds[kind]), one.value, one.low, one.high) for kind, one in shares.items()]
        lines = [(kind, f"{kinds[kind]:,.0f}", _share(one)) for kind, one in shares.items()]
        found.append(Table("errors", ERROR_COLUMNS, rows, ("error", "predictions", "share and 95 % interval"), lines))
    mended = _by_feature(state.only(role=STAGE).only(measure="error_kind"))
    if mended:
        rows = [(kind, round(errors)) for kind, errors in mended.items()]
        lines = [(kind, f"{errors:,.0f}") for kind, errors in mended.items()]
        found.append(Table("stage_errors", STAGE_ERROR_COLUMNS, rows, ("error of a stage", "turns"), lines))
    tokens = _by_feature(state.only(measure="tokens"))
    if tokens:
        each = max(seen.requests, 1)  # calls may be told of requests that nobody recorded
        named = [(name, tokens[name]) for name in TOKEN_CLASSES if name in tokens]
        rows = [(name, round(amount), amount / each) for name, amount in named]
        lines = [(name, f"{amount:,.0f}", f"{amount / each:,.1f}") for name, amount in named]
        found.append(Table("tokens", TOKEN_COLUMNS, rows, ("tokens", "all calls", "a prediction"), lines))
    return found


def _by_feature(state: StateTable) -> dict[str, float]:
    """Return the amounts by the state's feature, largest first."""
    found: dict[str, float] = {}
    for name, amount in zip(state.key("feature"), state.column("amount").tolist(), strict=True):
        found[str(name)] = found.get(str(name), 0.0) + amount
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _bands(evidence: RowEvidence, window: Window | None, asked: StateTable, by: str) -> list[Table]:
    """Return what became of quick and of slow predictions, when that is known of any and no row was let go."""
    found_at = [latency(asked, probability).value for probability in _QUANTILES]
    # At the ends of the bins that latencies are counted in: what took equally long stays together.
    ends = sorted({2.0 ** ((latency_bin(one) + 1) / LATENCY_BINS_PER_OCTAVE) for one in found_at if one is not None})
    if not ends or not evidence.has_rows_of(window):
        return []
    found = latency_bands(evidence, window, ends, by=by)
    if not any(band.success.rows for band in found):
        return []
    rows: list[tuple[Cell, ...]] = []
    lines: list[tuple[str, ...]] = []
    for band in found:
        low, high = ([0.0, *ends][band.place], ends[band.place] if band.place < len(ends) else None)
        right, worth = _rate(band.success), _mean(band.value_usd)
        group: tuple[Cell, ...] = (band.group or "(none)",) if by else ()
        rows.append(
            (
                *group,
                *(low, high, round(band.weight), right.value, right.low, right.high, band.success.rows),
                *(worth.value, worth.low, worth.high, band.value_usd.rows),
            )
        )
        lines.append((*map(str, group), _said(low, high), f"{band.weight:,.0f}", _share(right), _usd(worth, band)))
    shown = (*([by] if by else []), "latency", "predictions", "right", "worth")
    return [Table("by_latency", (*([by] if by else []), *BAND_COLUMNS), rows, shown, lines)]


def _rate(sums: Sums) -> Estimate:
    if not sums.rows:
        return Estimate.unknown("no outcome yet")
    return intervals.wilson(sums.total, sums.weight, intervals.effective_size(sums.weight, sums.squares))


def _mean(sums: Sums) -> Estimate:
    if not sums.rows:
        return Estimate.unknown("no outcome says")
    return intervals.mean(sums.total, sums.total_squares, sums.weight, sums.squares)


def _said(low: float, high: float | None) -> str:
    if high is None:
        return f"{number(low, 'seconds')} and more"
    return f"up to {number(high, 'seconds')}" if not low else f"{number(low, 'seconds')} to {number(high, 'seconds')}"


def _share(one: Estimate) -> str:
    return Metric("", one.value, one.low, one.high, "share", "higher", 0, one.reason).text()


def _usd(one: Estimate, band: Band) -> str:
    if not band.value_usd.rows:
        return ""
    return Metric("", one.value, one.low, one.high, "usd", "higher", 0, one.reason).text()
