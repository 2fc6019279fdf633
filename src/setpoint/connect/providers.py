"""What price lists call who answers at an address."""

from __future__ import annotations

_PROVIDERS = {"api.openai.com": "openai", "api.anthropic.com": "anthropic"}


def provider_at(host: str) -> str:
    """Return what price lists call a host: its own name where nobody is known there.

    Example:
        >>> provider_at("api.openai.com"), provider_at("llm.example")
        ('openai', 'llm.example')
    """
    return _PROVIDERS.get(host, host)
