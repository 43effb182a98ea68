"""Molecules as problems to solve; the data type lives in ``core``, where study files know it too."""

from wavefoundry.core.molecule import BOHR_PER_ANGSTROM, ELEMENTS, Molecule, read_xyz

__all__ = ["BOHR_PER_ANGSTROM", "ELEMENTS", "Molecule", "read_xyz"]
