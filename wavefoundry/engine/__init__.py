"""Sampling, local energies, natural gradient."""
