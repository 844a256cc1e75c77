"""What the parser takes from itself before it opens a document: memory, time, network, and the files of others.

Limits are the kernel's rlimits. The network is closed by a seccomp filter, and files by Landlock; a kernel that has
neither (or another processor) leaves these two out, and the document is then confined by process and limits alone.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 4, 38, 22
_FILTER = 2
_ALLOW, _EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000

_MACHINES = {
    # audit architecture, then the numbers of socket, socketpair, ptrace; io_uring_setup is 425 everywhere
    "x86_64": (0xC000003E, (41, 53, 101, 425)),
    "aarch64": (0xC00000B7, (198, 199, 117, 425)),
}
_X32 = 0x40000000

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_EVERYTHING = (1 << 13) - 1
"""What the first version of Landlock knows: later kinds of access stay as they are."""


def confine(*, memory: int, seconds: int, folder: Path) -> None:
    """Give up for good all that reading a document does not need. `folder` stays writable."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 20, 256 << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return
    _close_files(libc, folder)
    _close_network(libc)


def _close_network(libc: ctypes.CDLL) -> None:
    """Let `socket` and its kin fail (seccomp(2), classic BPF over `struct seccomp_data`)."""
    known = _MACHINES.get(platform.machine())
    if known is None:
        return
    architecture, calls = known
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, architecture),
        (give, 0, 0, _KILL),
        (load, 0, 0, 0),  # the call's number
        (at_least, len(calls) + 1, 0, _X32),  # jumps count the lines that are passed over
        *((equal, len(calls) - n, 0, call) for n, call in enumerate(calls)),
        (give, 0, 0, _ALLOW),
        (give, 0, 0, _EPERM),
    ]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(header, len(header)), 0, 0)


def _close_files(libc: ctypes.CDLL, folder: Path) -> None:
    """Leave the interpreter, its libraries and the system's to be read, and `folder` to be used (landlock(7))."""
    rules = struct.pack("Q", _EVERYTHING)
    ruleset = libc.syscall(_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    if ruleset < 0:
        return
    try:
        for path in _libraries():
            _allow(libc, ruleset, path, _READ)
        for name in ("/dev/null", "/dev/urandom", "/dev/zero"):
            _allow(libc, ruleset, Path(name), _READ_FILE | _WRITE_FILE)
        _allow(libc, ruleset, folder, _EVERYTHING)
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _libraries() -> Iterable[Path]:
    ours = Path(__file__).resolve().parents[2]
    installed = [Path(entry) for entry in sys.path if "site-packages" in entry or "dist-packages" in entry]
    system = [
        Path(name) for name in ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/fonts", "/sys/devices/system/cpu")
    ]
    return [ours, *installed, Path(sys.prefix) / "lib", Path(sys.base_prefix), *system]


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            access &= _EXECUTE | _WRITE_FILE | _READ_FILE
        rule = struct.pack("=Qi", access, handle)
        libc.syscall(_ADD_RULE, ruleset, 1, rule, 0)
    finally:
        os.close(handle)
