"""A court for verdicts: numbers whose truth is known, good and bad ones of every kind, and what is said of them.

A number is *wrong* when its energy is off by more than one per cent, or an observable by more than four error bars and
five per cent; *right* when its energy is off by at most a tenth of a per cent. No wrong number may be called trusted,
and few right ones refused. Beside our verdict stands what NetKet's own numbers would say: R-hat below 1.05 and a
V-score below 0.01 from samples of |psi|^2.

Then calibration: for states that are known exactly, how often the truth lies within one and two error bars.
"""

from __future__ import annotations

import collections
import functools
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import _common  # first: it sets the environment
import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np

import wavefoundry as wf
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.artifacts.spec_reference import ReferenceTable
from wavefoundry.artifacts.spec_tables import EvaluateTable, PretrainTable
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.problems import exact
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.studies.diagram import study as diagram_study
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.referencing import References

SMALL: Any = {"width": 16, "layers": 1, "heads": 2}
WRONG, RIGHT = 1e-2, 1e-3


class Case(NamedTuple):
    """One number before the court."""

    kind: str
    name: str
    record: dict[str, Any]
    relative_error: float
    bad_observables: list[str]  # four error bars and five per cent off
    bad_trusted: list[str]  # those of them whose own verdict is "trusted"

    @property
    def wrong(self) -> bool:
        """Whether the energy is off by more than a per cent."""
        return self.relative_error > WRONG

    @property
    def right(self) -> bool:
        """Whether the energy is as good as exact."""
        return self.relative_error <= RIGHT


def lattice_case(name: str, system: Any, record: dict[str, Any]) -> Case:
    """A record of a diagram against exact diagonalisation, whether the study was given it or not."""
    known = References(ReferenceTable(), [system], [], True).known(system)
    assert known.reference is not None
    reference = known.reference
    error = math.inf
    if record["energy"] is not None:
        error = abs(record["energy"] - reference.energy) / (abs(reference.energy - reference.zero) or 1.0)
    bad, trusted = [], []
    for key, value in known.observables.items():
        found = record["observables"].get(key)
        if found is None:
            continue
        off = abs(found["value"] - value)
        if off > 4 * found["error"] and off > 0.05 * abs(value):
            bad.append(key)
            trusted += [key] * (found["verdict"] == "trusted")
    return Case("lattice", name, record, error, bad, trusted)


def held(
    name: str,
    system: Any,
    model: Any,
    points: dict[str, list[float]],
    methods: tuple[str, ...] = ("head",),
    *,
    exact: bool = True,
    **settings: Any,
) -> Iterator[Case]:
    """Everything one pre-training leads to: its base, and all points by all methods.

    ``sampling = "metropolis"`` is what a system too large for a list would get.
    """
    try:
        chosen: Any = {"steps": 120, "walkers": 256} | settings
        base = wf.pretrain(system, model, **chosen)
    except (InputError, PhysicsError) as error:
        print(f"  {name}: refused, {str(error).splitlines()[0]}", flush=True)
        return
    yield lattice_case(f"{name}, base", base.system, base.record)
    for method in methods:
        diagram = wf.map(base, points, method, full_steps=60, evaluate={} if exact else {"exact": False})
        for record in diagram.points:
            where = ", ".join(f"{k}={record['couplings'][k]:g}" for k in points)
            yield lattice_case(f"{name}, {method}, {where}", base.system.at(**record["couplings"]), record)


def chains() -> Iterator[Case]:
    """Ising rings of 10: good and bad starts, all methods, too short trainings, both signs, near degeneracy."""
    vit, study = wf.models.vit(patch=2, **SMALL), functools.partial(held, sampling="metropolis")
    ring = wf.lattice.ising_chain
    fields = {"h": [0.05, 0.2, 0.6, 0.9, 1.2, 2.0, 3.0]}
    yield from study("ising 10 from h=1", ring(10, h=1.0), vit, fields, ("head", "zero-shot", "full"))
    yield from study("ising 10 from h=3", ring(10, h=3.0), vit, {"h": [0.3, 0.6, 1.5]})
    yield from study("ising 10 from h=.3", ring(10, h=0.3), vit, {"h": [0.6, 1.5, 3.0]})
    yield from study("ising 10, 8 steps", ring(10, h=1.0), vit, {"h": [0.6, 1.2]}, ("head", "zero-shot"), steps=8)
    yield from study("ising 10 from h=1, no reference", ring(10, h=1.0), vit, {"h": [0.5, 3.0]}, exact=False)
    yield from study("ising 10 from h=-1", ring(10, h=-1.0), vit, {"h": [-0.5, -2.0]})
    yield from study("ising 10, J=-1", ring(10, h=1.0, J=-1.0), vit, {"h": [0.7, 1.5]})
    yield from study("ising 10 in other units", ring(10, h=30.0, J=30.0), vit, {"h": [20.0, 60.0]})


