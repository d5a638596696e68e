"""The branch and commit of a folder, read from git's files: no process is started, and no lock waited for."""

import re
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 4 * 1024 * 1024
"""Of a file of packed references."""
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class GitFacts(NamedTuple):
    """Empty where there is no repository, or what is asked for cannot be told."""

    branch: str = ""
    commit: str = ""
    """All its digits."""


def read_git(folder: Path) -> GitFacts:
    """What is checked out there. Never raises."""
    try:
        git = _find_git(folder)
        return _read(git) if git else GitFacts()
    except (OSError, ValueError):
        return GitFacts()


def _find_git(folder: Path) -> Path | None:
    """The folder that holds `HEAD`; in a worktree it is elsewhere, and a file tells where."""
    for parent in (folder, *folder.parents):
        place = parent / ".git"
        if place.is_dir():
            return place
        if place.is_file():
            told = _text(place)
            return parent / told.removeprefix("gitdir:").strip() if told.startswith("gitdir:") else None
    return None


def _read(git: Path) -> GitFacts:
    head = _text(git / "HEAD").strip()
    if not head.startswith("ref:"):
        return GitFacts(commit=head if _COMMIT.fullmatch(head) else "")
    ref = head.removeprefix("ref:").strip()
    if ref == "refs/heads/.invalid":  # The references are in a table that only git reads.
        return GitFacts()
    common = git / _text(git / "commondir").strip() if (git / "commondir").is_file() else git
    return GitFacts(ref.removeprefix("refs/heads/"), _commit_of(git, ref) or _commit_of(common, ref))


def _commit_of(git: Path, ref: str) -> str:
    loose = git / ref
    if loose.is_file():
        commit = _text(loose).strip()
        return commit if _COMMIT.fullmatch(commit) else ""
    packed = git / "packed-refs"
    if packed.is_file():
        for line in _text(packed).splitlines():
            commit, _, name = line.partition(" ")
            if name == ref and _COMMIT.fullmatch(commit):
                return commit
    return ""


def _text(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(MOST_BYTES).decode(errors="replace")
