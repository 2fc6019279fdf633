"""Data in, SVG out: drawn for notebooks, reports and pages alike. No script, no outside request."""