def frustrated() -> Iterator[Case]:
    """J1-J2 rings of 12 and a square of 16: real and complex heads, with and without sign rule, wrong phases."""
    ring = wf.lattice.j1j2_chain
    real, free = (wf.models.vit(patch=2, head=head, **SMALL) for head in ("real", "complex"))
    study = functools.partial(held, sampling="metropolis")
    far = {"J2": [0.2, 0.45, 0.6, 0.8]}
    yield from study("j1j2 12 positive from 0", ring(12, J2=0.0), real, far, ("head", "full"))
    yield from study("j1j2 12 complex from .4", ring(12, J2=0.4), free, {"J2": [0.2, 0.5, 0.6, 0.8]}, ("head", "full"))
    yield from study("j1j2 12 without rule", ring(12, J2=0.3, marshall=False), free, {"J2": [0.5]})
    yield from study("j1j2 12, ferromagnetic J1", ring(12, J1=-1.0, J2=0.3), free, {"J2": [0.5]})
    square = wf.lattice.ising_square(4, 4, h=3.04438)
    yield from study("ising 4x4", square, wf.models.vit(patch=2, **SMALL), {"h": [2.0, 3.5, 5.0]})


def strings(sites: int, seed: int) -> Any:
    """A random Hamiltonian of two-spin terms on a random graph, with random fields; all signs."""
    rng, hilbert = np.random.default_rng(seed), nk.hilbert.Spin(0.5, sites)
    bonds = [bond for bond in itertools.combinations(range(sites), 2) if rng.random() < 0.35] or [(0, 1)]
    terms: dict[str, tuple[list[str], list[float]]] = {"J": ([], []), "h": ([], [])}
    for i, j in bonds:
        for letter in "XYZ":
            string = ["I"] * sites
            string[i] = string[j] = letter
            terms["J"][0].append("".join(string))
            terms["J"][1].append(float(rng.normal()))
    for i in range(sites):
        for letter in "XZ":
            terms["h"][0].append("I" * i + letter + "I" * (sites - i - 1))
            terms["h"][1].append(0.5 * float(rng.normal()))
    build: Any = nk.operator.PauliStringsJax
    operators = {name: build(hilbert, strings, weights) for name, (strings, weights) in terms.items()}
    return wf.lattice.from_netket(operators, {"J": 1.0, "h": 1.0})


def random_hamiltonians(first: int, count: int) -> Iterator[Case]:
    """Frustrated Hamiltonians nobody chose, on 8 to 12 spins, trained with few steps."""
    for seed in range(first, first + count):
        system = strings(8 + seed % 5, seed)
        yield from held(
            f"random {seed}",
            system,
            wf.models.vit(**SMALL),
            {"h": [0.7]},
            steps=80,
            walkers=128,
            sampling=("auto", "metropolis")[seed % 2],
        )


def special() -> Iterator[Case]:
    """E0 = 0, constants in H, no off-diagonal elements, edge fields."""
    hilbert = nk.hilbert.Spin(0.5, 8)
    build: Any = nk.operator.PauliStringsJax

    def strings(letter: str, weight: float, sites: Any = range(8)) -> Any:
        return build(hilbert, ["I" * i + letter + "I" * (7 - i) for i in sites], [weight] * len(sites))

    bonds = build(hilbert, ["I" * i + "ZZ" + "I" * (6 - i) for i in range(7)], [-1.0] * 7)
    constant = build(hilbert, ["I" * 8], [1.0])
    vit = wf.models.vit(**SMALL)
    make = wf.lattice.from_netket
    zero = make({"x": strings("X", -1.0), "c": constant}, {"x": 1.0, "c": 8.0})
    yield from held("E0 = 0", zero, vit, {"x": [0.7]})
    terms = {"J": bonds, "h": strings("X", -1.0), "c": constant}
    shifted = make(terms, {"J": 1.0, "h": 1.0, "c": 500.0}, periodic=False)
    yield from held("a constant of 500", shifted, vit, {"h": [0.6]})
    edges = build(hilbert, ["Z" + "I" * 7, "I" * 7 + "Z"], [1.0, -1.0])
    twisted = make({"J": bonds, "h": strings("X", -1.0), "e": edges}, {"J": 1.0, "h": 0.7, "e": 1.0}, periodic=False)
    yield from held("edge fields", twisted, vit, {"h": [0.5]})
    yield from held("no off-diagonals", make({"J": bonds}, {"J": 1.0}, periodic=False), vit, {"J": [2.0]})


