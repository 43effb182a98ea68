"""Hamiltonians and exact references."""
