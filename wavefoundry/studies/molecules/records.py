"""Records of molecules: energy with error bar and checks, reference, observables, comparison with training anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from wavefoundry.adapt.transfer import Prepared, Samples
from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import MoleculesEvaluateTable, ReferenceTable
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.meter import Cost
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.statistics import Estimate, energy_statistics, mean_and_error, v_score
from wavefoundry.core.verdict import Doubt
from wavefoundry.problems import frames
from wavefoundry.problems.chemistry import Chemistry, reference_for
from wavefoundry.problems.electron_observables import DEBYE, LineDensity, measure
from wavefoundry.problems.references.molecules import Reference, atom_energy
from wavefoundry.studies.molecules.curve import WINDOW, Curve, running_mean
from wavefoundry.studies.molecules.symmetry import Copy, as_record, symmetry_doubts
from wavefoundry.studies.molecules.verdict import NOT_FINITE, Evidence, Rest, heaviest_chain, observed, verdict_on

Known = tuple[Reference | None, Chemistry | None]
"""What a molecule is compared with, and what quantum chemistry says about it."""
MILLI = 1000.0
MOST_CORRELATION = 0.06
"""Of an electron (Ha): what is more is an error of the basis."""
_POINTS = 60


def reference_of(named: Named, table: ReferenceTable) -> Known:
    """The energy a molecule is compared with: given in the study, from the literature, or computed."""
    basis = None if table.basis == "none" else table.basis
    if named.reference is not None:
        return Reference(named.reference, "method", "given in the study"), None
    return reference_for(named.molecule, basis, table.methods, table.literature)


@dataclasses.dataclass(frozen=True)
class History:
    """What happened before the samples of a record were drawn.

    method: "trained", "zero-shot", "full", "scratch" or "warm-chain". steps: made for the molecule. cost: of these and
    of the samples.
    rest, base, untuned, further: see ``verdict.Evidence``.
    """

    method: str
    steps: int
    cost: Cost = Cost()
    rest: Rest | None = None
    base: dict[str, Rest] | None = None
    untuned: dict[str, Any] | None = None
    further: tuple[Doubt, ...] = ()


def record_of(
    molecule: Molecule,
    prepared: Prepared,
    samples: Samples,
    known: Known,
    observables: dict[str, Any],
    history: History,
    copies: dict[str, Copy] | None = None,
) -> dict[str, Any]:
    """One molecule as it stands in summary.json.

    Args:
        molecule: the molecule. prepared: what the network is told about it. samples: fresh ones.
        known: reference and quantum chemistry. observables: from ``observables_of``. history: what came before.
        copies: of the molecule in other orientations.
    """
    reference, chemistry = known
    record = _identity(molecule, history, reference, chemistry) | {"cost": history.cost.to_dict()}
    record["energy_hf_minimal"] = prepared.energy_hf
    energies = np.asarray(samples.energies, float)
    try:
        estimate = energy_statistics(energies, None)
    except PhysicsError:
        return record | _nothing()
    copies = copies or {}
    doubts = [*symmetry_doubts(copies, estimate.error, molecule.atoms), *history.further]
    verdict = verdict_on(
        Evidence(
            estimate, energies, molecule, prepared.energy_hf, float(samples.acceptance), float(samples.far), reference,
            history.rest, history.base, history.untuned, doubts,
        )
    )  # fmt: skip
    value = None if reference is None else reference.value
    return record | {
        "energy": estimate.mean,
        "energy_error": estimate.error,
        "energy_per_atom": estimate.mean / molecule.atoms,
        "variance": estimate.variance,
        "v_score": v_score(estimate.mean, estimate.variance, molecule.electrons),
        "r_hat": estimate.r_hat,
        "r_hat_limit": estimate.r_hat_limit,
        "tau": estimate.tau,
        "ess": estimate.ess,
        "samples": estimate.samples,
        "acceptance": float(samples.acceptance),
        "heaviest_chain": heaviest_chain(energies),
        "error_mha": None if value is None else MILLI * (estimate.mean - value),
        "error_mha_error": MILLI * estimate.error,
        "correlation_share": _share(estimate.mean, reference, chemistry, molecule.electrons),
        "atomisation": _atomisation(molecule, estimate),
        "observables": observed(observables, verdict),
        "symmetry": as_record(copies),
        **verdict.fields(),
    }


def _identity(
    molecule: Molecule, history: History, reference: Reference | None, chemistry: Chemistry | None
) -> dict[str, Any]:
    known = None
    if reference is not None:
        known = {"value": reference.value, "source": reference.source, "kind": reference.kind}
        known |= {"uncertainty": reference.uncertainty, "complete": reference.complete}
    computed = None
    if chemistry is not None:
        computed = {name: getattr(chemistry, name) for name in ("basis", "hf", "ccsd_t", "fci", "doubt")}
    return {
        "name": molecule.name,
        "formula": molecule.formula,
        "geometry": [[symbol, *point] for symbol, point in zip(molecule.symbols, molecule.positions, strict=True)],
        "length": molecule.length,
        "charge": molecule.charge,
        "spin": molecule.spin,
        "electrons": molecule.electrons,
        "atoms": molecule.atoms,
        "method": history.method,
        "steps": history.steps,
        "reference": known,
        "chemistry": computed,
    }


def _nothing() -> dict[str, Any]:
    """A molecule without a usable number: local energies were not finite."""
    names = (
        "energy", "energy_error", "energy_per_atom", "variance", "v_score", "r_hat", "r_hat_limit", "tau", "ess",
        "samples", "acceptance", "heaviest_chain", "error_mha", "error_mha_error", "correlation_share", "atomisation",
        "symmetry",
    )  # fmt: skip
    return dict.fromkeys(names) | {"observables": {}} | NOT_FINITE.fields()


def _share(energy: float, reference: Reference | None, chemistry: Chemistry | None, electrons: int) -> float | None:
    """Part of the correlation energy that is recovered, where the Hartree-Fock limit is known well enough."""
    if electrons < 2 or reference is None or chemistry is None or chemistry.doubt:
        return None
    if not 1e-4 < chemistry.hf - reference.value < MOST_CORRELATION * electrons:
        return None
    return (energy - chemistry.hf) / (reference.value - chemistry.hf)


def _atomisation(molecule: Molecule, estimate: Estimate) -> dict[str, float] | None:
    """Energy needed to take the molecule apart (Ha), with literature energies of the atoms."""
    if molecule.atoms == 1 or molecule.charge:
        return None
    atoms = [atom_energy(symbol) for symbol in molecule.symbols]
    if any(energy is None for energy in atoms):
        return None
    return {"value": sum(atoms) - estimate.mean, "error": estimate.error}  # type: ignore[arg-type]


def observables_of(
    wavefunction: Any,
    molecule: Molecule,
    prepared: Prepared,
    samples: Samples,
    table: MoleculesEvaluateTable,
    done: Collection[str] = (),
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the samples say beyond the energy, by name; nothing where a local energy is not finite.

    Args:
        wavefunction: the network the samples are of. molecule, prepared: the molecule. samples: without members.
        table: what to measure. Forces and spin cost more and take every fourth sample. done: names to leave out.
    """
    terms = np.asarray(samples.terms, float)
    if not np.all(np.isfinite(terms)):
        return
    kinetic, error = mean_and_error(terms[..., 0])
    if "kinetic" not in done:
        yield "kinetic", {"value": kinetic, "error": error}
    if "virial" not in done:
        yield "virial", {"value": -float(terms[..., 1:].sum(axis=-1).mean()) / kinetic}
    for name, thin in (("dipole", 1), ("density", 1), ("spin", 4), ("forces", 4)):
        if getattr(table, name) and name not in done:
            part = samples.x[:, ::thin] if samples.x.shape[1] >= 4 * thin else samples.x
            try:
                found = _RECORDS[name](molecule, _measured(wavefunction, prepared, part, name))
            except (InputError, PhysicsError) as failed:
                # Hartree-Fock of a displaced molecule, samples that are not finite: no reason to lose the rest
                found = {"value": None, "error": None, "why": str(failed).splitlines()[0]}
            yield name, found


