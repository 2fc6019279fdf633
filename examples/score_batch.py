"""A nightly scoring job: a wrapped scikit-learn model, a run id, and outcomes from another table.

Run it twice: the second night's predictions join the first's.
"""

from __future__ import annotations

import datetime as dt
import os

import numpy as np
from sklearn.linear_model import LogisticRegression

import setpoint


def main() -> None:
    """Fit a toy model, score tonight's customers, and learn what became of them."""
    rng = np.random.default_rng(7)
    visits = rng.poisson(4.0, size=(500, 1)).astype(float)
    stayed = rng.random(500) < 1.0 / (1.0 + np.exp(2.0 - 0.7 * visits[:, 0]))
    model = LogisticRegression().fit(visits, stayed)

    recorder = setpoint.Recorder(os.environ.get("SETPOINT_STORE", "store"), model="churn", version="2026-03")
    run = dt.datetime.now(tz=dt.UTC)
    keys = [f"{run:%Y%m%d%H%M%S}-{n}" for n in range(len(visits))]
    recorder.record_many(
        {"visits": visits[:, 0]},
        scores=model.predict_proba(visits)[:, 1],
        predictions=model.predict(visits),
        keys=keys,
        run_id=f"{run:%Y-%m-%dT%H:%M:%S}",
    )
    for key, outcome in zip(keys, stayed.tolist(), strict=True):
        recorder.outcome(outcome, key=key)
    recorder.flush()

    with setpoint.open(recorder.layout.root) as log:
        print(log.status("churn"))
        print(log.cost("churn"))


if __name__ == "__main__":
    main()
