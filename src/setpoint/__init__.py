"""Setpoint: the control system for models in production.

Importing this costs nothing: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setpoint.answers.answer import Answer
    from setpoint.answers.embedding_drift import embedding_drift
    from setpoint.connect.asgi import SetpointMiddleware
    from setpoint.connect.model_file import ModelFile
    from setpoint.connect.upstream import Upstream
    from setpoint.connect.wrap import wrap
    from setpoint.control.judge import Judge, Judgement
    from setpoint.control.judged import Counted, Measured, Paired
    from setpoint.core.contract import Contract, ContractField, OnViolation, RowCondition
    from setpoint.core.errors import SetpointError, StoreError, UsageError
    from setpoint.core.model import (
        BusinessMetric,
        Cohort,
        DriftLimit,
        Expectation,
        Feature,
        Model,
        Owner,
        Rates,
        Success,
        Task,
    )
    from setpoint.core.verdict import Verdict
    from setpoint.core.window import Window
    from setpoint.declare.contract_pydantic import contract_from_pydantic
    from setpoint.predictions.around import details
    from setpoint.predictions.cache import cached
    from setpoint.predictions.endpoint import Endpoint
    from setpoint.predictions.recorder import Recorder
    from setpoint.predictions.reply import Reply
    from setpoint.project.contracts import check_table as check
    from setpoint.project.drift import DriftDetector
    from setpoint.project.evaluation import evaluate
    from setpoint.project.log import Log
    from setpoint.project.log import open_log as open  # noqa: A004 — `setpoint.open(store)` reads best
    from setpoint.project.metrics import metrics_app
    from setpoint.project.reading import read
    from setpoint.project.saved_profiles import save_profile
    from setpoint.project.table_diff import diff_tables as diff

__version__ = "0.1.0"

_HOMES = {
    "Answer": "answers.answer",
    "BusinessMetric": "core.model",
    "Cohort": "core.model",
    "Contract": "core.contract",
    "ContractField": "core.contract",
    "Counted": "control.judged",
    "DriftDetector": "project.drift",
    "DriftLimit": "core.model",
    "Endpoint": "predictions.endpoint",
    "Expectation": "core.model",
    "Feature": "core.model",
    "Judge": "control.judge",
    "Judgement": "control.judge",
    "Log": "project.log",
    "Measured": "control.judged",
    "Model": "core.model",
    "ModelFile": "connect.model_file",
    "OnViolation": "core.contract",
    "Owner": "core.model",
    "Paired": "control.judged",
    "Rates": "core.rates",
    "Recorder": "predictions.recorder",
    "Reply": "predictions.reply",
    "RowCondition": "core.contract",
    "SetpointError": "core.errors",
    "SetpointMiddleware": "connect.asgi",
    "StoreError": "core.errors",
    "Success": "core.model",
    "Task": "core.model",
    "Upstream": "connect.upstream",
    "UsageError": "core.errors",
    "Verdict": "core.verdict",
    "Window": "core.window",
    "cached": "predictions.cache",
    "check": "project.contracts:check_table",
    "contract_from_pydantic": "declare.contract_pydantic",
    "details": "predictions.around",
    "diff": "project.table_diff:diff_tables",
    "embedding_drift": "answers.embedding_drift",
    "evaluate": "project.evaluation",
    "metrics_app": "project.metrics",
    "open": "project.log:open_log",
    "read": "project.reading",
    "save_profile": "project.saved_profiles",
    "wrap": "connect.wrap",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'setpoint' has no attribute {name!r}"
        raise AttributeError(msg)
    module, _, original = home.partition(":")
    value = getattr(import_module(f"setpoint.{module}"), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "Answer",
    "BusinessMetric",
    "Cohort",
    "Contract",
    "ContractField",
    "Counted",
    "DriftDetector",
    "DriftLimit",
    "Endpoint",
    "Expectation",
    "Feature",
    "Judge",
    "Judgement",
    "Log",
    "Measured",
    "Model",
    "ModelFile",
    "OnViolation",
    "Owner",
    "Paired",
    "Rates",
    "Recorder",
    "Reply",
    "RowCondition",
    "SetpointError",
    "SetpointMiddleware",
    "StoreError",
    "Success",
    "Task",
    "Upstream",
    "UsageError",
    "Verdict",
    "Window",
    "cached",
    "check",
    "contract_from_pydantic",
    "details",
    "diff",
    "embedding_drift",
    "evaluate",
    "metrics_app",
    "open",
    "read",
    "save_profile",
    "wrap",
]
