"""Every error a user can meet, and what each one asks of them.

Our exception hierarchy:

* SetpointError
  x UsageError                 the request is wrong; exit code 2
    - UnknownModel             no such model in this store
    - NaiveTimestamp           a time without a zone reached the recorder
    - TimeError                a time or duration that cannot be read
    - ColumnError              a file lacks a column, or a column has the wrong type
    - EmptyFile                a file has no rows
    - DeclarationError         a declaration that does not hold, with file, line and key
    - ExpressionError          a condition that does not parse, with its position
  x Refused                    no version may be asked now: a breaker is open, or a cap is reached
  x UpstreamError              a server that is a version did not answer as it should
  x NotDelivered               a message to a person or a service did not arrive
  x StoreError                 the store cannot be used as asked; exit code 2
    - StoreMissing             there is no store at this path
    - StoreFormatError         the store was written by a newer Setpoint
    - StoreReadOnly            the store cannot be written
    - StoreBusy                another process holds the lease
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class SetpointError(Exception):
    """Base of every error Setpoint raises on purpose.

    Attributes:
        message: What was found and what was expected.
        hint: What to do next; empty when there is nothing to suggest.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the hint apart, so that a page can style them."""
        super().__init__(message if not hint else f"{message}\nhint: {hint}")
        self.message = message
        self.hint = hint


class UsageError(SetpointError):
    """The request cannot be met as written."""


class UnknownModel(UsageError):
    """No such model in this store."""


class NaiveTimestamp(UsageError):
    """A time without a zone: it could mean any of 38 instants."""


class TimeError(UsageError):
    """A time or a duration that cannot be read."""


class ColumnError(UsageError):
    """A table lacks a column, or a column has a type that does not fit its role."""


class DataMissing(UsageError):
    """Data that somebody else publishes is not here, and could not be fetched."""


class EmptyFile(UsageError):
    """A file without rows."""


class DeclarationError(UsageError):
    """A declaration that does not hold."""


class ExpressionError(UsageError):
    """A condition that does not parse."""


class Refused(SetpointError):
    """No version may be asked now: a breaker is open, or a cap is reached."""


class UpstreamError(SetpointError):
    """A server did not answer as it should.

    Attributes:
        kind: `timeout`, `unreachable`, `closed early`, `status 500` or the like, `not JSON`, `no answer in it`.
        detail: What was found.
        calls: What it may bill all the same; without a cost, which is unknown.
        upstream_seconds: How long it was waited for.
    """

    upstream_seconds = 0.0

    def __init__(self, *, kind: str, detail: str, calls: Sequence[Mapping[str, float | str | None]] = ()) -> None:
        """Keep the kind apart, so that errors can be counted by it."""
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail
        self.calls = calls


class NotDelivered(SetpointError):
    """A message to a person or a service did not arrive."""


class NotTrained(SetpointError):
    """A team's own command made no version."""


class StoreError(SetpointError):
    """The store cannot be used as asked."""


class StoreMissing(StoreError):
    """There is no store at this path."""


class StoreFormatError(StoreError):
    """The store has a format this version does not know."""


class StoreReadOnly(StoreError):
    """The store cannot be written."""


class StoreBusy(StoreError):
    """Another process holds the lease that this act needs."""
