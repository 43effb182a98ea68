"""Whole runs killed, stopped and damaged, and what is left of them, beside what NetKet and Orbax write.

Every kind of study is killed at random times, again and again, and resumed until it ends, to be compared with an
undisturbed run bit by bit; it is run in short leases; bits of its finished directory are flipped, each to be noticed by
everything that reads it. Then the same kills and flips of saved states alone, as a user of NetKet and Orbax has them.
The programs compiled are kept between sessions, as they are for users.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import _campaign as campaign  # before the next line takes the compile cache away
import _common
import numpy as np
from _common import say, table

# isort: split
from wavefoundry.core.meter import Cost

SITES, ALPHA = 64, 512
"""Of the network whose state is saved: 16 MiB."""
OURS = "wavefoundry"


class Files(NamedTuple):
    """How a program keeps a state: ``save(step, weights)``, and ``load()``, which gives the weights or raises."""

    save: Callable[[int, np.ndarray], None]
    load: Callable[[], np.ndarray]


def weights(step: int) -> np.ndarray:
    """What is saved in a step; any of them is known by its first entry."""
    return np.arange(ALPHA * SITES * SITES, dtype=float) / 7 + step


def ours(folder: Path) -> Files:
    """A run directory and its checkpoints."""
    from wavefoundry.artifacts.store import RunDirectory

    def load() -> np.ndarray:
        with RunDirectory.open(folder) as directory:
            found = directory.latest("state")
        if found is None:
            raise ValueError("no checkpoint")
        return found[1]["w"]

    def save(step: int, w: np.ndarray) -> None:
        directory.save("state", step, {"w": w}, {})

    directory: Any = None
    if not folder.exists():
        directory = RunDirectory.create(folder, "")
    return Files(save, load)


def netket(folder: Path) -> Files:
    """An ``MCState`` by the logger of NetKet that saves its weights (flax, msgpack), loaded as its manual says."""
    import flax.serialization
    import netket as nk

    folder.mkdir(exist_ok=True)
    hilbert = nk.hilbert.Spin(0.5, SITES)
    model = nk.models.RBM(alpha=ALPHA, use_visible_bias=False, use_hidden_bias=False)
    state = nk.vqs.MCState(nk.sampler.MetropolisLocal(hilbert, n_chains=16), model, n_samples=16)
    # made with the first state to be saved: it empties the file
    logger = functools.cache(lambda: nk.logging.JsonLog(str(folder / "state"), "write", 1, 1))
    shape = state.parameters["Dense"]["kernel"].shape

    def save(step: int, w: np.ndarray) -> None:
        state.parameters = {"Dense": {"kernel": w.reshape(shape)}}
        logger()(step, {"Energy": 0.0}, state)
        logger().flush(state)

    def load() -> np.ndarray:
        data = (folder / "state.mpack").read_bytes()
        found = flax.serialization.from_bytes(state.variables, data)
        return np.asarray(found["params"]["Dense"]["kernel"]).reshape(-1)

    return Files(save, load)


def orbax(folder: Path) -> Files:
    """A ``CheckpointManager`` of Orbax that keeps two steps, every one waited for."""
    import orbax.checkpoint as ocp

    manager = ocp.CheckpointManager(folder.absolute(), options=ocp.CheckpointManagerOptions(max_to_keep=2))

    def save(step: int, w: np.ndarray) -> None:
        manager.save(step, args=ocp.args.StandardSave({"w": w}))
        manager.wait_until_finished()

    def load() -> np.ndarray:
        manager.reload()
        return np.asarray(manager.restore(manager.latest_step(), args=ocp.args.StandardRestore({"w": weights(0)}))["w"])

    return Files(save, load)


PROGRAMS = {OURS: ours, "NetKet": netket, "Orbax": orbax}


def write(program: str, folder: Path) -> None:
    """Save one step after the other, and tell of each, until killed."""
    files = PROGRAMS[program](folder)
    for step in range(1, 10_000):
        files.save(step, weights(step))
        print(step, flush=True)


def what_is_left(files: Files, told: int) -> str:
    """What a program makes of its files after a fault: right, older, silently wrong, or an error."""
    try:
        found = files.load()
    except Exception:  # whatever it is, the user has to see to it
        return "error"
    step = round(float(found.flat[0]))
    if not np.array_equal(found, weights(step)):
        return "silently wrong"
    return "right" if step >= told else "older"


def kills_of_files(program: str, kills: int, folder: Path, rng: random.Random) -> dict[str, int]:
    """A writer killed at random times within a second of its first state."""
    found = {"right": 0, "older": 0, "silently wrong": 0, "error": 0, "litter": 0}
    for trial in range(kills):
        place = folder / f"{program}-{trial}"
        words = [sys.executable, __file__, "--write", program, "--folder", str(place)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            told = int(process.stdout.readline())
            time.sleep(rng.uniform(0.0, 1.0))
            process.send_signal(signal.SIGKILL)
            told = max([told, *map(int, process.stdout.read().split())])
        if program == OURS:
            from wavefoundry.artifacts.store import RunDirectory

            RunDirectory.open(place, write=True).close()  # what --resume begins with
        found[what_is_left(PROGRAMS[program](place), told)] += 1
        found["litter"] += any("tmp" in path.name for path in place.rglob("*"))
        shutil.rmtree(place)
    return found


def flips_of_files(program: str, flips: int, folder: Path, rng: random.Random) -> dict[str, int]:
    """Single bits of the files of a saved state, every byte as likely as any other."""
    place = folder / f"{program}-flips"
    files = PROGRAMS[program](place)
    for step in (1, 2):
        files.save(step, weights(step))
    paths = [path for path in place.rglob("*") if path.is_file() and path.stat().st_size and path.name != ".lock"]
    found = {"right": 0, "older": 0, "silently wrong": 0, "error": 0}
    for _ in range(flips):
        path = rng.choices(paths, [path.stat().st_size for path in paths])[0]
        kept = campaign.flip(path, rng)
        found[what_is_left(files, 2)] += 1
        path.write_bytes(kept)
    return found


def beside(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kills and flips of the files of all programs."""
    results: dict[str, Any] = {}
    if not arguments.programs:
        return results
    for program in arguments.programs:
        say(f"files of {program}")
        rng = random.Random(arguments.seed)
        killed = kills_of_files(program, arguments.kills, folder, rng)
        results[program] = {"kills": killed, "flips": flips_of_files(program, arguments.flips, folder, rng)}
    columns = ["files of", "right", "older", "silently wrong", "error"]
    for fault, count in (("kills", arguments.kills), ("flips", arguments.flips)):
        rows = [[program, *(found[fault][name] for name in columns[1:])] for program, found in results.items()]
        table(f"{count} {fault} of a saved state, and what is loaded afterwards", columns, rows)
    return results


