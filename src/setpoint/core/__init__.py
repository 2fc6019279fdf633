"""The nouns and their rules. No input or output, nothing heavy to import."""
