"""Which version answers whom, and how much of it there is: route and metrics."""

from __future__ import annotations

from setpoint.cli import app
from setpoint.cli.options import AsOf, Json, ModelName, Store, chosen_store, show


@app.command()
def route(model: ModelName = "", as_of: AsOf = None, store: Store = None, json: Json = False) -> None:
    """Which version gets which share of the units, and does it? `setpoint apply` publishes a declared route."""
    from setpoint.project.keeping import ship_if_free
    from setpoint.project.routes import route_of

    path = chosen_store(store)
    ship_if_free(path)
    show(route_of(path, model, as_of=as_of), as_json=json)


@app.command()
def metrics(model: ModelName = "", store: Store = None) -> None:
    """What was counted of every prediction, as OpenMetrics text for Prometheus and its like."""
    from setpoint.project.metrics import metrics_text

    print(metrics_text(chosen_store(store), model), end="")
