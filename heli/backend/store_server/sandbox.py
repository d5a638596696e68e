"""Confine this process by Landlock: it reads its libraries, writes its folder, and calls nobody.

Facts are from the kernel's documentation, https://docs.kernel.org/userspace-api/landlock.html. What is open
already, such as a listening socket or standard error, stays usable. Later threads and children are confined
too, threads that run already are not: confine before the engine is loaded.
"""

import ctypes
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import heli

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG = 1
PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
OLDEST_ABI = 2
"""Before it, no file could be moved to another folder, which the engine does."""

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
FILE_RIGHTS = {2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""`{first ABI: every right to files that it knows}`"""
TCP_RIGHTS = 0b11
"""To bind and to connect, from ABI 4 on."""
SCOPES = 0b11
"""No abstract sockets and no signals outside, from ABI 6 on."""

LIBRARIES = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/fs/cgroup", "/sys/devices/system/cpu",
    "/dev/urandom",
)  # fmt: skip
DEVICES = ("/dev/null",)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confine(writable: Path) -> str:
    """Confine this thread and all that it starts. Returns why it could not be done; empty when it was."""
    if sys.platform != "linux":
        return f"there is no Landlock on {sys.platform}"
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(CREATE_RULESET, None, 0, VERSION_FLAG)
    if abi < OLDEST_ABI:
        return "the kernel offers no Landlock" if abi < 0 else f"the kernel's Landlock is too old ({abi})"
    every = next(rights for first, rights in sorted(FILE_RIGHTS.items(), reverse=True) if abi >= first)
    wanted = _Ruleset(every, TCP_RIGHTS if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(wanted), size, 0)
    if ruleset < 0:
        return f"Landlock refuses: {os.strerror(ctypes.get_errno())}"
    try:
        _allow(libc, ruleset, [writable], every)
        _allow(libc, ruleset, map(Path, DEVICES), every & (READ_FILE | WRITE_FILE))
        _allow(libc, ruleset, _libraries(), every & READ)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(RESTRICT_SELF, ruleset, 0):
            return f"Landlock refuses: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(ruleset)
    return ""


def _libraries() -> set[Path]:
    """Where this process may still read from: the system's libraries, Python's and heli's own code."""
    python = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return {Path(found) for found in (*LIBRARIES, *python, str(Path(heli.__file__).parent)) if found}


def _allow(libc: ctypes.CDLL, ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            rule = _PathBeneath(rights if is_folder else rights & ON_FILES, descriptor)
            if libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        finally:
            os.close(descriptor)
