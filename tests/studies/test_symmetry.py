"""Symmetric networks in diagrams: exact sectors, energies of projections, the same numbers from start to store."""

import contextlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import dense_matrix
from tests.small import J1J2_8
from wavefoundry.artifacts import spec
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.projection import Amplitude, plain
from wavefoundry.problems import exact, groups
from wavefoundry.problems.enumerated import EnumeratedSystem, enumerate_states
from wavefoundry.studies import perform, run_study
from wavefoundry.studies.diagram import sectors, symmetry
from wavefoundry.studies.diagram.states_kept import bases_of
from wavefoundry.studies.diagram.study import DiagramStudy
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output

pytestmark = pytest.mark.integration

ALL = ("translations", "point-group", "spin-flip")
SMALL: Any = {"width": 8, "layers": 1, "heads": 2, "precision": "float64"}


@pytest.fixture(scope="module")
def chain() -> tuple[Any, Wavefunction, EnumeratedSystem]:
    """Ten spins, five of them down, with a complex head far from any symmetry."""
    system = wf.lattice.j1j2_chain(10, J2=0.3)
    network = wf.models.vit(patch=2, head="complex", **SMALL)
    return system, network.build(jax.random.key(0), (10,), sign_free=False), enumerate_states(system)


def test_projections_transform_as_their_sector(chain: tuple[Any, Wavefunction, EnumeratedSystem]):
    """psi(g x) = chi(g) psi(x) in the basis of the Hamiltonian, for every element and several sectors."""
    system, network, _ = chain
    found = symmetry.sectors_of(network, system, ALL)
    group, rows = found.group, groups.characters(found.group)
    ratio = groups.sign_ratio(group, np.asarray(system.sublattice), system)
    xs = jax.vmap(system.init)(jax.random.split(jax.random.key(1), 4))
    for number in found.numbers[:3].tolist():
        state = symmetry.symmetrised(network, system, symmetry.Symmetry(ALL, "amplitude", number))
        here = jax.vmap(lambda x, s=state: s(system, x))(xs)
        images = jnp.asarray(group(np.asarray(xs)))
        there = jax.vmap(jax.vmap(lambda x, s=state: s(system, x)))(images)
        factor = np.exp(there.log - here.log[:, None] + 1j * (there.phase - here.phase[:, None]))
        seen = here.log > -20  # symmetry makes other amplitudes zero
        wanted = np.broadcast_to(rows[number] * ratio, factor.shape)
        np.testing.assert_allclose(factor[seen], wanted[seen], atol=1e-8)


def test_the_sign_rule_names_the_sector_of_the_ground_state(chain: tuple[Any, Wavefunction, EnumeratedSystem]):
    """Below the crossing the ground state of ten spins has momentum pi and is odd under the flip."""
    system, network, _ = chain
    found = symmetry.sectors_of(network, system, ALL)
    # sites i and -i are on one sublattice: a mirror keeps the sign rule
    assert sectors.described(found, 0, system.extent) == {"momentum": [1.0], "spin_flip": -1, "mirror": 1}


