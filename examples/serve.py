"""A web service whose predictions are recorded by one line: `uvicorn serve:app`.

Run as a script it calls itself, so that you see what is recorded without a server.
"""

from __future__ import annotations

import asyncio
import os

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

import setpoint

recorder = setpoint.Recorder(os.environ.get("SETPOINT_STORE", "store"), model="fraud", version="v13")
THRESHOLD = 0.5
app = FastAPI()
app.add_middleware(setpoint.SetpointMiddleware, recorder=recorder, paths=("/predict",), key="txn")


class Payment(BaseModel):
    """What is asked."""

    txn: str
    amount: float
    country: str


class Judgement(BaseModel):
    """What is answered."""

    score: float
    prediction: bool


@app.post("/predict")
def predict(payment: Payment) -> Judgement:
    """The model: large amounts are suspicious."""
    score = min(payment.amount / 500.0, 1.0)
    return Judgement(score=score, prediction=score >= THRESHOLD)


@app.post("/chargeback/{txn}")
def chargeback(txn: str) -> None:
    """Somebody learns the truth, days later."""
    recorder.outcome(outcome=True, key=txn)


async def main() -> None:
    """Ask a few times, as a caller would."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for n in range(50):
            payment = {"txn": f"txn-{n}", "amount": n * 17.0 % 600, "country": "DE"}
            response = await client.post("/predict", json=payment)
            response.raise_for_status()
        await client.post("/chargeback/txn-29")
    recorder.flush()
    with setpoint.open(recorder.layout.root) as log:
        print(log.status("fraud"))


if __name__ == "__main__":
    asyncio.run(main())
