"""Emulation: a student of a numerical solver, judged on landscapes it never saw."""
