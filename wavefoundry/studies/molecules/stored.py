"""Stored models of molecules: what is kept with the weights, and what another study may start from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from wavefoundry.artifacts import spec_geometry
from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import ElectronsTable, MoleculesSpec, MoleculesTrainTable
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import Molecule
from wavefoundry.models import ElectronsSpec
from wavefoundry.models.electron_growth import grown, obstacle
from wavefoundry.models.electron_shape import Shape
from wavefoundry.models.electron_wavefunction import resolve
from wavefoundry.studies.molecules.verdict import Rest


def describe(spec: MoleculesSpec) -> ElectronsSpec:
    """The network of a study file in words."""
    table = spec.wavefunction
    return ElectronsSpec(table.preset, table.precision, tuple(sorted(table.options().items())))


def resolved(spec: MoleculesSpec) -> MoleculesSpec:
    """A study with the network of the model that it starts from, but for what it sets itself.

    Raises:
        InputError: no model of molecules there. IntegrityError: damaged.
    """
    own = spec.wavefunction.model_dump(include=spec.wavefunction.model_fields_set)
    if spec.train.warm_start is None:
        return spec
    stored = _stored_network(_model(spec.train.warm_start)[1])
    if own.get("preset", stored.preset) != stored.preset:
        return spec
    table = ElectronsTable(**stored.model_dump(exclude_none=True) | own)
    return spec.model_copy(update={"wavefunction": table})


def _stored_network(meta: dict[str, Any]) -> ElectronsTable:
    return ElectronsTable(**(meta.get("spec") or {}).get("wavefunction", {}))


def origin(spec: MoleculesSpec) -> MoleculesSpec:
    """The study that the model was trained by: of one that takes a stored model as it is, the one stored with that.

    Raises:
        InputError: no model of molecules there. IntegrityError: damaged.
    """
    if spec.train.warm_start is None or spec.train.molecules:
        return spec
    table = (_model(spec.train.warm_start)[1].get("spec") or {}).get("train", {})
    return spec.model_copy(update={"train": MoleculesTrainTable(**(table | {"frame": spec.train.frame}))})


def first_network(spec: MoleculesSpec) -> Any:
    """The network with its first weights, or those of an earlier run: in a larger network, where it is one.

    Raises:
        InputError: no model of molecules there, or one that cannot be grown to this one. IntegrityError: damaged.
    """
    key = jax.random.fold_in(jax.random.key(spec.train.seed), 0)
    wavefunction, path = describe(spec).build(key), spec.train.warm_start
    if path is None:
        return wavefunction
    shapes = grows(spec)
    if shapes is None:
        return stored_weights(wavefunction, path, spec.train.frame)
    if why := obstacle(*shapes):
        fix = "the [wavefunction] of the earlier run, see its spec.toml, or larger sizes"
        raise InputError(f"the network in {path} is another", where="train.warm_start", why=why, fix=fix)
    earlier = spec.model_copy(update={"wavefunction": _stored_network(_model(path)[1])})
    small = stored_weights(describe(earlier).build(key), path, spec.train.frame)
    return grown(jax.random.fold_in(key, 1), small, shapes[0], wavefunction, shapes[1])


def grows(spec: MoleculesSpec) -> tuple[Shape, Shape] | None:
    """Sizes of the network that a study starts from, and of its own; None where these and the precision are equal."""
    if spec.train.warm_start is None:
        return None
    tables = _stored_network(_model(spec.train.warm_start)[1]), spec.wavefunction
    old, new = (resolve(table.preset, table.options()) for table in tables)
    return None if (old, tables[0].precision) == (new, tables[1].precision) else (old, new)


def contents(wavefunction: PyTree, spec: MoleculesSpec, rest: dict[str, Rest]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and description of a stored model; rest: how its training ended, by molecule it was trained on."""
    meta = {
        "kind": "molecules", "spec": spec.model_dump(mode="json", exclude_none=True), "molecules": list(rest),
        "rest": {name: list(one) for name, one in rest.items()},
    }  # fmt: skip
    return tree.to_arrays(wavefunction, "wavefunction"), meta


def stored_weights(wavefunction: Any, path: str | os.PathLike[str], frame: str) -> Any:
    """Weights of an earlier run or saved model, for a network of the same shape and molecules in the same frame.

    Raises:
        InputError: another kind of model, or other sizes. IntegrityError: damaged.
    """
    arrays, meta = _model(path)
    trained_in = stored_frame(meta)
    if trained_in != frame:
        why = f"its molecules lay in their frame '{trained_in}', those of this study in '{frame}'"
        fix = f'frame = "{trained_in}" in [train]'
        raise InputError(f"the model in {path} does not fit", where="train.frame", why=why, fix=fix)
    wanted = {name: array.shape for name, array in tree.to_arrays(wavefunction, "wavefunction").items()}
    found = {name: array.shape for name, array in arrays.items() if name in wanted}
    if found != wanted:
        fix = "the [wavefunction] of the earlier run, see its spec.toml"
        raise InputError(f"the network in {path} has other sizes", where="train.warm_start", fix=fix)
    return tree.from_arrays(wavefunction, arrays, "wavefunction")


def _model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and description of a stored model of molecules."""
    from wavefoundry.artifacts.results import read_model

    return read_model(path, "train.warm_start", "molecules")


def stored_frame(meta: dict[str, Any]) -> str:
    """The frame a stored model was trained in; models that name none took molecules as they were given."""
    return str(((meta.get("spec") or {}).get("train") or {}).get("frame", "given"))


def stored_rest(path: str | os.PathLike[str]) -> dict[str, Rest]:
    """What is stored with a model about the end of its training; empty where nothing is."""
    from wavefoundry.artifacts.bundles import read_bundle

    meta = read_bundle(base_folder(path))[1]
    found = {str(name): Rest(*row) for name, row in (meta.get("rest") or {}).items()}
    if all(rest.formula for rest in found.values()):
        return found
    told = _of_study(meta)  # models of an earlier release name their molecules alone
    return {name: rest if rest.formula else rest._replace(**told.get(name, {})) for name, rest in found.items()}


def about(molecule: Molecule) -> dict[str, Any]:
    """What ``Rest`` holds about a molecule."""
    return {"formula": molecule.formula, "spin": molecule.spin}


def untold(training: Sequence[Named]) -> dict[str, Rest]:
    """Molecules of a training of which is not known how it ended."""
    return {named.molecule.name: Rest(**about(named.molecule)) for named in training}


def _of_study(meta: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Formulas and spins by name, from the study that a model is stored with; empty where its files are gone."""
    try:
        table = MoleculesTrainTable(**((meta.get("spec") or {}).get("train") or {}))
        training = spec_geometry.expand(table.molecules, table.unit)
    except (InputError, ValueError):
        return {}
    return {named.molecule.name: about(named.molecule) for named in training}


def base_folder(path: str | os.PathLike[str]) -> Path:
    """Folder of the stored model: in a run directory, or the path itself."""
    from wavefoundry.artifacts.results import model_folder

    return model_folder(path, "base")
