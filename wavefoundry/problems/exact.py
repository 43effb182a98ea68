"""Exact references: Lanczos for any small lattice operator, and by name the closed form of the Ising chain.

That one is written in Pauli matrices; everything else takes its units from the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.expect import expect
from wavefoundry.problems.ising_chain import IsingChain, ising_chain
from wavefoundry.problems.strings import count_states

if TYPE_CHECKING:
    from netket.hilbert import DiscreteHilbert
    from netket.operator import DiscreteOperator

__all__ = [
    "GroundSpace", "IsingChain", "basis", "constant_on", "expectation", "ground_space",
    "ground_state", "ising_chain", "listable",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


MAX_STATES = 2**20  # 20 spins: about 0.4 GB of matrix elements
LISTED = 2**14  # up to so many samples are drawn from the list of all, which costs no more than chains and misses none
CLOSE = 1e-8  # of the largest row sum: energies this near each other are one level
_DENSE = 32  # below this size the Lanczos iteration is not worth its set-up
_BLOCK = 2**14  # states whose matrix elements are computed at a time
_TABLE = 2**24  # numbers of configurations up to which a table says where each stands


def listable(hilbert: Any) -> bool:
    """Whether ``basis`` lists the space: at most 2^20 configurations, which are more than 20 spins if S_z is fixed."""
    local = getattr(hilbert, "local_states", None)
    if local is None:
        return False
    if hilbert.constrained and type(hilbert.constraint).__name__ == "SumConstraint" and len(local) == 2:
        return count_states(hilbert) <= MAX_STATES
    return len(local) ** hilbert.size <= MAX_STATES


def basis(hilbert: DiscreteHilbert) -> np.ndarray:
    """All configurations of a small Hilbert space, shape [states, sites], in the order of ``all_states()``.

    Much faster than that call for 20 sites of fixed magnetisation.

    Raises:
        InputError: the space is too large to be enumerated, or its sites differ.
    """
    if not listable(hilbert):
        raise InputError(
            f"the {hilbert.size} sites are too many for an exact solution",
            why=f"at most {MAX_STATES} configurations of equal sites are listed: 20 spins 1/2, or more of fixed S_z",
        )
    local, constraint = np.asarray(cast("Any", hilbert).local_states), getattr(hilbert, "constraint", None)
    if constraint is not None and (type(constraint).__name__ != "SumConstraint" or len(local) > 2):
        return np.asarray(hilbert.all_states())
    # NetKet orders a space of fixed magnetisation by value, a free one as it lists the local states
    if constraint is None:
        values, digits = local, np.arange(len(local) ** hilbert.size)
    else:
        values = np.sort(local)
        upper = (constraint.sum_value - hilbert.size * values[0]) / (values[1] - values[0])
        digits = _numbers(hilbert.size, round(upper))
    states = np.empty((len(digits), hilbert.size), dtype=np.int8)
    for site in reversed(range(hilbert.size)):
        digits, remainder = np.divmod(digits, len(values))
        states[:, site] = values[remainder]
    return states


def _numbers(digits: int, ones: int) -> np.ndarray:
    """All binary numbers of so many digits and ones, ascending."""
    numbers, held = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for left in reversed(range(digits)):
        numbers = (2 * numbers[:, None] + np.arange(2)).ravel()
        held = (held[:, None] + np.arange(2)).ravel()
        within = (held <= ones) & (held + left >= ones)
        numbers, held = numbers[within], held[within]
    return numbers


class GroundSpace(NamedTuple):
    """All ground states of an operator: ``vectors`` [states, degeneracy], orthonormal, in the order of ``basis``.

    gap: to the lowest state that is not one of them; None where there is none, or where ``complete`` is False: there
    are more ground states than were looked for, and ``vectors`` holds only some.
    """

    energy: float
    vectors: np.ndarray
    gap: float | None
    complete: bool = True


def ground_space(operator: DiscreteOperator, most: int = 8) -> GroundSpace:
    """The lowest eigenvalue with all its eigenvectors, and the gap above, of a space that is ``listable``.

    One Lanczos run cannot see that a level is degenerate; further ones, in which what was found is lifted out of the
    way, can. States closer than ``CLOSE`` of the largest row sum of the operator count as degenerate.

    Args:
        operator: any NetKet discrete operator. most: ground states looked for.

    Raises:
        InputError, PhysicsError: as for ``ground_state``.
    """
    matrix = _Matrix(operator)
    close = CLOSE * matrix.scale
    if matrix.diagonal is not None:
        levels = np.sort(np.unique(matrix.diagonal))
        found = np.flatnonzero(matrix.diagonal <= levels[0] + close)
        above = levels[levels > levels[0] + close]
        vectors = np.zeros((matrix.states, min(most, len(found))))
        vectors[found[:most], np.arange(vectors.shape[1])] = 1.0
        gap = float(above[0] - levels[0]) if len(above) and len(found) <= most else None
        return GroundSpace(float(levels[0]), vectors, gap, len(found) <= most)
    if matrix.states <= _DENSE:
        energies, vectors = np.linalg.eigh(matrix.apply(np.eye(matrix.states)))
    else:
        energies, vectors = np.zeros(0), np.zeros((matrix.states, 0))
        while vectors.shape[1] <= most and vectors.shape[1] < matrix.states:
            energy, vector = matrix.lowest(vectors, 1e-11 if not len(energies) else 1e-8)
            if len(energies) and abs(energy - energies.min()) < 100 * close:
                energy, vector = matrix.lowest(vectors, 1e-11, vector)
            energies, vectors = np.append(energies, energy), np.column_stack([vectors, vector])
            if energy > energies.min() + close:
                break
        energies, mixed = np.linalg.eigh(vectors.conj().T @ matrix.apply(vectors))
        vectors = vectors @ mixed
    count = int(np.sum(energies <= energies[0] + close))
    complete = count <= most
    gap = float(energies[count] - energies[0]) if complete and count < len(energies) else None
    return GroundSpace(float(energies[0]), vectors[:, : min(count, most)], gap, complete)


def constant_on(space: GroundSpace, table: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
    """Values of diagonal observables that are the same in every ground state, NaN for those that are not.

    Args:
        space: all ground states. table: values [states, observables] in the order of ``basis``.
        tolerance: of the observable's matrix in the ground space against a multiple of one.
    """
    vectors = space.vectors
    values = np.full(table.shape[1], np.nan)
    for k, column in enumerate(table.T if space.complete else ()):
        matrix = vectors.conj().T @ (column[:, None] * vectors)
        mean = np.trace(matrix).real / len(matrix)
        if np.abs(matrix - mean * np.eye(len(matrix))).max() <= tolerance * max(1.0, np.abs(column).max()):
            values[k] = mean
    return values


def ground_state(operator: DiscreteOperator) -> tuple[float, np.ndarray]:
    """Lowest eigenvalue and normalised eigenvector of a Hermitian lattice operator on a ``listable`` space.

    No amplitude is negative if no off-diagonal element is positive; otherwise the largest one is positive. If
    the ground state is degenerate, the vector is an arbitrary one of that kind, see ``ground_space``.

    Args:
        operator: any NetKet discrete operator, also on a space of fixed magnetisation or particle number.

    Returns:
        (energy, vector), the vector of shape [states] in the order of ``basis(operator.hilbert)``.

    Raises:
        InputError: the Hilbert space is too large, or the operator not Hermitian or leading out of the space.
        PhysicsError: the iteration does not converge.
    """
    matrix = _Matrix(operator)
    if matrix.states <= _DENSE:
        energies, vectors = np.linalg.eigh(matrix.apply(np.eye(matrix.states)))
        return float(energies[0]), _fix_phase(vectors[:, 0], matrix.positive)
    energy, vector = matrix.lowest(np.zeros((matrix.states, 0)), 1e-11)
    return energy, _fix_phase(vector, matrix.positive)


class _Matrix:
    """A Hermitian operator as sparse rows, and the lowest state orthogonal to given ones."""

    def __init__(self, operator: DiscreteOperator):
        fix = "one of NetKet's, or system.operator()"
        from netket.operator import DiscreteOperator

        expect(operator, DiscreteOperator, "operator", where="exact.ground_state", fix=fix)
        self.blocks = list(_blocks(operator))
        self.states = self.blocks[0].shape[1]
        self.dtype = np.result_type(*(block.dtype for block in self.blocks))
        self.scale = max(max(abs(block).sum(axis=1).max() for block in self.blocks), 1e-300)
        self.random = np.random.default_rng(0).standard_normal((2, self.states))
        left, right = self.random @ np.stack([self.apply(v) for v in self.random]).T
        if abs(left[1] - np.conj(right[0])) > 1e-8 * (np.abs(left).sum() + np.abs(right).sum()):
            raise InputError("the operator is not Hermitian", why="an energy must be real", fix="add the adjoint")
        self.positive = _is_stoquastic(self.blocks)
        self.diagonal = _diagonal(self.blocks)

    def apply(self, vector: np.ndarray) -> np.ndarray:
        """The operator times a vector, or the columns of a matrix."""
        return np.concatenate([block @ vector for block in self.blocks])

    def lowest(self, lifted: np.ndarray, tol: float, start: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        """Lowest state when the columns of ``lifted`` are moved above the spectrum."""
        from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

        # shifted so that no level is near 0: there ARPACK's relative tolerance, and a start of energy 0, break down
        def shifted(vector: np.ndarray) -> np.ndarray:
            vector = np.ravel(vector)
            moved = self.apply(vector) - 2 * self.scale * vector
            return moved + 4 * self.scale * (lifted @ (lifted.conj().T @ vector)) if lifted.size else moved

        matrix: Any = LinearOperator((self.states, self.states), matvec=shifted, dtype=self.dtype)  # pyright: ignore
        if start is None:
            # a uniform start keeps all symmetries of a positive state; to a state with signs it may be orthogonal
            start = np.ones(self.states) if self.positive and not lifted.size else self.random[lifted.shape[1] % 2]
        start = start.astype(self.dtype)
        start = start - lifted @ (lifted.conj().T @ start)
        try:
            _, vectors = eigsh(matrix, k=1, which="SA", v0=start, tol=tol, maxiter=10_000)  # pyright: ignore
        except ArpackError as error:
            raise PhysicsError(f"the Lanczos iteration for the ground state failed: {error}") from error
        vector = vectors[:, 0] - lifted @ (lifted.conj().T @ vectors[:, 0])
        vector = vector / np.linalg.norm(vector)
        return float(np.vdot(vector, self.apply(vector)).real), vector


def _diagonal(blocks: list[Any]) -> np.ndarray | None:
    """The diagonal of an operator that has nothing else, else None."""
    row, found = 0, []
    for block in blocks:
        entries = block.tocoo()
        if np.any(entries.row + row != entries.col):
            return None
        found.append(np.bincount(entries.row, np.real(entries.data), minlength=block.shape[0]))
        row += block.shape[0]
    return np.concatenate(found)


def expectation(operator: DiscreteOperator, vector: np.ndarray) -> float:
    """<v|O|v> / <v|v> of a Hermitian operator.

    Args:
        operator: any NetKet discrete operator.
        vector: amplitudes, shape [states], in the order of ``basis(operator.hilbert)``.

    Raises:
        InputError: the vector does not belong to the operator's Hilbert space, or that is too large.
    """
    vector = np.ravel(vector)
    total, row = 0.0, 0
    for block in _blocks(operator):
        if block.shape[1] != vector.size:
            raise InputError(
                "the vector does not fit the operator",
                why=f"the vector has {vector.size} amplitudes, the Hilbert space {block.shape[1]} states",
            )
        rows = vector[row : row + block.shape[0]]
        total, row = total + np.vdot(rows, block @ vector), row + block.shape[0]
    return float(np.real(total) / np.vdot(vector, vector).real)


def _blocks(operator: DiscreteOperator) -> Iterator[Any]:
    """Rows of the operator's matrix, a block of states at a time, as sparse matrices [block, states].

    Written for the time and memory of 20 sites: columns come from a table, zero elements are never stored.
    """
    from scipy.sparse import csr_matrix

    hilbert, operator = operator.hilbert, cast("DiscreteOperator", operator.collect())
    states = basis(hilbert)
    place = _places(states, hilbert.local_states)
    size = min(_BLOCK, len(states))
    for first in range(0, len(states), size):
        count = min(size, len(states) - first)
        # a last block of another shape would be compiled anew, so it is filled up with its last state
        rows = states[np.minimum(np.arange(first, first + size), len(states) - 1)]
        connected, elements = (np.asarray(part)[:count] for part in operator.get_conn_padded(rows))
        if np.iscomplexobj(elements) and not np.imag(elements).any():
            elements = np.real(elements)
        used = elements != 0
        bounds = np.append(0, np.cumsum(used.sum(axis=1)))
        values = elements[used].astype(np.result_type(elements, np.float64))
        columns = place(connected)[used]
        if np.any(columns < 0):
            raise InputError(
                "the operator leads out of its Hilbert space",
                why=f"an element connects a configuration of {hilbert} to one that it does not contain",
                fix="lift the constraint, for instance the fixed magnetisation",
            )
        yield csr_matrix((values, columns, bounds), shape=(count, len(states)))


def _places(states: np.ndarray, local_states: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Where configurations [..., sites] stand in a list [states, sites]; -1 for those that do not."""
    if len(local_states) ** states.shape[1] > _TABLE:
        import jax.numpy as jnp

        from wavefoundry.core.listing import Listing

        listing = Listing.of(jnp.asarray(states))
        return lambda x: np.asarray(listing.places(jnp.asarray(x)))
    column = np.full(len(local_states) ** states.shape[1], -1, dtype=np.int32)
    column[_codes(states, local_states)] = np.arange(len(states), dtype=np.int32)
    return lambda x: column[_codes(x, local_states)]


