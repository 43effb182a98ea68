"""Throughput of two devices against one: a CPU core alone, and two cores as two devices that share the samples.

Two processes, one pinned to a core, the other one with two cores shown as devices, work in turn on the same calls, so
that other work on the machine meets both; figures are medians of wall seconds. The numbers of the two have to agree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import _common
from _common import say, table

MEASURED = ("sampling", "training step")


def calls(arguments: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """What is timed: a sweep of all chains, and one step of training with all weights."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from wavefoundry import models
    from wavefoundry.core.devices import on_devices
    from wavefoundry.core.tree import all_weights
    from wavefoundry.engine.sampling import init_walkers, metropolis
    from wavefoundry.engine.vmc import Options, block_of, decay, variational
    from wavefoundry.problems import lattice

    system = lattice.ising_chain(arguments.sites, h=1.0)
    family = system.family([{}])
    model = models.vit(width=arguments.width, layers=arguments.layers, heads=4, patch=4, precision="float64")
    wavefunction = model.build(jax.random.key(arguments.seed), system.extent, sign_free=True)
    walkers = init_walkers(jax.random.key(arguments.seed + 1), family, arguments.chains)
    moved = eqx.filter_jit(on_devices(metropolis))
    params, static = eqx.partition(wavefunction, eqx.is_array)
    process = variational(static, all_weights(params), Options(moves=arguments.sites, chunk=arguments.chunk))
    run = process.init(jax.random.key(arguments.seed + 2), params, family, arguments.chains)
    block, plan = block_of(process), decay(0.02, 1e-2, 1)
    return {
        "sampling": lambda: jnp.mean(moved(wavefunction, family, walkers, arguments.sites, arguments.chunk).acceptance),
        "training step": lambda: block(run, family, plan)[1].energy[0, 0],
    }


def worker(arguments: argparse.Namespace) -> None:
    """Do the calls that are named on standard input, one a line; tell seconds and the number that came out."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.devices])
    from wavefoundry.core.devices import use_devices

    assert use_devices(arguments.devices) == arguments.devices
    made = calls(arguments)
    for line in sys.stdin:
        value, seconds = _common.timed(made[line.strip()])
        print(json.dumps({"wall": seconds.wall, "cpu": seconds.cpu, "value": float(value)}), flush=True)


def ask(process: subprocess.Popen, name: str) -> dict[str, float]:
    """One call by a worker."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def medians(seen: list[dict[str, float]]) -> dict[str, float]:
    """Of every figure over the repetitions."""
    return {key: statistics.median(one[key] for one in seen) for key in seen[0]}


def main() -> None:
    """Print the table and write the result."""
    parser = _common.parser(__doc__)
    parser.add_argument("--sites", type=int, default=64, help="of the Ising chain (default 64)")
    parser.add_argument("--chains", type=int, default=256, help="Markov chains (default 256)")
    parser.add_argument("--chunk", type=int, default=32, help="configurations at a time on each device (default 32)")
    parser.add_argument("--repeats", type=int, default=9, help="timed calls of each (default 9)")
    parser.add_argument("--devices", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sites, arguments.chains, arguments.chunk, arguments.repeats = 16, 32, 16, 2
    if arguments.devices:
        return worker(arguments)
    words = [sys.executable, *sys.argv]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = {count: subprocess.Popen([*words, "--devices", str(count)], **pipes) for count in (1, 2)}
    results, rows = {}, []
    for name in MEASURED:
        for count, process in workers.items():
            say(f"{name}, {count} device(s): compiling")
            ask(process, name)
        found: dict[int, list[dict[str, float]]] = {count: [] for count in workers}
        for _ in range(arguments.repeats):
            for count, process in workers.items():
                found[count].append(ask(process, name))
        middle = {count: medians(seen) for count, seen in found.items()}
        if abs(middle[1]["value"] / middle[2]["value"] - 1) > 1e-10:
            raise SystemExit(f"error: one device and two do not agree: {middle}")
        gain = middle[1]["wall"] / middle[2]["wall"]
        results[name] = {"one": middle[1], "two": middle[2], "gain": gain, "all": found}
        rows.append([name, middle[1]["wall"], middle[2]["wall"], middle[1]["cpu"], middle[2]["cpu"], gain])
    for process in workers.values():
        process.communicate()
    columns = ["", "one core, s", "two devices, s", "CPU s", "CPU s", "faster"]
    table(f"Ising chain of {arguments.sites} sites, {arguments.chains} chains, float64", columns, rows)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    _common.save("devices", arguments, results)


if __name__ == "__main__":
    main()
