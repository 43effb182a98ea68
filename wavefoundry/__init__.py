"""wavefoundry: pre-train a neural quantum state once, adapt it cheaply everywhere else, and know what to trust.

Names are loaded on first use, so that ``import wavefoundry`` and the commands that only read results stay light.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from wavefoundry._version import __version__

# The dense solves here are small: OpenBLAS threads cost up to 50 times more than they gain. Has to be set before
# the library is loaded; a value of the user's own is respected.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Notices of dependencies at their import; variables and levels that a user has set stay.
os.environ.setdefault("NETKET_NO_TIPS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", message="IProgress not found")  # progress here needs no widgets

_MODULES = {
    "lattice": "wavefoundry.problems.lattice",
    "models": "wavefoundry.models",
    "exact": "wavefoundry.problems.exact",
    "toric": "wavefoundry.problems.toric",
    "zoo": "wavefoundry.artifacts.zoo",
}
_NAMES = {
    **dict.fromkeys(("pretrain", "map", "load", "run_study", "Diagram", "Pretrained"), "api"),
    **dict.fromkeys(("molecules", "MoleculeMap", "MoleculeModel"), "api"),
    **dict.fromkeys(("prune", "isolate", "compact", "explain", "collapse", "Tickets", "Collapse"), "api"),
    "MoleculeTickets": "api",
    **dict.fromkeys(("open", "from_netket_state"), "api_states"),
    "Calculator": "calculator",
    "use_devices": "core.devices",
    **dict.fromkeys(("Suggestion", "suggest_pretraining"), "studies.diagram.suggest"),
    **dict.fromkeys(("InputError", "IntegrityError", "Interrupted", "LockedError", "PhysicsError"), "core.errors"),
    **dict.fromkeys(("StorageError", "WavefoundryError"), "core.errors"),
    **dict.fromkeys(("animate", "Animation"), "reports.animation"),
    "Grid1D": "problems.grid",
    "Grid2D": "problems.grid",
    "Packet": "problems.wavepackets",
    "case": "problems.landscapes",
    "propagate": "problems.propagation",
    "Curriculum": "studies.emulation.curriculum",
    "Student": "studies.emulation.student",
    "load_student": "studies.emulation.student",
    **dict.fromkeys(
        ("ablate", "demo_emulator", "diagnose", "distill", "evaluate", "rollout"), "studies.emulation.teaching"
    ),
}

if TYPE_CHECKING:
    from wavefoundry import models
    from wavefoundry.api import Diagram, Pretrained, load, map, pretrain, run_study
    from wavefoundry.api_molecule_tickets import MoleculeTickets
    from wavefoundry.api_molecules import MoleculeMap, MoleculeModel, molecules
    from wavefoundry.api_pruning import prune
    from wavefoundry.api_states import from_netket_state, open
    from wavefoundry.api_tickets import Collapse, Tickets, collapse, compact, explain, isolate
    from wavefoundry.artifacts import zoo
    from wavefoundry.calculator import Calculator
    from wavefoundry.core.devices import use_devices
    from wavefoundry.core.errors import (
        InputError,
        IntegrityError,
        Interrupted,
        LockedError,
        PhysicsError,
        StorageError,
        WavefoundryError,
    )
    from wavefoundry.problems import exact, lattice, toric
    from wavefoundry.problems.grid import Grid1D, Grid2D
    from wavefoundry.problems.landscapes import case
    from wavefoundry.problems.propagation import propagate
    from wavefoundry.problems.wavepackets import Packet
    from wavefoundry.reports.animation import Animation, animate
    from wavefoundry.studies.diagram.suggest import Suggestion, suggest_pretraining
    from wavefoundry.studies.emulation.curriculum import Curriculum
    from wavefoundry.studies.emulation.student import Student, load_student
    from wavefoundry.studies.emulation.teaching import ablate, demo_emulator, diagnose, distill, evaluate, rollout

__all__ = [
    "__version__",
    "Animation",
    "Calculator",
    "Collapse",
    "Curriculum",
    "Diagram",
    "Grid1D",
    "Grid2D",
    "InputError",
    "IntegrityError",
    "Interrupted",
    "LockedError",
    "MoleculeMap",
    "MoleculeModel",
    "MoleculeTickets",
    "Packet",
    "PhysicsError",
    "Pretrained",
    "StorageError",
    "Student",
    "WavefoundryError",
    "ablate",
    "animate",
    "case",
    "collapse",
    "demo_emulator",
    "diagnose",
    "distill",
    "evaluate",
    "Tickets",
    "compact",
    "exact",
    "from_netket_state",
    "explain",
    "isolate",
    "lattice",
    "load",
    "load_student",
    "map",
    "models",
    "molecules",
    "open",
    "pretrain",
    "propagate",
    "rollout",
    "prune",
    "run_study",
    "Suggestion",
    "suggest_pretraining",
    "toric",
    "use_devices",
    "zoo",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _NAMES:
        return getattr(import_module(f"wavefoundry.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'wavefoundry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
