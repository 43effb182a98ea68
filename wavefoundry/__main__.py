"""``wavefoundry`` and ``python -m wavefoundry``: the command line, quiet from its first moment on."""

import os
import signal
import sys


def main() -> int:
    """Run the command line. Ctrl-C while it is being loaded ends the process without a word of Python's own."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda signum, frame: os._exit(128 + signum))
    from wavefoundry.cli import main as run

    signal.signal(signal.SIGINT, before)
    return run()


if __name__ == "__main__":
    sys.exit(main())
