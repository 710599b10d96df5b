"""Faults thrown at a whole stack under load, and the score of what became of every reading."""