def processor(out: Path) -> float:
    """CPU seconds that a run says it has cost, all its sessions together, but for programs that each of them makes."""
    return Cost.of(json.loads((out / "summary.json").read_text())["cost"]).running_cpu


def of_kind(kind: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole campaign of one kind of study."""
    rng = random.Random(f"{kind} {arguments.seed}")
    study, reference = campaign.prepare(kind, folder, arguments.longer), folder / "reference"
    campaign.run(study, folder / "first")  # compiles
    ended = campaign.run(study, reference)
    if ended.code not in campaign.OVER:
        raise SystemExit(f"error: {kind}: {ended.error}")
    expected, alone = campaign.results(reference), processor(reference)
    kills, differing, costs, runs = 0, [], [], 0
    while kills < arguments.kills:
        out = folder / f"killed-{runs}"
        made = campaign.killed(study, out, ended.seconds, rng, arguments.kills - kills)
        kills, runs = kills + max(made, 1), runs + 1
        differing += campaign.differing(campaign.results(out), expected)
        costs.append(processor(out) / alone)
        say(f"{kind}: {kills} kills")
        shutil.rmtree(out)
    leases = campaign.leased(study, folder / "leased", arguments.lease, arguments.leases)
    leased = campaign.differing(campaign.results(folder / "leased"), expected)
    say(f"{kind}: {leases} leases")
    flips, overlooked = campaign.overlooked(study, reference, arguments.flips, rng)
    return {
        "seconds": ended.seconds,
        "kills": kills,
        "runs": runs,
        "differing": differing + leased,
        "cost": costs,
        "leases": leases,
        "cost_of_leases": processor(folder / "leased") / alone,
        "flips": flips,
        "overlooked": overlooked,
    }


def main() -> None:
    """Print the tables and write the result."""
    parser = _common.parser(__doc__)
    parser.add_argument("--kinds", nargs="*", default=list(campaign.STUDIES), help="of studies (default all)")
    parser.add_argument("--programs", nargs="*", default=list(PROGRAMS), help="whose files are looked at (default all)")
    parser.add_argument("--kills", type=int, default=25, help="of each kind, and of each program (default 25)")
    parser.add_argument("--flips", type=int, default=100, help="of each kind, and of each program (default 100)")
    parser.add_argument(
        "--lease", type=float, default=4.0, help="CPU seconds from the first event to the stop (default 4)"
    )
    parser.add_argument("--leases", type=int, default=60, help="in which a study has to end (default 60)")
    parser.add_argument("--longer", type=int, default=1, help="steps of the studies, times this (default 1)")
    for hidden in ("--write", "--folder"):
        parser.add_argument(hidden, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if "write" in arguments:
        return write(arguments.write, Path(arguments.folder))
    if arguments.quick:
        arguments.kinds, arguments.kills, arguments.flips = ["tickets"], 2, 5
    with tempfile.TemporaryDirectory() as folder:
        found = {kind: of_kind(kind, arguments, Path(folder) / str(i)) for i, kind in enumerate(arguments.kinds)}
        columns = ["kind", "kills", "leases", "differing", "cost, most", "flips", "not noticed"]
        rows = []
        for kind, one in found.items():
            missed = [len(one["differing"]), max(one["cost"]), one["flips"], len(one["overlooked"])]
            rows.append([kind, one["kills"], one["leases"], *missed])
        table("Runs of every kind; cost: CPU seconds against those of an undisturbed run", columns, rows)
        results = {"kinds": found, "files": beside(arguments, Path(folder))}
    _common.save("faults", arguments, results)


if __name__ == "__main__":
    main()