def test_sector_energies_are_those_of_the_projected_vectors(chain: tuple[Any, Wavefunction, EnumeratedSystem]):
    """From all configurations with their weights, against energies of the projected states by the full sum."""
    system, network, listed = chain
    found = symmetry.sectors_of(network, system, ALL)
    weights = jnp.asarray(np.conj(found.characters)) / len(found.images)
    psi, _ = listed.act(network, 64)
    ratio = groups.sign_ratio(found.group, np.asarray(system.sublattice), system)
    place = {row.tobytes(): n for n, row in enumerate(np.asarray(listed.states))}
    images = found.group(np.asarray(listed.states)).astype(np.asarray(listed.states).dtype)
    at = np.array([[place[row.tobytes()] for row in rows] for rows in images])
    p = np.mean(np.abs(np.asarray(psi))[at] ** 2, axis=1)  # density of random images of samples
    local, norm = symmetry._by_sector(network, system, found.projection(0), weights, listed.states, 16)
    assert np.max(np.asarray(norm)) <= 1 + 1e-9
    assert float(p @ np.asarray(norm) @ np.ones(len(found.numbers))) <= 1 + 1e-9
    for place_of, number in enumerate(found.numbers.tolist()):
        state = symmetry.symmetrised(network, system, symmetry.Symmetry(ALL, "amplitude", number))
        v, hv = listed.act(state, 64)
        energy = float(np.real(np.vdot(v, hv)))
        moved = np.asarray(psi)[at] @ np.conj(groups.characters(found.group)[number] * ratio) / at.shape[1]
        assert (p @ np.asarray(norm))[place_of] == pytest.approx(float(np.vdot(moved, moved).real), abs=1e-8)
        terms = np.tensordot(p, np.asarray(local), 1)[place_of] / (p @ np.asarray(norm))[place_of]
        assert terms @ np.asarray(system.couplings) == pytest.approx(energy, abs=1e-8)
        # the same terms give the energy of the projection at other couplings
        v, hv = eqx.tree_at(lambda s: s.lattice, listed, system.at(J2=0.9)).act(state, 64)
        assert terms @ np.array([1.0, 0.9]) == pytest.approx(float(np.real(np.vdot(v, hv))), abs=1e-8)


def test_averaged_features_are_invariant_up_to_the_sign_rule(chain: tuple[Any, Wavefunction, EnumeratedSystem]):
    system, network, _ = chain
    state = symmetry.symmetrised(network, system, symmetry.Symmetry(ALL, "features"))
    x = system.init(jax.random.key(3))
    images = jnp.asarray(groups.symmetry_group(system)(np.asarray(x)))
    psi = jax.vmap(lambda y: state(system, y))(images)
    np.testing.assert_allclose(psi.log, psi.log[0], atol=1e-10)
    assert plain(state).features(system, x).shape == state.features(system, x).shape


@pytest.mark.slow
def test_a_rule_that_turns_have_no_part_in_enters_image_by_image():
    """Stripes: a quarter turn changes their sign rule by a sign that depends on the configuration."""
    system = wf.lattice.j1j2_square(4, 4, J2=1.0, marshall=False)
    stripes = np.arange(16) // 4 % 2 == 1
    system = type(system)(**{**vars(system), "sublattice": jnp.asarray(stripes)})
    network = wf.models.vit(patch=2, head="real", **SMALL).build(jax.random.key(0), (4, 4), sign_free=True)
    found = symmetry.sectors_of(network, system, ALL)
    assert found.sublattice is not None
    state = symmetry.symmetrised(network, system, symmetry.Symmetry(ALL))
    assert not state.real
    listed = enumerate_states(system)
    v, _ = listed.act(state, 64)
    signs = np.asarray(jax.vmap(system.sign)(listed.states))
    vector = {row.tobytes(): a for row, a in zip(np.asarray(listed.states), np.asarray(v) * signs, strict=True)}
    group = found.group
    for g in range(0, len(group), 37):
        images = group(np.asarray(listed.states))[:, g].astype(np.int8)
        moved = np.array([vector[row.tobytes()] for row in images])
        character = groups.characters(group)[found.numbers[0], g]
        np.testing.assert_allclose(moved, character * np.asarray(v) * signs, atol=1e-10)


@pytest.fixture(scope="module")
def base() -> Any:
    return wf.pretrain(wf.lattice.j1j2_chain(8, J2=0.4), wf.models.vit(width=8, layers=1), steps=30, walkers=64, seed=2)


def test_projection_lowers_what_pretraining_gave(base: Any):
    """Zero-shot, drawn from the list of all configurations; energies stay above the exact one."""
    before = wf.map(base, {"J2": [0.4]}, "zero-shot").points[0]
    diagram = wf.map(base, {"J2": [0.4]}, "zero-shot", symmetry=list(ALL))
    after = diagram.points[0]
    assert after["energy"] < before["energy"] + 3 * np.hypot(after["energy_error"], before["energy_error"])
    chosen = diagram.summary["pretrain"]["symmetry"]
    assert chosen["sector"] in [one["sector"] for one in chosen["candidates"]]
    lowest = float(exact.ground_state(diagram.state(J2=0.4).system.operator())[0])
    assert after["energy"] > lowest - 4 * after["energy_error"]
    assert "projected over" in diagram.summary["symmetry"]


