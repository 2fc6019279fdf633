"""A FastAPI service with the middleware, for the tests beside it; `SERVICE_STORE` names its store."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from setpoint import Recorder, SetpointMiddleware


def make_app() -> FastAPI:
    """Make the service and its recorder."""
    app = FastAPI()
    recorder = Recorder(os.environ["SERVICE_STORE"], "m", version="v1")
    app.add_middleware(
        SetpointMiddleware,  # pyright: ignore[reportArgumentType] — plain ASGI, which Starlette's own types narrow
        recorder=recorder,
        paths=("/predict", "/fail", "/broken", "/stream", "/echo"),
        key="order_id",
        unit="user",
    )

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, object]:
        row = await request.json()
        score = min(max(float(row["amount"]) / 100.0, 0.0), 1.0)
        return {"score": score, "prediction": score >= 0.5}

    @app.post("/fail")
    async def fail(request: Request) -> dict[str, object]:
        await request.json()
        msg = "a bug in the service"
        raise ZeroDivisionError(msg)

    @app.post("/broken")
    async def broken(request: Request) -> dict[str, object]:
        await request.json()
        raise HTTPException(503)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncGenerator[bytes]:
            for n in range(2000):
                yield b"%06d" % n * 200

        return StreamingResponse(parts(), media_type="application/octet-stream")

    @app.post("/echo")
    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    @app.get("/health")
    async def health() -> str:
        return "well"

    return app
