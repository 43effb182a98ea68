"""References of lattices: QuSpin, TeNPy against our own Lanczos and closed forms; published values, files, refusals."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of QuSpin wait for each other actively

import builtins
from collections import Counter
from pathlib import Path
from typing import Any

import netket as nk
import numpy as np
import pytest

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.problems import exact, lattice, observables
from wavefoundry.problems.references import apart, dmrg, ed, given, lattices, literature
from wavefoundry.problems.references.found import METHODS, Found, best, failed
from wavefoundry.problems.references.lattices import stages
from wavefoundry.problems.references.spins import product_state, restored, spins_of, stored
from wavefoundry.problems.spins import LatticeSystem

GIB = 2.0**30


def in_fields(sites: int = 10) -> LatticeSystem:
    """Heisenberg ring in a uniform field along z and an alternating one along x: no magnetisation, no momentum."""
    strings: Any = nk.operator.PauliStringsJax
    hilbert = nk.hilbert.Spin(0.5, sites)

    def placed(letters: str, *places: int) -> str:
        text = ["I"] * sites
        for letter, place in zip(letters, places, strict=True):
            text[place % sites] = letter
        return "".join(text)

    bonds = [placed(2 * a, i, i + 1) for i in range(sites) for a in "XYZ"]
    along = strings(hilbert, [placed("Z", i) for i in range(sites)], [1.0] * sites)
    across = strings(hilbert, [placed("X", i) for i in range(sites)], [(-1.0) ** i for i in range(sites)])
    terms = {"J": strings(hilbert, bonds, [0.25] * len(bonds)), "B": along, "S": across}
    return lattice.from_netket(terms, {"J": 1.0, "B": 0.6, "S": 0.3})


SYSTEMS = {
    "ising chain": lambda: lattice.ising_chain(12, h=0.9),
    "odd ring": lambda: lattice.ising_chain(9, h=0.4),
    "open, negative field": lambda: lattice.ising_chain(11, h=-0.7, periodic=False),
    "frustrated chain": lambda: lattice.j1j2_chain(10, J2=0.4),
    "triangular": lambda: lattice.build("xxz", "triangular", (4, 3), Jz=0.5),
    "kagome": lambda: lattice.build("xxz", "kagome", (2, 2), Jz=0.7),
    "fields": in_fields,
}
SQUARE = lambda: lattice.j1j2_square(4, 4, J2=0.5)  # noqa: E731


@pytest.fixture(scope="module")
def known() -> Any:
    """Our own Lanczos, or the closed form."""
    wanted = ["magnetisation", "correlations", "structure-peak", "structure-factor"]
    return {name: observables.reference_of(make(), wanted) for name, make in SYSTEMS.items()}


@pytest.mark.parametrize("name", [*SYSTEMS])
def test_sectors_hold_the_ground_state(name: str, known: Any):
    """The lowest level of all sectors is that of the whole matrix, with its observables, whatever the signs."""
    system, (reference, values, _) = SYSTEMS[name](), known[name]
    found = ed.solve(spins_of(system), GIB, 100.0, lambda text: None)
    assert found["kind"] == "exact"
    assert found["energy"] == pytest.approx(reference.energy, rel=1e-11)
    assert found["observables"]
    for key, value in found["observables"].items():
        assert value == pytest.approx(values[key], abs=1e-8), key
    terms = sum(system.values[key] * value for key, value in found["terms"].items())
    assert terms == pytest.approx(found["energy"], rel=1e-10)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["ising chain", "odd ring", "open, negative field", "kagome", "fields"])
def test_dmrg_is_an_upper_bound_and_knows_its_error(name: str, known: Any):
    """Above the exact energy by no more than its own error; large enough, the state is exact, observables with it."""
    system, (reference, values, _) = SYSTEMS[name](), known[name]
    found = dmrg.solve(spins_of(system), (16, 64), 20, GIB, 200.0, lambda text: None)
    above = found["energy"] - reference.energy
    assert -1e-9 * abs(reference.energy) < above <= found["error"]
    assert above < 1e-6 * abs(reference.energy) and found["kind"] == "upper bound"
    for key, value in found["observables"].items():
        assert value == pytest.approx(values[key], abs=1e-3), key
    terms = sum(system.values[key] * value for key, value in found["terms"].items())
    assert terms == pytest.approx(found["energy"], rel=1e-9)


@pytest.mark.slow
def test_the_square_lattice_by_both():
    """4x4 J1-J2 against the table of exact energies; a small bond dimension lies above, by about its own error."""
    energy = -0.528620209462 * 16
    spins = spins_of(SQUARE())
    found = ed.solve(spins, GIB, 100.0, lambda text: None)
    assert found["energy"] == pytest.approx(energy, rel=1e-11)
    assert found["terms"]["J1"] / 16 == pytest.approx(-0.6053182704, abs=1e-9)
    short = dmrg.solve(spins, (16, 32, 64), 10, GIB, 200.0, lambda text: None)
    assert energy < short["energy"] < energy + 1.5 * short["error"]
    assert short["details"]["truncation_error"] > 1e-6


@pytest.mark.slow
def test_a_small_bond_dimension_says_so():
    """The error that DMRG states is of the size of the one it has, where truncation matters."""
    energy = exact.ising_chain(24, 1.0).energy
    found = dmrg.solve(spins_of(lattice.ising_chain(24, h=1.0)), (4, 8), 10, GIB, 100.0, lambda text: None)
    above = found["energy"] - energy
    assert 1e-6 < above < 3 * found["error"] < 300 * above


@pytest.mark.integration
@pytest.mark.parametrize(("bonds", "sweeps"), [((8, 16), 2), pytest.param((4, 8), 1, marks=pytest.mark.slow)])
def test_a_state_that_is_stuck_says_so(bonds: tuple[int, ...], sweeps: int):
    """4x4 J1-J2 with a bond dimension far too small: the energy hardly changes any more, and is 2 or 4 % too high."""
    found = dmrg.solve(spins_of(SQUARE()), bonds, sweeps, GIB, 200.0, lambda text: None)
    above = found["energy"] + 0.528620209462 * 16
    assert 0.1 < above < found["error"] < 3 * above
    assert found["details"]["variance"] > 0.1


def test_degenerate_ground_states_have_no_observables_of_one():
    """Majumdar-Ghosh: two ground states of different momenta; the free spins of h = 0 as well."""
    found = ed.solve(spins_of(lattice.j1j2_chain(12, J2=0.5)), GIB, 100.0, lambda text: None)
    assert found["energy"] == pytest.approx(-4.5, rel=1e-12)
    assert found["details"]["degeneracy"] == 2
    assert not any(name.startswith("correlation") for name in found["observables"]) and not found["terms"]


@pytest.mark.parametrize("make", [*SYSTEMS.values(), SQUARE])
def test_sectors_add_up_to_the_whole_space(make: Any):
    """Every state is in one sector: those that stand for several counted as often, empty ones not at all."""
    spins = spins_of(make())
    found = ed.symmetries_of(spins)
    total = 0
    for sector in ed.sectors(spins, found):
        basis = ed._basis(spins, sector, found)
        empty = basis.Ns == 1 and not ed._any_state(basis)
        total += 0 if empty else sector.weight * basis.Ns
        assert basis.Ns <= 1.6 * ed.need(spins, sector, found).states + 30
    whole = nk.hilbert.Spin(0.5, spins.sites, total_sz=0.0) if spins.up is not None else None
    assert total == (2**spins.sites if whole is None else whole.n_states)


def test_what_fixes_the_magnetisation_is_found():
    """A field along z keeps it although the Hilbert space does not: then every magnetisation is searched."""
    system = in_fields().at(S=0.0)
    spins = spins_of(system)
    assert (
        ed.symmetries_of(spins).magnetisation and len({s.up for s in ed.sectors(spins, ed.symmetries_of(spins))}) == 11
    )
    found = ed.solve(spins, GIB, 100.0, lambda text: None)
    assert found["energy"] == pytest.approx(observables.reference_of(system)[0].energy, rel=1e-11)


def test_plain_numbers_survive_json():
    import json

    spins = spins_of(SYSTEMS["triangular"]())
    assert restored(json.loads(json.dumps(stored(spins)))) == spins


def test_product_states_keep_the_magnetisation_and_find_neel_order():
    spins = spins_of(lattice.j1j2_square(4, 4))
    state = product_state(spins.strings(), spins.up)
    assert state.sum() == 0
    grid = state.reshape(4, 4)
    assert np.all(grid != np.roll(grid, 1, 0)) and np.all(grid != np.roll(grid, 1, 1))


def test_memory_is_refused_before_anything_is_built():
    with pytest.raises(InputError, match=r"needs .* GiB: .*e\+0\d states in the largest of \d+ symmetry sectors"):
        ed.solve(spins_of(lattice.j1j2_square(6, 6, J2=0.5)), GIB, 100.0)
    with pytest.raises(InputError, match="bond dimension 20000 needs"):
        dmrg.solve(spins_of(lattice.ising_chain(16)), (20_000,), 5, GIB, 100.0)


def test_time_that_is_up_leaves_an_upper_bound():
    found = ed.solve(spins_of(lattice.j1j2_chain(10, J2=0.4)), GIB, -1.0, lambda text: None)
    assert found["kind"] == "upper bound" and found["details"]["searched"] == 1


def test_a_process_of_its_own_gives_the_same_and_can_be_stopped():
    system = SYSTEMS["frustrated chain"]()
    found = lattices.find(system, "ed", lattices.Settings(), lattices.Hooks())
    assert found is not None and found.energy == pytest.approx(exact.ground_state(system.operator())[0], rel=1e-11)
    assert found.cpu_seconds > 0 and (found.memory_mib or 0) > 1
    assert lattices.find(system, "dmrg", lattices.Settings(), lattices.Hooks(lambda: True)) is None
    ended = apart.run({"method": "ed"}, 10.0, lambda: False, lambda text: None)
    assert ended.found is None and "KeyError" in (ended.why or "")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    plain = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("quspin", "tenpy"):
            raise ImportError(f"no module named {name}")
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    spins = spins_of(lattice.j1j2_chain(10, J2=0.4))
    for solve in (lambda: ed.solve(spins, GIB, 1.0), lambda: dmrg.solve(spins, (8,), 2, GIB, 1.0)):
        with pytest.raises(InputError, match=r"pip install '.\[references\]'"):
            solve()
    found = {m: lattices.find(lattice.ising_chain(8), m, lattices.Settings(), lattices.Hooks()) for m in METHODS[:2]}
    assert all(one is not None and one.energy is not None for one in found.values()), "the rest works"


@pytest.mark.parametrize(
    ("method", "system", "why"),
    [
        ("closed-form", lattice.ising_square(3, 3), "closed form"),
        ("lanczos", lattice.ising_chain(21), "21 sites are too many"),
        ("literature", lattice.ising_chain(21), "no published value"),
        ("file", lattice.ising_chain(21), "no file"),
    ],
)
def test_a_method_that_cannot_says_why(method: str, system: LatticeSystem, why: str):
    found = lattices.find(system, method, lattices.Settings(), lattices.Hooks())
    assert found is not None and found.energy is None and why in str(found.why)


def published(model: str, kind: str, size: Any, **options: Any) -> Found | None:
    system = lattice.build(model, kind, size, **options)
    return lattices.find(system, "literature", lattices.Settings(), lattices.Hooks())


def test_published_values_are_found_for_the_same_system_only():
    found = published("j1j2", "square", (6, 6), J2=0.5)
    assert found is not None and found.kind == "exact" and found.energy == pytest.approx(-0.50380965 * 36)
    assert found.details["others"][0]["method"] == "DMRG, bond dimension 2048"
    assert found.details["others"][0]["energy"] > found.energy
    doubled = published("j1j2", "square", (6, 6), J1=2.0, J2=1.0)
    assert doubled is not None and doubled.energy == pytest.approx(2 * found.energy)
    turned = published("j1j2", "square", (6, 4), J2=0.5)
    assert turned is not None and turned.energy == pytest.approx(-0.52252494 * 24)
    same = published("xxz", "square", (6, 6))
    assert same is not None and same.energy == pytest.approx(-0.67887215 * 36)
    bound = published("j1j2", "square", (10, 10), J2=0.5)
    assert bound is not None and (bound.kind, bound.confirms) == ("upper bound", False)
    for other in (
        published("j1j2", "square", (6, 6), J2=0.5, periodic=False),
        published("j1j2", "square", (6, 6), J2=0.51),
        published("j1j2", "square", (6, 6), J1=-1.0, J2=-0.5),
        published("j1j2", "triangular", (6, 6), J2=0.5),
        published("xxz", "square", (6, 6), Jz=0.5),
        published("ising", "square", (6, 6), h=-3.0),
    ):
        assert other is not None and other.energy is None


def test_published_values_are_consistent():
    """No bound below an exact value of the same system, no exact value twice, energies concave in the coupling."""
    exact_values = {tuple(map(str, e[:5])): e.energy for e in literature.table() if e.kind == "exact"}
    counts = Counter(tuple(map(str, e[:5])) for e in literature.table() if e.kind == "exact")
    assert set(counts.values()) == {1}
    for entry in literature.table():
        assert entry.energy + entry.error >= exact_values.get(tuple(map(str, entry[:5])), -np.inf)
    square = [e for e in literature.table() if e.cells == (6, 6) and e.lattice == "square" and e.kind == "exact"]
    line = sorted((e.couplings["J2"], e.energy) for e in square if e.model == "j1j2")
    slopes = np.diff([e for _, e in line]) / np.diff([c for c, _ in line])
    assert np.all(np.diff(slopes) < 0)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def to(text: str) -> str:
        path = tmp_path / "energies.csv"
        path.write_text(text)
        return str(path)

    return to


NAMES, OBSERVED = ("J1", "J2"), ("staggered_m2", "correlation_1")


def test_a_file_of_energies(write: Any):
    path = write("J2, energy, energy_error, staggered_m2\n0.4,-0.55,0.001,0.2\n\n0.5,-0.5,,\n")
    values = given.read(path, NAMES, OBSERVED, 16.0)
    found = given.lookup(values, {"J1": 1.0, "J2": 0.4}, False)
    assert found.energy == pytest.approx(-8.8) and found.error == pytest.approx(0.016) and found.kind == "method"
    assert found.observables == {"staggered_m2": 0.2}
    assert given.lookup(values, {"J1": 1.0, "J2": 0.5}, True)[:3] == (-8.0, 0.0, "exact")
    missing = given.lookup(values, {"J1": 1.0, "J2": 0.6}, True)
    assert missing.energy is None and "no row for J1 = 1, J2 = 0.6" in str(missing.why)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("J2,energy\n", "has no rows"),
        ("J2,Energy\n1,2\n", r"unknown column 'Energy'(.|\n)*did you mean 'energy'"),
        ("J3,energy\n1,2\n", "unknown column 'J3'"),
        ("J2,energy,energy\n1,2,3\n", "twice"),
        ("J2,energy\n0.5,2\n0.5,3\n", "J2 = 0.5 twice"),
        ("J2,energy_error\n1,2\n", "no column 'energy'"),
        ("energy\n1\n", "no column of a coupling"),
        ("J2,energy\n1,2,3\n", "another length"),
        ("J2,energy\n1,x\n", r"'x' is no number(.|\n)*line 2, column 'energy'"),
        ("J2,energy\n1,nan\n", "no number"),
        ("J2,energy,energy_error\n1,2,-1\n", "'-1' is no error"),
    ],
)
def test_files_that_are_refused(write: Any, text: str, message: str):
    with pytest.raises(InputError, match=message):
        given.read(write(text), NAMES, OBSERVED, 1.0)


def test_no_such_file():
    with pytest.raises(InputError, match="no such file of references"):
        given.read("nowhere.csv", NAMES, OBSERVED, 1.0)


def test_which_value_an_energy_is_held_against():
    loose, tight = Found(-10.0, 0.5, "upper bound", confirms=False), Found(-9.99, 0.02, "upper bound")
    assert best({"dmrg": loose, "ed": Found(-9.9), "literature": Found(-9.9)}) == "ed"
    assert best({"literature": loose, "dmrg": tight}) == "dmrg"
    assert best({"literature": loose, "dmrg": tight._replace(energy=-9.0)}) == "literature"
    assert best({"ed": failed("no memory")}) is None


def test_what_was_found_when_time_is_up_counts(monkeypatch: pytest.MonkeyPatch):
    """A process that has to be ended leaves what its last finished sector had given, as an upper bound."""
    monkeypatch.setattr(apart, "GRACE", -1e9)
    job = {
        "method": "ed",
        "spins": stored(spins_of(lattice.j1j2_square(4, 4, J2=0.5))),
        "memory": GIB,
        "seconds": 100.0,
    }
    slow = apart._feed

    def feed(process: Any, text: str, lines: Any) -> None:
        lines.put('{"kept": {"energy": -1.0, "kind": "upper bound", "details": {}}}')
        slow(process, text, lines)

    monkeypatch.setattr(apart, "_feed", feed)
    ended = apart.run(job, 1.0, lambda: False, lambda text: None)
    assert ended.found is not None and ended.found["energy"] <= -1.0 and ended.found["kind"] == "upper bound"


def test_files_of_references_with_comments_and_gaps(tmp_path: Path):
    """Comments and empty lines are passed over, and lines are counted with them; a point needs all its couplings."""
    file = tmp_path / "ref.csv"
    file.write_text("# of my thesis\n\nenergy,h,energy_error\n-10.0,0.5,\n# and\n-10.25,1.0,0.01\n")
    found = given.read(str(file), ["J", "h"], [], 1.0)
    assert [(row["h"], energy, error) for row, energy, error in found.rows] == [(0.5, -10.0, None), (1.0, -10.25, 0.01)]
    for text, where, what in (
        ("energy,h\n-10.0,\n", "line 2, column 'h'", "'' is no number"),
        ("# mine\n\nenergy,h\n\n-1.0,x\n", "line 5, column 'h'", "'x' is no number"),
        ("h;energy\n0.5;-1\n", "line 1", "semicolons between its columns"),
        ("h\tenergy\n0.5\t-1\n", "line 1", "tabs between its columns"),
        ("h,energy\n0.5,-1\n\n0.5,-2\n", "line 4", "twice"),
    ):
        file.write_text(text)
        with pytest.raises(InputError) as caught:
            given.read(str(file), ["J", "h"], [], 1.0)
        assert where in caught.value.where and what in caught.value.what


def test_time_that_is_up_before_a_sweep_is_said_in_words():
    with pytest.raises(PhysicsError, match="time was up before the first sweep"):
        dmrg.solve(spins_of(lattice.build("j1j2", "chain", 8, J2=0.5)), (4,), 10, GIB, 1e-4, lambda text: None)


def test_stages_are_those_asked_for():
    assert stages(128) == (32, 64, 128) and stages(2) == (2,) and stages(6) == (4, 6) and stages([8, 40]) == (8, 40)
