"""Errors that a user meets: each says what is wrong, where, why, and how to mend it.

The command line prints ``str(error)`` and leaves with ``error.exit_code``; a traceback is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 400
"""Characters of a line: names that a user gave stand in it, of any length."""


def _shortened(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


class WavefoundryError(Exception):
    """Base of all errors raised on purpose. ``exit_code`` is what the command line returns."""

    exit_code = 1


class InputError(WavefoundryError):
    """The user's input cannot be used (study file, option, argument, Hamiltonian, ...).

    Args:
        what: one line, what is wrong.
        where: the key, option or argument, with its file and line when known.
        why: the rule that was broken.
        fix: what to write instead.
        also: other mistakes found on the way, one line each.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "", also: Sequence[str] = ()):
        self.what, self.where, self.why, self.fix, self.also = what, where, why, fix, tuple(also)
        lines = [_shortened(what)]
        lines += [f"  where: {_shortened(where)}"] if where else []
        lines += [f"  why:   {why}"] if why else []
        lines += [f"  fix:   {fix}"] if fix else []
        super().__init__("\n".join(lines))
        for other in self.also:  # notes are shown with a traceback and by the command line, the text stays short
            self.add_note(f"  also:  {other}")

    def at(self, where: str) -> InputError:
        """The same with another place."""
        return InputError(self.what, where=where, why=self.why, fix=self.fix, also=self.also)


class PhysicsError(WavefoundryError):
    """A number cannot be trusted and cannot be repaired: non-finite energies, walkers that never mix."""

    exit_code = 3


class IntegrityError(WavefoundryError):
    """A file on disk is not what was written: wrong checksum, missing, truncated or hostile."""

    exit_code = 4


class StorageError(WavefoundryError):
    """The file system refused: disk full, read-only, no such directory."""

    exit_code = 74


class LockedError(WavefoundryError):
    """Another process owns the run directory."""

    exit_code = 75


class Interrupted(WavefoundryError):
    """A signal asked the run to stop; its state has been saved. Exit code 128 + signal number."""

    def __init__(self, signum: int):
        self.signum = signum
        self.exit_code = 128 + signum
        super().__init__(f"stopped by signal {signum}; the run is saved and can be resumed with --resume")
