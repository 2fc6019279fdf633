"""What is recorded: one struct a table, the single source of every column name and type.

Times are integers in microseconds since 1970, UTC; the store keeps them as timestamps. A field left
at its default is not written to the spool; the lake has the default.
"""

from __future__ import annotations

import types
import typing
from functools import cache

import msgspec
import msgspec.structs

InputValue = str | float | bool | None


class Prediction(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """One input → output event. `inputs` becomes a STRUCT with one typed field a feature."""

    prediction_id: str
    root_id: str
    parent_id: str | None = None
    key: str | None = None
    unit: str | None = None
    predicted_at: int
    recorded_at: int
    version: str | None = None
    endpoint: str | None = None
    role: str | None = None
    assignment_probability: float | None = None
    inputs: dict[str, InputValue] | None = None
    prediction: float | str | None = None
    score: float | None = None
    scores: dict[str, float] | None = None
    ranking: list[str] | None = None
    text: str | None = None
    latency_seconds: float | None = None
    error: str | None = None
    compute_seconds: float | None = None
    queue_seconds: float | None = None
    features_seconds: float | None = None
    upstream_seconds: float | None = None
    first_chunk_seconds: float | None = None
    keep_probability: float | None = None
    feature_version: str | None = None
    contract_violations: str | None = None
    source: str | None = None
    trace_id: str | None = None
    run_id: str | None = None


class Unkept(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """What is left of a row that was not kept: a prediction with a key, so that an outcome by key goes to no other.

    Or a shadow or cascade row: then `key` is null, and `role` says what its calls were made for.
    """

    prediction_id: str
    key: str | None = None
    role: str | None = None
    unit: str | None = None
    predicted_at: int
    recorded_at: int

    @classmethod
    def of(cls, event: Prediction) -> Unkept:
        """Return the key of a root row, and the role of a row whose calls are not the caller's own."""
        is_child = event.parent_id is not None
        return cls(
            prediction_id=event.prediction_id,
            key=None if is_child else event.key,
            role=event.role if is_child or event.role == "shadow" else None,
            unit=event.unit,
            predicted_at=event.predicted_at,
            recorded_at=event.recorded_at,
        )


class Call(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """One billed attempt inside a prediction. `cost_nano_usd` null means unknown, never free.

    Tokens are in disjoint classes, as they are priced: `input_tokens` leaves out what was read from
    or written to a cache, audio and images, `output_tokens` leaves out reasoning, audio and images;
    `cached_write_1h_tokens` are kept for an hour, `cached_write_tokens` as long as the provider does
    unasked. `provider_model` is what the provider says that it was, `requested_model` what was asked
    for when that is another, `prompt_version` the hash of the prompt's template. `purpose` is `judge`
    for a call that graded the answer, which is no part of what the answer cost, and `cache` for one that
    was spared because the answer was known. A row with `adjusts` is no attempt: it adds `cost_nano_usd`
    to that of an earlier one, whose price has changed since.
    """

    call_id: str
    prediction_id: str
    called_at: int
    recorded_at: int
    attempt: int = 1
    purpose: str | None = None
    provider: str | None = None
    provider_model: str | None = None
    requested_model: str | None = None
    prompt_version: str | None = None
    tier: str | None = None
    input_tokens: int | None = None
    cached_read_tokens: int | None = None
    cached_write_tokens: int | None = None
    cached_write_1h_tokens: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    reasoning_tokens: int | None = None
    output_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    tool_requests: int | None = None
    compute_seconds: float | None = None
    price_id: str | None = None
    cost_nano_usd: int | None = None
    adjusts: str | None = None
    latency_seconds: float | None = None
    error: str | None = None


class Outcome(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """What really happened. Append-only: a later revision wins, a retraction removes."""

    outcome_id: str
    prediction_id: str | None = None
    key: str | None = None
    kind: str
    observed_at: int
    recorded_at: int
    revision: int = 0
    retracted: bool = False
    outcome: float | str | None = None
    value_usd: float | None = None
    source: str | None = None


class Tally(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """What one process counted of a quarter of an hour since its last flush: increments, to be summed.

    Every prediction counts here, kept or not; a batch-scoring run has a row even when it had none.
    `latency_bins` counts floor(32·log2 seconds), `score_bins` floor(32·logit score), `missing` the
    rows in which a feature had no value, `failed` events that could not be recorded, `unsent` copies of
    requests that a shadow was too slow for.
    `seconds` are sums of the parts of the latency (`queue`, `features`, `model`, `upstream`) and of it
    all (`latency`), of the rows that have one, `machine_seconds` what the process had of its machine since
    its last tally: `cpu` of `cpu_limit`, `gpu` of `gpu_limit`. `error_kinds` has the most frequent ones, the
    rest as `other`.
    """

    process: str
    sequence: int
    bucket_at: int
    recorded_at: int
    version: str | None = None
    endpoint: str | None = None
    role: str | None = None
    run_id: str | None = None
    requests: int = 0
    errors: int = 0
    not_kept: int = 0
    dropped: int = 0
    failed: int = 0
    unsent: int = 0
    compute_seconds: float | None = None
    seconds: dict[str, float] | None = None
    machine_seconds: dict[str, float] | None = None
    latency_bins: dict[int, int] | None = None
    first_chunk_bins: dict[int, int] | None = None
    score_bins: dict[int, int] | None = None
    missing: dict[str, int] | None = None
    error_kinds: dict[str, int] | None = None


class Change(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """Something that was changed on purpose: a mark on charts, a suspect in `why`."""

    change_id: str
    kind: str
    subject: str | None = None
    started_at: int
    ended_at: int | None = None
    recorded_at: int
    expected: str | None = None
    note: str | None = None
    author: str | None = None


class Quarantined(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True):
    """A row that no longer fits its table: kept as text with the reason, counted, never lost."""

    quarantine_id: str
    source_table: str
    recorded_at: int
    reason: str
    raw: str
    process: str | None = None
    line_number: int | None = None


Event = Prediction | Unkept | Call | Outcome | Tally | Change | Quarantined

# What a person may say was changed; `version` and `config` are also written by Setpoint itself.
CHANGE_KINDS = ("deploy", "config", "feature", "price", "prompt", "policy", "promotion", "holiday", "schema", "version")

CACHE = "cache"
"""Purpose of a call that was none: the answer was known from before."""

STAGE = "stage"
"""Role of a row whose answer the caller did not get: a cascade went on to the next version, or the version failed."""

# Subjects of changes of what is declared; a schedule has one of its own, since a run may be missed from then on.
DECLARATION, SCHEDULE = "declaration", "schedule"

UNFOLLOWED = "route not followed"
"""Subject of a change that a service tells: it goes on by an older plan than the published one."""

TABLES: dict[str, type[Event]] = {
    "predictions": Prediction,
    "unkept": Unkept,
    "calls": Call,
    "outcomes": Outcome,
    "tallies": Tally,
    "changes": Change,
    "quarantine": Quarantined,
}
TABLE_OF: dict[type[Event], str] = {event: table for table, event in TABLES.items()}

# The column by whose UTC day a table is partitioned.
PARTITIONED_BY = {
    "predictions": "predicted_at",
    "unkept": "predicted_at",
    "calls": "called_at",
    "outcomes": "recorded_at",
    "tallies": "bucket_at",
    "changes": "recorded_at",
    "quarantine": "recorded_at",
}

# A line without its table's identifier is not a row: a segment's header, or a torn line.
IDENTIFIER = {
    "predictions": "prediction_id",
    "unkept": "prediction_id",
    "calls": "call_id",
    "outcomes": "outcome_id",
    "tallies": "bucket_at",
    "changes": "change_id",
    "quarantine": "quarantine_id",
}

# Columns that may hold numbers or texts: the first value decides, and until then a table lacks them.
DECIDED_BY_DATA = ("prediction", "outcome")

TIMESTAMP = "TIMESTAMP WITH TIME ZONE"
_SQL_TYPES: dict[object, str] = {
    str: "VARCHAR",
    float: "DOUBLE",
    int: "BIGINT",
    bool: "BOOLEAN",
    dict[int, int]: "MAP(BIGINT, BIGINT)",
    dict[str, int]: "MAP(VARCHAR, BIGINT)",
    dict[str, float]: "MAP(VARCHAR, DOUBLE)",
    list[str]: "VARCHAR[]",
}


@cache
def column_types(table: str) -> dict[str, str]:
    """Return the fixed columns of a table with their SQL types, in order.

    `inputs` is left out, and `prediction` and `outcome` read DOUBLE: what fills those is known
    only when rows have been seen.

    Example:
        >>> column_types("outcomes")["observed_at"]
        'TIMESTAMP WITH TIME ZONE'
    """
    hints = typing.get_type_hints(TABLES[table])
    return {
        name: TIMESTAMP if name.endswith("_at") else _sql_type(hint) for name, hint in hints.items() if name != "inputs"
    }


@cache
def column_defaults(table: str) -> dict[str, str]:
    """Return the SQL of each default that is not null: what a line without the field means.

    Example:
        >>> column_defaults("outcomes")
        {'revision': '0', 'retracted': 'false'}
    """
    fields = msgspec.structs.fields(TABLES[table])
    spelled = {field.name: str(field.default).lower() for field in fields if not field.required}
    return {name: text for name, text in spelled.items() if text != "none"}


def _sql_type(hint: object) -> str:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    known = [_SQL_TYPES[option] for option in options if option in _SQL_TYPES]
    return "DOUBLE" if "DOUBLE" in known else known[0]
