"""The counters of a store, for Prometheus and its like."""

from __future__ import annotations

from pathlib import Path

from setpoint.connect.openmetrics import MetricsApp, openmetrics
from setpoint.project.keeping import ship_if_free
from setpoint.project.log import Log, open_log
from setpoint.store.counters import Counters, read_counters
from setpoint.store.layout import Layout
from setpoint.store.summaries import Summaries


def metrics_text(store: Path, model: str = "") -> str:
    """Return the counters of a store's models as OpenMetrics text.

    Args:
        store: The store's folder.
        model: Only this one; all when empty.

    Raises:
        StoreMissing: There is no store there.
        UnknownModel: No model is called so.
    """
    ship_if_free(store)
    with open_log(store) as log:
        names = [model] if model else log.models()
        return openmetrics((name, _counters(log, store, name)) for name in names)


def _counters(log: Log, store: Path, model: str) -> Counters:
    """Return a model's counters: from kept states and what came since where that can be, else from all rows."""
    layout = Layout.open(store)
    with Summaries.reading(layout.summaries(model)) as summaries:
        found = read_counters(layout, layout.model(model), summaries) if summaries else None
    if found is None:
        with log.evidence(model) as evidence:
            found = Counters(evidence.traffic(None), evidence.spending(None))
    return found


def metrics_app(store: str | Path) -> MetricsApp:
    """Return an ASGI app, with a WSGI one in its `wsgi`, that answers with a store's counters.

    Args:
        store: The store's folder.

    Example:
        >>> import tempfile
        >>> from setpoint import Recorder
        >>> recorder = Recorder(tempfile.mkdtemp() + "/store", "fraud")
        >>> _ = recorder.record({"amount": 3.0}, version="v1")
        >>> recorder.close()
        True
        >>> body = metrics_app(recorder.layout.root).wsgi({}, lambda status, headers: None)
        >>> print(body[0].decode().splitlines()[2])
        setpoint_predictions_total{model="fraud",version="v1",role="stable"} 1
    """
    return MetricsApp(lambda: metrics_text(Path(store)))
