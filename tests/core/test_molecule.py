"""Molecules as data: reading, validation, families; checked against geometry and PySCF's own parser."""

import math

import pytest

from wavefoundry.core import geometries
from wavefoundry.core.compounds import COMPOUNDS, SETS
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import BOHR_PER_ANGSTROM, Molecule, unusual_lengths


def test_properties_of_lithium_hydride():
    one = Molecule.from_atoms("Li 0 0 0; H 0 0 3.015")
    assert (one.electrons, one.n_up, one.n_down, one.atoms, one.charges) == (4, 2, 2, 2, (3, 1))
    assert one.formula == "LiH" and one.name == "LiH 3.015"


@pytest.mark.parametrize(
    ("text", "charge", "spin", "up", "down"),
    [("H 0 0 0; H 0 0 2", 1, None, 1, 0), ("O 0 0 0; O 0 0 2.3", 0, 2, 9, 7), ("N 0 0 0", 0, 3, 5, 2),
     ("H 0 0 0", -1, None, 1, 1), ("Li 0 0 0", 0, None, 2, 1)],
)  # fmt: skip
def test_spin_and_charge(text, charge, spin, up, down):
    one = Molecule.from_atoms(text, charge=charge, spin=spin)
    assert (one.n_up, one.n_down) == (up, down)


@pytest.mark.parametrize("name", COMPOUNDS)
def test_atoms_are_read_as_pyscf_reads_them(name):
    gto = pytest.importorskip("pyscf.gto")
    one = geometries.compound(name)
    mol = gto.M(atom=one.text(), unit="Bohr", spin=one.spin, basis="sto-3g", verbose=0)
    assert mol.nelec == (one.n_up, one.n_down)
    assert abs(mol.atom_coords() - one.positions).max() < 1e-9


def test_units_and_spellings_mean_the_same():
    first = Molecule.from_atoms("O 0 0 0\nh1 0 0.757 0.587\n1, 0, -0.757, 0.587", "angstrom")
    second = Molecule.from_atoms(first.text())
    assert first.symbols == ("O", "H", "H")
    assert first.distances() == pytest.approx(second.distances(), abs=1e-8)
    assert first.distances()[0] == pytest.approx(math.hypot(0.757, 0.587) * BOHR_PER_ANGSTROM, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        ("H 0 0 0; H 0 0 0.1", {}, "on top of each other"),
        ("H 0 0 0; H 0 0 1.4", {"spin": 1}, "spin = 1 is impossible"),
        ("H 0 0 0; H 0 0 1.4", {"spin": 4}, "at most 2"),
        ("H 0 0 0; H 0 0 1.4", {"spin": -2}, "negative"),
        ("H 0 0 0", {"charge": 1}, "0 electrons"),
        ("U 0 0 0", {}, "not supported"),
        ("Hx 0 0 0", {}, "not an element"),
        ("H 0 0", {}, "not an atom"),
        ("H 0 zero 0", {}, "not a number"),
        ("H 0 0 inf", {}, "finite"),
        (" ; ", {}, "no atoms"),
    ],
)
def test_impossible_molecules_are_refused(text, settings, says):
    with pytest.raises(InputError) as caught:
        Molecule.from_atoms(text, **settings)
    assert says in str(caught.value) and "atoms" in caught.value.where


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("H 0,0 0,0 0,96; H 0 0 0", "decimal commas"),
        ("H 0 0 0; H 0 0 1.4 0.5", "4 numbers"),
        ("H 0 0 0; H 0 0 1_4", "not a number"),
    ],
)
def test_atoms_that_would_be_read_as_others_are_refused(text, says):
    with pytest.raises(InputError) as caught:
        Molecule.from_atoms(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text", ["H,0,0,0; H,0,0,1.4", "H 0 0 0; H 0, 0, 1.4D+00", "H 0 0 0; H 0 0 14.*^-1", "H 0,0 0; H 0 0 \u22121.4"]
)
def test_numbers_as_programs_write_them(text):
    assert Molecule.from_atoms(text).distances() == pytest.approx([1.4])


