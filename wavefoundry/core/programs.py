"""Compiled programs kept: compiling takes longer than many a study, and the next one needs the same.

Within a process what makes programs of equal settings gives the same ones again (``once``), so that they are not even
traced anew; from one process to the next they are kept on disk.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax

from wavefoundry.core.expect import from_home, own_folder

VARIABLE = "WAVEFOUNDRY_CACHE"
"""Environment variable: a folder for the programs, or "off"."""
LARGEST = 2**30
"""Bytes that are kept; the programs that were not used for longest go first."""
QUICK = 0.2
"""Seconds of compiling below which a program is not worth a file."""
FILLED = 0.4
"""Part of the memory maps a process may have above which the programs it holds are forgotten."""
_MAPS, _MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_SUFFIX, _SEEN = "-cache", ".seen"
_MADE = 32
F = TypeVar("F", bound=Callable[..., Any])


def once(make: F) -> F:
    """A function that, called with equal arguments, gives what it has made before; for functions to be compiled.

    JAX knows a function by its identity: one made anew is traced and compiled anew. The last ``_MADE`` are remembered.
    Arguments that cannot be told apart by value, such as pytrees with arrays, are simply passed on.
    """
    kept = functools.lru_cache(maxsize=_MADE)(make)

    @functools.wraps(make)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        try:
            hash((args, tuple(kwargs.items())))
        except TypeError:
            return make(*args, **kwargs)
        return kept(*args, **kwargs)

    return remembered  # type: ignore[return-value]


def folder() -> Path | None:
    """Where programs are kept: as the variable says, else in the user's cache; None when it says "off"."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted.lower() in ("off", "0", "no", "none"):
        return None
    if wanted:
        return from_home(wanted)
    return own_folder("XDG_CACHE_HOME", ".cache") / "wavefoundry" / "jax"


def forget_programs() -> bool:
    """Forget what this process has compiled where it would not have room for much more; whether it did.

    Every program takes some memory maps, of which Linux allows a process 65 530: compiling the next one ends it with a
    segmentation fault, after some thousand programs. What is needed again is read from disk.
    """
    try:
        room = FILLED * int(_MOST_MAPS.read_text())
        full = _MAPS.read_bytes().count(b"\n") > room
    except (OSError, ValueError):
        return False
    if full:
        jax.clear_caches()
        gc.collect()
    return full


def keep_programs() -> str:
    """Keep the compiled programs of this process from now on, and use those of earlier ones.

    A cache the user has given to JAX stays as it is. A process that holds too many forgets them.

    Returns:
        Why none are kept where they should be, as a warning says it too; else an empty text.
    """
    forget_programs()
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return ""
    place = folder()
    if place is None:
        return ""
    try:
        place.mkdir(parents=True, exist_ok=True)
        tidy(place)
    except OSError as error:
        why = f"compiled programs cannot be kept in {place}: {error.strerror or error} ({VARIABLE} names the folder)"
        warnings.warn(why, stacklevel=2)
        return why
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", QUICK)
    return ""


def tidy(place: Path, largest: int = LARGEST) -> None:
    """Remove programs whose writing was cut short, and the oldest ones beyond ``largest`` bytes.

    JAX would neither use nor replace a damaged file. Only what was written since the last call is read.
    """
    seen, begin = place / _SEEN, time.time()
    last = seen.stat().st_mtime if seen.exists() else 0.0
    kept: list[tuple[float, int, Path]] = []
    for path in place.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process tidies as well
            found = path.stat()
            # a file of the last minute may be in the making
            if last <= found.st_mtime < begin - 60:
                if not _whole(path):
                    path.unlink()
                    continue
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))  # that was no use of it
            kept.append((max(found.st_atime, found.st_mtime), found.st_size, path))
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= largest:
            break
        path.unlink(missing_ok=True)
        total -= size
    seen.touch()
    os.utime(seen, (begin - 60, begin - 60))


def _whole(path: Path) -> bool:
    """Whether a compressed file is complete."""
    data = path.read_bytes()
    if data[:4] == b"\x28\xb5\x2f\xfd":  # zstd, where that is installed: JAX finds out itself
        return True
    try:
        zlib.decompress(data)
    except zlib.error:
        return False
    return True
