"""How much memory there is, and the refusal of what cannot fit."""

from __future__ import annotations

from pathlib import Path

from wavefoundry.core.errors import InputError


def free_memory() -> int | None:
    """Bytes of memory that can be used without swapping; None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def device_memory() -> int | None:
    """Bytes that arrays may take: of the accelerator, or free on this machine; None where that is not known."""
    import jax

    if jax.default_backend() == "cpu":
        return free_memory()
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("bytes_limit")


def require_memory(needed: float, what: str, where: str, fix: str, *, host: bool = False) -> None:
    """Refuse what cannot fit.

    Args:
        needed: bytes, at least. what: whose. where: keys of the study file, or the argument. fix: what to lower.
        host: whether arrays of NumPy are meant, which lie on this machine.

    Raises:
        InputError: more than there is.
    """
    free = free_memory() if host else device_memory()
    if free is not None and needed > free:
        why = f"{free / 2**30:.3g} GiB are free"
        raise InputError(f"{what} takes at least {needed / 2**30:.3g} GiB of memory", where=where, why=why, fix=fix)
