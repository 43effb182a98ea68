"""A frame that every molecule brings along: its own axes, in which rotated and mirrored copies are the same input.

A network that looks at differences of positions has another energy for every orientation. Here nuclei are placed by
their charge centre and principal axes before anything is computed, with signs (the handedness too) and ties decided by
the molecule itself. So energies do not depend on how a molecule lies in space, or on which mirror image it is.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

TIE = 1e-3
"""Principal moments (share of their sum) closer than this count as equal: atoms then decide the axes."""
SAME = 1e-3
"""Positions (bohr) closer than this are the same where symmetries are looked for."""
_DIGITS = 9
_FLIPS = [np.diag(signs) for signs in itertools.product((1.0, -1.0), repeat=3)]


class Frame(NamedTuple):
    """Where a molecule is put: axes @ (r - origin), which may be a mirror image; atom k is atom order[k] as given."""

    origin: np.ndarray  # (3,) bohr
    axes: np.ndarray  # (3, 3), orthogonal; rows are the axes of the frame
    order: tuple[int, ...]

    def place(self, r: np.ndarray) -> np.ndarray:
        """Positions (..., 3) as given, in the frame."""
        return (np.asarray(r) - self.origin) @ self.axes.T

    def back(self, r: np.ndarray) -> np.ndarray:
        """Positions (..., 3) of the frame, as given."""
        return np.asarray(r) @ self.axes + self.origin

    def turn_back(self, v: np.ndarray) -> np.ndarray:
        """Vectors (..., 3) of the frame, as given."""
        return np.asarray(v) @ self.axes

    def in_order(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Values of the atoms of the frame in the order of the atoms as given."""
        return np.take(values, np.argsort(self.order), axis=axis)


def given(positions: np.ndarray) -> Frame:
    """The frame in which nothing is moved."""
    return Frame(np.zeros(3), np.eye(3), tuple(range(len(positions))))


def principal(charges: np.ndarray, positions: np.ndarray) -> Frame:
    """Charge centre and principal axes, z along the largest extent.

    Of each axis the direction is the one whose third moment of the charges is positive. Where moments are equal, as in
    linear molecules and tops, the outermost atoms give the axes; what ties are left concerns copies that symmetry maps
    on each other, or is decided by comparing the placed atoms.

    Args:
        charges: (atoms,). positions: (atoms, 3) in bohr.
    """
    charges = np.asarray(charges, float)
    origin = charges @ positions / charges.sum()
    centred = positions - origin
    best, best_key = np.eye(3), None
    for axes in _candidates(charges, centred):
        for flip in _FLIPS:
            turned = flip @ axes
            key = _key(charges, centred @ turned.T)
            if best_key is None or key > best_key:
                best, best_key = turned, key
    x = _rounded(centred @ best.T, 6)
    order = np.lexsort((x[:, 0], x[:, 1], x[:, 2], -charges))
    return Frame(origin, best, tuple(int(k) for k in order))


def placed(frame: Frame, positions: np.ndarray) -> np.ndarray:
    """The nuclei in the frame, in its order; rounded, so that copies of a molecule agree to the last bit."""
    return _rounded(frame.place(positions)[list(frame.order)], _DIGITS)


def _rounded(x: np.ndarray, digits: int) -> np.ndarray:
    """Rounded at odd places: numbers that people write, and their halves, would else lie just between two values."""
    return np.round(x + 0.3137 * 10.0**-digits, digits) + 0.0


def _key(charges: np.ndarray, x: np.ndarray) -> tuple[float, ...]:
    """What decides between axes: third moments along z, y, x, then the placed atoms themselves.

    At last the atoms again with more digits: of a molecule that is symmetric but for the digits it was written with.
    """
    skew = _rounded(charges @ x**3, 4)[::-1]
    placed_atoms = [
        value
        for digits in (4, 7)
        for row in sorted((-z, *row[::-1]) for z, row in zip(charges, _rounded(x, digits), strict=True))
        for value in row
    ]
    return (*skew, *placed_atoms)


def _candidates(charges: np.ndarray, centred: np.ndarray) -> list[np.ndarray]:
    """Possible axes, rows x, y, z: one choice where all moments differ, else those that outermost atoms give."""
    moments, vectors = np.linalg.eigh((centred * charges[:, None]).T @ centred)
    total = moments.sum()
    if total < 1e-12:  # an atom
        return [np.eye(3)]
    low, high = (moments[1] - moments[0]) > TIE * total, (moments[2] - moments[1]) > TIE * total
    if low and high:
        return [vectors.T]
    if high:
        return [_axes(vectors[:, 2], x, 2) for x in _outermost(charges, centred, vectors[:, 2])]
    if low:
        return [_axes(vectors[:, 0], y, 0) for y in _outermost(charges, centred, vectors[:, 0])]
    return [_axes(z, x, 2) for z in _outermost(charges, centred, None) for x in _outermost(charges, centred, z)]


def _axes(unique: np.ndarray, other: np.ndarray, row: int) -> np.ndarray:
    """Axes with one given direction in row ``row`` (0 or 2) and another one, perpendicular to it, in the next."""
    third = np.cross(unique, other)
    return np.stack([other, third, unique] if row == 2 else [unique, third, other])


