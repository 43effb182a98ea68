"""Energies of molecules in the schema that quantum chemistry exchanges, read back by its own library."""

from typing import Any

import numpy as np
import qcelemental
from qcelemental.models import AtomicResult, FailedOperation

import wavefoundry as wf


def record(**changes: Any) -> dict[str, Any]:
    found = {
        "name": "OH-", "method": "full", "steps": 40, "charge": -1, "spin": 0, "electrons": 10,
        "geometry": [["O", 0.0, 0.0, 0.0], ["H", 0.0, 0.0, 1.83]], "energy": -75.8, "energy_error": 0.002,
        "verdict": "upper bound", "reasons": ["nothing independent is known"], "flags": [], "variance": 0.3,
        "samples": 4096, "reference": None, "error_mha": None, "observables": {},
    }  # fmt: skip
    return found | changes


def test_qcelemental_reads_what_is_written():
    doublet = record(name="OH", charge=0, spin=1, electrons=9, geometry=[["O", 1.0, 0, 0], ["H", 0, 0, 2]])
    found = wf.MoleculeMap({"molecules": [record(), doublet, record(verdict="refused", reasons=["a stray chain"])]})
    ion, radical, refused = found.to_qcschema()
    read = AtomicResult(**ion)
    assert read.success and read.return_result == -75.8 and read.driver == "energy"
    assert read.properties.calcinfo_nalpha == read.properties.calcinfo_nbeta == 5
    assert read.molecule.molecular_charge == -1 and read.provenance.version == wf.__version__
    assert (
        read.extras["wavefoundry"]["verdict"] == "upper bound" and read.extras["wavefoundry"]["energy_error"] == 0.002
    )
    second = AtomicResult(**radical)
    assert second.molecule.molecular_multiplicity == 2 and second.properties.calcinfo_nalpha == 5
    np.testing.assert_allclose(second.molecule.geometry, [[1, 0, 0], [0, 0, 2]])
    distance = second.molecule.measure([0, 1]) * qcelemental.constants.conversion_factor("bohr", "angstrom")
    assert abs(distance - 5**0.5 * 0.529177) < 1e-5
    failed = FailedOperation(**refused)
    assert not failed.success and failed.error.error_message == "a stray chain"
