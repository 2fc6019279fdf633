"""LOOP 2. What a model answers, how fast and at what price."""
