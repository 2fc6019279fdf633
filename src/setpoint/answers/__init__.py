"""The questions people ask about a model. Answers read and compute; they never write."""