def _codes(x: np.ndarray, local_states: Any) -> np.ndarray:
    """Configurations [..., sites] as numbers [...], their digits to the base of local states."""
    values = np.sort(np.asarray(local_states)).astype(np.float32)
    radix = np.float32(len(values)) ** np.arange(x.shape[-1] - 1, -1, -1, dtype=np.float32)
    # in float32, where the product is fast, and still exact: all sums are integers below 2**24
    sums = x.reshape(-1, x.shape[-1]).astype(np.float32) @ radix
    return ((sums - values[0] * radix.sum()) / (values[1] - values[0])).astype(np.int32).reshape(x.shape[:-1])


def _is_stoquastic(blocks: list[Any]) -> bool:
    """Whether no off-diagonal element is positive, so that a ground vector without signs exists."""
    row = 0
    for block in blocks:
        entries = block.tocoo()
        off_diagonal = entries.data[entries.row + row != entries.col]
        if np.iscomplexobj(off_diagonal) or np.any(off_diagonal > 0.0):
            return False
        row += block.shape[0]
    return True


def _fix_phase(vector: np.ndarray, positive: bool) -> np.ndarray:
    """Makes the amplitudes of a sign-free ground state positive (its energy stays), else the largest one."""
    if positive:
        return np.abs(vector)
    largest = vector[np.argmax(np.abs(vector))]
    return vector * (np.abs(largest) / largest)
