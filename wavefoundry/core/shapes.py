"""Rules about lattice shapes that study files and models share."""

from __future__ import annotations


def auto_patch(extent: tuple[int, ...], sign_free: bool = True) -> int:
    """Default edge of a patch: 4 (else 2, 3, 5) sites of a chain, 2 x 2 (else 3 x 3) of a square, else single sites.

    Where amplitudes have signs to learn, 2 is tried before 4: half the error in frustrated chains. A single patch would
    leave attention nothing to do, so the patch is smaller than the longest edge.
    """
    chain = (4, 2, 3, 5) if sign_free else (2, 4, 3, 5)
    wanted = chain if len(extent) == 1 else (2, 3)
    fits = (b for b in wanted if all(edge % b == 0 for edge in extent) and max(extent) > b)
    return next(fits, 1)
