"""The few marks that our charts are made of, as SVG text."""

from __future__ import annotations

from html import escape

# Colours that hold on light and dark ground; text takes the colour of the page.
INK, GOOD, BAD, QUIET = "currentColor", "#2a7f62", "#b4413c", "#8a8f98"


def picture(width: int, height: int, title: str, description: str, marks: list[str]) -> str:
    """Return an SVG whose title and description say what it shows, for those who cannot see it.

    Example:
        >>> picture(10, 10, "empty", "nothing yet", [])[:44]
        '<svg xmlns="http://www.w3.org/2000/svg" role'
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(marks)}</svg>"
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", color: str = INK) -> str:
    """Return words at a place; `anchor` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, color: str = INK, width: float = 1.0) -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width:g}"/>'


def dot(x: float, y: float, *, color: str = INK) -> str:
    """Return a dot."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>'


def bar(x: float, y: float, width: float, height: float, *, color: str = INK) -> str:
    """Return a filled bar."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.0):.1f}" height="{height:.1f}" fill="{color}"/>'
