"""Systems of the user's own through the Python interface: trained to the right energy, or refused at the start."""

import dataclasses
from pathlib import Path
from typing import Any

import netket as nk
import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import dense_matrix
from wavefoundry import api_tickets
from wavefoundry.core.errors import InputError

pytestmark = pytest.mark.integration

BUILD: Any = nk.operator.PauliStringsJax
MODEL = wf.models.vit(patch=2, width=8, layers=1, heads=2)
JUDGED = {"samples": 512, "chains": 32}


def on(sites: int, places: dict[int, str]) -> str:
    return "".join(places.get(site, "I") for site in range(sites))


def edge_fields(sites: int) -> Any:
    hilbert = nk.hilbert.Spin(0.5, sites)
    terms = {
        "J": BUILD(hilbert, [on(sites, {i: "Z", i + 1: "Z"}) for i in range(sites - 1)], [-1.0] * (sites - 1)),
        "h": BUILD(hilbert, [on(sites, {i: "X"}) for i in range(sites)], [-1.0] * sites),
        "edge": BUILD(hilbert, [on(sites, {0: "Z"}), on(sites, {sites - 1: "Z"})], [-1.0, 1.0]),
    }
    return wf.lattice.from_netket(terms, {"J": 1.0, "h": 0.5, "edge": 1.0}, periodic=False)


def classical(sites: int) -> Any:
    """Bonds of random sign and fields: nothing off the diagonal."""
    rng = np.random.default_rng(1)
    hilbert = nk.hilbert.Spin(0.5, sites)
    bonds = BUILD(
        hilbert, [on(sites, {i: "Z", (i + 1) % sites: "Z"}) for i in range(sites)], list(rng.normal(size=sites))
    )
    fields = BUILD(hilbert, [on(sites, {i: "Z"}) for i in range(sites)], list(rng.normal(size=sites)))
    return wf.lattice.from_netket({"J": bonds, "b": fields}, {"J": 1.0, "b": 1.0})


def test_a_thin_sector_of_many_spins():
    """Two magnons of an XXZ chain of 24 spins, listed: 276 configurations out of 2^24."""
    sites = 24
    hilbert = nk.hilbert.Spin(0.5, sites, total_sz=10)
    pairs = [{i: a, (i + 1) % sites: a} for a in "XY" for i in range(sites)]
    ising = [on(sites, {i: "Z", (i + 1) % sites: "Z"}) for i in range(sites)]
    terms = {
        "hop": BUILD(hilbert, [on(sites, pair) for pair in pairs], [-0.25] * len(pairs)),
        "D": BUILD(hilbert, ising, [-0.25] * sites),
    }
    system = wf.lattice.from_netket(terms, {"hop": 1.0, "D": 2.0})
    base = wf.pretrain(system, MODEL, steps=60, learning_rate=0.1, block=20)
    (expected,) = nk.exact.lanczos_ed(terms["hop"] + 2.0 * terms["D"], k=1)
    assert base.record["exact_energy"] == pytest.approx(float(expected), abs=1e-9)
    assert base.record["energy"] == pytest.approx(float(expected), rel=2e-3)
    assert base.record["verdict"] == "trusted"
    state = base.state
    assert state.statevector().shape == (276,)
    assert set(np.asarray(state.sample(50)).sum(axis=1)) == {20}


@pytest.fixture(scope="module")
def edges() -> wf.Pretrained:
    return wf.pretrain(edge_fields(6), MODEL, steps=80, learning_rate=0.1, block=20)


def test_opposite_fields_at_the_ends(edges: wf.Pretrained):
    """A network that shifts cannot change stays 9 % above E0; 5e-3 beyond 5 error bars is far below that."""
    record = edges.record
    assert edges.model.symmetry == "none"
    assert record["relative_error"] < 5e-3 + 5 * record["energy_error"] / abs(record["energy"])
    with pytest.warns(UserWarning, match="as asked for"):
        forced = wf.pretrain(edge_fields(6), dataclasses.replace(MODEL, symmetry="translations"), steps=20)
    assert forced.record["relative_error"] > 2e-2


def test_positions_are_stored(edges: wf.Pretrained, tmp_path: Any):
    loaded = wf.load(edges.save(tmp_path / "edges"), edge_fields(6))
    x = np.array([1, -1, 1, 1, -1, -1], np.int8)
    assert float(loaded.wavefunction(loaded.system, x).log) == float(edges.wavefunction(edges.system, x).log)
    diagram = wf.map(loaded, {"edge": [0.5, 1.0]}, method="zero-shot", evaluate=JUDGED)
    assert diagram.summary["symmetry"] == "none"


