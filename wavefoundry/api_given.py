"""Molecules as users of the Python interface give them, as entries of a study file and with its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from wavefoundry.artifacts import spec_geometry
from wavefoundry.artifacts.given_molecules import entry_from
from wavefoundry.artifacts.spec_geometry import MoleculeTable, Named
from wavefoundry.artifacts.spec_molecules import MoleculesSpec, self_contained
from wavefoundry.core.compounds import COMPOUNDS
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import plain_of
from wavefoundry.core.molecule import Molecule
from wavefoundry.models import ElectronsSpec

Source = Any
"""Text, a path, a ``Molecule``, a table, ``ase.Atoms`` or ``pyscf.gto.Mole``, or a list of these."""
FILES = (".xyz", ".extxyz")


def named_molecules(
    sources: Sequence[Source], unit: Literal["bohr", "angstrom"], settings: Mapping[str, Any]
) -> list[Named]:
    """What ``wf.molecules`` makes of its arguments, with the references that entries hold.

    Raises:
        InputError: as there.
    """
    listed = [one for source in sources for one in (source if isinstance(source, list) else [source])]
    if sources and not listed:
        raise InputError("an empty list names no molecule", where="wf.molecules")
    rows = [_entry(source, settings) for source in listed] or [_entry({}, settings)]
    return spec_geometry.expand(_checked(rows, unit), unit)


def _entry(source: Source, settings: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(source, Molecule):
        return spec_geometry.entry_of(Named(source)) | dict(settings)
    if isinstance(source, Mapping):
        return dict(source) | dict(settings)
    if (entry := entry_from(source, "wf.molecules")) is not None:
        return entry | dict(settings)
    if isinstance(source, Path) or (isinstance(source, str) and source.strip().lower().endswith(FILES)):
        return {"xyz": str(source)} | dict(settings)
    if isinstance(source, str):
        known = source.strip()
        return {"compound" if known in COMPOUNDS else "atoms": known} | dict(settings)
    what = f"{type(source).__name__} names no molecule"
    raise InputError(what, where="wf.molecules", fix='atoms as "Li 0 0 0; H 0 0 3.015", or the path of an XYZ file')


def _checked(rows: list[dict[str, Any]], unit: str) -> list[MoleculeTable]:
    """Entries with the checks and messages of a study file."""
    from wavefoundry.artifacts import spec as study_file

    data = {"kind": "molecules", "train": {"unit": unit, "molecules": [_plain(row) for row in rows]}}
    spec = study_file.from_dict(data, source="wf.molecules")
    return self_contained(spec, lambda path: "wf.molecules").train.molecules


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays and tuples as the lists of a study file."""
    given = {key: plain_of(value) for key, value in row.items()}
    return {key: list(value) if isinstance(value, tuple | range) else value for key, value in given.items()}


def rows_of(given: Sequence[Source] | Source, where: str) -> list[dict[str, Any]]:
    """Molecules, or what ``wf.molecules`` takes, as entries of a study file.

    Raises:
        InputError: none, or as there.
    """
    systems: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
    if not systems:
        raise InputError("no molecules", where=where, fix='wf.molecules("Li 0 0 0; H 0 0 3.015"), for example')
    if all(isinstance(one, Molecule) for one in systems):
        return [spec_geometry.entry_of(Named(one)) for one in systems]
    return [spec_geometry.entry_of(one) for one in named_molecules(systems, "bohr", {})]


def spec_of(tables: dict[str, Any], model: ElectronsSpec, where: str) -> MoleculesSpec:
    """A study with the checks and messages of a study file.

    Raises:
        InputError: a setting is unknown or out of bounds.
    """
    from wavefoundry.artifacts import spec as study_file

    options = {key: list(value) if isinstance(value, tuple) else value for key, value in model.options}
    network = {"preset": model.preset, "precision": model.precision} | options
    return study_file.from_dict({"kind": "molecules", "wavefunction": network, **tables}, source=where)
