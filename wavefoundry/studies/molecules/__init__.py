"""Molecules: train one model for many, then every other one."""
