"""LOOP 3. What really happened, and how good the predictions were."""
