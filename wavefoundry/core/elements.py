"""Elements, and the words that atoms are written in: symbols, numbers, positions."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence

from wavefoundry.core.errors import InputError

ELEMENTS = ("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne")
"""Supported elements, in the order of their atomic numbers."""
_HEAVIER = """Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd
Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn
Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"""
_FARTHEST = 1e4

Point = tuple[float, float, float]


def number(word: str, where: str) -> float:
    """A number as people and programs write it: ``1.0``, ``1e-6``, Fortran's ``1.0D+00``, Mathematica's ``1.0*^-6``.

    Raises:
        InputError: it is none.
    """
    plain = re.sub(r"(?<=[\d.])(?:[dD]|\*\^)(?=[+-]?\d+$)", "e", word.replace("\N{MINUS SIGN}", "-"))
    if re.search(r"\d,\d", word):
        why = "a comma would set two numbers apart"
        raise InputError(f"{short(word)} has a decimal comma", where=where, why=why, fix=word.replace(",", "."))
    try:
        if "_" in plain:  # which Python alone reads as a number
            raise ValueError
        return float(plain)
    except ValueError:
        why = "positions are numbers, no internal coordinates"
        fix = "R takes its values from scan = [...]" if "R" in word else ""
        raise InputError(f"{short(word)} is not a number", where=where, why=why, fix=fix) from None


def position(numbers: Sequence[float], line: str, where: str) -> Point:
    """Three numbers as a position.

    Raises:
        InputError: more or fewer than three, or one that is not finite.
    """
    if len(numbers) != 3:
        why = f"{len(numbers)} numbers stand where x, y and z belong"
        raise InputError(f"{short(line)} is not an atom", where=where, why=why, fix='for example "H 0 0 1.4"')
    if not all(math.isfinite(value) and abs(value) <= _FARTHEST for value in numbers):
        why = f"must be finite numbers up to {_FARTHEST:g}"
        raise InputError(f"{short(line)}: the position is not possible", where=where, why=why)
    return numbers[0], numbers[1], numbers[2]


def element(word: str, where: str) -> str:
    """The symbol of an element written as ``H``, ``h``, ``H1`` or ``1``.

    Raises:
        InputError: for an element that does not exist, or is heavier than neon.
    """
    known = [*ELEMENTS, *_HEAVIER.split()]
    if word.isdecimal() and 1 <= int(word) <= len(known):
        symbol = known[int(word) - 1]
    else:
        symbol = re.sub(r"\d+$", "", word).capitalize()
    if symbol in ELEMENTS:
        return symbol
    if symbol in known:
        why = f"supported: {' '.join(ELEMENTS)}; all electrons are treated, and heavy cores need pseudopotentials"
        raise InputError(f"element {symbol} is not supported", where=where, why=why)
    close = difflib.get_close_matches(symbol, ELEMENTS, n=1, cutoff=0.6)
    fix = f"did you mean '{close[0]}'?" if close else f"supported: {' '.join(ELEMENTS)}"
    raise InputError(f"{short(word)} is not an element", where=where, fix=fix)


def short(text: str) -> str:
    """Foreign text as messages quote it: printable, not long."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return f'"{clean}"' if len(clean) <= 40 else f'"{clean[:37]}..."'