def _outermost(charges: np.ndarray, centred: np.ndarray, axis: np.ndarray | None) -> list[np.ndarray]:
    """Unit vectors to the atoms farthest from the centre, or from an axis; of equally far ones the heaviest."""
    away = centred if axis is None else centred - np.outer(centred @ axis, axis)
    length = np.linalg.norm(away, axis=1)
    if length.max() < SAME:  # all on the axis: every direction is like every other
        return [_across(np.asarray(axis))]
    far = length > length.max() - SAME
    far &= charges == charges[far].max()
    return [vector / np.linalg.norm(vector) for vector in away[far]]


def _across(axis: np.ndarray) -> np.ndarray:
    """A unit vector perpendicular to an axis."""
    away = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    return away / np.linalg.norm(away)


def symmetries(charges: np.ndarray, positions: np.ndarray, same: float = SAME) -> np.ndarray:
    """Orthogonal matrices (operations, 3, 3) about the charge centre that map a molecule on itself.

    Atoms need to agree within ``same`` (bohr). Of atoms and linear molecules, which have infinitely many, enough of
    them that vectors are averaged right.
    """
    charges = np.asarray(charges, float)
    centred = positions - charges @ positions / charges.sum()
    length = np.linalg.norm(centred, axis=1)
    first = int(np.argmax(length))
    if length[first] < same:
        return np.array(_FLIPS)
    axis = centred[first] / length[first]
    away = np.linalg.norm(centred - np.outer(centred @ axis, axis), axis=1)
    second = int(np.argmax(away))
    if away[second] < same:
        x = _across(axis)
        basis = _axes(axis, x, 2)
        found = [basis.T @ flip @ basis for flip in _FLIPS]
    else:
        found = _mappings(charges, centred, first, second, same)
    return np.array([g for g in found if _images(charges, centred, g, same) is not None])


def _mappings(charges: np.ndarray, centred: np.ndarray, first: int, second: int, same: float) -> list[np.ndarray]:
    """Operations that take two atoms to two others of their elements at the same distances."""
    lengths = np.linalg.norm(centred, axis=1)
    start, found = _triad(centred[first], centred[second]), []
    partners = [
        [k for k in range(len(charges)) if charges[k] == charges[one] and abs(lengths[k] - lengths[one]) < same]
        for one in (first, second)
    ]
    distance = np.linalg.norm(centred[first] - centred[second])
    for a, b in itertools.product(*partners):
        if abs(np.linalg.norm(centred[a] - centred[b]) - distance) < same:
            end = _triad(centred[a], centred[b])
            found += [end.T @ np.diag((1.0, 1.0, sign)) @ start for sign in (1.0, -1.0)]
    return found


def _triad(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Right-handed orthogonal axes (rows) of two directions."""
    x = a / np.linalg.norm(a)
    y = b - (b @ x) * x
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])


def _images(charges: np.ndarray, centred: np.ndarray, g: np.ndarray, same: float) -> np.ndarray | None:
    """The atom of its element that an operation takes every atom to, or None where it does not."""
    moved = centred @ g.T
    apart = np.linalg.norm(moved[:, None] - centred, axis=-1)
    apart[charges[:, None] != charges] = np.inf
    return apart.argmin(axis=1) if np.all(apart.min(axis=1) < 2 * same) else None


def allowed(charges: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Projection (3, 3) on the vectors that a molecule's symmetry leaves alone, as its dipole moment must be one."""
    mean = symmetries(charges, positions).mean(axis=0)
    values, vectors = np.linalg.eigh((mean + mean.T) / 2)  # 0 and 1, but for operations that hold within SAME
    kept = vectors[:, values > 0.5]
    return np.round(kept @ kept.T, 12) + 0.0


def allowed_forces(charges: np.ndarray, positions: np.ndarray, same: float = 0.2 * SAME) -> np.ndarray:
    """Projection (3 atoms, 3 atoms) on the forces on nuclei that a molecule can have, row by row of its atoms.

    Their sum and their torque vanish, as energies depend on neither place nor orientation, and symmetric copies of the
    molecule have the same. ``same`` is small, as displaced atoms are what forces are asked for.
    """
    charges, atoms = np.asarray(charges, float), len(charges)
    centred = positions - charges @ positions / charges.sum()
    rigid = [np.tile(axis, (atoms, 1)) for axis in np.eye(3)] + [np.cross(axis, centred) for axis in np.eye(3)]
    motions, weights, _ = np.linalg.svd(np.reshape(rigid, (6, -1)).T, full_matrices=False)
    motions = motions[:, weights > 1e-6 * weights[0]]
    mean = np.zeros((atoms, 3, atoms, 3))
    operations = symmetries(charges, positions, same)
    for g in operations:
        images = _images(charges, centred, g, same)
        assert images is not None
        mean[np.arange(atoms), :, images] += g.T / len(operations)
    symmetric = mean.reshape(3 * atoms, 3 * atoms)
    return symmetric - symmetric @ motions @ motions.T
