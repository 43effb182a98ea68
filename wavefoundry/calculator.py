"""A model of molecules as a calculator of ASE: energies and forces with error bars, for relaxations and vibrations."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavefoundry.api_molecules import MoleculeModel, map_molecules, molecules, spec_of_map
from wavefoundry.artifacts.given_molecules import entry_from
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.expect import count_of, expect
from wavefoundry.core.words import near
from wavefoundry.studies.molecules.study import check

try:
    from ase.calculators.calculator import Calculator as AseCalculator
    from ase.calculators.calculator import all_changes
    from ase.units import Bohr, Debye, Hartree
except ImportError as error:
    raise InputError(
        "a calculator needs ASE", where="wf.Calculator", why=str(error), fix="pip install '.[molecules]'"
    ) from None


TUNING = ("walkers", "learning_rate", "norm", "diagonal_shift", "decay", "layers")
"""Settings that say how weights are tuned."""
SETTINGS = (*TUNING, "seed", "evaluate")


def _check(settings: dict[str, Any], steps: int) -> None:
    """Refuse settings of a calculator that are none: the atoms are ASE's, and so is what is asked of them."""
    for name, value in settings.items():
        where = f"wf.Calculator: {name}"
        if name == "evaluate":
            expect(value, (dict,), "table of settings", where=where, fix='evaluate={"moves": 20}')
        elif name not in SETTINGS:
            fix = "steps = 0: zero-shot; steps > 0: all weights are tuned" if name == "method" else ""
            why = f"it takes {', '.join(SETTINGS)}"
            raise InputError(f"a calculator has no {name}", where=where, why=why, fix=fix or near(name, SETTINGS))
        elif name in TUNING and not steps:
            raise InputError(f"{name} is for tuning", where=where, why="steps = 0 tunes nothing", fix="steps=20")


class Calculator(AseCalculator):
    """Energies, forces and dipoles of a trained model, in the units of ASE (eV, angstrom).

    Charge and spin of the atoms are read as ``wf.molecules`` reads them; a change of either is a change of the atoms.

    Args:
        model: from ``wf.pretrain`` or ``wf.load``. steps: of tuning all weights at every geometry, from the last one's;
            0: the model as it is. samples: of every evaluation. atoms: that are to have this calculator.
        settings: how it is tuned, keys of the ``[adapt]`` table: ``walkers``, ``learning_rate``, ``norm``,
            ``diagonal_shift``, ``decay``, ``layers``; ``seed`` of its random numbers, which are the same at every
            geometry; and ``evaluate``, keys of that table.

    ``results`` also holds ``energy_error`` and ``forces_error`` (standard errors), ``verdict`` and ``record``, the
    whole record in atomic units. Forces are noisy: a relaxation comes to rest where they are within a few error bars of
    zero, so ``fmax`` should not lie below them.

    Raises:
        InputError: no model of molecules, or settings out of bounds. PhysicsError (on calculation): a number that must
            not be used, with the reasons.
    """

    implemented_properties: list[str] = ["energy", "free_energy", "forces", "dipole"]

    def __init__(
        self, model: MoleculeModel, *, steps: int = 0, samples: int = 4096, atoms: Any = None, **settings: Any
    ):
        expect(model, (MoleculeModel,), "model of molecules", where="wf.Calculator: model", fix="wf.load(path)")
        super().__init__(atoms=atoms)
        steps = count_of(steps, "number of steps", where="wf.Calculator: steps")
        samples = count_of(samples, "number of samples", where="wf.Calculator: samples", least=1)
        self.model, self.steps, self.samples, self.settings = model, steps, samples, settings
        _check(settings, steps)
        check(spec_of_map(model, model.trained_on[:1], **self._asked(()), where="wf.Calculator"), model.wavefunction)

    def _asked(self, properties: Any, tuned: bool = False) -> dict[str, Any]:
        """Arguments of the evaluation; ``tuned``: the weights are those of this geometry already."""
        tune = self.steps and not tuned
        tuning = {name: self.settings[name] for name in (*(TUNING if tune else ()), "seed") if name in self.settings}
        chains = min(256, max(32, self.samples // 16))  # long enough for R-hat to tell
        evaluate = {"samples": self.samples, "chains": chains, **self.settings.get("evaluate", {})}
        evaluate |= {"forces": "forces" in properties, "dipole": "dipole" in properties}
        method = {"method": "full", "steps": self.steps} if tune else {"method": "zero-shot"}
        return {"evaluate": evaluate, "reference": {"basis": "none"}, **method, **tuning}

    def check_state(self, atoms: Any, tol: float = 1e-15) -> list[str]:
        """What has changed, charge and spin in ``atoms.info`` included, which ASE does not look at."""
        changes = super().check_state(atoms, tol=tol)
        if not changes and entry_from(atoms, "wf.Calculator") != entry_from(self.atoms, "wf.Calculator"):
            changes = ["initial_charges"]
        return changes

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        """Called by ASE where something has changed, or a property is asked for that is not known yet.

        Nothing is tuned anew, and nothing known changes, where only another property is asked for.
        """
        super().calculate(atoms, properties, system_changes)
        try:
            self._calculate(properties, system_changes)
        except BaseException:
            if system_changes:  # else ASE would take the geometry for done, and the weights for tuned
                self.reset()
            raise

    def _calculate(self, properties: Any, system_changes: Any) -> None:
        forces, known = "forces" in properties, {} if system_changes else self.results
        found = map_molecules(self.model, molecules(self.atoms), **self._asked(properties, not system_changes))
        record = found.molecules[-1]
        if record["energy"] is None or record["verdict"] == "refused":
            raise PhysicsError(f"the energy of {record['name']} must not be used: {'; '.join(record['reasons'])}")
        if record["name"] in found.models:
            self.model = found.models[record["name"]]
        self.results = {
            "energy": record["energy"] * Hartree,
            "free_energy": record["energy"] * Hartree,
            "energy_error": record["energy_error"] * Hartree,
            "verdict": record["verdict"],
            "record": record,
        }
        seen = record["observables"]
        if forces:
            if seen["forces"]["value"] is None:
                raise PhysicsError(f"no forces: {seen['forces']['why']}")
            self.results["forces"] = np.array(seen["forces"]["value"]) * Hartree / Bohr
            self.results["forces_error"] = np.array(seen["forces"]["error"]) * Hartree / Bohr
        if "dipole" in properties:
            self.results["dipole"] = np.array(seen["dipole"]["vector"]) * Debye
        if known:
            observables = {name: one for name, one in known["record"]["observables"].items() if one is not None}
            record = known["record"] | {"observables": seen | observables}
            self.results |= known | {"record": record}
