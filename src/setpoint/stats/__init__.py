"""Pure maths: arrays in, numbers out."""