def test_lengths_that_look_like_a_mistaken_unit():
    """Water in Angstrom read as bohr, and the other way round; usual and stretched molecules say nothing."""
    water = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
    wrong, right = Molecule.from_atoms(water), Molecule.from_atoms(water, "angstrom")
    (said,) = unusual_lengths([right, wrong])
    assert "angstrom" in said and "H2O" in said
    bohr = "O 0 0 0; H 0 1.431 1.109; H 0 -1.431 1.109"
    assert "unit right" in unusual_lengths([Molecule.from_atoms(bohr, "angstrom")])[0]
    assert unusual_lengths([right, Molecule.from_atoms(bohr)]) == []
    curve = [Molecule.from_atoms(f"Li 0 0 0; H 0 0 {r}") for r in (2.1, 3.0, 8.0)]
    assert unusual_lengths(curve) == [] and unusual_lengths([Molecule.from_atoms("He 0 0 0; He 0 0 5.6")]) == []
    assert unusual_lengths([geometries.compound(name) for name in COMPOUNDS]) == []
    assert unusual_lengths([geometries.chain(n, 1.8) for n in (4, 6)]) == []


def test_chains():
    even = geometries.chain(6, 1.8)
    assert even.positions[5] == pytest.approx((0, 0, 9.0)) and even.electrons == 6
    # The alternating chain of the paper: x_i = (a + b) i / 2 and x_(i+1) = x_i + a for even i.
    other = geometries.chain(4, 1.6, 2.4)
    assert [p[2] for p in other.positions] == pytest.approx([0, 1.6, 4.0, 5.6])


def test_scan_fills_in_lengths():
    found = geometries.scan("N 0 0 -R/2; N 0 0 R/2; H 0 0 0.5*R+2", [2.0, 3.0])
    assert [one.positions[1][2] for one in found] == [1.0, 1.5]
    assert [one.positions[2][2] for one in found] == [3.0, 3.5]
    assert len({one.name for one in found}) == 2


def test_distortions_keep_distances_in_bounds_and_follow_the_seed():
    water = geometries.compound("H2O")
    found = geometries.distort(water, 12, seed=3)
    assert found[0] == water and len(found) == 12
    for one in found:
        ratios = [d / d0 for d, d0 in zip(one.distances(), water.distances(), strict=True)]
        assert all(0.9 - 1e-12 <= ratio <= 1.3 + 1e-12 for ratio in ratios)
    assert found == geometries.distort(water, 12, seed=3)
    assert found[1] != geometries.distort(water, 12, seed=4)[1]
    # The noise is random, and the rotation too: distances and positions all differ.
    assert len({round(one.distances()[0], 9) for one in found}) == 12


def test_rotations_are_even_and_keep_distances():
    """Mean of a turned unit vector: 3 sigma of 2000 draws is 3 / sqrt(3 * 2000) = 0.039 a component."""
    pair = Molecule.from_atoms("H 0 0 0; H 0 0 1.0")
    found = geometries.distort(pair, 2001, seed=1)[1:]
    units = [tuple(x / one.distances()[0] for x in one.positions[1]) for one in found]
    assert max(abs(sum(u[k] for u in units) / len(units)) for k in range(3)) < 0.045
    squares = [sum(u[k] ** 2 for u in units) / len(units) for k in range(3)]
    assert squares == pytest.approx([1 / 3] * 3, abs=0.03)
    assert [one.distances()[0] for one in found[:1] + found[-1:]] == pytest.approx([0.9, 1.3])


def test_twisted_ethene():
    flat, turned = geometries.ethene(1.30, 0), geometries.ethene(1.30, 90)
    assert sorted(flat.positions)[-1] == pytest.approx((2.30076, 1.73643, 0.0), abs=1e-4)
    bonds = [min(math.dist(turned.positions[0], h), math.dist(turned.positions[1], h)) for h in turned.positions[2:]]
    assert bonds == pytest.approx([math.hypot(2.30076 - 1.22832, 1.73643)] * 4, abs=1e-4)
    assert len(geometries.named_set("ethene-twist")) == 20


@pytest.mark.parametrize("name", SETS)
def test_named_sets_hold_possible_molecules(name):
    for one in geometries.named_set(name):
        bonds = [d for d in one.distances() if d < 1.75 * BOHR_PER_ANGSTROM]
        assert one.atoms - 1 <= len(bonds) or one.name.startswith("C4H4")
        assert one.spin == (2 if one.name == "O2" else 0)


def test_the_chains_of_the_paper():
    found = geometries.named_set("h-chains")
    assert len(found) == 24 and {one.atoms for one in found} == {6, 10}


def test_unknown_names_get_a_hint():
    with pytest.raises(InputError, match="did you mean 'C2H6'"):
        geometries.compound("C2H66")
