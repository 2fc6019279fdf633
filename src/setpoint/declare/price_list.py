"""A public price list in the form of LiteLLM's `model_prices_and_context_window.json`, as prices of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import cast

from setpoint.core.errors import UsageError
from setpoint.core.prices import STANDARD, Price

MOST_PRICES = 1000  # a YAML file of ours has at most 20,000 values

_CLASSES = {
    "input_cost_per_token": "input",
    "input_cost_per_token_cache_hit": "cached_read",
    "cache_read_input_token_cost": "cached_read",
    "cache_creation_input_token_cost": "cached_write",
    "cache_creation_input_token_cost_above_1hr": "cached_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
}
_PER_REQUEST = ("input_cost_per_request", "input_cost_per_query")
_PER_TOOL_REQUEST = "search_context_cost_per_query"  # by size of the context
_TIERS = {"batches": "batch"}
_FIELD = re.compile(
    r"(?P<base>[a-z_0-9]+?)(?:_above_(?P<thousands>\d+)k_tokens)?(?:_(?P<tier>batches|priority|flex|ultrafast|fast))?"
)
_IS_PRICE = re.compile(r"cost|pric|provider_specific_entry")
_NOTHING: Mapping[str, object] = {}
_SAMPLE = "sample_spec"  # a description of the fields that stands among the models


@dataclass(slots=True)
class PriceList:
    """What was read from a list.

    Attributes:
        prices: What was understood.
        unread: Names of fields that say a price in a way that we have no word for, each with its models.
        left_out: Models of which nothing was understood, each with the reason.
    """

    prices: list[Price] = field(default_factory=list[Price])
    unread: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    left_out: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def lines(self) -> list[str]:
        """All that was not understood, by name."""
        lines = [f"not read: {name}, of {', '.join(models)}" for name, models in sorted(self.unread.items())]
        return lines + [f"left out: {model}: {why}" for model, why in self.left_out.items()]


def read_price_list(text: str, *, since: int | None = None, only: Sequence[str] = ()) -> PriceList:
    """Read a price list; every amount in it is in dollars.

    As the list means it, reasoning without a price of its own is paid as output, and an image as input where the
    model takes images. A search has a price where it is the same for each size of its context. What else has no
    price stays without one.

    Args:
        text: The JSON text.
        since: From when on the prices are paid, microseconds.
        only: Patterns such as `gpt-5*`: models whose name in the list fits one of them; all when empty.

    Raises:
        UsageError: The text is no such list, no model fits, or more do than a price book can hold.

    Example:
        >>> found = read_price_list('{"m": {"litellm_provider": "p", "input_cost_per_token": 2e-6, "ocr_cost": 1}}')
        >>> [(one.subject, dict(one.per_million_tokens)) for one in found.prices], found.lines
        ([('p/m', {'input': Decimal('2')})], ['not read: ocr_cost, of m'])
    """
    try:
        told: object = json.loads(text, parse_float=Decimal, parse_constant=str)
    except ValueError as error:
        msg = f"not JSON: {error}"
        raise UsageError(msg, hint="expected a price list in LiteLLM's form: a mapping of models") from error
    models = cast("Mapping[str, object]", told) if isinstance(told, dict) else _NOTHING
    chosen = {
        name: one
        for name, one in models.items()
        if name != _SAMPLE and (not only or any(fnmatchcase(name, pattern) for pattern in only))
    }
    if not chosen:
        msg = f"no model{' that fits' if models and only else ''} in the list"
        raise UsageError(msg, hint="expected a mapping of models, and --only a pattern such as 'gpt-5*'")
    found = PriceList()
    for name, one in chosen.items():
        _read_model(name, one, since, found)
    if len(found.prices) > MOST_PRICES:
        msg = f"found {len(found.prices):,} prices, a price book holds at most {MOST_PRICES:,}"
        raise UsageError(msg, hint="choose the models that you use: --only 'gpt-5*' --only 'claude-*'")
    return found


def _read_model(name: str, told: object, since: int | None, found: PriceList) -> None:
    fields = cast("Mapping[str, object]", told) if isinstance(told, dict) else _NOTHING
    provider = fields.get("litellm_provider")
    if not isinstance(provider, str) or not provider:
        found.left_out[name] = "it names no litellm_provider"
        return
    amounts = _amounts(name, fields, found)
    per_tool_request = _tool_request(fields.get(_PER_TOOL_REQUEST))
    if not amounts:
        found.left_out[name] = "no price of tokens or requests was understood"
    for (tier, above), charged in amounts.items():
        per_request = charged.pop("per_request", None)
        if "output" in charged:
            charged.setdefault("reasoning", charged["output"])
        if "input" in charged and fields.get("supports_vision") is True:
            charged.setdefault("input_image", charged["input"])
        price = Price(
            provider,
            name.removeprefix(f"{provider}/"),
            since,
            tier=tier,
            above_input_tokens=above,
            per_million_tokens={of: (amount * 1_000_000).normalize() for of, amount in charged.items()},
            per_request=per_request,
            per_tool_request=per_tool_request,
        )
        same = next((one for one in found.prices if one.key == price.key), None)
        if same is None:
            found.prices.append(price)
        elif same != price:
            found.left_out[name] = f"{price.subject} stands in the list before, at another price"


def _amounts(name: str, fields: Mapping[str, object], found: PriceList) -> dict[tuple[str, int], dict[str, Decimal]]:
    """Return what a model charges, by tier and size; a price that is not understood is noted."""
    amounts: dict[tuple[str, int], dict[str, Decimal]] = {}
    for key, value in fields.items():
        match = _FIELD.fullmatch(key)
        base = match["base"] if match else ""
        charged = "per_request" if base in _PER_REQUEST else _CLASSES.get(base)
        amount = _amount(value)
        if match is not None and charged is not None and amount is not None:
            tier = match["tier"] or STANDARD
            place = (_TIERS.get(tier, tier), 1000 * int(match["thousands"] or 0))
            amounts.setdefault(place, {})[charged] = amount
        elif key == _PER_TOOL_REQUEST and _tool_request(value) is not None:
            continue
        elif value is not None and _IS_PRICE.search(key):
            found.unread.setdefault(key, []).append(name)
    return amounts


def _tool_request(value: object) -> Decimal | None:
    """Return the price of a search; None where it depends on a size that no usage block tells."""
    sizes = cast("Mapping[str, object]", value) if isinstance(value, dict) else _NOTHING
    amounts = {_amount(one) for one in sizes.values()}
    return amounts.pop() if len(amounts) == 1 else None


def _amount(value: object) -> Decimal | None:
    """Return an amount of dollars; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value < 0:
        return None
    return Decimal(value)
