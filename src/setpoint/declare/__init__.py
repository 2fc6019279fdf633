"""Declarations in YAML become core nouns; what does not hold is refused with file, line, key and a hint."""