def molecules() -> Iterator[Case]:
    """H2 and He after too few and after enough steps; the energy of H2 at other lengths."""
    for steps in (10, 60, 300):
        base = wf.pretrain(wf.molecules("H 0 0 0; H 0 0 R", scan=[1.4]), wf.models.electrons(), steps=steps)
        found = wf.map(base, wf.molecules("H 0 0 0; H 0 0 R", scan=[1.4, 1.8]))
        for record in found.molecules:
            reference = record["reference"]
            error = math.inf if record["energy"] is None else abs(record["energy"] / reference["value"] - 1)
            yield Case("molecules", f"H2 after {steps} steps, {record['name']}", record, error, [], [])


def tickets() -> Iterator[Case]:
    """Rounds of pruning of the 3 x 3 Ising network, down to nothing."""
    system = wf.lattice.ising_square(3, 3, h=3.04438, periodic=False)
    found = wf.prune(wf.models.dense(alpha=4), system, fraction=0.3, score="magnitude", stop_at=6)
    for record in found.summary["rounds"]:
        yield Case("tickets", f"3x3, {record['n']} weights", record, record["relative_error"], [], [])


STUDENTS = """
kind = "emulation"
[grid]
length = 80.0
n = 512
[curriculum]
preset = "none"
frames = 30
items = [{items}
]
[[students]]
kind = "unitary"
steps = {steps}
polish = {polish}
[evaluate]
frames = 20
cases = [{cases}
]
[output]
report = false
animations = 0
"""


def students() -> Iterator[Case]:
    """Wave packets by students trained too shortly and well, on barriers like the trained ones and far from them."""

    def line(name: str, kind: str, height: float, width: float, packet: tuple[float, float, float]) -> str:
        potential = f'{{ kind = "{kind}", height = {height}, width = {width} }}'
        x0, s0, e0 = packet
        return f'\n  {{ name = "{name}", potential = {potential}, packet = {{ x0 = {x0}, s0 = {s0}, e0 = {e0} }} }},'

    trained = ((3.0, (34.0, 2.0, 4.0)), (6.0, (33.0, 1.5, 2.0)))
    items = "".join(line(f"barrier {height}", "barrier", height, 5.0, packet) for height, packet in trained)
    asked = itertools.product(("barrier", "gaussian"), (2.0, 5.0, 40.0))
    cases = "".join(line(f"{kind} {height}", kind, height, 3.0, (25.0, 2.0, 3.0)) for kind, height in asked)
    for steps, polish in ((2, 0), (20, 0), (150, 0), (400, 0), (400, 20)):
        with tempfile.TemporaryDirectory() as folder:
            spec = study_file.loads(STUDENTS.format(steps=steps, polish=polish, items=items, cases=cases))
            found = wf.run_study(spec, Path(folder) / "run")
        for student in found["students"]:
            for case in student.get("cases", []):
                passed = case["transmission"], case["true_transmission"]
                seen = (case.get("observables") or {}).get("transmission", {"error": 0.0, "verdict": "refused"})
                off = None not in passed and abs(passed[0] - passed[1])
                bad = ["transmission"] * bool(off and off > 4 * seen["error"] and off > 0.05 * passed[1] + 1e-4)
                error = math.inf if case["corr_final"] is None else 1 - case["corr_final"]
                name = f"{student['name']}, {steps} + {polish} steps, {case['name']}"
                yield Case("students", name, case, error, bad, bad if seen["verdict"] == "trusted" else [])


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "chains": chains,
    "frustrated": frustrated,
    "special": special,
    "molecules": molecules,
    "tickets": tickets,
    "students": students,
}


def netket_says(case: Case) -> bool | None:
    """Whether plain R-hat and plain variance, the numbers NetKet prints, would let the energy pass."""
    record = case.record
    if case.kind == "students":
        return None
    if record.get("energy") is None:
        return False
    score = record.get("v_score_plain", record.get("v_score"))
    if score is None:
        return None
    return bool((record.get("r_hat") or 1.0) < 1.05 and score < 1e-2)


class Table(eqx.Module):
    """A state given by the list of its amplitudes, as a backbone whose features are log |psi| and the phase."""

    values: Any  # (2^sites, 2)

    def __call__(self, condition: Any, x: Any) -> Any:
        """Features of one configuration."""
        return self.values[jnp.sum((x > 0) * 2 ** jnp.arange(x.shape[-1]))]


