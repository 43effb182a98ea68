"""A fabricated run: exact energies of the transverse-field Ising chain with noise of a known size on top."""

import math
from typing import Any

import numpy as np
import pytest


def chain_modes(sites: int, h: float) -> tuple[np.ndarray, np.ndarray]:
    """Wave numbers and mode energies of the periodic chain, even parity sector, J = 1."""
    k = (2 * np.arange(sites) + 1) * np.pi / sites
    return k, np.sqrt(1 + h * h - 2 * h * np.cos(k))


def chain_energy(sites: int, h: float) -> float:
    """Exact ground-state energy of -sum ZZ - h sum X on a periodic chain."""
    return -float(chain_modes(sites, h)[1].sum())


def chain_field_term(sites: int, h: float) -> float:
    """Exact <-sum X> = dE/dh."""
    k, eps = chain_modes(sites, h)
    return -float(((h - np.cos(k)) / eps).sum())


def chain_correlations(sites: int, h: float) -> list[float]:
    """Exact <Z_0 Z_r> for r = 0 ... sites/2 as Toeplitz determinants."""
    k, eps = chain_modes(sites, h)
    a = {m: float(np.real(np.exp(1j * k * m) * (1 - h * np.exp(-1j * k)) / eps).mean()) for m in range(-sites, sites)}
    return [
        float(np.linalg.det(np.array([[a[i - j] for j in range(r)] for i in range(r)]))) if r else 1.0
        for r in range(sites // 2 + 1)
    ]


def make_point(sites: int, h: float, rng: np.random.Generator, **changes: Any) -> dict[str, Any]:
    exact = chain_energy(sites, h)
    error = 2e-4 * abs(exact) * math.exp(-4 * abs(h - 1)) / 2
    energy = exact * (1 - 3e-4 * math.exp(-5 * abs(h - 1))) + error * rng.normal()
    profile = chain_correlations(sites, h)
    m2 = (2 * sum(profile) - profile[0] - profile[-1]) / sites
    field = chain_field_term(sites, h)
    point = {
        "couplings": {"J": 1.0, "h": h},
        "method": "head",
        "energy": energy,
        "energy_error": error,
        "energy_per_site": energy / sites,
        "variance": 2e-3 * energy**2 / sites * math.exp(-4 * abs(h - 1)),
        "v_score": 1.2e-3 * math.exp(-4 * abs(h - 1)) * rng.lognormal(0, 0.2),
        "r_hat": 1.001 + 0.002 * rng.random(),
        "ess": 3000 + 1000 * rng.random(),
        "acceptance": 0.3 + 0.2 * rng.random(),
        "pool": {"draws": 1 + int(abs(h - 1) < 0.15), "ess_min": 0.5 + 0.4 * rng.random()},
        "exact_energy": exact,
        "relative_error": (energy - exact) / abs(exact),
        "observables": {
            "m2": {"value": m2 + 0.004 * rng.normal(), "error": 0.004},
            "abs_m": {"value": math.sqrt(m2) + 0.004 * rng.normal(), "error": 0.004},
            "zz": {"value": profile, "error": [0.003] * len(profile)},
        },
        "exact_observables": {"m2": m2, "zz": profile},
        "terms": {
            "J": {"value": energy - h * field, "error": 0.04},
            "h": {"value": field + 0.03 * rng.normal(), "error": 0.03},
        },
        "trusted": True,
        "flags": [],
        "cost": {"cpu_seconds": 3 + 25 * math.exp(-9 * abs(h - 1)), "wall_seconds": 2.0},
    }
    return {**point, **changes}


QUESTIONS = ("sampled", "state", "ground")
VERDICTS = {
    "trusted": (("yes", "yes", "yes"), [], ["agrees with the exact energy to 1e-04"]),
    "upper bound": (("yes", "yes", "unknown"), [], ["no independent value says whether this is the ground state"]),
    "doubtful": (("doubtful", "yes", "yes"), ["LOW-ESS"], ["only 210 independent samples"]),
    "refused": (
        ("yes", "no", "no"),
        ["HIGH-VARIANCE!", "ABOVE-EXACT!"],
        [
            "the variance is that of a state far from an eigenstate: V-score 0.41 (0.03)",
            "36.0% above the exact energy (310 error bars)",
        ],
    ),
}


def verdict_fields(word: str) -> dict[str, Any]:
    """What the verdict adds to a record."""
    answers, flags, reasons = VERDICTS[word]
    answers = dict(zip(QUESTIONS, answers, strict=True))
    return {"verdict": word, "answers": answers, "flags": flags, "reasons": reasons, "trusted": word == "trusted"}


def judged(record: dict[str, Any], word: str) -> dict[str, Any]:
    """A record with the fields of a verdict; without an exact energy where the word is "upper bound"."""
    energy, error, exact = (record[name] for name in ("energy", "energy_error", "exact_energy"))
    known = word != "upper bound"
    energy = 0.64 * exact if word == "refused" else energy
    score = 0.41 if word == "refused" else record["v_score"]
    found = {name: entry for name, entry in record["observables"].items() if name != "zz"}
    profile = record["observables"]["zz"]["value"]
    found |= {f"correlation_{r}": {"value": profile[r], "error": 0.003} for r in range(1, len(profile))}
    values = record["exact_observables"] | {f"correlation_{r}": profile[r] for r in range(1, len(profile))}
    for name, entry in found.items():
        value = values.get(name) if known else None
        z = None if value is None else (entry["value"] - value) / entry["error"]
        own, why = (
            ("estimate", "no exact value to compare with")
            if value is None
            else ("trusted", "agrees with the exact value")
        )
        own, why = ("refused", "the energy of this state is refused") if word == "refused" else (own, why)
        own, why = (own, why) if word != "doubtful" else ("doubtful", "the energy of this state is doubtful")
        entry |= {"exact": value, "z": z, "bias": 2e-3, "verdict": own, "why": why}
    reference = {"energy": exact, "kind": "exact", "source": "closed form", "uncertainty": 0.0, "zero": 0.0}
    return record | verdict_fields(word) | {
        "energy": energy, "energy_per_site": energy * record["energy_per_site"] / record["energy"],
        "v_score": score, "v_score_error": 0.1 * score, "v_score_plain": 0.9 * record["v_score"],
        "v_score_plain_error": 0.1 * record["v_score"], "observables": found, "reference": reference if known else None,
        "exact_energy": exact if known else None, "exact_observables": record["exact_observables"] if known else {},
        "relative_error": abs(energy - exact) / abs(exact) if known else None,
        "z": (energy - exact) / error if known else None,
        "convergence": {"gain": 1e-6, "error": 1e-6, "converged": True},
    }  # fmt: skip


def contradict(record: dict[str, Any], name: str = "m2") -> None:
    """Let an observable of a record stand nine error bars from its exact value, at an energy that is right."""
    entry = record["observables"][name]
    entry["value"] = entry["exact"] + 9 * entry["error"]
    share = abs(entry["value"] / entry["exact"] - 1)
    entry |= {"z": 9.0, "verdict": "refused", "why": f"{share:.0%} off the exact value (9 error bars)"}


def make_judged(words: Any, fields: Any = None, sites: int = 64, **changes: Any) -> dict[str, Any]:
    """A run with a verdict at every point: the given words, one a field."""
    fields = np.linspace(0.7, 1.3, len(words)) if fields is None else fields
    summary = make_summary(fields, sites)
    points = [judged(point, word) for point, word in zip(summary["points"], words, strict=True)]
    base = summary["pretrain"] | verdict_fields("trusted")
    return summary | {"points": points, "pretrain": base} | changes


def make_summary(fields: Any = None, sites: int = 64, **changes: Any) -> dict[str, Any]:
    """A complete run of the chain pre-trained at h = 1; keyword arguments replace entries of the summary."""
    rng = np.random.default_rng(7)
    fields = np.linspace(0.5, 1.5, 21) if fields is None else fields
    energy = chain_energy(sites, 1.0) * (1 - 2.5e-4)
    summary = {
        "schema": 1,
        "kind": "diagram",
        "status": "complete",
        "convention": "Pauli matrices: H = -J sum Z_i Z_j - h sum X_i",
        "system": {"model": "ising", "lattice": {"kind": "chain", "size": sites, "periodic": True}},
        "pretrain": {
            "couplings": {"J": 1.0, "h": 1.0},
            "steps": 300,
            "energy": energy,
            "energy_error": 0.012,
            "v_score": 9e-4,
            "cost": {"cpu_seconds": 622.0, "wall_seconds": 330.0},
        },
        "points": [make_point(sites, round(float(h), 4), rng) for h in fields],
        "cost": {"cpu_seconds": 801.2, "wall_seconds": 432.0, "compile_seconds": 31.0, "compilations": 14},
        "versions": {"wavefoundry": "0.1.0", "jax": "0.10.2", "netket": "3.23.0", "python": "3.11.2"},
        "hardware": {"cpu": "AMD EPYC 7763", "cores": 2, "devices": ["cpu"], "memory_gib": 8},
        "command": "wavefoundry run study.toml --set adapt.method=head",
        "settings": {
            "kind": "diagram",
            "system": {"model": "ising", "lattice": {"kind": "chain", "size": sites, "periodic": True}},
            "wavefunction": {"patch": 4, "width": 32, "layers": 2, "heads": 4, "dtype": "float32"},
            "pretrain": {"at": {"h": 1.0}, "steps": 300, "walkers": 1024, "learning_rate": 0.02, "seed": 1},
            "adapt": {
                "method": "head",
                "points": {"h": {"start": 0.5, "stop": 1.5, "num": 21}},
                "pool": 2048,
            },
        },
    }
    return {**summary, **changes}


def make_log(summary: dict[str, Any], steps: int = 300, rounds: int = 6) -> list[dict[str, Any]]:
    """Steps of a pre-training that converges, and rounds of every point."""
    rng = np.random.default_rng(3)
    final = summary["pretrain"]["energy"]
    log: list[dict[str, Any]] = []
    for step in range(steps):
        gap = math.exp(-step / 12) + 0.02 * math.exp(-step / 80)
        energy, score = final * (1 - gap) + 0.02 * rng.normal(), 2 * gap**1.5 + 9e-4 * rng.lognormal(0, 0.15)
        event = {"event": "step", "phase": "pretrain", "step": step, "energy": energy, "energy_error": 0.02}
        log.append({**event, "v_score": score})
    for point in summary["points"]:
        exact = point["exact_energy"] or point["energy"]
        for index in range(rounds):
            start = 0.02 * abs(point["couplings"]["h"] - 1.0) + 1e-3
            gap = start * math.exp(-index) + 2e-4
            log.append({
                "event": "round", "point": point["couplings"], "round": index, "energy": exact * (1 - gap),
                "energy_error": 0.01, "held_out": exact * (1 - 1.3 * gap * rng.lognormal(0, 0.1)),
                "ess": 1 - 0.45 * math.exp(-index / 2) * rng.random(),
            })  # fmt: skip
        log.append({"event": "point", "point": point["couplings"], "energy": point["energy"]})
    return log


@pytest.fixture(scope="session")
def fabricate():
    """Builders of a fabricated run, as one namespace."""
    from types import SimpleNamespace

    return SimpleNamespace(
        summary=make_summary,
        judged=make_judged,
        contradict=contradict,
        point=make_point,
        log=make_log,
        energy=chain_energy,
        rng=np.random.default_rng,
    )
