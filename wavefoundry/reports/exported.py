"""Records and samples as xarray and ArviZ know them; both are optional (extra ``arviz``)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from wavefoundry.core.errors import InputError

if TYPE_CHECKING:
    import pandas


def dataset(frame: pandas.DataFrame, along: Sequence[str], otherwise: str) -> Any:
    """A table as ``xarray.Dataset``.

    Args:
        frame: one row per record. along: columns that span a grid, and become dimensions where each combination is
            there once. otherwise: name of the one dimension where they do not; then they are coordinates.

    Raises:
        InputError: xarray is not installed.
    """
    _module("xarray", "to_xarray")
    kept = frame.dropna(axis="columns", how="all")
    values = {name: len(frame[name].unique()) for name in along}
    varied = [name for name in along if values[name] > 1] or list(along[:1])
    whole = varied and len(frame) == math.prod(values[name] for name in varied)
    if whole and not frame.duplicated(varied).any():
        return kept.set_index(varied).to_xarray()
    return kept.rename_axis(otherwise).to_xarray().set_coords([name for name in along if name in kept])


def curves(values: Mapping[str, np.ndarray], cases: Sequence[str], verdicts: Sequence[str]) -> Any:
    """Curves of several cases as ``xarray.Dataset``.

    Args:
        values: (cases, frames) each; frame 1 is the first one that is predicted. cases: names. verdicts: words.

    Raises:
        InputError: xarray is not installed.
    """
    xarray = _module("xarray", "to_xarray")
    frames = 1 + np.arange(next(iter(values.values())).shape[1])
    found = {name: (("case", "frame"), array) for name, array in values.items()}
    coordinates = {"case": list(cases), "frame": frames, "verdict": ("case", list(verdicts))}
    return xarray.Dataset(found, coords=coordinates)


def inference_data(samples: np.ndarray, stats: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> Any:
    """Samples chain by chain as ``arviz.InferenceData``.

    Args:
        samples: spins (chains, draws, sites). stats: of every sample, (chains, draws). attributes: in words.

    Raises:
        InputError: ArviZ is not installed.
    """
    arviz = _module("arviz", "to_arviz")
    return arviz.from_dict(
        posterior={"spin": samples}, sample_stats=dict(stats), dims={"spin": ["site"]}, attrs=dict(attributes)
    )


def qcschema(record: Mapping[str, Any], version: str) -> dict[str, Any]:
    """A record of a molecule as MolSSI's QCSchema has it: an output, or of a refused energy a failed operation.

    What the schema has no place for (error bar, verdict, reasons, reference, forces) stands in ``extras``.

    Args:
        record: of ``summary.json``. version: of wavefoundry.
    """
    symbols = [symbol for symbol, *_ in record["geometry"]]
    points = [float(value) for _, *point in record["geometry"] for value in point]
    charge, spin, electrons = record["charge"], record["spin"], record["electrons"]
    molecule = {
        "schema_name": "qcschema_molecule", "schema_version": 2, "name": record["name"], "symbols": symbols,
        "geometry": points, "molecular_charge": float(charge), "molecular_multiplicity": spin + 1,
        "fix_com": True, "fix_orientation": True,
    }  # fmt: skip
    known = (
        "energy_error",
        "verdict",
        "reasons",
        "flags",
        "variance",
        "samples",
        "reference",
        "error_mha",
        "observables",
    )
    asked = {
        "schema_version": 1, "molecule": molecule, "driver": "energy",
        "model": {"method": f"neural wavefunction, {record['method']}"},
        "keywords": {} if record["steps"] is None else {"steps": record["steps"]},
        "extras": {"wavefoundry": {name: record.get(name) for name in known}},
    }  # fmt: skip
    if record["energy"] is None or record["verdict"] == "refused":
        why = "; ".join(record.get("reasons") or ["refused"])
        error = {"error_type": "refused", "error_message": why}
        return {"input_data": {"schema_name": "qcschema_input"} | asked, "success": False, "error": error}
    properties = {
        "calcinfo_natom": len(symbols), "calcinfo_nalpha": (electrons + spin) // 2,
        "calcinfo_nbeta": (electrons - spin) // 2, "return_energy": record["energy"],
    }  # fmt: skip
    made = {"creator": "wavefoundry", "version": version, "routine": "wavefoundry.map"}
    done = {"properties": properties, "return_result": record["energy"], "success": True, "provenance": made}
    return {"schema_name": "qcschema_output"} | asked | done


def _module(name: str, where: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name} is not installed", where=where, why=str(error), fix="pip install '.[arviz]'"
        ) from None
