"""Vectorised numpy kernels. `tests/kernels/table.py` lists each with its slow reference, docs/kernels.md defines the columns."""
