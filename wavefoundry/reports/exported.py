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


def _module(name: str, where: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name} is not installed", where=where, why=str(error), fix="pip install '.[arviz]'"
        ) from None
