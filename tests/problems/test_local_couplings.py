"""Couplings of single sites and bonds: operators against ones written by hand, and every row that is no coupling."""

from __future__ import annotations

import netket as nk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wavefoundry as wf
from tests.oracles import dense_matrix
from wavefoundry.artifacts import spec
from wavefoundry.problems.observables import closed_form, reference_of
from wavefoundry.problems.references import lattices
from wavefoundry.problems.symmetry import broken_by_shifts
from wavefoundry.studies.diagram.networks import described, fitted
from wavefoundry.studies.diagram.study import build_system

STUDY = """
kind = "diagram"
[system]
model = "{model}"
lattice = {lattice}
{local}
[pretrain]
at = {{ {at} }}
[adapt]
points = {{ {at} }}
"""
CHAIN = '{ kind = "chain", size = 8 }'


def study(local: str, model: str = "ising", lattice: str = CHAIN, at: str = "h = 0.8") -> str:
    return STUDY.format(model=model, lattice=lattice, local=local, at=at)


def dense(system) -> np.ndarray:
    return dense_matrix(system.operator())


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=16, max_size=16), st.floats(0.1, 2))
def test_the_ising_model_with_every_coupling_its_own(factors, h):
    bonds, fields = factors[:8], factors[8:]
    local = {
        "J": [((i + 1) % 8, i, bonds[i]) for i in range(8)],
        "h": [(i, fields[i]) for i in range(8)],
    }
    system = wf.lattice.build("ising", "chain", 8, h=h, local_couplings=local)
    strings = ["".join("Z" if site in (i, (i + 1) % 8) else "I" for site in range(8)) for i in range(8)]
    strings += ["".join("X" if site == i else "I" for site in range(8)) for i in range(8)]
    weights = [-b for b in bonds] + [-h * f for f in fields]
    own = nk.operator.PauliStringsJax(nk.hilbert.Spin(0.5, 8), strings, weights)
    np.testing.assert_allclose(dense(system), dense_matrix(own), atol=1e-7)  # strings below 1e-8 are dropped


@pytest.mark.parametrize(
    ("model", "lattice", "size", "local"),
    [
        ("j1j2", "square", (4, 4), {"J1": [(0, 1, 0.4)], "J2": [(0, 5, -0.3)]}),
        ("xxz", "triangular", (2, 4), {"Jz": [(0, 1, 2.0)]}),
        ("ising-long-range", "chain", 6, {"J": [(1, 4, 3.0)], "h": [(2, 0.0)]}),
        ("j1j2", "kagome", (2, 2), {"J1": [(0, 1, 0.5)]}),
        ("toric", "square", (3, 3), {}),
    ],
)
def test_a_factor_multiplies_the_strings_of_its_place(model, lattice, size, local):
    """All other strings keep their weights."""
    plain = wf.lattice.build(model, lattice, size, marshall=False)
    if model == "toric":  # four sites, in any order
        first = str(plain.operators[plain.names.index("star")].operators[0])
        local = {"star": [(*(i for i, letter in enumerate(first) if letter != "I"), 0.5)]}
    system = wf.lattice.build(model, lattice, size, marshall=False, local_couplings=local)
    for name, first, second in zip(system.names, plain.operators, system.operators, strict=True):
        rows = {frozenset(map(int, sites)): factor for *sites, factor in local.get(name, ())}
        weights = dict(zip(map(str, first.operators), np.real(first.weights), strict=True))
        changed = dict(zip(map(str, second.operators), np.real(second.weights), strict=True))
        for letters, weight in weights.items():
            place = frozenset(i for i, letter in enumerate(letters) if letter != "I")
            assert changed.get(letters, 0.0) == pytest.approx(weight * rows.get(place, 1.0)), letters


def test_what_is_known_of_equal_couplings_is_not_used():
    plain = wf.lattice.ising_chain(8, h=0.7)
    system = wf.lattice.build("ising", "chain", 8, h=0.7, local_couplings={"J": [(0, 1, 0.2)]})
    assert closed_form(plain) is not None and closed_form(system) is None
    assert broken_by_shifts(plain, 1) == [] and broken_by_shifts(system, 1) == ["J"]
    reference, observables, _ = reference_of(system)
    exact = np.linalg.eigvalsh(dense(system))[0]
    assert reference is not None and reference.energy == pytest.approx(exact, abs=1e-9)
    assert observables
    found = lattices.find(system, "literature", lattices.Settings(), lattices.Hooks())
    assert found is not None and found.energy is None and "place to place" in str(found.why)
    assert "local couplings" in repr(system)
    big = wf.lattice.build("ising", "chain", 40, local_couplings={"J": [(0, 1, 0.2)]})
    with pytest.raises(wf.InputError, match="cannot be made smaller|too many"):
        wf.suggest_pretraining(big, [{"h": 0.5}, {"h": 1.0}])