def _measured(wavefunction: Any, prepared: Prepared, x: Any, name: str) -> Any:
    """Samples of an observable, vectors and places as the molecule was given."""
    if name in ("dipole", "density"):  # of nuclei and electrons alone
        system, x = prepared.as_given(x)
        return measure(wavefunction, system, x, (name,))[name]
    found = measure(wavefunction, prepared.system, x, (name,))[name]
    return prepared.frame.in_order(prepared.frame.turn_back(found), 2) if name == "forces" else found


def _dipole(molecule: Molecule, each: np.ndarray) -> dict[str, Any]:
    """Dipole moment in debye: vector with error bars, and its length.

    What the symmetry of the molecule forbids is taken out, which is the mean over all its symmetric copies; ``broken``
    says how large it was, as a check of the state. The error bars are those of the whole vector.
    """
    allowed = frames.allowed(np.asarray(molecule.charges), np.asarray(molecule.positions, float))
    whole = DEBYE * np.asarray(each)
    errors = [mean_and_error(whole[..., k])[1] for k in range(3)]
    means = (whole @ allowed).mean(axis=(0, 1))
    means = np.where(np.abs(means) < 1e-12, 0.0, means)
    length = float(np.linalg.norm(means))
    along = mean_and_error(whole @ (means / length))[1] if length else float(np.linalg.norm(errors))
    return {
        "value": length, "error": along, "vector": means.tolist(), "vector_error": errors, "unit": "D",
        "forbidden": not np.any(allowed), "broken": _broken(whole @ (np.eye(3) - allowed)),
    }  # fmt: skip