def test_heads_of_projected_states_are_tuned(base: Any):
    diagram = wf.map(base, {"J2": [0.4, 0.3]}, "head", symmetry=list(ALL))
    zero = wf.map(base, {"J2": [0.4, 0.3]}, "zero-shot", symmetry=list(ALL))
    for tuned, start in zip(diagram.points, zero.points, strict=True):
        assert tuned["energy"] < start["energy"] + 3 * np.hypot(tuned["energy_error"], start["energy_error"])
    state = diagram.state(J2=0.3)
    images = groups.symmetry_group(state.system)(np.asarray(state.sample(1))[0])
    np.testing.assert_allclose(np.ptp(state.log_amplitude(images.astype(np.int8)).real), 0, atol=1e-4)


def test_a_symmetric_network_is_saved_and_loaded(tmp_path: Any):
    system = wf.lattice.ising_chain(8)
    model = wf.models.symmetric(wf.models.vit(width=8, layers=1), parts=["translations", "spin-flip"])
    base = wf.pretrain(system, model, steps=5, walkers=32)
    again = wf.load(base.save(tmp_path / "base"), system)
    x = system.init(jax.random.key(0))
    assert again.wavefunction(again.system, x).log == base.wavefunction(base.system, x).log
    assert again.model == base.model


def test_what_cannot_be_projected_is_refused(base: Any):
    with pytest.raises(InputError, match="cannot be in sector 99"):
        wf.map(base, {"J2": [0.4]}, "zero-shot", symmetry=list(ALL), sector=99)
    with pytest.raises(InputError, match=r"symmetry|translations"):
        wf.map(base, {"J2": [0.4]}, "zero-shot", symmetry=["rotations"])
    field = wf.lattice.ising_chain(8, periodic=False)
    network = wf.models.dense(alpha=1).build(jax.random.key(0), (8,))
    with pytest.raises(InputError, match="has no symmetry of translations"):
        symmetry.symmetrised(network, field, symmetry.Symmetry(("translations",)))


class Packet(eqx.Module):
    """log psi falls with the number of spins that differ from one configuration, which has no symmetry."""

    centre: Any

    def __call__(self, condition: Any, x: Any) -> Any:
        return jnp.stack([-1.5 * jnp.sum(x != self.centre), 0.0])


def test_sectors_of_a_state_that_breaks_its_symmetry_are_found_from_few_samples():
    """A packet far from its own images: samples of |psi|^2 alone hardly meet where its projections are large."""
    system = wf.lattice.j1j2_chain(10, J2=0.3)
    listed = enumerate_states(system)
    network = Wavefunction(Packet(jnp.array([1, 1, 1, -1, 1, -1, -1, 1, -1, -1])), Amplitude(True))
    found = symmetry.sectors_of(network, system, ALL)
    psi, _ = listed.act(network, 64)
    xs = listed.states[np.random.default_rng(0).choice(len(psi), 2000, p=np.abs(np.asarray(psi)) ** 2)]
    seen = symmetry.sector_samples(network, system, found, xs)
    energy, covariance = seen.energies(np.asarray(system.couplings))
    error = np.sqrt(np.diag(covariance))
    exact = []
    for number in found.numbers.tolist():
        v, hv = listed.act(symmetry.symmetrised(network, system, symmetry.Symmetry(ALL, "amplitude", number)), 64)
        exact.append(float(np.real(np.vdot(v, hv))))
    heavy = seen.weight > sectors.LEAST
    assert np.sum(heavy) >= 2 and np.sum(seen.weight) <= 1 + 1e-9
    # a false alarm: five error bars, up to ten sectors, 1 in 2e5
    assert np.all(np.abs(energy - exact)[heavy] <= 5 * error[heavy] + 1e-9)
    assert np.max(error[heavy]) < 0.3


