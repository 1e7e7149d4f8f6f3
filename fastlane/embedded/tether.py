"""Becomes another program that ends when its parent does: ``python tether.py <parent's pid> <program> <arguments…>``.

Linux kills it (PR_SET_PDEATHSIG) once the thread that started it has ended, even by kill -9. Elsewhere it is a plain start. It is a
program of its own rather than code between fork and exec, where a process with threads may hang.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent, and becomes the program. Ends with 1 when the parent has gone already."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.umask(0o077)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
