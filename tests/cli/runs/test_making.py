"""A run: what its calls are tagged with, what it takes over from an outer one, when it is forgotten."""

import os
import re
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from heli.cli.runs.git_facts import GitFacts, read_git
from heli.cli.runs.making import MOST_RUNS, OLD_S, forget_old_runs, make_run, read_properties
from heli.schema.errors import UsageError
from heli.schema.run import read_run, write_run


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        ["git", *name, *words], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "src").mkdir(parents=True)
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def test_branch_and_commit_are_gits(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert read_git(repository / "src") == GitFacts("main", commit)
    git(repository, "switch", "-q", "-c", "fix/login")
    assert read_git(repository) == GitFacts("fix/login", commit)
    git(repository, "pack-refs", "--all")
    assert read_git(repository) == GitFacts("fix/login", commit)
    git(repository, "checkout", "-q", "--detach")
    assert read_git(repository) == GitFacts("", commit)


def test_a_worktree_has_a_branch_of_its_own(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    assert read_git(tmp_path / "tree") == GitFacts("other", git(repository, "rev-parse", "HEAD"))


def test_no_repository_and_a_broken_one_tell_nothing(tmp_path: Path) -> None:
    assert read_git(tmp_path) == GitFacts()
    (tmp_path / ".git").write_text("gitdir: /nowhere")
    assert read_git(tmp_path) == GitFacts()
    (tmp_path / ".git").unlink()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\x00ref")
    assert read_git(tmp_path) == GitFacts()


def test_a_run_says_where_and_what(repository: Path, tmp_path: Path) -> None:
    run = make_run(
        ["claude", "-p", "hi"], {}, tmp_path, properties={"ticket": "4711"}, user="alice", folder=repository
    )
    assert re.fullmatch(r"run-[0-9a-f]{16}", run.id)
    assert (run.session_name, run.user_id, run.pid) == ("claude", "alice", os.getpid())
    assert run.session_id == f"claude-{run.id[-6:]}"
    assert run.properties == {
        "run": run.id,
        "command": "claude -p hi",
        "directory": str(repository),
        "branch": "main",
        "commit": git(repository, "rev-parse", "HEAD"),
        "ticket": "4711",
    }


def test_a_named_session_is_that_name(tmp_path: Path) -> None:
    run = make_run(["claude"], {"HELI_SESSION": "outer"}, tmp_path, session="fix-login")
    assert (run.session_id, run.session_name) == ("fix-login", "fix-login")


def test_a_run_inside_another_keeps_its_session_and_names_it(tmp_path: Path) -> None:
    outer = make_run(["claude"], {}, tmp_path, user="alice")
    write_run(tmp_path, outer)
    environ = {"HELI_RUN_ID": outer.id, "HELI_SESSION": outer.session_id}
    inner = make_run(["python", "app.py"], environ, tmp_path)
    assert (inner.session_id, inner.session_name, inner.user_id) == (outer.session_id, "claude", "alice")
    assert inner.properties["run"] == f"{outer.id}/{inner.id}"


def test_values_fit_into_headers(tmp_path: Path) -> None:
    run = make_run(["say", "a\nb\0c"], {}, tmp_path, session="x\r\ny")
    assert run.session_id == "x y"
    assert not re.search(r"[\r\n\0]", run.properties["command"])


def test_properties_are_read_and_bad_ones_told() -> None:
    assert read_properties(["Ticket=47=11", "env=prod"]) == {"ticket": "47=11", "env": "prod"}
    for word in ("ticket", "=x", "a b=c", "a:b=c"):
        with pytest.raises(UsageError, match="NAME=VALUE"):
            read_properties([word])


def test_a_run_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = write_run(tmp_path / "runs", make_run(["x"], {}, tmp_path))
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_runs_that_ended_long_ago_are_forgotten(tmp_path: Path) -> None:
    gone = ended_process()
    kept, old, running = (make_run(["x"], {}, tmp_path) for _ in range(3))
    kept, old = (msgspec.structs.replace(run, pid=gone) for run in (kept, old))
    for run in (kept, old, running):
        write_run(tmp_path, run)
    for run in (old, running):
        os.utime(tmp_path / f"{run.id}.json", (0, 0))

    forget_old_runs(tmp_path, now_s=time.time())

    assert [read_run(tmp_path, run.id) is not None for run in (kept, old, running)] == [True, False, True]
    forget_old_runs(tmp_path, now_s=time.time() + 2 * OLD_S)
    assert [read_run(tmp_path, run.id) is not None for run in (kept, running)] == [False, True]


def test_too_many_runs_are_forgotten(tmp_path: Path) -> None:
    gone = ended_process()
    template = msgspec.structs.replace(make_run(["x"], {}, tmp_path), pid=gone)
    for number in range(MOST_RUNS + 20):
        file = write_run(tmp_path, msgspec.structs.replace(template, id=f"run-{number:08}"))
        os.utime(file, (number, number) if number < 20 else None)

    forget_old_runs(tmp_path, now_s=30.0)

    left = {file.stem for file in tmp_path.iterdir()}
    assert left == {f"run-{number:08}" for number in range(20, MOST_RUNS + 20)}
    forget_old_runs(tmp_path / "nowhere")
