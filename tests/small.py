"""The study that most tests of whole runs begin with."""

ISING_8 = """
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 8 }
[wavefunction]
patch = 2
width = 8
layers = 1
heads = 2
"""
"""A chain of eight sites and a small network; keys of [wavefunction] may follow."""

J1J2_8 = """
kind = "diagram"
[system]
model = "j1j2"
lattice = { kind = "chain", size = 8 }
[wavefunction]
width = 8
layers = 1
"""
"""A frustrated chain of eight sites; keys of [wavefunction] may follow."""
