"""A library, loaded before libc, that makes two of its calls hang: look-ups of names, and syncs to disk."""

import os
import shutil
import subprocess
from pathlib import Path

HANGING_NAME = "hangs.example"
"""Whatever ends so is looked up for a minute, and then not found."""

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(
    const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found
) {
    const char *ending = "hangs.example";
    size_t length = name ? strlen(name) : 0;
    if (length >= strlen(ending) && strcmp(name + length - strlen(ending), ending) == 0) {
        sleep(60);
        return EAI_AGAIN;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}

static int sync_late(const char *name, int file) {
    const char *gate = getenv("STALL_SYNCS_WHILE");
    while (gate && access(gate, F_OK) == 0) usleep(20000);
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, name);
    return real(file);
}

int fsync(int file) { return sync_late("fsync", file); }
int fdatasync(int file) { return sync_late("fdatasync", file); }
"""


def has_compiler() -> bool:
    return shutil.which("cc") is not None and os.uname().sysname == "Linux"


def stalling_environ(folder: Path) -> dict[str, str]:
    """The environment that loads it. While `folder / "stall"` exists, no sync returns."""
    source, library = folder / "stalls.c", folder / "stalls.so"
    source.write_text(_SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "STALL_SYNCS_WHILE": str(folder / "stall")}