class Bare(eqx.Module):
    """A head that hands the features on."""

    real: bool = eqx.field(static=True, default=False)

    def weights(self) -> Any:
        """Nothing to tune."""
        return jnp.zeros((3, 2))

    def with_weights(self, weights: Any) -> Bare:
        """Itself."""
        return self

    def __call__(self, z: Any) -> Psi:
        """What the backbone gave."""
        return Psi(z[0], z[1])


def table_state(system: Any, vector: np.ndarray) -> Wavefunction:
    """The wavefunction of a vector in the order of ``exact.basis``, in the basis rotated by the sign rule."""
    states = exact.basis(system.hilbert)
    size = np.abs(vector) / np.abs(vector).max()
    log = np.where(size > 0, np.log(np.maximum(size, 1e-300)), -600.0)
    values = np.full((2**system.sites, 2), -600.0)
    values[(states > 0) @ 2 ** np.arange(system.sites)] = np.stack([log, np.angle(vector)], axis=1)
    return Wavefunction(Table(jnp.asarray(values)), Bare())


def matrix(system: Any) -> Any:
    """The Hamiltonian in the rotated basis, sparse."""
    from scipy.sparse import diags, vstack

    found = vstack(list(exact._blocks(system.operator()))).tocsr()
    if system.sublattice is None:
        return found
    sign = diags(np.asarray(jax.vmap(system.sign)(jnp.asarray(exact.basis(system.hilbert)))))
    return sign @ found @ sign


def half_positive(J2: float) -> tuple[Any, Wavefunction]:
    """An eigenstate of H between configurations of positive exact amplitude alone: samples see no variance."""
    from scipy.sparse.linalg import eigsh

    system = wf.lattice.j1j2_chain(12, J2=J2)
    dense = matrix(system)
    _, ground = eigsh(dense, k=1, which="SA", v0=np.random.default_rng(0).standard_normal(dense.shape[0]))
    ground = ground[:, 0] * np.sign(ground[np.argmax(np.abs(ground[:, 0])), 0])
    inside = np.flatnonzero(ground > 1e-9 * np.abs(ground).max())
    _, part = eigsh(dense[inside][:, inside], k=1, which="SA", v0=np.ones(len(inside)))
    vector = np.zeros(dense.shape[0])
    vector[inside] = np.abs(part[:, 0])
    return system, table_state(system, vector)


def ising_state(h: float, at: float) -> tuple[Any, Wavefunction]:
    """The exact ground state of one field, measured with the Hamiltonian of another."""
    system = wf.lattice.ising_chain(10, h=at)
    _, vector = exact.ground_state(system.operator())
    return system.at(h=h), table_state(system, vector)


def trained_complex(J2: float) -> tuple[Any, Wavefunction]:
    """A complex head as training leaves it."""
    base = wf.pretrain(
        wf.lattice.j1j2_chain(10, J2=J2), wf.models.vit(patch=2, head="complex", **SMALL), steps=60, walkers=128
    )
    return base.system, base.wavefunction


STATES: dict[str, Callable[[], tuple[Any, Wavefunction]]] = {
    "positive part, J2 = .4": lambda: half_positive(0.4),
    "positive part, J2 = .6": lambda: half_positive(0.6),
    "positive part, J2 = .8": lambda: half_positive(0.8),
    "ising, h = .05 from .1": lambda: ising_state(0.05, 0.1),
    "ising, h = 1 from 1.1": lambda: ising_state(1.0, 1.1),
    "trained, complex, J2 = .3": lambda: trained_complex(0.3),
    "trained, complex, J2 = .6": lambda: trained_complex(0.6),
}


