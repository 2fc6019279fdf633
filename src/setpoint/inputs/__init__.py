"""LOOP 1. What goes into a model, and how that changes."""
