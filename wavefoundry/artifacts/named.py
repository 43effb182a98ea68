"""Where models lie that have a name: in the package, or in the user's folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, from_home, own_folder
from wavefoundry.core.words import near

SHIPPED = Path(__file__).parents[1] / "zoo"
PREFIX = "zoo:"
MODEL, STUDY = "model", "study.toml"
"""Within the folder of a model: weights and description, and the study that made them."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def imported() -> Path:
    """Where imported models lie: ``WAVEFOUNDRY_MODELS``, by default in the user's folder of data."""
    if given := os.environ.get("WAVEFOUNDRY_MODELS"):
        return from_home(given)
    return own_folder("XDG_DATA_HOME", ".local/share") / "wavefoundry" / "models"


def names() -> list[str]:
    """All models, imported ones last."""
    roots = [root for root in (SHIPPED, imported()) if root.is_dir()]
    found = [sorted(one.name for one in root.iterdir() if NAME.fullmatch(one.name) and _holds(one)) for root in roots]
    return list(dict.fromkeys(name for one in found for name in one))


def find(name: str) -> Path:
    """The folder of a model by its name, with or without ``zoo:``.

    Raises:
        InputError: no model has this name.
    """
    expect(name, str, "name of a model", where="models", fix="wavefoundry models list")
    name = name.removeprefix(PREFIX)
    for root in (SHIPPED, imported()):
        if NAME.fullmatch(name) and _holds(root / name):
            return root / name
    there, fix = ", ".join(names()) or "none", near(name, names()) or "wavefoundry models list"
    raise InputError(f"there is no model '{name}'", where="models", why=f"there are: {there}", fix=fix)


def _holds(folder: Path) -> bool:
    return (folder / MODEL / "manifest.json").is_file()


def is_named(path: object) -> bool:
    """Whether a path is the name of a model."""
    return str(path).startswith(PREFIX)
