"""Samples shared among devices: a loop over them is cut into one part for every device, and put together again.

Nothing else is shared. What is made of all samples (means, matrices, weights) every device computes for itself, as one
alone would, so that numbers do not depend on how many there are. Which devices, is said by the mesh around a
calculation (``jax.set_mesh``): compiled programs know it, and functions need no argument for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import PyTree

from wavefoundry.core.cores import Wanted, to_show
from wavefoundry.core.errors import InputError

AXIS = "samples"
"""Name of the axis of the mesh."""


def parts() -> int:
    """Among how many devices samples are shared here; 1 within the part of one device."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape[AXIS] if AXIS in mesh.axis_names and AXIS not in mesh.manual_axes else 1


def shared(f: Callable[[PyTree], PyTree], xs: PyTree) -> PyTree:
    """``f(xs)``, every device doing its part of the samples; all devices get the whole.

    Args:
        f: acts on each sample by itself; leading axis S of whatever it takes and gives.
        xs: leading axis S. Where the devices do not divide it, the first samples are done once more.
    """
    count, size = parts(), jax.tree.leaves(xs)[0].shape[0]
    if count == 1 or size < count:
        return f(xs)
    over = -size % count
    if over:
        xs = jax.tree.map(lambda a: jnp.concatenate([a, a[:over]]), xs)

    def part(mine: PyTree) -> PyTree:
        return jax.tree.map(lambda a: jax.lax.all_gather(a, AXIS, tiled=True), f(mine))

    found = jax.shard_map(part, in_specs=PartitionSpec(AXIS), out_specs=PartitionSpec(), check_vma=False)(xs)
    return jax.tree.map(lambda a: a[:size], found) if over else found


def mapped(f: Callable[[Any], Any], xs: PyTree, chunk: int) -> PyTree:
    """``f`` of every sample, ``chunk`` of them at a time on each device.

    Args:
        f: of one sample. xs: leading axis S. chunk: samples at a time, or all if there are fewer.
    """

    def loop(mine: PyTree) -> PyTree:
        return jax.lax.map(f, mine, batch_size=min(chunk, jax.tree.leaves(mine)[0].shape[0]))

    return shared(loop, xs)


def use_devices(devices: Wanted = "auto") -> int:
    """Share the samples of all calculations of this thread from now on among devices of this machine.

    Numbers are those of one device, to rounding. CPUs count as one device unless JAX is told otherwise before its first
    calculation, and this function does so: call it first, right after the imports. Choose once: arrays stay on the
    devices they were made on.

    Args:
        devices: so many; "auto": all accelerators, one CPU.

    Returns:
        How many are in use.

    Raises:
        InputError: there are not so many, or others are in use already.
    """
    found = mesh_of(devices, "wf.use_devices")
    if found is not None:
        jax.set_mesh(found)
    return parts()


@contextlib.contextmanager
def used(devices: Wanted | None, where: str = "[run] devices") -> Iterator[None]:
    """The same for a calculation whose results leave it as plain numbers.

    Args:
        devices: as for ``use_devices``; "auto" keeps those in use, None says nothing. where: for messages.

    Raises:
        InputError: as there.
    """
    found = mesh_of(devices, where)
    with contextlib.nullcontext() if found is None else jax.set_mesh(found):
        yield


def mesh_of(devices: Wanted | None, where: str) -> Mesh | None:
    """The devices to share samples among; None where nothing is to be changed."""
    if devices is None:
        return None
    if devices != "auto" and (isinstance(devices, bool) or not isinstance(devices, int) or devices < 1):
        raise InputError(f"{devices!r} devices are not possible", where=where, why='1 or more, or "auto"')
    now = parts()
    if devices == "auto" and now > 1:
        return None
    _show_cores(devices)
    there = jax.local_devices()
    count = devices if devices != "auto" else 1 if there[0].platform == "cpu" else len(there)
    if count > len(there):
        cpu = there[0].platform == "cpu"
        raise InputError(
            f"{count} devices are asked for, and there are {len(there)}",
            where=where,
            why="on a CPU there is one for every core, if they are asked for before the first calculation"
            if cpu
            else f"JAX sees {len(there)} of kind {there[0].device_kind}",
            fix=f"{len(there)}, or the option --devices, or wf.use_devices right after the imports" if cpu else "",
        )
    if 1 != now != count:
        raise InputError(f"{now} devices are in use", where=where, why="they are chosen once in a process")
    if count == now:
        return None
    return Mesh(np.array(there[:count]), (AXIS,), axis_types=(AxisType.Auto,))


def _show_cores(devices: Wanted) -> None:
    """Ask JAX to show cores as devices; too late, and without effect, once it has looked at the machine."""
    if (count := to_show(devices)) is not None:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", count)
