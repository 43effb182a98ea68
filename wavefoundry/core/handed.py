"""Code that users hand over, samplers, preconditioners, optimisers, networks: their mistakes said in their own terms.

It runs while a program is traced; left alone, a mistake would end in the words of the tracer, about no line of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from wavefoundry.core.errors import InputError, WavefoundryError
from wavefoundry.core.types import Psi, System, Wavefunction

T = TypeVar("T")
BY_JAX = "it is compiled by JAX: jax.numpy in place of NumPy, no branches on values"


def called(f: Callable[..., T], where: str, form: str, *args: Any, **settings: Any) -> T:
    """``f(*args, **settings)``.

    Args:
        f: handed over by a user. where: what it is, as "sampler". form: how it is called, in words.

    Raises:
        InputError: in place of whatever it raises.
    """
    try:
        return f(*args, **settings)
    except WavefoundryError:
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "")
        what = f"the {where} fails: {type(error).__name__}: {said}"
        by_jax = type(error).__module__.startswith("jax")
        raise InputError(what, where=where, why=f"it is called as {form}", fix=BY_JAX if by_jax else "") from error


def alike(found: T, wanted: T, where: str, form: str) -> T:
    """A tree of arrays with the shapes of another one, and its precision.

    Raises:
        InputError: another structure, or other shapes.
    """
    # read from the classes: an array is a tree, too
    same = type(found) is type(wanted) and jax.tree.structure(found) == jax.tree.structure(wanted)
    if not same:
        what = f"the {where} gives {_shown(found)}"
        raise InputError(what, where=where, why=f"{form} gives {type(wanted).__name__} as it is given")
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        if jnp.shape(a) != jnp.shape(b):
            what = f"the {where} gives an array of shape {jnp.shape(a)}"
            raise InputError(what, where=where, why=f"in place of one of shape {jnp.shape(b)}: {form}")
    return jax.tree.map(lambda a, b: a if jnp.issubdtype(b.dtype, jax.dtypes.extended) else _cast(a, b), found, wanted)


def _cast(found: Any, wanted: Any) -> jax.Array:
    return jnp.asarray(found, wanted.dtype)


def checked_network(found: Any, system: System, where: str = "model.build") -> Wavefunction:
    """A network as ``build`` of a description gave it.

    Raises:
        InputError: no wavefunction, or it gives no features and amplitudes of one configuration.
    """
    if not isinstance(found, Wavefunction):
        what = f"build gives {_shown(found)}"
        raise InputError(what, where=where, fix="return wavefoundry.core.types.Wavefunction(backbone, head)")
    x = jax.eval_shape(system.init, jax.random.key(0))

    def features(network: Wavefunction, x: Any) -> Any:
        return called(lambda: network.features(system, x), "network", "backbone(condition, x), x one configuration")

    def amplitude(network: Wavefunction, z: Any) -> Any:
        return called(lambda: network.head(z), "network", "head(z), z the features of one configuration")  # type: ignore[operator]

    z = eqx.filter_eval_shape(features, found, x)
    if jnp.ndim(z) != 1 or not jnp.issubdtype(z.dtype, jnp.inexact):
        what = f"the backbone gives {_shown(z)}"
        raise InputError(what, where=where, why="features of one configuration are one vector of numbers, (width,)")
    psi = eqx.filter_eval_shape(amplitude, found, z)
    if not isinstance(psi, Psi) or any(jnp.shape(part) or not jnp.issubdtype(part.dtype, jnp.floating) for part in psi):
        shown = ", ".join(_shown(part) for part in psi) if isinstance(psi, tuple) else _shown(psi)
        what, why = f"the head gives {shown}", "an amplitude is psi = exp(log + i phase), two real numbers"
        raise InputError(what, where=where, why=why, fix="return wavefoundry.core.types.Psi(log, phase)")
    return found


def _shown(value: Any) -> str:
    if not hasattr(value, "shape"):
        return type(value).__name__
    return f"an array of shape {value.shape}, {value.dtype}"
