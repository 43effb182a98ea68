"""The Python interface to states that exist already: finished runs, and what NetKet has optimised."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry import api_molecules, api_tickets
from wavefoundry.api import Diagram, Pretrained, load, measured_base
from wavefoundry.api_checks import check_system
from wavefoundry.api_molecules import MoleculeMap
from wavefoundry.api_tickets import Tickets
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.results import read_results
from wavefoundry.artifacts.spec_errors import checked
from wavefoundry.artifacts.spec_tables import PretrainTable
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import path_of
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.projection import Amplitude
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram import study as diagram_study
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.states import equilibrated
from wavefoundry.studies.diagram.states_kept import bases_of, states_of
from wavefoundry.studies.emulation.student import Student, load_student


def open(path: str | Path) -> Diagram | Tickets | MoleculeMap | dict[str, Student] | dict[int, Any]:  # noqa: A001 - as users expect
    """A finished run with its states; Hamiltonians are built from its study file.

    Args:
        path: the run directory.

    Returns:
        By kind of study: ``Diagram`` (``state(...)`` of every point), ``Tickets``, ``MoleculeMap`` (with its ``base``
        and tuned ``models``), or the students of an emulation by name. Of a study over several seeds: all of these by
        their seed.

    Raises:
        InputError: no finished run. IntegrityError: damaged.
    """
    folder = path_of(path, "wf.open")
    base = folder / "artifacts" / "base"  # by itself: the sums of the whole run have been checked
    with RunDirectory.open(folder) as store:
        summary = read_results(folder)
        if summary is None:
            fix = "let it end: wavefoundry run STUDY --out DIR --resume"
            raise InputError(f"the run in {path} is not finished", where="wf.open", fix=fix)
        kind = summary.get("kind")
        if kind == "seeds":
            there = [run for run in summary["seeds"] if run["status"] != "failed"]
            return {run["seed"]: open(folder / run["folder"]) for run in there}
        if kind == "tickets":
            return api_tickets.open_run(folder)
        if kind == "molecules":
            return api_molecules.finished(folder, summary, store.read_log())
        if kind == "emulation":
            names = [student["name"] for student in summary["students"]]
            stored = {name: folder / "artifacts" / f"student-{name}" for name in names}
            return {name: load_student(place) for name, place in stored.items() if place.is_dir()}
        system = diagram_study.build_system(study_file.loads(store.spec_text).of_bases()[0]).system
        arrays = store.load_artifact("points")[0] if (folder / "artifacts" / "points").is_dir() else {}
        log = store.read_log()
    states: list[dict[str, np.ndarray] | None] = [None] * len(summary["points"])
    for name, array in arrays.items():
        index, field = name.split("/", 1)
        states[int(index)] = (states[int(index)] or {}) | {field: array}
    folders = [base, *(base.with_name(f"base-{number}") for number in range(1, len(summary.get("bases", ()))))]
    starts = [load(one, system).base for one in folders]
    records = summary.get("bases", [summary["pretrain"]])
    points = summary["points"]
    return Diagram(summary, log, states_of(bases_of(starts, records, points), points, states))


def from_netket_state(state: Any, system: LatticeSystem) -> Pretrained:
    """A state that NetKet has optimised, as a start for ``wf.map`` by "full" or "zero-shot".

    Args:
        state: ``netket.vqs.MCState`` or ``FullSumState``. system: its Hamiltonian, from ``wf.lattice``; a sign rule is
            taken off, since the state knows its signs.

    Raises:
        InputError: no state of NetKet, or one of another Hilbert space.
    """
    wavefunction = wavefunction_of(state)
    check_system(system, "wf.from_netket_state: system")
    if state.hilbert != system.hilbert:
        raise InputError(
            f"the state lives on {state.hilbert}, the Hamiltonian on {system.hilbert}",
            where="wf.from_netket_state: system",
        )
    system = dataclasses.replace(system, sublattice=None)
    table = checked(PretrainTable, "wf.from_netket_state", {"at": system.values})
    base = Base(system, wavefunction, equilibrated(wavefunction, system, jax.random.key(0), table.walkers))
    return Pretrained(base, None, table, measured_base(base, table, chunk_size(wavefunction, system, 512)))


class NetKetAmplitude(eqx.Module):
    """log psi of a NetKet state as a backbone: its features are log |psi| and the phase."""

    variables: Any
    apply: Any = eqx.field(static=True)

    def __call__(self, condition: Array | None, x: Array) -> Array:
        """Features of one configuration, (2,)."""
        del condition
        log = self.apply(self.variables, x[None].astype(jnp.float64))[0]
        return jnp.stack([jnp.real(log), jnp.imag(log)])


def wavefunction_of(state: Any) -> Wavefunction:
    """The wavefunction of a NetKet state, all its parameters trainable.

    Raises:
        InputError: it has no ``_apply_fun`` and ``variables``, so it is no state of NetKet.
    """
    apply, variables = getattr(state, "_apply_fun", None), getattr(state, "variables", None)
    if apply is None or variables is None:
        raise InputError(
            f"{type(state).__name__} is no variational state of NetKet",
            where="wf.from_netket_state: state",
            fix="hand in an nk.vqs.MCState or FullSumState",
        )
    return Wavefunction(NetKetAmplitude(jax.tree.map(jnp.asarray, variables), apply), Amplitude(False))