def calibrate(name: str, seeds: int, sampling: Any) -> dict[str, Any]:
    """How often energy, one-move V-score and m2 lie within one and two error bars of the full sum."""
    system, wavefunction = STATES[name]()
    listed = enumerate_states(system)
    psi = jax.lax.map(lambda x: wavefunction(system, x), listed.states, batch_size=256)
    vector = np.exp(np.asarray(psi.log, float) - float(np.max(psi.log))) * np.exp(1j * np.asarray(psi.phase, float))
    vector /= np.linalg.norm(vector)
    dense = matrix(system)
    energy = float(np.vdot(vector, dense @ vector).real)
    variance = float(np.linalg.norm(dense @ vector - energy * vector) ** 2)
    table = np.asarray(jax.vmap(wf.problems.observables.measure(system))(listed.states))
    truth = {"energy": energy, "v_score": system.sites * variance / energy**2}
    truth["m2"] = float(np.abs(vector) ** 2 @ table[:, 0])
    table = PretrainTable(at=system.values, sampling=sampling)
    weight = jnp.asarray(np.abs(vector) ** 2)

    def start(seed: int) -> Base:
        return Base(system, wavefunction, jax.random.choice(jax.random.key(seed), listed.states, (64,), p=weight))

    mapper = diagram_study.make_mapper(start(0), AdaptTable(points={}), EvaluateTable(exact=False), table, 256)
    z: dict[str, list[float]] = collections.defaultdict(list)
    plain = []
    for seed in range(seeds):
        mapper.key, mapper._origin, mapper.base = jax.random.key(1000 + seed), None, start(seed)
        record = mapper.measure_base()
        m2 = next(iter(record["observables"].values()))
        plain.append(record["v_score_plain"])
        for key, value, bar in (
            ("energy", record["energy"], record["energy_error"]),
            ("v_score", record["v_score"], record["v_score_error"]),
            ("m2", m2["value"], m2["error"]),
        ):
            z[key].append((value - truth[key]) / max(bar, 1e-7 * abs(truth[key])))
    found: dict[str, Any] = {"state": name, "seeds": seeds, "truth": truth, "plain_v_score": float(np.median(plain))}
    for key, values in z.items():
        size = np.abs(values)
        found[key] = {"within_1": float((size < 1).mean()), "within_2": float((size < 2).mean())}
        found[key]["mean_z"] = float(np.mean(values))
    return found


def judge_all(cases: list[Case]) -> dict[str, Any]:
    """The court's count."""
    words = collections.Counter(case.record["verdict"] for case in cases)
    wrong, right = [c for c in cases if c.wrong], [c for c in cases if c.right]
    found = {
        "cases": len(cases),
        "words": dict(words),
        "wrong": len(wrong),
        "right": len(right),
        "wrong_trusted": [c.name for c in wrong if c.record["verdict"] == "trusted"],
        "wrong_upper_bound": [c.name for c in wrong if c.record["verdict"] == "upper bound"],
        "bad_observables": sum(len(c.bad_observables) for c in cases),
        "bad_observables_trusted": [f"{c.name}: {o}" for c in cases for o in c.bad_trusted],
        "right_refused": [c.name for c in right if c.record["verdict"] == "refused"],
        "right_doubtful": [c.name for c in right if c.record["verdict"] == "doubtful"],
    }
    asked = [c for c in cases if netket_says(c) is not None]
    found["netket_wrong_passed"] = [c.name for c in asked if c.wrong and netket_says(c)]
    found["netket_right_refused"] = [c.name for c in asked if c.right and not netket_says(c)]
    return found


def main() -> None:
    """Hold court, calibrate, print and write."""
    parser = _common.parser(__doc__)
    parser.add_argument("--groups", nargs="*", default=[*GROUPS, "random"], help="groups of cases")
    parser.add_argument("--random", type=int, default=50, help="random Hamiltonians")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seeds", type=int, default=40, help="seeds of the calibration; 0: none")
    parser.add_argument("--states", nargs="*", default=list(STATES), help="states of the calibration")
    parser.add_argument("--sampling", default="auto", choices=("auto", "metropolis"), help="of the calibration")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.groups, arguments.random, arguments.seeds, arguments.states = ["special"], 1, 4, list(STATES)[:1]
    cases: list[Case] = []
    for group in arguments.groups:
        source = random_hamiltonians(arguments.first, arguments.random) if group == "random" else GROUPS[group]()
        for case in source:
            cases.append(case)
            flags = " ".join(case.record["flags"])
            print(
                f"  {case.name:<46} {case.relative_error:8.1e}  {case.record['verdict']:<12} {flags}"
                f"  {' '.join('BAD:' + name for name in case.bad_observables)}",
                flush=True,
            )
    count = judge_all(cases)
    for key, value in count.items():
        print(f"{key:>24}: {value}")
    bars = []
    for name in arguments.states if arguments.seeds else []:
        bars.append(calibrate(name, arguments.seeds, arguments.sampling))
        print(bars[-1], flush=True)
    kept = [
        {"kind": c.kind, "name": c.name, "relative_error": c.relative_error, "bad_observables": c.bad_observables}
        | {k: c.record.get(k) for k in ("verdict", "answers", "flags", "reasons", "v_score", "v_score_plain", "r_hat")}
        for c in cases
    ]
    _common.save("verdicts", arguments, {"court": count, "cases": kept, "calibration": bars})


if __name__ == "__main__":
    main()
