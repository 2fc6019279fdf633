"""The counters of a store, for Prometheus and its like."""

from __future__ import annotations

import logging
from pathlib import Path

from setpoint.connect.openmetrics import MetricsApp, openmetrics
from setpoint.core.errors import SetpointError, StoreError
from setpoint.project.keeping import ship_if_free
from setpoint.project.log import Log, open_log
from setpoint.store.counters import Counters, read_counters
from setpoint.store.layout import Layout
from setpoint.store.summaries import Summaries

logger = logging.getLogger("setpoint")


def metrics_text(store: Path, model: str = "") -> str:
    """Return the counters of a store's models as OpenMetrics text; one that cannot be read keeps back no other's.

    Args:
        store: The store's folder.
        model: Only this one; all when empty.

    Raises:
        StoreMissing: There is no store there.
        UnknownModel: No model is called so.
    """
    try:
        ship_if_free(store)
    except StoreError as error:  # what is spooled is read there all the same
        logger.warning("setpoint has not shipped: %s", error.message)
    with open_log(store) as log:
        if model:
            return openmetrics([(model, _counters(log, store, model))])
        return openmetrics((name, _readable(log, store, name)) for name in log.models())


def _readable(log: Log, store: Path, model: str) -> Counters | None:
    """Return a model's counters; None when they cannot be read."""
    try:
        return _counters(log, store, model)
    except SetpointError as error:
        logger.warning("setpoint has no metrics of %s: %s", model, error.message)
        return None


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
