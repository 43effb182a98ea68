"""A model as hubs of models lay it out, to be handed on: ``config.json``, ``model.safetensors``, ``README.md``.

Beside them ``samples.safetensors``, configurations distributed as |psi|^2, and ``study.toml``, which makes the model
again. ``config.json`` holds the description, and the sums of all files but the card, which may be rewritten by hand.
Nothing here needs a network: the folder is what one uploads, or copies.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavefoundry._version import __version__
from wavefoundry.artifacts import files
from wavefoundry.artifacts.bundles import Arrays, decode_arrays, encode_arrays
from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.core.reading import is_there

CONFIG, WEIGHTS, SAMPLES, STUDY, CARD = (
    "config.json", "model.safetensors", "samples.safetensors", "study.toml", "README.md",
)  # fmt: skip
LIBRARY, SCHEMA = "wavefoundry", 1
DRAWN = "walkers"
"""Array that holds samples, not weights."""
LARGEST = 4 * 2**30
"""Bytes of weights or samples that are read."""
WHERE = "models import"


class Handed(NamedTuple):
    """What such a folder holds: arrays and description of a bundle, and the text of its study."""

    arrays: Arrays
    meta: dict[str, Any]
    study: str


def is_handed_on(folder: Path) -> bool:
    """Whether a folder has this layout, of whatever library."""
    return is_there(folder / CONFIG)


def contents(handed: Handed, card: str) -> dict[str, bytes]:
    """The files of a folder, by name.

    Args:
        handed: the model. card: ``README.md`` in Markdown.
    """
    weights = {name: array for name, array in handed.arrays.items() if name != DRAWN}
    samples = {name: array for name, array in handed.arrays.items() if name == DRAWN}
    parts = {WEIGHTS: encode_arrays(weights), STUDY: handed.study.encode()}
    if samples:
        parts[SAMPLES] = encode_arrays(samples)
    config = {
        "library_name": LIBRARY,
        "library_version": __version__,
        "schema": SCHEMA,
        "complex128": sorted(name for name, array in handed.arrays.items() if array.dtype == np.complex128),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
        "description": handed.meta,
    }
    return {CONFIG: files.encode_json(config, indent=1), **parts, CARD: card.encode()}


def front_matter(kind: str, title: str) -> str:
    """What hubs read at the head of a card."""
    tags = ["neural-quantum-states", "variational-monte-carlo", kind]
    lines = [f"library_name: {LIBRARY}", "tags:", *(f"- {tag}" for tag in tags), f"model_name: {json.dumps(title)}"]
    return "\n".join(["---", *lines, "---", ""])


def read(folder: Path) -> Handed:
    """What a folder holds, once its sums have been checked.

    Raises:
        InputError: a model of another library, or of a newer schema. IntegrityError: it is damaged or incomplete.
    """
    config = files.decode_json(files.read_plain(folder / CONFIG), folder / CONFIG)
    library = config.get("library_name") if isinstance(config, dict) else None
    if library != LIBRARY:
        why = f"its {CONFIG} names {'no library' if library is None else f'the library {library!r}'}"
        raise InputError(
            f"{folder} is no model of {LIBRARY}", where=WHERE, why=why, fix="wavefoundry models export RUN"
        )
    if type(config.get("schema")) is not int or config["schema"] > SCHEMA:
        what = f"{folder} has schema {config.get('schema')}; this wavefoundry reads schemas up to {SCHEMA}"
        raise InputError(what, where=WHERE, fix="the wavefoundry release that wrote it, or a newer one")
    sums, meta, doubles = config.get("sha256"), config.get("description"), config.get("complex128")
    damaged = IntegrityError(f"{folder / CONFIG} is damaged: it does not describe a model")
    if not isinstance(sums, dict) or not isinstance(meta, dict) or not isinstance(doubles, list):
        raise damaged
    if not {WEIGHTS, STUDY} <= set(sums) <= {WEIGHTS, STUDY, SAMPLES}:
        raise damaged
    parts = {name: _part(folder / name, expected) for name, expected in sums.items()}
    arrays: Arrays = {}
    for name in (WEIGHTS, SAMPLES):
        if name in parts:
            held = decode_arrays(parts[name], [], folder / name)
            chosen = [double for double in doubles if double in held]
            arrays |= decode_arrays(parts[name], chosen, folder / name) if chosen else held
    try:
        study = parts[STUDY].decode()
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{folder / STUDY} is damaged: it is no text") from error
    return Handed(arrays, meta, study)


def _part(path: Path, expected: Any) -> bytes:
    if not os.path.lexists(path):
        raise IntegrityError(f"{path} is missing")
    data = files.read_plain(path, LARGEST)
    if hashlib.sha256(data).hexdigest() != expected:
        raise IntegrityError(f"{path} is damaged: its SHA-256 does not match {CONFIG}")
    return data
