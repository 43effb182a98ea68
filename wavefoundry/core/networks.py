"""The networks for lattices as one table: keys of a study file, what builds them, what they serve.

One entry is all a new one takes; ``register`` adds to the table. Study files, checks, near misses, builders and stored
models read it. The description it names is a class with ``build(key, extent, *, sign_free, couplings)``, whose fields
are the keys, unless ``settled`` says what they follow from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import PlainValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import Problem
from wavefoundry.core.hamiltonians import Model
from wavefoundry.core.keys import Key, key
from wavefoundry.core.plugins import Registry
from wavefoundry.core.shapes import auto_patch

COMMON = ("kind", "precision", "symmetry", "symmetrize")
"""Keys of every network."""


class Site(NamedTuple):
    """The lattice that a network is for: edges in spins, boundary, spins in a cell; whether psi can be positive."""

    extent: tuple[int, ...]
    periodic: bool
    basis: int
    sign_free: bool

    @property
    def spins(self) -> int:
        """Number of spins."""
        return math.prod(self.extent)


def _nothing(keys: Any, site: Site) -> Iterator[Problem]:
    yield from ()


@dataclasses.dataclass(frozen=True)
class Network:
    """One kind of network.

    title: in words. description: its class, or "module:name" of it. keys: of ``[wavefunction]``, beside ``COMMON``.
    settled: fields of the description that follow from the keys and the lattice. renamed: keys whose field has another
    name. check: rules that tie keys and lattice together. tunable: whether it has a head that can be tuned alone.
    rows: whether it needs spins in rows and columns. positions: whether it can embed them.
    """

    name: str
    title: str
    description: type | str
    keys: Mapping[str, Key]
    settled: Callable[[Any, Site], dict[str, Any]] = lambda keys, site: {}
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    check: Callable[[Any, Site], Iterator[Problem]] = _nothing
    tunable: bool = False
    rows: bool = True
    positions: bool = False

    def misfit(self, model: Model) -> str:
        """Why it is not for a model, whatever its size; empty where it is."""
        if model.rows or not self.rows:
            return ""
        return f"the spins of a {model.home} are no row of sites, as windows and patches need"

    def described(self) -> type:
        """The class of its descriptions."""
        if isinstance(self.description, str):
            from importlib import import_module

            module, name = self.description.split(":")
            return getattr(import_module(module), name)
        return self.description

    def describe(self, keys: Any, site: Site) -> Any:
        """The description for the keys of a study file, on a lattice."""
        kind: Any = self.described()
        names = [field.name for field in dataclasses.fields(kind)]
        settled = self.settled(keys, site)
        fields = {name: self.renamed.get(name, name) for name in names}
        known = {*self.keys, "precision"}
        return kind(**{name: getattr(keys, key) for name, key in fields.items() if key in known} | settled)


def _patch(value: Any) -> Any:
    if value == "auto" or (type(value) is int and 1 <= value <= 4096):
        return value
    rule = "'auto' or a whole number >= 1"
    raise PydanticCustomError("choice", "must be {rule}", {"rule": rule, "words": ["auto"]})


def divisors(number: int) -> str:
    """The divisors of a number as text, the first and last few when there are many."""
    found = [str(value) for value in range(1, number + 1) if number % value == 0]
    return ", ".join(found if len(found) <= 12 else [*found[:6], "...", *found[-3:]])


def _transformer(keys: Any, site: Site) -> dict[str, Any]:
    patch = auto_patch(site.extent, site.sign_free, site.basis) if keys.patch == "auto" else keys.patch
    head = ("real" if site.sign_free else "complex") if keys.head == "auto" else keys.head
    return {"patch": patch, "head": head, "symmetry": keys.symmetry}


def _even(keys: Any, site: Site) -> Iterator[Problem]:
    """Patches and heads that do not come out even."""
    if keys.patch != "auto" and any(edge % keys.patch for edge in site.extent):
        edges = " x ".join(str(edge) for edge in site.extent)
        yield Problem(
            ("wavefunction", "patch"),
            f"patch = {keys.patch} does not divide the lattice ({edges})",
            "patches must tile the lattice in each direction",
            f"one of {divisors(math.gcd(*site.extent))}",
        )
    if keys.width % keys.heads:
        yield Problem(
            ("wavefunction", "heads"),
            f"heads = {keys.heads} does not divide width = {keys.width}",
            "every head gets an equal share of the features",
            f"one of {divisors(keys.width)}",
        )


def _not_empty(keys: Any, site: Site) -> Iterator[Problem]:
    if round(keys.alpha * site.spins) < 1:
        yield Problem(("wavefunction", "alpha"), "the layer is empty", f"{keys.alpha} x {site.spins} units")


def _window(keys: Any, site: Site) -> Iterator[Problem]:
    if site.periodic and keys.window > 2 * min(site.extent):
        yield Problem(("wavefunction", "window"), f"window = {keys.window} is wider than the lattice")


_CONVOLUTION = {
    "channels": key(int, 4, "filters of a convolution", ge=1, le=1024),
    "window": key(int, 3, "edge of a filter", ge=1, le=64),
}
_PATCH_EDGE = Annotated[int | Literal["auto"], PlainValidator(_patch)]

NETWORKS: Registry[Network] = Registry(
    (network.name, network)
    for network in (
        Network(
            "vit",
            "transformer",
            "wavefoundry.models:ViTSpec",
            {
                "patch": key(
                    _PATCH_EDGE,
                    "auto",
                    "sites per patch (chain) or block edge (square); divides every edge of the lattice",
                ),
                "width": key(int, 32, "features per patch", ge=1, le=4096),
                "layers": key(int, 2, "transformer blocks", ge=1, le=64),
                "heads": key(int, 4, "attention heads; divides width", ge=1, le=4096),
                "head": key(
                    Literal["auto", "real", "complex"],
                    "auto",
                    "output layer; auto: real where the ground state is sign-free, else complex",
                ),
                "head_norm": key(bool, False, "layer norms inside the output layer"),
                "conditioned": key(bool, False, "feed the couplings to every patch"),
            },
            settled=_transformer,
            check=_even,
            tunable=True,
            positions=True,
        ),
        Network(
            "dense",
            "one layer",
            "wavefoundry.models:DenseSpec",
            {
                "activation": key(Literal["logcosh", "relu"], "logcosh", "of the hidden units"),
                "alpha": key(float, 4.0, "hidden units per spin", gt=0, le=1000),
                "init_std": key(float, 0.1, "standard deviation of the initial weights", gt=0, le=10),
            },
            renamed={"std": "init_std"},
            check=_not_empty,
            rows=False,
        ),
        Network(
            "conv",
            "one convolution",
            "wavefoundry.models:ConvSpec",
            _CONVOLUTION,
            settled=lambda keys, site: {"periodic": site.periodic},
            check=_window,
        ),
        Network(
            "resnet",
            "residual blocks",
            "wavefoundry.models:ResNetSpec",
            _CONVOLUTION | {"blocks": key(int, 2, "residual blocks of two convolutions", ge=1, le=64)},
            settled=lambda keys, site: {"periodic": site.periodic},
            check=_window,
        ),
    )
)
"""Networks for lattices, by the names they have in study files and in stored models."""


def keys_of(description: type) -> dict[str, Key]:
    """The keys of a study file that the fields of a description stand for: those with a default.

    Bounds and meaning are those of ``Annotated[int, Field(ge=1, description="...")]``.
    """
    found: dict[str, Key] = {}
    hints = get_type_hints(description, include_extras=True)
    for field in dataclasses.fields(description):
        hint = hints[field.name]
        if field.name in COMMON or field.default is dataclasses.MISSING:
            continue
        given = [part for part in get_args(hint)[1:] if isinstance(part, FieldInfo)] if _annotated(hint) else []
        info = given[0] if given else FieldInfo(description=field.name)
        found[field.name] = (hint, FieldInfo.merge_field_infos(info, default=field.default))
    return found


def _annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def register(network: Network) -> Network:
    """Make a network known by its name, to study files and stored models.

    Raises:
        InputError: the name is taken, its description has no ``build``, or a key has another meaning already.
    """
    if NETWORKS.get(network.name, network) is not network:
        raise InputError(f"there is a network {network.name!r} already", where="register", fix="choose another name")
    if not hasattr(network.described(), "build") or not dataclasses.is_dataclass(network.described()):
        what, fix = f"{network.described().__name__} describes no network", "a dataclass with build(key, extent, ...)"
        raise InputError(what, where=f"register: network {network.name!r}", fix=fix)
    if taken := [name for name in network.keys if name in COMMON]:
        raise InputError(f"every network has a key {taken[0]}", where=f"register: network {network.name!r}")
    NETWORKS[network.name] = network
    return network
