"""A stop on request: a flag first, the door second."""

import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wavefoundry.artifacts.signals import NOTICE, STOPPING, interrupts, undisturbed

WAITS = """
import os, signal, sys
from wavefoundry.artifacts.signals import interrupts
with interrupts() as stop:
    print("ready", flush=True)
    while stop.requested is None:
        signal.pause()
    print("asked", stop.requested, flush=True)
    if sys.argv[1] == "leave":
        sys.exit(7)
    while True:
        signal.pause()
"""


def line(process):
    """The next line that a child prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def start(mode, program=WAITS):
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", program, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert line(process) == "ready\n"
    return process


@pytest.mark.parametrize("signum", STOPPING)
def test_the_first_signal_only_asks(signum):
    process = start("leave")
    process.send_signal(signum)
    assert line(process) == f"asked {int(signum)}\n"
    assert process.wait() == 7
    assert process.stderr is not None and process.stderr.read() == NOTICE


@pytest.mark.parametrize("second", STOPPING)
def test_the_second_signal_leaves_at_once(second):
    process = start("stay")
    process.send_signal(signal.SIGTERM)
    assert line(process) == f"asked {int(signal.SIGTERM)}\n"
    process.send_signal(second)
    assert process.wait() == 128 + second


DEAF = """
import hashlib
from wavefoundry.artifacts.signals import interrupts
with interrupts():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes without the interpreter, as in a compiled program
"""


def test_both_are_heard_while_a_program_runs():
    process = start("", DEAF)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() + process.stderr.readline() == NOTICE
    process.send_signal(signal.SIGINT)
    assert process.wait() == 128 + signal.SIGINT


def test_handlers_come_back_even_after_an_error():
    before = [signal.getsignal(signum) for signum in STOPPING]
    with pytest.raises(ZeroDivisionError), interrupts() as stop:
        assert [signal.getsignal(signum) for signum in STOPPING] != before
        signal.raise_signal(signal.SIGUSR1)
        assert stop.requested == signal.SIGUSR1
        raise ZeroDivisionError
    assert [signal.getsignal(signum) for signum in STOPPING] == before


def test_nothing_happens_outside_the_main_thread():
    seen = []

    def body():
        with interrupts() as stop:
            seen.append((stop.requested, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


def test_libraries_do_not_take_signals_over(tmp_path, monkeypatch):
    """One that wants Ctrl-C for itself while it is imported: the handler that was there stays."""
    (tmp_path / "grabs_signals.py").write_text("import signal\nsignal.signal(signal.SIGINT, lambda *_: None)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with interrupts():
        mine = signal.getsignal(signal.SIGINT)
        with undisturbed():
            importlib.import_module("grabs_signals")
        assert signal.getsignal(signal.SIGINT) == mine