def test_networks_embed_positions_where_couplings_differ():
    text = study("local_couplings = { J = [[0, 1, 0.5]] }")
    checked = spec.loads(text)
    system = build_system(checked).system
    chosen = fitted(described(checked.wavefunction, checked.system, checked.sign_free()), system, True)
    assert chosen.model.symmetry == "none" and "not invariant" in str(chosen.note)


def test_signs_of_factors():
    """A negative factor of a diagonal term changes no sign rule; one of an off-diagonal term voids the model's."""
    assert spec.loads(study("local_couplings = { J = [[0, 1, -0.5]] }")).sign_free()
    assert not spec.loads(study("local_couplings = { h = [[0, -0.5]] }")).sign_free()
    chain = study("local_couplings = { J1 = [[0, 1, -0.5]] }", "j1j2", at="J2 = 0.1")
    assert not spec.loads(chain).sign_free()
    rule = build_system(spec.loads(chain))
    assert rule.origin == "found" and rule.satisfied > 0.8


def test_a_file_is_written_out(tmp_path):
    file = tmp_path / "disorder.csv"
    file.write_text("coupling, i, j, factor\n# two places\nJ, 0, 1, 0.3\nh, 3,, 2.5\n")
    path = tmp_path / "study.toml"
    path.write_text(study(f'couplings_file = "{file}"'))
    checked = spec.load(path)
    assert checked.system.local_couplings == {"J": [[0, 1, 0.3]], "h": [[3, 2.5]]}
    file.unlink()
    again = spec.loads(spec.dumps(checked))
    assert again == checked
    system = wf.lattice.build("ising", "chain", 8, h=0.8, local_couplings=checked.system.local_couplings)
    np.testing.assert_allclose(dense(build_system(again).system), dense(system), atol=1e-14)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no rows"),
        ("coupling,i,j,factor\n", "has no rows"),
        ("J,0,1,0.5\nJ,1,2,0.5\n", "has another header"),
        ("coupling,i,j,factor\nJ,0,1\n", "a row of another length"),
        ("coupling,i,j,factor\nJ,0,x,0.5\n", "'x' is no number"),
        ("coupling,i,j,factor\nJ,0,1,nan\n", "'nan' is no number"),
        ("coupling,i,j,factor\nK,0,1,1\n", "no coupling 'K'"),
        ("coupling,i,j,factor\nJ,0,2,1\n", "does not act on sites 0, 2"),
        ("coupling,i,j,factor\nJ,0,1,1\nJ,1,0,1\n", "listed twice"),
        ("coupling,i,j,factor\nJ,0,0,1\n", "does not act on sites 0, 0"),
        ("coupling,i,j,factor\nh,0,1,1\n", "does not act on sites 0, 1"),
        ("coupling,i,j,factor\nh,,,1\n", "does not act on no site"),
        ("coupling,i,j,factor\nh,8,,1\n", "there is no site 8"),
        ("coupling,i,j,factor\nh,-1,,1\n", "there is no site -1"),
        ("coupling,i,j,factor\nh,0.5,,1\n", "there is no site 0.5"),
        ("coupling,i,j,factor\nh,0,,1e9\n", "is no factor"),
    ],
)
def test_files_that_hold_no_couplings(tmp_path, content, message):
    file = tmp_path / "disorder.csv"
    file.write_text(content)
    path = tmp_path / "study.toml"
    path.write_text(study(f'couplings_file = "{file}"'))
    with pytest.raises(wf.InputError, match=message) as caught:
        spec.load(path)
    assert "couplings_file" in str(caught.value)
    with pytest.raises(wf.InputError, match=message):
        wf.lattice.build("ising", "chain", 8, local_couplings=file)


@pytest.mark.parametrize(
    ("local", "message"),
    [
        ("local_couplings = { J = [[0, 3, 0.5]] }", "does not act on sites 0, 3"),
        ("local_couplings = { J = [[]] }", "a row is empty"),
        ("local_couplings = { K = [[0, 1, 0.5]] }", "no coupling 'K'"),
        ('local_couplings = { J = [[0, 1, "a"]] }', "number"),
        ('local_couplings = { J = [[0, 1, 0.5]] }\ncouplings_file = "x.csv"', "given twice"),
    ],
)
def test_rows_that_are_no_couplings(local, message):
    with pytest.raises(wf.InputError, match=message) as caught:
        spec.loads(study(local))
    assert "system." in str(caught.value)


def test_a_file_that_does_not_exist(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(study(f'couplings_file = "{tmp_path}/none.csv"'))
    with pytest.raises(wf.InputError, match="no such file of couplings"):
        spec.load(path)


@pytest.mark.parametrize("given", [[(0, 1, 0.5)], {"J": 3}, {"J": [(0, 1, "a")]}, {"J": [0, 1, 0.5]}])
def test_what_python_may_hand_over_instead(given):
    with pytest.raises(wf.InputError, match="no rows of numbers"):
        wf.lattice.build("ising", "chain", 8, local_couplings=given)
