"""Energy and CPU time of every training step of DeepQMC. Runs in DeepQMC's own environment, as its metric logger."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np


class Clock:
    """One line of JSON per training step, in the file that ``DEEPQMC_CLOCK`` names."""

    def __init__(self, workdir: str, n_mol: int) -> None:
        del workdir, n_mol
        self.file = open(os.environ["DEEPQMC_CLOCK"], "w", encoding="utf-8", buffering=1)  # noqa: SIM115

    def update(self, step: int, stats: dict[str, Any], *others: Any, prefix: str | None = None) -> None:
        """Record a step; the Hartree-Fock pre-training logs under a prefix."""
        del others
        if prefix is None and "local_energy/mean" in stats:
            energy = float(np.asarray(stats["local_energy/mean"]).mean())
            row = {"step": int(step), "energy": energy, "cpu": time.process_time(), "wall": time.perf_counter()}
            self.file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Close the file."""
        self.file.close()
