"""Samples shared among devices: a loop over them is cut into one part for every device, and put together again.

Nothing else is shared. What is made of all samples (means, matrices, weights) every device computes for itself, as one
alone would, so that numbers do not depend on how many there are. Which devices, is said by the mesh around a
calculation (``jax.set_mesh``): compiled programs know it, and functions need no argument for it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, PyTree

from wavefoundry.core.cores import Wanted, to_show
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import plain_of
from wavefoundry.core.hosts import agreed

# NetKet puts a mesh of all devices around everything as it is imported: it would replace ours, or run what one device
# does on all of them. A value of the user's own is respected.
os.environ.setdefault("NETKET_SHARDING", "0")

AXIS = "samples"
"""Name of the axis of the mesh."""
F = TypeVar("F", bound=Callable[..., Any])
_WITHIN = jax.make_user_context(False)  # whether samples are shared already; compiled programs know it


def parts() -> int:
    """Among how many devices samples are shared here; 1 within the part of one of them."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if _WITHIN.value or AXIS not in mesh.axis_names else mesh.shape[AXIS]


def on_devices(f: F) -> F:
    """A function that all devices run, each for itself; what it hands to ``shared`` they share.

    To be put between ``jit`` and a function of arrays (whole pytrees, and whatever is no array). Without it ``shared``
    is what it is on one device.
    """

    @functools.wraps(f)
    def everywhere(*args: Any, **kwargs: Any) -> Any:
        mesh = jax.sharding.get_abstract_mesh()
        if parts() == 1 or AXIS in mesh.manual_axes:
            return f(*args, **kwargs)
        arrays, rest = eqx.partition((args, kwargs), eqx.is_array)
        others: list[Any] = []

        def each(arrays: PyTree) -> PyTree:
            args, kwargs = eqx.combine(arrays, rest)
            found, other = eqx.partition(f(*args, **kwargs), eqx.is_array)
            others.append(other)
            return found

        found = jax.shard_map(each, in_specs=PartitionSpec(), out_specs=PartitionSpec(), check_vma=False)(arrays)
        return eqx.combine(found, others[0])

    return cast(F, everywhere)


def shared(f: Callable[[PyTree], PyTree], xs: PyTree) -> PyTree:
    """``f(xs)``, every device doing its part of the samples; all devices get the whole.

    Args:
        f: acts on each sample by itself; leading axis S of whatever it takes and gives.
        xs: leading axis S. Where the devices do not divide it, some samples are done twice.
    """
    mesh, count, size = jax.sharding.get_abstract_mesh(), parts(), jax.tree.leaves(xs)[0].shape[0]
    if count == 1 or AXIS not in mesh.manual_axes or size < count:
        return f(xs)
    each = -(-size // count)
    # the last parts begin earlier where there is not enough for all; their first samples are left out again
    begin = jnp.minimum(jax.lax.axis_index(AXIS) * each, size - each)
    mine = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, begin, each), xs)
    with _WITHIN(True):
        found = f(mine)
    return jax.tree.map(lambda a: _whole(jax.lax.all_gather(a, AXIS), size), found)


def _whole(gathered: Array, size: int) -> Array:
    """The parts of all devices, (count, each, ...), as one array of ``size`` samples."""
    count, each = gathered.shape[:2]
    if count * each == size:
        return gathered.reshape(size, *gathered.shape[2:])
    begin = [min(i * each, size - each) for i in range(count)]
    rows = [gathered[i, i * each - begin[i] :] for i in range(count)]
    return jnp.concatenate(rows)


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
    devices = plain_of(devices)
    if devices != "auto" and (isinstance(devices, bool) or not isinstance(devices, int) or devices < 1):
        raise InputError(f"{devices!r:.60} devices are not possible", where=where, why='1 or more, or "auto"')
    now = parts()
    if now > 1 and (devices == "auto" or jax.process_count() > 1):
        return None
    _show_cores(devices)
    there = jax.local_devices()
    count = devices if devices != "auto" else 1 if there[0].platform == "cpu" else len(there)
    if jax.process_count() > 1:
        return _of_all_hosts(count, where)
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
    return _mesh(there[:count])


def _mesh(devices: list[Any]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def _of_all_hosts(count: int, where: str) -> Mesh:
    """As many devices of every process, which all have to have."""
    if agreed(count) != -agreed(-count) or agreed(float(count > len(jax.local_devices()))):
        raise InputError("the processes do not have equally many devices", where=where, why=f"this one has {count}")
    each = [[d for d in jax.devices() if d.process_index == process] for process in range(jax.process_count())]
    return _mesh([device for mine in each for device in mine[:count]])


def _show_cores(devices: Wanted) -> None:
    """Ask JAX to show cores as devices; too late, and without effect, once it has looked at the machine."""
    if (count := to_show(devices)) is not None:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", count)
