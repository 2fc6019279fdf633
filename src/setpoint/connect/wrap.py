"""What somebody else's code calls, recorded where it is called: an estimator, or a client of a provider's SDK."""

from __future__ import annotations

from typing import TypeVar

from setpoint.connect.estimator import recorded_estimator
from setpoint.connect.llm_client import is_client, recorded_client
from setpoint.core.errors import UsageError
from setpoint.predictions.recorder import Recorder

Wrapped = TypeVar("Wrapped")


def wrap(wrapped: Wrapped, recorder: Recorder, *, provider: str = "") -> Wrapped:
    """Return an estimator or a client of an SDK as it is, but recorded; what was given is not changed.

    Of an estimator `predict` and `predict_proba` are recorded, each row as a prediction. What breaks a contract is
    noted only, as the estimator gets its rows as they came.

    Of a client of OpenAI or Anthropic, also an async one, each request for a chat, a response, a message or embeddings
    is a prediction, and each attempt a call with its tokens and price; `details` says whose requests they are. Neither
    prompts nor the arguments of tools are kept. Its HTTP client gets two event hooks.

    Args:
        wrapped: Anything with one of the two methods, or a client.
        recorder: Where predictions go.
        provider: Of a client: what price lists call it; `openai` and `anthropic` at their own addresses, the address's
            host elsewhere.

    Raises:
        UsageError: It is neither: nothing of it would be recorded.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> class Half:
        ...     def predict_proba(self, table):
        ...         return np.full((len(table), 2), 0.5)
        >>> recorder = Recorder(tempfile.mkdtemp() + "/store", model="half", version="1")
        >>> wrap(Half(), recorder).predict_proba(np.zeros((3, 2))).shape
        (3, 2)
        >>> recorder.flush()
        True
    """
    if is_client(wrapped):
        return recorded_client(wrapped, recorder, provider)
    if not any(hasattr(wrapped, name) for name in ("predict", "predict_proba")):
        msg = f"{type(wrapped).__name__} is neither a client of OpenAI or Anthropic nor has it predict or predict_proba"
        raise UsageError(msg, hint="wrap the client itself; a function is recorded by `Recorder.predict`")
    return recorded_estimator(wrapped, recorder)
