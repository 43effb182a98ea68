"""Systems and networks of a study file, and networks fitted to their Hamiltonian: which symmetry they impose."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from wavefoundry import models
from wavefoundry.artifacts.spec_networks import WavefunctionTable
from wavefoundry.artifacts.spec_tables import SystemTable
from wavefoundry.core.handed import called, checked_network
from wavefoundry.core.lattices import LATTICES
from wavefoundry.core.shapes import auto_patch
from wavefoundry.core.types import Wavefunction
from wavefoundry.models import ConvSpec, ResNetSpec, SymmetricSpec, ViTSpec
from wavefoundry.models.convnet import ConvBackbone, ResNetBackbone
from wavefoundry.models.projection import AveragedBackbone, ImagesBackbone, plain
from wavefoundry.models.transformer import ViTBackbone
from wavefoundry.problems import lattice
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.symmetry import broken_by_shifts
from wavefoundry.studies.diagram.symmetry import Symmetry, symmetrised


def system_of(table: SystemTable, couplings: Mapping[str, float]) -> LatticeSystem:
    """The lattice system of a study file at given couplings."""
    assert table.couplings_file is None, "a study is read by spec.load, which writes the file out"
    where = table.lattice
    settings: dict[str, Any] = {"marshall": table.use_marshall, "exponent": table.exponent, **couplings}
    settings["local_couplings"] = table.local_couplings
    return lattice.build(table.model, where.kind, where.cells, periodic=where.periodic, **settings)


def described(table: WavefunctionTable, system: SystemTable, sign_free: bool) -> Any:
    """The network of a study file in words, with what follows from its lattice and from the signs."""
    if isinstance(table.symmetry, list):
        within = described(table.model_copy(update={"symmetry": "auto"}), system, sign_free)
        parts: Any = table.symmetry
        return models.symmetric(within, parts=parts, form=table.symmetrize)
    return table.network.describe(table, system.site(sign_free))


class Fitted(NamedTuple):
    """A description with its symmetry settled, and what a user should know about it.

    harmful: the network imposes a symmetry that the Hamiltonian does not have.
    """

    model: Any
    note: str | None = None
    harmful: bool = False


def fitted(model: Any, system: LatticeSystem, sign_free: bool) -> Fitted:
    """The network for a system: translations are imposed where the Hamiltonian has them, positions embedded elsewhere.

    Args:
        model: description of a network. system: what it is for. sign_free: as for ``ViTSpec.build``.
    """
    if isinstance(model, SymmetricSpec):
        within = fitted(model.model, system, sign_free)
        return within._replace(model=dataclasses.replace(model, model=within.model))
    if isinstance(model, ViTSpec):
        return _transformer(model, system, sign_free)
    if isinstance(model, ConvSpec | ResNetSpec):
        return _windows(model, system)
    return Fitted(model)


def build_network(
    model: Any, key: PRNGKeyArray, system: LatticeSystem, sign_free: bool, couplings: tuple[int, ...] = ()
) -> Wavefunction:
    """The network of a description, with random weights.

    Args:
        model: settled by ``fitted``. key: of the weights. system: at its couplings, with its sign rule. sign_free,
            couplings: as for ``ViTSpec.build``.
    """
    if isinstance(model, SymmetricSpec):
        within = build_network(model.model, key, system, sign_free, couplings)
        return symmetrised(within, system, Symmetry(model.parts, model.form, model.sector))
    return built(model, key, system, sign_free=sign_free, couplings=couplings)


def built(model: Any, key: PRNGKeyArray, system: LatticeSystem, **settings: Any) -> Wavefunction:
    """What ``build`` of a description gives; one of the user's own is looked at first.

    Raises:
        InputError: it fails, or gives no network.
    """
    if type(model).__module__.startswith("wavefoundry."):
        return model.build(key, system.extent, **settings)
    form = "build(key, extent, *, sign_free, couplings=())"
    return checked_network(called(model.build, "model", form, key, system.extent, **settings), system)


def empty_network(
    model: Any, key: PRNGKeyArray, system: LatticeSystem, sign_free: bool, couplings: tuple[int, ...] = ()
) -> Wavefunction:
    """As ``build_network``, to be filled with stored weights: where it can be, shapes alone, which compiles nothing."""
    if isinstance(model, SymmetricSpec):  # its images are arrays of their own
        return build_network(model, key, system, sign_free, couplings)
    return eqx.filter_eval_shape(lambda: build_network(model, key, system, sign_free, couplings))


def conditioned(
    model: Any, system: LatticeSystem, sign_free: bool, names: list[str]
) -> Callable[[int], Wavefunction] | None:
    """The same network, given the couplings ``names`` as input: from a seed; None where it cannot be given them."""
    inner = model.model if isinstance(model, SymmetricSpec) else model
    if not hasattr(inner, "conditioned"):
        return None
    inner = dataclasses.replace(inner, conditioned=True)
    given = dataclasses.replace(model, model=inner) if isinstance(model, SymmetricSpec) else inner
    varied = tuple(system.names.index(name) for name in names)
    return lambda seed: build_network(given, jax.random.fold_in(jax.random.key(seed), 0), system, sign_free, varied)


def imposed_by(wavefunction: Wavefunction) -> str:
    """The symmetry that a network has by construction.

    Shifts by whole patches, or by one site, round the edges; of symmetric ones also how many images stand for the rest.
    """
    backbone: Any = wavefunction.backbone
    if isinstance(backbone, AveragedBackbone | ImagesBackbone):
        how = "features averaged" if isinstance(backbone, AveragedBackbone) else "amplitude projected"
        return f"{imposed_by(plain(wavefunction))}; {how} over {len(backbone.images)} images"
    if isinstance(backbone, ViTBackbone):
        return "translations" if backbone.positions is None else "none"
    if isinstance(backbone, ConvBackbone | ResNetBackbone):
        conv = backbone.conv if isinstance(backbone, ConvBackbone) else backbone.embedding
        return "translations" if conv.periodic else "translations, up to the edges"
    return "none"


def _transformer(model: ViTSpec, system: LatticeSystem, sign_free: bool) -> Fitted:
    if model.symmetry == "none":
        return Fitted(model)
    basis = LATTICES[system.geometry].basis if system.geometry else 1
    if model.patch == "auto" and basis > 1:
        model = dataclasses.replace(model, patch=auto_patch(system.extent, sign_free, basis))
    patch = model.patch_edges(system.extent, sign_free)
    # a patch that does not fit is refused, with its reason, by the network
    broken = (
        []
        if len(patch) != len(system.extent) or any(map(operator.mod, system.extent, patch))
        else broken_by_shifts(system, patch)
    )
    if not broken:
        return Fitted(dataclasses.replace(model, symmetry="translations"))
    without = f"the Hamiltonian is not invariant under shifts by {_edge(patch)} ({_words(broken, system)})"
    if model.symmetry == "translations":
        return Fitted(model, f"{without}, but the network is, as asked for: its energy stays above E0", True)
    chosen = dataclasses.replace(model, symmetry="none")
    return Fitted(chosen, f"{without}: the network embeds the positions of its patches")


def _windows(model: ConvSpec | ResNetSpec, system: LatticeSystem) -> Fitted:
    """Convolutions have no positions to embed: what they cannot follow is said.

    Zeros around an open lattice of equal couplings let them see its edges; nothing lets them see other differences.
    """
    broken = broken_by_shifts(system, 1)
    if not broken or (not model.periodic and not system.periodic and system.model != "custom" and system.uniform):
        return Fitted(model)
    fix = "periodic = false, or " if model.periodic and not system.periodic else ""
    note = (
        f"the Hamiltonian is not invariant under shifts by one site ({_words(broken, system)}), but a convolution is: "
        f"its energy may stay above E0; take {fix}a network that knows positions (dense, vit)"
    )
    return Fitted(model, note, True)


def _edge(patch: tuple[int, ...]) -> str:
    return "one site" if max(patch) == 1 else f"a patch of {' x '.join(map(str, patch))} sites"


def _words(broken: list[str], system: LatticeSystem) -> str:
    named = ("terms " if len(broken) > 1 else "term ") + ", ".join(broken)
    return named + ("" if system.periodic else "; the edges are open")