def test_models_stored_before_symmetry_was_a_choice(tmp_path: Any):
    """Their description lacks the key: they are invariant, also on a lattice that is not."""
    from wavefoundry.studies.diagram import study as diagram_study

    system = wf.lattice.ising_chain(6, periodic=False)
    with pytest.warns(UserWarning, match="not invariant"):
        base = wf.pretrain(system, dataclasses.replace(MODEL, symmetry="translations"), steps=5, walkers=32)
    meta = diagram_study.base_meta(base.model, base.settings, base.record)
    del meta["model"]["symmetry"], meta["network"]
    assert diagram_study.model_of(meta) == base.model
    from wavefoundry.artifacts.bundles import write_bundle

    write_bundle(tmp_path / "old", diagram_study.base_arrays(base.base), meta)
    assert wf.load(tmp_path / "old", system).model == base.model


@pytest.mark.parametrize("sites", [4, pytest.param(6, marks=pytest.mark.slow)])
def test_a_diagonal_hamiltonian_ends_in_its_minimum(sites: int):
    """From pre-training to a map; the state is one configuration, so bars of the last weight on others decide."""
    system = classical(sites)
    base = wf.pretrain(system, MODEL, steps=60, block=20, learning_rate=0.1)
    lowest = np.diag(dense_matrix(system.operator()).real).min()
    assert base.record["exact_energy"] == pytest.approx(lowest, abs=1e-9)
    assert abs(base.energy - lowest) < 0.05 * abs(lowest)
    diagram = wf.map(base, {"b": [0.9, 1.0]}, method="zero-shot", evaluate=JUDGED)
    assert all(np.isfinite(point["energy"]) for point in diagram.points)


@pytest.mark.parametrize(
    "model", [wf.models.resnet(channels=4, blocks=1), pytest.param(wf.models.dense(alpha=2.0), marks=pytest.mark.slow)]
)
def test_networks_without_a_tunable_head(model: Any, tmp_path: Any):
    """Trained, measured, saved, loaded and mapped; what needs a head to tune is refused before anything runs."""
    system = wf.lattice.ising_chain(6, h=1.2)
    base = wf.pretrain(system, model, steps=30, block=10)
    record = base.record
    assert record["method"] == "pretrain"
    assert -5 * record["energy_error"] < base.energy - record["exact_energy"] < 0.1 * abs(base.energy)
    loaded = wf.load(base.save(tmp_path / "base"), system)
    assert loaded.model == model
    assert len(wf.map(loaded, {"h": [1.0, 1.4]}, method="zero-shot", evaluate=JUDGED).points) == 2
    with pytest.raises(InputError, match="no weights to tune"):
        wf.map(base, {"h": [1.0]})


@pytest.mark.parametrize(
    ("system", "settings"),
    [
        (wf.lattice.build("ising", "honeycomb", (2, 2)), {}),
        (wf.lattice.build("ising", "kagome", (2, 2), periodic=False), {"conditioned": True}),
        (wf.lattice.build("ising", "square", (2, 4), periodic=False), {"patch": (2, 1)}),
    ],
)
def test_patches_of_any_shape_are_saved_and_loaded(system: Any, settings: dict[str, Any], tmp_path: Any):
    base = wf.pretrain(system, wf.models.vit(width=4, layers=1, heads=1, **settings), steps=1, walkers=8)
    again = wf.load(base.save(tmp_path / "base"), system)
    assert again.model == base.model
    x = np.asarray(base.base.x)[0]
    assert again.wavefunction(system, x).log == base.wavefunction(system, x).log


@dataclasses.dataclass(frozen=True)
class Own:
    """A network class of the user's own, made of ours."""

    def build(self, key: Any, extent: tuple[int, ...], **_: Any) -> Any:
        return wf.models.dense(alpha=1.0).build(key, extent)  # type: ignore[union-attr]


