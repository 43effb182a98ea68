"""Reference values of a lattice system by every method that is asked for; none of them raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from wavefoundry.core.errors import WavefoundryError
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import LATTICES, plain
from wavefoundry.core.meter import METER
from wavefoundry.problems import exact, observables
from wavefoundry.problems.references import apart, given, literature
from wavefoundry.problems.references.found import Found, failed, sure
from wavefoundry.problems.references.spins import spins_of, stored
from wavefoundry.problems.spins import LatticeSystem


class Settings(NamedTuple):
    """How references are computed.

    bonds: bond dimensions of DMRG, ascending; sweeps: most of them at each. memory: bytes. seconds: for one value.
    values: of a file. exact: whether these are exact. observables: those that are measured, see ``core.observables``.
    """

    bonds: tuple[int, ...] = (32, 64, 128)
    sweeps: int = 20
    memory: float = 4 * 2.0**30
    seconds: float = 1800.0
    values: given.Values | None = None
    exact: bool = False
    observables: bool | Sequence[str] = True


class Hooks(NamedTuple):
    """stopping: whether to leave at once. say: hears how far a calculation has come."""

    stopping: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda text: None


def find(system: LatticeSystem, method: str, settings: Settings, hooks: Hooks) -> Found | None:
    """The value of one method, or why there is none; None where a stop was asked for.

    Args:
        system: at its couplings. method: one of ``found.METHODS``. settings, hooks: see there.
    """
    begin = METER.now()
    try:
        if method in ("ed", "dmrg"):
            return _apart(system, method, settings, hooks)
        one = {"closed-form": _closed_form, "lanczos": _lanczos, "literature": _published}.get(method)
        if one is not None:
            found = one(system, settings)
        elif settings.values is None:
            found = failed("no file was given")
        else:
            found = given.lookup(settings.values, system.values, settings.exact)
            error, energy, zero = found.error, found.energy, zero_of(system)
            found = found._replace(confirms=energy is not None and sure(error, energy, zero))
    except Exception as error:  # noqa: BLE001 - a comparison must not cost the run that it belongs to
        found = failed(_first_line(error))
    return found._replace(cpu_seconds=(METER.now() - begin).cpu_seconds)


def automatic(system: LatticeSystem) -> list[str]:
    """The methods that cost little: a closed form, else our own Lanczos up to 2^20 states; published values."""
    if observables.closed_form(system) is not None:
        return ["closed-form", "literature"]
    return ["lanczos", "literature"] if exact.listable(system.hilbert) else ["literature"]


def zero_of(system: LatticeSystem) -> float:
    """Energy of infinite temperature, Tr H / dim."""
    return float(system.trace @ np.asarray(system.couplings, float))


def _first_line(error: Exception) -> str:
    if isinstance(error, WavefoundryError):
        return " ".join(str(error).split())
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _closed_form(system: LatticeSystem, settings: Settings) -> Found:
    known = observables.closed_form(system)
    if known is None:
        some = ", ".join(name for name, model in MODELS.items() if model.exact is not None)
        return failed(f"no closed form is known here; there are some of {some}, not everywhere")
    reference, rest, _ = observables.of_values(system, known, 0.0, settings.observables)
    return Found(reference.energy, observables=rest)


def _lanczos(system: LatticeSystem, settings: Settings) -> Found:
    if not exact.listable(system.hilbert):
        most = f"up to {exact.MAX_STATES} configurations"
        return failed(f"{system.sites} sites are too many for our own Lanczos, which lists {most}; try 'ed'")
    reference, known, _ = observables.diagonalised(system, 0.0, settings.observables)
    return Found(reference.energy, observables=known)


def _published(system: LatticeSystem, settings: Settings) -> Found:
    if not system.uniform:
        return failed("no values are published for couplings that differ from place to place")
    kind = system.geometry or plain(system.extent)
    cells = LATTICES[kind].cells(system.extent)
    found = literature.lookup(system.model, kind, cells, system.periodic, system.values, system.sites)
    return found or failed("no published value of this system is in the table")


def _apart(system: LatticeSystem, method: str, settings: Settings, hooks: Hooks) -> Found | None:
    job = {"method": method, "spins": stored(spins_of(system)), "bonds": list(settings.bonds)}
    job |= {"sweeps": settings.sweeps, "memory": settings.memory, "seconds": settings.seconds}
    ended = apart.run(job, settings.seconds, hooks.stopping, hooks.say)
    if ended.found is None:
        return None if ended.why is None else failed(ended.why, ended.cpu_seconds)
    found = Found.of(ended.found | {"cpu_seconds": ended.cpu_seconds})
    if method == "ed":
        source = "exact" if found.kind == "exact" else "partial exact diagonalisation"
        return found._replace(source=source, confirms=found.kind == "exact")
    assert found.energy is not None
    source = f"DMRG (bond dimension {found.details['bond_dimension']})"
    return found._replace(source=source, confirms=sure(found.error, found.energy, zero_of(system)))


def stages(bonds: int | Sequence[int]) -> tuple[int, ...]:
    """Bond dimensions of the stages: those given, or a quarter, half and all of one."""
    if isinstance(bonds, int):
        return tuple(sorted({min(bonds, max(4, bonds // part)) for part in (4, 2, 1)}))
    return tuple(bonds)
