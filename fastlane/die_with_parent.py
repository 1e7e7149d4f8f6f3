"""Becomes another program that ends when its parent does: ``python die_with_parent.py <parent's pid> <program> <arguments…>``.

On Linux the kernel kills the program (PR_SET_PDEATHSIG) when the thread that started it ends, even by kill -9. Elsewhere this is a plain
start. It is a separate program because code between fork and exec can hang in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent, and becomes the program. Exits with 1 when the parent has already ended."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.umask(0o077)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