def test_a_network_of_the_users_own_trains_but_is_not_saved(tmp_path: Any):
    base = wf.pretrain(wf.lattice.ising_chain(4, h=1.5), Own(), steps=5, walkers=32)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Own cannot be saved"):
        base.save(tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_three_points_are_three_records(edges: wf.Pretrained):
    for method in ("zero-shot", "head"):
        found = wf.map(edges, {"h": [0.5, 0.5, 0.6]}, method=method, samples=256, rounds=1, evaluate=JUDGED)
        assert [point["couplings"]["h"] for point in found.points] == [0.5, 0.5, 0.6]


TORIC = wf.lattice.build("toric", "square", (2, 2))
REFUSED = {
    "an operator": (lambda: wf.pretrain(BUILD(nk.hilbert.Spin(0.5, 4), ["XXII"], [1.0])), "from_netket"),
    "a number": (lambda: wf.pretrain(3), "wf.lattice"),  # type: ignore[call-overload]
    "a text": (lambda: wf.pretrain("LiH"), "wf.molecules"),  # type: ignore[call-overload]
    "electrons on a lattice": (lambda: wf.pretrain(wf.lattice.ising_chain(4), wf.models.electrons()), "no network"),  # type: ignore[call-overload]
    "no network": (lambda: wf.pretrain(wf.lattice.ising_chain(4), "vit"), "no network"),  # type: ignore[call-overload]
    "at as a table": (lambda: wf.pretrain(wf.lattice.ising_chain(4), MODEL, at={"h": [1.0, 2.0]}), "list of points"),
    "at as a number": (lambda: wf.pretrain(wf.lattice.ising_chain(4), MODEL, at=1.0), "list of points"),
    "at of texts": (lambda: wf.pretrain(wf.lattice.ising_chain(4), MODEL, at=[{"h": "x"}]), "not a coupling"),
    "at twice": (lambda: wf.pretrain(wf.lattice.ising_chain(4), MODEL, at=[{"h": 0.7}, {"h": 0.7}]), "named twice"),
    "patches of a torus": (lambda: wf.pretrain(TORIC, wf.models.vit(patch=1)), "ViTSpec is not for the toric code"),
    "windows of a torus": (lambda: wf.pretrain(TORIC, wf.models.symmetric(wf.models.conv())), "no row of sites"),
    "nothing left": (lambda: wf.pretrain(wf.lattice.ising_chain(4, h=0.0, J=0.0), MODEL), "vanishes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pre_trainings_refused_by_name(name: str):
    call, word = REFUSED[name]
    with pytest.raises(InputError) as caught:
        call()
    assert word in str(caught.value) and len(str(caught.value).splitlines()) <= 5


@pytest.mark.parametrize(
    ("points", "settings", "word"),
    [
        ([0.8], {}, "which coupling"),
        (0.8, {}, "which coupling"),
        ({"h": "many"}, {}, "a finite number"),
        ({"h": [[1.0], [2.0, 3.0]]}, {}, "a finite number"),
        ({"h": [0.5]}, {"evaluate": 4096}, "4096"),
        ({"h": [0.5]}, {"evaluate": [4096]}, "not a table"),
        ({"J": [0.0], "h": [0.0, 1.0], "edge": 0.0}, {}, "vanishes at J = 0, h = 0, edge = 0"),
        ({"h": [0.5, np.inf]}, {}, "inf"),
    ],
)
def test_maps_refused_by_name(edges: wf.Pretrained, points: Any, settings: dict[str, Any], word: str):
    with pytest.raises(InputError) as caught:
        wf.map(edges, points, **settings)
    assert word in str(caught.value) and len(str(caught.value).splitlines()) <= 5


@pytest.mark.parametrize(
    "system", [wf.lattice.ising_chain(2), wf.lattice.ising_chain(1, h=0.5), wf.lattice.j1j2_chain(2)]
)
def test_the_smallest_systems_are_served(system: Any):
    """One and two spins: by the full sum, against exact diagonalisation."""
    base = wf.pretrain(system, wf.models.vit(width=8, layers=1, heads=2), steps=60, block=20)
    assert base.record["exact_energy"] is not None
    assert base.record["relative_error"] < 1e-2 + 5 * base.record["energy_error"]


def neighbours(periodic: bool = True, **local: Any) -> Any:
    return wf.lattice.build("ising", "chain", 4, periodic=periodic, h=1.0, **local)


OTHERS = {
    "open": neighbours(periodic=False),
    "local couplings": neighbours(local_couplings={"J": [(0, 1, -3.0)]}),
    "own operators": classical(4),
}


@pytest.fixture(scope="module")
def four() -> wf.Pretrained:
    return wf.pretrain(neighbours(), MODEL, steps=10, walkers=32)


@pytest.mark.parametrize("other", OTHERS)
def test_a_model_belongs_to_its_hamiltonian(four: wf.Pretrained, other: str, tmp_path: Any):
    """An energy of another one is neither shown for it nor compared with it; other members of the family are fine."""
    four.save(tmp_path / "model")
    with pytest.raises(InputError, match=r"another Hamiltonian|has the couplings"):
        wf.load(tmp_path / "model", OTHERS[other])
    assert wf.load(tmp_path / "model", neighbours().at(h=0.3)).record == four.record
    strange = wf.pretrain(OTHERS[other], MODEL, steps=1, walkers=32)
    with pytest.raises(InputError, match="different systems"):
        wf.map([four, strange], {next(iter(OTHERS[other].names)): [1.0]}, "zero-shot")


def test_bases_agree_in_what_points_do_not_say(four: wf.Pretrained):
    strong = wf.pretrain(neighbours().at(J=2.0), MODEL, steps=1, walkers=32)
    with pytest.raises(InputError, match="J = 1 and J = 2"):
        wf.map([four, strong], {"h": [1.0]}, "zero-shot")


def test_fingerprints_tell_families_apart():
    """The same whatever the couplings, the order of the strings and the sign rule; another where an element differs."""
    hilbert: Any = nk.hilbert.Spin(0.5, 4)
    pairs = [on(4, {i: "Z", (i + 1) % 4: "Z"}) for i in range(4)]
    terms = {
        "J": BUILD(hilbert, pairs[::-1], [-1.0] * 4),
        "h": BUILD(hilbert, [on(4, {i: "X"}) for i in range(4)], [-1.0] * 4),
    }
    own = wf.lattice.from_netket(terms, {"J": 3.0, "h": 0.2})
    assert own.fingerprint == neighbours().fingerprint
    kept, turned = (wf.lattice.j1j2_chain(8, J2=0.2, marshall=rule).fingerprint for rule in (False, True))
    assert kept == turned == wf.lattice.j1j2_chain(8, J2=0.9).fingerprint
    different = {
        one.fingerprint for one in [*OTHERS.values(), own, neighbours(local_couplings={"J": [(0, 1, 1.0001)]})]
    }
    assert len(different) == 5
    with pytest.raises(InputError, match="built-in model"):
        wf.lattice.from_netket(terms, {"J": 3.0, "h": 0.2}, model="ising")


def test_small_couplings():
    """The whole Hamiltonian or none of it; points of a diagram are told apart in their own unit."""
    with pytest.raises(InputError, match="h = 5e-09 is too small"):
        wf.lattice.ising_chain(4, J=1e-7, h=5e-9).operator()
    assert len(wf.lattice.ising_chain(4, J=1.0, h=1e-20).operator().operators) == 4, "nothing that counts is lost"
    base = wf.pretrain(wf.lattice.ising_chain(4, J=1e-9, h=1e-9), MODEL, steps=1, walkers=32)
    diagram = wf.map(base, {"h": [0.8e-9, 1.2e-9]}, "zero-shot", samples=64, evaluate={"samples": 256})
    assert diagram.state(h=0.8e-9).couplings["h"] == pytest.approx(0.8e-9, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wf.lattice.build("ising-long-range", "chain", 6, exponent=1000.0), "not possible"),
        (lambda: wf.lattice.build("ising-long-range", "chain", 6, exponent=-1.0), "not possible"),
        (lambda: wf.lattice.build("ising", "chain", 6, exponent=2), "no exponent"),
    ],
)
def test_exponents(call: Any, words: str):
    with pytest.raises(InputError, match=words):
        call()


def test_pruning_for_another_boundary_says_what_the_network_cannot(monkeypatch: pytest.MonkeyPatch):
    base = wf.pretrain(wf.lattice.ising_chain(6), MODEL, steps=1, walkers=32)

    class Enough(Exception):
        pass

    def setup(*arguments: Any) -> Any:
        raise Enough

    monkeypatch.setattr(api_tickets, "make_setup", setup)
    with pytest.warns(UserWarning, match="not invariant under shifts"), pytest.raises(Enough):
        wf.prune(base, wf.lattice.ising_chain(6, periodic=False), fraction=0.5)


@pytest.mark.parametrize("name", ["open8", "model"])
def test_a_study_that_lies_beside_a_saved_model_is_not_its_own(name: str, tmp_path: Path):
    """Of another boundary, broken, or with a card beside it: the model keeps the Hamiltonian it was saved with."""
    system = wf.lattice.build("ising", "chain", 8, periodic=False)
    base = wf.pretrain(system, wf.models.vit(patch=2, width=8, layers=1, heads=2), steps=2, walkers=32)
    base.save(tmp_path / name)
    study = """kind = "diagram"
system = { model = "ising", lattice = { kind = "chain", size = 8 } }
pretrain = { at = { h = 1.0 } }
adapt = { points = { h = [1.0] } }
"""
    for text, card in ((study, False), (study, True), ('kind = "diagram"\nbroken', False)):
        (tmp_path / "study.toml").write_text(text)
        if card:
            (tmp_path / "README.md").write_text("my project")
        assert wf.load(tmp_path / name, system).system.fingerprint == system.fingerprint
        with pytest.raises(InputError, match="another Hamiltonian"):
            wf.load(tmp_path / name, wf.lattice.ising_chain(8))
        with pytest.raises(InputError, match="needs its system"):
            wf.load(tmp_path / name)
        (tmp_path / "README.md").unlink(missing_ok=True)
