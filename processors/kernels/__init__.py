"""Vectorised numpy kernels: one shape, listed in `table.KERNELS`, each tested against a slow reference."""
