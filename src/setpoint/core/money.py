"""Money as whole nano-dollars: sums are exact in every engine and in every order."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

NANO = 1_000_000_000

# No product of a count, a price and a rate of exchange has as many digits: all is exact until the one rounding.
EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)


def nano_usd(amount: Decimal | float | str) -> int:
    """Return an amount in dollars as whole nano-dollars, rounded once, half to even.

    Example:
        >>> nano_usd("0.0000025")
        2500
    """
    exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    return int(EXACT.multiply(exact, Decimal(NANO)).to_integral_value(ROUND_HALF_EVEN))
