"""Families of molecules: chains, scans over a length, random distortions, twisted ethene and named sets."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import re
from collections.abc import Sequence

from wavefoundry.core.compounds import COMPOUNDS, SETS
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import BOHR_PER_ANGSTROM, Molecule, Point, Unit, assemble

DISTORTIONS = {"noise": 0.3, "low": 0.9, "high": 1.3}
"""Noise of a position (bohr), and how far a distance may change (factors). Source: arXiv 2303.09949."""
_TRIES = 2_000_000
_LENGTH = re.compile(r"([+-]?)(?:(\d+\.?\d*|\.\d+)\*)?R(?:/(\d+\.?\d*))?([+-](?:\d+\.?\d*|\.\d+))?")


def chain(atoms: int, spacing: float, gap: float | None = None, element: str = "H", **others: object) -> Molecule:
    """Atoms in a row: neighbours ``spacing`` apart (bohr), or in turn ``spacing`` and ``gap``.

    Args:
        atoms: how many.
        spacing: of the first two, and of all others when there is no ``gap``.
        gap: between the second atom of a pair and the first of the next.
        element: of all atoms.
        others: ``charge`` and ``spin``.
    """
    gap = spacing if gap is None else gap
    places = [(index // 2) * (spacing + gap) + (index % 2) * spacing for index in range(atoms)]
    name = f"{element}{atoms if atoms > 1 else ''} chain {spacing:.4g}" + ("" if gap == spacing else f"/{gap:.4g}")
    found = assemble([(element, (0.0, 0.0, z)) for z in places], name=name, where=name, **others)  # type: ignore[arg-type]
    return dataclasses.replace(found, length=spacing) if gap == spacing and atoms > 1 else found


def scan(text: str, lengths: Sequence[float], unit: Unit = "bohr", *, name: str | None = None, where: str = "scan",
         charge: int = 0, spin: int | None = None) -> list[Molecule]:  # fmt: skip
    """Molecules that differ in one length: ``R`` in the atoms stands for it (also ``-R``, ``R/2``, ``0.5*R+1``).

    Args:
        text: atoms with at least one ``R``.
        lengths: values of R.
        unit: of the positions and of R.
        name: of the family; the formula by default.
        where: what messages call the text.
        charge: of the molecules.
        spin: 2S; the lowest by default.

    Raises:
        InputError: no ``R``, or as for ``Molecule.from_atoms``.
    """
    words = re.split(r"[;,\s]+", text)
    if not any(_LENGTH.fullmatch(word) for word in words):
        fix = 'R stands for the length: "Li 0 0 0; H 0 0 R"'
        odd = next((word for word in words if re.search(r"(?<![A-Za-z])R(?![A-Za-z])", word)), None)
        if odd is not None:
            why, fix = "a length is R, a number times R, over a number, plus a number", "0.5*R, R/2, -R or R+1.2"
            raise InputError(f"{odd} is no length of a scan", where=where, why=why, fix=fix)
        raise InputError("there is no R in the atoms of a scan", where=where, why="nothing would vary", fix=fix)
    found, bohr = [], 1.0 if unit == "bohr" else BOHR_PER_ANGSTROM
    if any(float(match[3]) == 0 for word in words if (match := _LENGTH.fullmatch(word)) and match[3]):
        raise InputError("a length is divided by zero", where=where, why="R/0 in the atoms of a scan", fix="R/2")
    for length in lengths:
        here = f"{where} at R = {length:g}"
        filled = re.sub(r"[^;,\s]+", lambda word, r=length: _fill(word[0], r), text)
        one = Molecule.from_atoms(filled, unit, charge=charge, spin=spin, where=here)
        name_here = f"{name or one.formula} {length:.4g}"
        found.append(dataclasses.replace(one, name=name_here, length=length * bohr))
    return found


def _fill(word: str, length: float) -> str:
    match = _LENGTH.fullmatch(word)
    if match is None:
        return word
    sign, factor, divisor, shift = match.groups()
    value = length * float(factor or 1) / float(divisor or 1)
    return repr((-value if sign == "-" else value) + float(shift or 0))


def distort(molecule: Molecule, count: int, seed: int = 0, rotate: bool = True) -> list[Molecule]:
    """Random geometries around a molecule, each turned at random; the first one is the molecule itself.

    Every position gets Gaussian noise; a geometry is kept when every distance stays within 0.9 to 1.3 of the original.
    Molecules of two atoms are stretched evenly from 0.9 to 1.3.

    Args:
        molecule: the start.
        count: geometries, the start included.
        seed: of the noise.
        rotate: turn each (the network is not blind to rotations).

    Raises:
        InputError: no such geometry turned up.

    Source: arXiv 2303.09949 and its public code.
    """
    rng, found = random.Random(f"{molecule.formula} {seed}"), [molecule]
    for index in range(1, count):
        positions = molecule.positions
        if molecule.atoms == 2:
            spread = DISTORTIONS["high"] - DISTORTIONS["low"]
            factor = DISTORTIONS["low"] + spread * (index - 1) / max(1, count - 2)
            positions = tuple((factor * x, factor * y, factor * z) for x, y, z in positions)
        elif molecule.atoms > 2:
            positions = _shake(molecule, rng)
        if rotate:
            positions = _turn(positions, rng)
        name = f"{molecule.name} #{index}"
        found.append(dataclasses.replace(molecule, name=name, positions=positions, length=None))
    return found


def _shake(molecule: Molecule, rng: random.Random) -> tuple[Point, ...]:
    pairs = list(itertools.combinations(range(molecule.atoms), 2))
    limits = [(DISTORTIONS["low"] * d, DISTORTIONS["high"] * d) for d in molecule.distances()]
    # Short distances are the likeliest to fail: looking at them first saves most of the work.
    order = sorted(range(len(pairs)), key=lambda k: limits[k][0])
    checks = [(*pairs[k], *limits[k]) for k in order]
    noise = DISTORTIONS["noise"]
    for _ in range(_TRIES):
        moved = [(rng.gauss(x, noise), rng.gauss(y, noise), rng.gauss(z, noise)) for x, y, z in molecule.positions]
        if all(low <= math.dist(moved[i], moved[j]) <= high for i, j, low, high in checks):
            return tuple(moved)
    why = f"in {_TRIES} tries no distortion kept all distances within 0.9 to 1.3 of the original"
    raise InputError(f"{molecule.name} cannot be distorted", where="distort", why=why)


def _turn(positions: Sequence[Point], rng: random.Random) -> tuple[Point, ...]:
    """A rotation drawn evenly from all of them, as a unit quaternion."""
    a, b, c, d = (rng.gauss(0, 1) for _ in range(4))
    norm = math.sqrt(a * a + b * b + c * c + d * d)
    a, b, c, d = a / norm, b / norm, c / norm, d / norm
    rows = (
        (1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)),
    )
    turned = [tuple(sum(m * x for m, x in zip(row, p, strict=True)) for row in rows) for p in positions]
    return tuple((p[0], p[1], p[2]) for p in turned)


def ethene(bond: float, twist: float) -> Molecule:
    """C2H4 with one CH2 group twisted about the C-C axis.

    Args:
        bond: C-C distance, Angstrom.
        twist: degrees; 0 is planar, 90 the top of the barrier.

    Source: arXiv 2303.09949 and its public code.
    """
    half, out = bond * BOHR_PER_ANGSTROM / 2, 2.30076 - 1.22832
    atoms = [("C", (half, 0.0, 0.0)), ("C", (-half, 0.0, 0.0))]
    for side, angle in ((1, math.radians(twist) / 2), (-1, -math.radians(twist) / 2)):
        for sign in (1, -1):
            radius = 1.73643 * sign
            atoms.append(("H", (side * (half + out), radius * math.cos(angle), radius * math.sin(angle))))
    return assemble(atoms, name=f"C2H4 {bond:.2f} A {twist:g} deg", where="ethene")


def compound(name: str, **others: object) -> Molecule:
    """A molecule by name (see ``COMPOUNDS``), at its equilibrium geometry.

    Raises:
        InputError: the name is not known.
    """
    import difflib

    if name not in COMPOUNDS:
        close = difflib.get_close_matches(name, COMPOUNDS, n=1)
        fix = f"did you mean '{close[0]}'?" if close else ""
        raise InputError(f"there is no compound '{name[:40]}'", where="compound", why=f"known: {', '.join(COMPOUNDS)}",
                         fix=fix)  # fmt: skip
    text, spin = COMPOUNDS[name]
    usual = {} if others.get("charge") else {"spin": spin}  # that of the neutral one
    return Molecule.from_atoms(text, name=name, where=name, **(usual | others))  # type: ignore[arg-type]


def named_set(name: str) -> list[Molecule]:
    """All molecules of a named set: one geometry of every compound, or the geometries the set is made of.

    Raises:
        InputError: the name is not known.
    """
    if name == "h-chains":
        return [chain(n, a, b) for n in (6, 10) for a in (1.6, 1.8, 2.0) for b in (2.0, 2.2, 2.4, 2.6)]
    if name == "ethene-twist":
        return [ethene(bond, 10.0 * k) for bond in (1.30, 1.38) for k in range(10)]
    if name not in SETS:
        known = [*SETS, "h-chains", "ethene-twist"]
        raise InputError(f"there is no set '{name[:40]}'", where="set", why=f"known: {', '.join(known)}")
    return [compound(word) for word in SETS[name]]
