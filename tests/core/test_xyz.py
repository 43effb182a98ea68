"""XYZ files as people and programs write them: understood, or refused with the line and the reason."""

import os

import pytest

from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import BOHR_PER_ANGSTROM, read_xyz

OXYGEN = "2\n{}\nO 0 0 0\nO 0 0 1.2\n"


def test_xyz_with_several_molecules(tmp_path):
    path = tmp_path / "two.xyz"
    path.write_text("2\ncharge=1 spin=1\nH 0 0 0\nH 0 0 1.0\n\n1\nhelium\nHe 1 2 3\n")
    ion, atom = read_xyz(path)
    assert (ion.name, ion.charge, ion.n_up, ion.n_down) == ("two 1", 1, 1, 0)
    assert ion.distances() == pytest.approx([BOHR_PER_ANGSTROM])
    assert (atom.name, atom.electrons) == ("two 2", 2)


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("two\n\nH 0 0 0\n", "line 1", "not a number of atoms"),
        ("2\n\nH 0 0 0\n", "line 1", "ends before its 2 atoms"),
        ("2\n\nH 0 0 0\nH 0 zero 1\n", "line 4", "not a number"),
        ("1\n\nH 0 0 0\ngarbage\n", "line 4", "not a number of atoms"),
        ("2\n\nH 0 0 0\nH 0 0 0\n", "line 1", "on top of each other"),
        ("1\n\nQq 0 0 0\n", "line 3", "not an element"),
        ("\n\n", "", "empty"),
    ],
)
def test_xyz_with_garbage_names_the_line(tmp_path, content, line, says):
    path = tmp_path / "bad.xyz"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_xyz(path)
    assert says in caught.value.what and "bad.xyz" in caught.value.where and line in caught.value.where


def test_xyz_that_is_no_text(tmp_path):
    path = tmp_path / "binary.xyz"
    path.write_bytes(b"\x80\x81\x82")
    with pytest.raises(InputError, match="not text"):
        read_xyz(path)


@pytest.mark.parametrize(
    ("comment", "charge", "spin"),
    [
        ("", 0, 0),
        ("1 2", 1, 1),
        ("  -1 2 ", -1, 1),
        ("0 3", 0, 2),
        ("charge=1 spin=1", 1, 1),
        ('charge = "1", spin multiplicity = 4', 1, 3),
        ("Charge: -1; Multiplicity: 2", -1, 1),
        ("charge=1.0 mult=2", 1, 1),
        ("total_charge='+1' spin_multiplicity=2", 1, 1),
        ("charge 1 multiplicity 2", 1, 1),
        ("uhf=2", 0, 2),
        ("energy=-150.3 charges=0.1 step 12 of 30", 0, 0),
        ("2.5 3.5 from a scan", 0, 0),
    ],
)
def test_charge_and_spin_in_the_comment(tmp_path, comment, charge, spin):
    (tmp_path / "o2.xyz").write_text(OXYGEN.format(comment))
    (found,) = read_xyz(tmp_path / "o2.xyz")
    assert (found.charge, found.spin) == (charge, spin)
    (told,) = read_xyz(tmp_path / "o2.xyz", charge=0, spin=2)
    assert (told.charge, told.spin) == (0, 2)


@pytest.mark.parametrize(
    ("comment", "says"),
    [
        ("charge=one", "charge"),
        ("charge=0.5", "charge"),
        ("spin=0.5", "2S"),
        ("0 0", "multiplicity 0"),
        ("0 2", "spin = 1 is impossible"),
        ("spin=2 multiplicity=2", "contradict"),
        ("charge=1 total_charge=2", "twice"),
        ("coordinates in bohr", "another unit"),
        ('Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3', "periodic"),
        ('Lattice="5 0 0 0 5 0 0 0 5" pbc="T T T"', "periodic"),
        ("Properties=species:S:1:forces:R:3", "positions"),
        ("Properties=species:S:x", "not understood"),
    ],
)
def test_comments_that_are_not_understood_are_refused_by_name(tmp_path, comment, says):
    (tmp_path / "bad.xyz").write_text(OXYGEN.format(comment))
    with pytest.raises(InputError) as caught:
        read_xyz(tmp_path / "bad.xyz")
    assert says in str(caught.value) and "bad.xyz, line" in caught.value.where


LENGTH = 0.96 * BOHR_PER_ANGSTROM


@pytest.mark.parametrize(
    "text",
    [
        "2\nProperties=id:I:1:species:S:1:forces:R:3:pos:R:3\n1 O 9 9 9 0 0 0\n2 H 8 8 8 0 0 0.96\n",
        '2\nProperties=pos:R:3:Z:I:1 pbc="F F F"\n0 0 0 8\n0 0 0.96 1\n',
        '2\nLattice="9 0 0 0 9 0 0 0 9" pbc="F F F"\nO 0 0 0\nH 0 0 0.96\n',
        "2\n\nO 0.0D+00 0 0\nH 0 0 9.6D-01\n",
        "2\ngdb 7\t157.7\t0.0\nO 0 0 0 -0.5\nH 0 0 96.*^-2 0.5\n341.7 1284.2\nO\tO\t\nInChI=1S/HO\tInChI=1S/HO\n",
        "2\nfrom a spreadsheet\nO,0,0,0\nH,0,0,0.96\n",
        "2\r\n\r\nO\t0\t0\t0\r\nH 0 0 \u22120.96\r\n",
    ],
)
def test_what_programs_write_is_understood(tmp_path, text):
    (tmp_path / "oh.xyz").write_bytes(text.encode())
    (found,) = read_xyz(tmp_path / "oh.xyz")
    assert found.formula == "HO" and found.distances() == pytest.approx([LENGTH])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "oh.xyz").write_bytes("2\nRadikal für Übung\nO 0 0 0\nH 0 0 0.96\n".encode(encoding))
    assert read_xyz(tmp_path / "oh.xyz")[0].distances() == pytest.approx([LENGTH])


@pytest.mark.parametrize("row", ["H 0,0 0,0 0,96", "H 0,0 0,0 0,96 0,1", "H 0 0 0,96"])
def test_decimal_commas_are_refused(tmp_path, row):
    (tmp_path / "oh.xyz").write_text(f"2\n\nO 0 0 0\n{row}\n")
    with pytest.raises(InputError, match="comma") as caught:
        read_xyz(tmp_path / "oh.xyz")
    assert "line 4" in caught.value.where


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.xyz")
    with pytest.raises(InputError, match="no ordinary file"):
        read_xyz(tmp_path / "pipe.xyz")


@pytest.mark.parametrize("comment", ["units: a.u.", "a. u.", "in au", "Bohr", "atomic-units", "picometre", "pm"])
def test_a_comment_that_names_another_unit_is_refused(tmp_path, comment):
    (tmp_path / "a.xyz").write_text(f"2\n{comment}\nLi 0 0 0\nH 0 0 3\n")
    with pytest.raises(InputError, match="another unit"):
        read_xyz(tmp_path / "a.xyz")


@pytest.mark.parametrize("comment", ["auto generated", "an aurora", "Angstrom", "pmf", "Bohrium is none of them"])
def test_words_that_only_look_like_units_are_none(tmp_path, comment):
    (tmp_path / "a.xyz").write_text(f"2\n{comment}\nLi 0 0 0\nH 0 0 1.6\n")
    assert len(read_xyz(tmp_path / "a.xyz")) == 1