def test_several_sectors_are_compared_and_the_lowest_is_kept(base: Any):
    """The same base twice, each time in another sector: what a point takes is the lower of the two."""
    found = symmetry.sectors_of(base.base.wavefunction, base.base.system, ALL)
    first, second = found.numbers[:2].tolist()
    asked: Any = {"method": "zero-shot", "symmetry": list(ALL)}
    alone = [wf.map(base, {"J2": [0.4]}, sector=k, **asked).points[0]["energy"] for k in (first, second)]
    both = wf.map([base, base], {"J2": [0.4]}, sector=[first, second], **asked)
    assert both.points[0]["energy"] == pytest.approx(min(alone), abs=1e-6)
    assert [one["symmetry"]["sector"] for one in both.summary["bases"]] == [first, second]
    with pytest.raises(InputError, match="a sector for every base"):
        wf.map(base, {"J2": [0.4]}, sector=[first, second], **asked)
    with pytest.raises(InputError, match="sector"):
        wf.map(base, {"J2": [0.4]}, sector=[first, -1], **asked)


def test_sectors_at_open_edges_are_told_apart():
    """Mirror and flip: four sectors with four names, and no momentum."""
    system = wf.lattice.build("xxz", "chain", 6, periodic=False, Jz=0.5)
    network = wf.models.vit(patch=1, symmetry="none", **SMALL).build(jax.random.key(0), (6,), sign_free=True)
    found = symmetry.sectors_of(network, system, ["translations", "point-group", "spin-flip"])
    names = [sectors.described(found, place, system.extent) for place in range(len(found.numbers))]
    assert sorted((one["mirror"], one["spin_flip"]) for one in names) == [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    assert all("momentum" not in one for one in names)


@pytest.mark.parametrize(("parts", "words"), [(["translations"], "has no symmetry of translations"), (ALL, "")])
def test_a_symmetry_that_is_none_is_told_from_one_that_is_built_in(parts: list[str], words: str):
    open_chain = wf.lattice.j1j2_chain(6, periodic=False)
    network = wf.models.vit(patch=1, **SMALL).build(jax.random.key(0), (6,), sign_free=True)
    group = groups.symmetry_group(open_chain, parts)
    if words:
        with pytest.raises(InputError, match=words):
            symmetry.symmetrised(network, open_chain, symmetry.Symmetry(tuple(parts), "features"))
    assert len(group) == (1 if words else 4)


TWO_BASES = """
kind = "diagram"
[system]
model = "j1j2"
lattice = { kind = "chain", size = 8 }
[pretrain]
at = { J2 = [0.2, 0.6] }
together = false
[adapt]
points = { J2 = [0.4] }
symmetry = ["translations"]
sector = [0, "auto"]
"""


def test_a_stored_model_serves_twice_in_two_sectors():
    stored = 'pretrain.warm_start=["zoo:j1j2-chain-20", "zoo:j1j2-chain-20"]'
    twice = ["system.lattice.size=20", "pretrain.at={ J2 = [0.4, 0.4] }", "adapt.sector=[0, 5]", stored]
    assert len(spec.loads(TWO_BASES, overrides=[*twice, "pretrain.steps=0"]).of_bases()) == 2
    with pytest.raises(InputError, match="named twice"):
        spec.loads(TWO_BASES, overrides=[*twice, "pretrain.steps=5"])


def test_sectors_in_a_study_are_one_for_every_base():
    assert [one.adapt.sector for one in spec.loads(TWO_BASES).of_bases()] == [0, "auto"]
    with pytest.raises(InputError, match="sector names 1 sectors"):
        spec.loads(TWO_BASES.replace('[0, "auto"]', "[0]"))


CROSSING = (
    J1J2_8
    + """\
precision = "float64"
[pretrain]
at = { J2 = 0.5 }
steps = 60
walkers = 128
seed = 2
[adapt]
method = "zero-shot"
points = { J2 = [0.3, 0.45, 0.5, 0.6] }
symmetry = ["translations", "point-group", "spin-flip"]
samples = 512
rounds = 2
[evaluate]
samples = 512
chains = 32
"""
)
"""At J2 = 0.5 the ground states of momentum 0 and pi cross: exactly there the trained state is made of both."""


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sectors") / "out"
    return folder, run_study(spec.loads(CROSSING), folder)


def ground_sector(J2: float) -> dict[str, Any]:
    """Momentum, flip and mirror of the lowest eigenvector of eight spins, and its energy."""
    system = wf.lattice.j1j2_chain(8, J2=J2)
    states = np.asarray(system.hilbert.all_states())
    energies, vectors = np.linalg.eigh(dense_matrix(system.operator()))
    place = {row.tobytes(): n for n, row in enumerate(states.astype(np.int8))}

    def parity(images: np.ndarray) -> int:
        moved = vectors[[place[row.tobytes()] for row in images.astype(np.int8)], 0]
        return round(float(vectors[:, 0] @ moved))

    sites = np.arange(8)
    momentum = [0.0 if parity(states[:, (sites + 1) % 8]) == 1 else 1.0]
    signs = {"spin_flip": parity(-states), "mirror": parity(states[:, -sites % 8])}
    return {"energy": float(energies[0]), "momentum": momentum} | signs


def test_one_base_serves_couplings_in_two_sectors(crossing: tuple[Path, dict[str, Any]]):
    """The sectors of the points are those of exact diagonalisation; at the crossing both are tried."""
    _, summary = crossing
    found = {point["couplings"]["J2"]: point for point in summary["points"]}
    for J2 in (0.3, 0.45, 0.6):
        exact_one, sector = ground_sector(J2), found[J2]["sector"]
        assert {name: sector[name] for name in ("momentum", "spin_flip", "mirror")} == {
            name: exact_one[name] for name in ("momentum", "spin_flip", "mirror")
        }
        assert found[J2]["energy"] > exact_one["energy"] - 5 * found[J2]["energy_error"], "a false alarm in 1e6"
        assert found[J2]["relative_error"] < 0.05
    assert found[0.3]["sector"]["number"] != found[0.6]["sector"]["number"]
    tried = found[0.5]["sector"]["tried"]
    assert [one["number"] for one in tried] == sorted({found[J2]["sector"]["number"] for J2 in (0.3, 0.6)})
    assert all(abs(one["energy"] + 3) < 1e-3 for one in tried), "both are ground states there"
    assert all("tried" not in found[J2]["sector"] for J2 in (0.3, 0.6))
    kept = summary["pretrain"]["symmetry"]
    for one in kept["candidates"]:  # the energy of a projection is linear in the couplings
        at, terms = summary["pretrain"]["couplings"], one["terms"]
        assert sum(at[name] * value for name, value in terms.items()) == pytest.approx(one["energy"])


def test_states_open_in_the_sector_of_their_point(crossing: tuple[Path, dict[str, Any]]):
    folder, summary = crossing
    diagram = wf.open(folder)
    assert isinstance(diagram, wf.Diagram)
    for record in summary["points"]:
        state = diagram.state(**record["couplings"])
        xs = np.asarray(state.system.hilbert.all_states(), np.int8)
        here, there = (np.exp(state.log_amplitude(x)) for x in (xs, np.roll(xs, 1, axis=1)))
        parity = np.vdot(here, there) / np.vdot(here, here)
        assert parity == pytest.approx(1.0 if record["sector"]["momentum"] == [0.0] else -1.0, abs=1e-5)
        hamiltonian, psi = dense_matrix(state.system.operator()), state.statevector()
        energy = float(np.real(np.vdot(psi, hamiltonian @ psi)))
        assert abs(energy - record["energy"]) < 5 * record["energy_error"] + 1e-6, "a false alarm in 1e6"


@pytest.mark.slow
def test_heads_in_two_sectors_are_tuned_and_go_on_bit_by_bit(tmp_path: Path):
    """Stopped after every third round or point, until the run ends; heads lower what the projections are."""
    study = spec.loads(CROSSING, overrides=["adapt.method='head'"])
    summary = run_study(study, tmp_path / "whole")
    for point in summary["points"]:
        assert point["relative_error"] < (0.03 if point["couplings"]["J2"] == 0.3 else 0.01)
        assert point["sector"]["momentum"] == ground_sector(point["couplings"]["J2"])["momentum"] or (
            point["couplings"]["J2"] == 0.5
        )
    done, attempt = None, 0
    while done is None:
        seen: list[str] = []

        def watch(event: dict[str, Any], seen: list[str] = seen) -> None:
            seen.extend([event["event"]] if event["event"] in ("point", "round") else [])

        def stop(seen: list[str] = seen) -> int | None:
            return 15 if len(seen) > 2 else None

        with contextlib.suppress(Interrupted):
            done = perform(study, tmp_path / "out", stop, attempt > 0, emit=watch)
        attempt += 1
    assert attempt > 2
    for one, two in zip(done["points"], summary["points"], strict=True):
        assert without_cost(one) == without_cost(two)


def test_a_run_from_before_sectors_were_chosen_point_by_point_opens(crossing: tuple[Path, dict[str, Any]]):
    """Its points say nothing of a sector: all have that of the base."""
    folder, summary = crossing
    number = summary["pretrain"]["symmetry"]["sector"]
    points = [{k: v for k, v in one.items() if k != "sector"} for one in summary["points"]]
    start: Any = wf.load(folder / "artifacts" / "base")
    pretrained = summary["pretrain"] | {
        "symmetry": {k: v for k, v in summary["pretrain"]["symmetry"].items() if k != "points"}
    }
    bases = bases_of([start.base], [pretrained], points)
    assert {one.sector["number"] for one in bases if one.sector is not None} == {number}
    assert sectors.wanted(pretrained["symmetry"], True, 4) == [[number]] * 4


def test_only_the_lower_sector_is_trained(crossing: tuple[Path, dict[str, Any]]):
    """Both are tried by the rungs that train nothing; every task gets no more than the outputs that it names."""
    folder, _ = crossing
    changes = [
        "adapt.method='auto'", "adapt.rungs=['zero-shot', 'full']", "adapt.full_steps=4", "adapt.most_steps=4",
        "adapt.target={ v_score = 1e-9 }", "adapt.points={ J2 = [0.5, 0.6] }", "pretrain.steps=0",
        f"pretrain.warm_start='{folder}'",
    ]  # fmt: skip
    study = DiagramStudy(spec.loads(CROSSING, overrides=changes), Context())
    done: dict[str, Output] = {}
    while waiting := [task for task in study.tasks(done) if task.name not in done]:
        ready = next(task for task in waiting if all(need in done for need in task.needs))
        done[ready.name] = study.perform(ready.name, {need: done[need] for need in ready.needs}, Progress())
    rungs = {name for name in done if name.startswith("rung/0/")}
    numbers = {name.rpartition("/s")[2] for name in rungs}
    assert len(numbers) == 2 and {name for name in rungs if "zero-shot" in name} == {
        f"rung/0/zero-shot/s{number}" for number in numbers
    }
    (trained,) = {name.rpartition("/s")[2] for name in rungs if "full" in name}
    (beaten,) = numbers - {trained}
    ladder = done[f"point/0/s{beaten}"].record["ladder"]
    assert ladder["end"] == "another sector is lower" and len(ladder["rungs"]) == 1
    assert sum(name.startswith("rung/1/full") for name in done) == 1


def without_cost(value: Any) -> Any:
    """A record without what differs from run to run."""
    if isinstance(value, dict):
        return {k: without_cost(v) for k, v in value.items() if k != "cost"}
    return [without_cost(v) for v in value] if isinstance(value, list) else value


def test_a_state_in_no_sector_is_not_projected():
    """Many light sectors leave the heaviest; none at all says that the state belongs to a degenerate level."""
    norm = np.tile([0.001, 0.012, 0.002], (64, 1))
    seen = symmetry.SectorSamples(-norm[:, :, None], norm)
    sectors._require_weight(seen, ["translations"])
    assert sectors.lowest(seen, np.array([1.0])) == [1]
    with pytest.raises(wf.PhysicsError, match="no sector of translations, spin-flip"):
        sectors._require_weight(symmetry.SectorSamples(-norm[:, :, None], 1e-5 * norm), ["translations", "spin-flip"])