def _broken(each: np.ndarray) -> dict[str, Any]:
    """What symmetry forbids and the state has nevertheless; samples (chains, samples, components)."""
    parts = [mean_and_error(each[..., k]) for k in range(each.shape[-1])]
    return {
        "value": float(np.linalg.norm([mean for mean, _ in parts])),
        "error": float(np.linalg.norm([error for _, error in parts])),
        "z": max((abs(mean) / error for mean, error in parts if error > 1e-9), default=0.0),
    }


def _density(molecule: Molecule, line: LineDensity) -> dict[str, Any]:
    """Electrons per bohr along the longest axis; of an atom over the distance from the nucleus."""
    positions = np.asarray(molecule.positions, float)
    nuclei = np.zeros(1)
    if molecule.atoms > 1:
        centred = positions - positions.mean(axis=0)
        axis = np.linalg.svd(centred)[2][0]
        nuclei = centred @ (axis * (1.0 if axis[np.argmax(np.abs(axis))] > 0 else -1.0))
    rows = {"position": line.grid, "value": line.values, "error": line.errors, "nuclei": nuclei}
    return {name: np.round(values, 6).tolist() for name, values in rows.items()}


def _spin(molecule: Molecule, each: np.ndarray) -> dict[str, Any]:
    """Expectation value of S^2, and that of a pure state with the lowest S."""
    value, error = mean_and_error(each)
    half = molecule.spin / 2
    return {"value": value, "error": error, "pure": half * (half + 1)}


def _forces(molecule: Molecule, each: np.ndarray) -> dict[str, Any]:
    """Force on every nucleus in Ha/bohr, with error bars.

    What the symmetry of the molecule forbids, a sum and a torque included, is taken out of every sample as in
    ``_dipole``. heaviest: largest share of a single sample in an error bar; near 1 the error bar hangs on that sample.
    """
    allowed = frames.allowed_forces(np.asarray(molecule.charges), np.asarray(molecule.positions, float))
    whole = np.asarray(each).reshape(*each.shape[:2], -1)
    broken, each = _broken(whole @ (np.eye(len(allowed)) - allowed)), (whole @ allowed.T).reshape(each.shape)
    pairs = [[mean_and_error(each[:, :, atom, k]) for k in range(3)] for atom in range(molecule.atoms)]
    value, error = np.moveaxis(np.array(pairs, float), -1, 0)
    largest = np.max(np.abs(each - value), axis=(0, 1)) / (each.shape[0] * each.shape[1])
    heaviest = float(np.max(largest / np.maximum(error, 1e-12)))
    value, error = (np.where(np.abs(numbers) < 1e-12, 0.0, numbers) for numbers in (value, error))
    return {
        "value": value.tolist(), "error": error.tolist(), "unit": "Ha/bohr", "heaviest": heaviest, "broken": broken,
    }  # fmt: skip


_RECORDS = {"dipole": _dipole, "density": _density, "spin": _spin, "forces": _forces}


def curve_of(
    curve: Curve, target: str, start: str, reference: Reference | None, zero: dict[str, Any] | None
) -> dict[str, Any]:
    """A training of one molecule as it stands in summary.json: running means, thinned out.

    Args:
        curve: energies of every step. target: name of the molecule. start: "transfer" or "scratch".
        reference: what the error is relative to. zero: record of the energy before the first step.
    """
    steps, energy = running_mean(curve)
    take = np.unique(np.geomspace(1, len(steps), _POINTS).astype(int) - 1) if len(steps) else np.zeros(0, int)
    points = [(int(steps[i]), float(energy[i])) for i in take]
    if zero is not None and zero["energy"] is not None:
        points.insert(0, (0, zero["energy"]))
    energies = [e for _, e in points]
    errors = None if reference is None else [MILLI * (e - reference.value) for e in energies]
    return {
        "target": target, "start": start, "steps": [s for s, _ in points], "energy": energies, "error_mha": errors,
        "window": min(WINDOW, len(curve.steps)),
    }  # fmt: skip
