"""Rules about lattice shapes that study files and models share."""

from __future__ import annotations

from collections.abc import Sequence


def patch_edges(patch: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Edges of a patch along every axis: one number stands for all of them."""
    return (patch,) * axes if isinstance(patch, int) else tuple(patch)


def auto_patch(extent: tuple[int, ...], sign_free: bool = True, basis: int = 1) -> int | tuple[int, ...]:
    """Default edges of a patch: 4 (else 2, 3, 5) sites of a chain, 2 x 2 (else 3 x 3) of a square, else single sites.

    Where amplitudes have signs to learn, 2 is tried before 4: half the error in frustrated chains. A single patch would
    leave attention nothing to do, so the patch is smaller than the longest edge. A network with single sites for
    patches has momentum 0, and with signs the ground state may have another: a lattice that no square patch tiles is
    then cut in pairs along its even axes. Where a cell has several sites (``basis``, along the last axis), patches are
    whole cells: 2 x 2 of them where they fit, else two in a row, or single ones.
    """
    if basis > 1:
        rows, columns = extent[0], extent[1] // basis
        fitting = [
            (r, c) for r, c in ((2, 2), (1, 2), (2, 1)) if not rows % r and not columns % c and r * c < rows * columns
        ]
        high, wide = (fitting or [(1, 1)])[0]
        return (high, wide * basis)
    chain = (4, 2, 3, 5) if sign_free else (2, 4, 3, 5)
    wanted = chain if len(extent) == 1 else (2, 3)
    fits = (b for b in wanted if all(edge % b == 0 for edge in extent) and max(extent) > b)
    found = next(fits, 1)
    if found == 1 and not sign_free:
        pairs = tuple(2 if edge % 2 == 0 and edge > 2 else 1 for edge in extent)
        return pairs if max(pairs) > 1 else 1
    return found
