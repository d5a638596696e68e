"""`heli ca`: the certificate authority of the interceptor, and who trusts it."""

import datetime
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heli.cli.intercept_status import tell_unreached
from heli.cli.printable import beside
from heli.cli.root import make_app
from heli.cli.sink import encode
from heli.cli.terminal import say, text_width
from heli.schema.errors import ExitCode, HeliError, UsageError
from heli.schema.paths import Paths

if TYPE_CHECKING:
    from heli.proxy.intercept.certificates import Authority

HELP = """The certificate authority by which heli decrypts calls to model APIs.

\b
Examples:
  heli ca show
  heli ca allow llm.example.com
  heli ca export heli.pem

It is made on this machine, when it is first needed, and may only sign for the hosts that heli decrypts.
`heli run` lets one program trust it; nothing else does, unless you say `heli ca trust`.
"""
app = make_app(help=HELP)

MARGIN = 16
AGAIN = "programs that are started from now on trust it; one that runs since before must be started again"


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """What it is, how long it lives, and for which hosts it may sign.

    \b
    Examples:
      heli ca show
      heli ca show --json | jq -r .hosts[]
    """
    from heli.proxy.intercept import authority

    paths = Paths.from_environ(os.environ)
    current, old = authority.current(paths), authority.previous(paths)
    if as_json:
        sys.stdout.write(encode(_told(paths, current, old)).decode() + "\n")
        return
    columns = text_width(sys.stdout)
    rows = [
        ("file", str(paths.authority / authority.CERTIFICATE)),
        ("sha256", _in_halves(current.fingerprint, columns)),
        ("made", _day(current.made_at)),
        ("ends", f"{_day(current.ends_at)}; replaced by itself some weeks before"),
        ("may sign for", f"{len(current.permitted)} names; `heli ca show --json` lists them"),
        ("you allowed", ", ".join(authority.allowed_hosts(paths)) or "none"),
    ]
    if unreached := authority.unreached(paths, current):
        rows.append(("may not sign for", f"{tell_unreached(unreached)}; `heli ca rotate` replaces it"))
    if old is not None:
        rows.append(
            ("the one before", f"is trusted too, for some days: {_in_halves(old.fingerprint, columns)}")
        )
    sys.stdout.writelines(beside(f"{name:<{MARGIN}}", value, columns) for name, value in rows)


def _in_halves(fingerprint: str, columns: int) -> str:
    """With a blank where it may be broken, on a terminal that has no room for the whole."""
    half = (len(fingerprint) + 1) // 2
    return (
        fingerprint if columns > MARGIN + len(fingerprint) else f"{fingerprint[:half]} {fingerprint[half:]}"
    )


def _day(moment: datetime.datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _told(paths: Paths, current: "Authority", old: "Authority | None") -> dict[str, Any]:
    from heli.proxy.intercept import authority

    return {
        "file": str(paths.authority / authority.CERTIFICATE),
        "sha256": current.fingerprint,
        "made_at": current.made_at,
        "ends_at": current.ends_at,
        "hosts": current.permitted,
        "allowed": authority.allowed_hosts(paths),
        "unreached": authority.unreached(paths, current),
        "previous_sha256": old.fingerprint if old else None,
    }


@app.command()
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to write it; else stdout.")
    ] = None,
) -> None:
    """The certificate, in PEM; the key never leaves its folder.

    \b
    Examples:
      heli ca export heli.pem
      docker run -v "$PWD/heli.pem:/heli.pem" -e NODE_EXTRA_CA_CERTS=/heli.pem …
    """
    from heli.proxy.intercept import authority

    pem = b"".join(authority.certificates(Paths.from_environ(os.environ))).decode()
    if file is None:
        sys.stdout.write(pem)
        return
    try:
        file.write_text(pem)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "name another file") from error
    say(f"written to {file}")


@app.command()
def rotate(
    now: Annotated[
        bool, typer.Option("--now", help="Destroy the one before at once, as when its key was stolen.")
    ] = False,
) -> None:
    """Replace the authority by a new one, with a new key.

    \b
    Examples:
      heli ca rotate
      heli ca rotate --now

    The one before goes on for some days for programs that run since before, so that none of them fails.
    """
    from heli.proxy.intercept import authority
    from heli.proxy.intercept.bundle import refresh_bundles

    paths = Paths.from_environ(os.environ)
    fresh = authority.rotate(paths, at_once=now)
    refresh_bundles(paths)
    say(f"the authority is replaced: {fresh.fingerprint}")
    say(f"  {AGAIN}" if now else "  the one before is trusted and used for seven days more")
    _remind_of_trust(paths, "" if now else "after that, ")


@app.command()
def allow(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST…", help="api.example.com, or *.example.com.")],
    remove: Annotated[bool, typer.Option("--remove", help="Decrypt them no longer.")] = False,
) -> None:
    """Decrypt calls to more hosts than those that heli knows.

    \b
    Examples:
      heli ca allow llm.example.com
      heli ca allow '*.models.example.com'
      heli ca allow --remove llm.example.com

    The authority's certificate names the hosts that it may sign for, so it is made anew, with the same key.
    """
    from heli.proxy.intercept import authority
    from heli.proxy.intercept.bundle import refresh_bundles

    paths = Paths.from_environ(os.environ)
    before = authority.current(paths)
    after = authority.change_allowed(paths, **{"remove" if remove else "add": hosts})
    if after.fingerprint == before.fingerprint:
        say(f"nothing is changed: {', '.join(hosts)} {'is' if len(hosts) == 1 else 'are'} decrypted already")
        return
    refresh_bundles(paths)
    allowed = authority.allowed_hosts(paths)
    say(f"decrypted besides those that heli knows: {', '.join(allowed) or 'none'}")
    say(f"  the authority's certificate is made anew: {AGAIN}")
    _remind_of_trust(paths)


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def trust(yes: YesOption = False) -> int:
    """Let all programs of this machine trust the authority.

    \b
    Examples:
      heli ca trust
      heli ca trust --yes

    Not needed for `heli run`. It tells what it would do and asks first; `heli ca untrust` undoes it.
    """
    from heli.cli import trust_store
    from heli.proxy.intercept.authority import certificate_file

    paths = Paths.from_environ(os.environ)
    stores = trust_store.find_stores(Path("/"), os.environ)
    if not stores:
        raise HeliError(
            "no trust store of this machine is known to heli",
            "`heli ca export FILE` writes the certificate for you to add where your system wants it",
        )
    _do([step for store in stores for step in store.trust(certificate_file(paths))], yes=yes)
    trust_store.note(paths, stores)
    say("trusted; `heli ca untrust` undoes it")
    return ExitCode.OK


@app.command()
def untrust(yes: YesOption = False) -> int:
    """Undo `heli ca trust`.

    \b
    Example:
      heli ca untrust
    """
    from heli.cli import trust_store

    paths = Paths.from_environ(os.environ)
    stores = [store for store in trust_store.find_stores(Path("/"), os.environ) if store.holds(paths)]
    if not stores:
        say("nothing to undo: no trust store of this machine holds heli's certificate")
        return ExitCode.OK
    _do([step for store in stores for step in store.untrust()], yes=yes)
    trust_store.forget(paths)
    say("no longer trusted")
    return ExitCode.OK


def _do(steps: list[list[str]], *, yes: bool) -> None:
    """Show the commands, ask, run them. Raises `HeliError` when one fails."""
    import shlex
    import subprocess

    say("This changes the machine, by:")
    for step in steps:
        say(f"  {shlex.join(step)}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to say yes", "add --yes")
        typer.confirm("Do it?", abort=True, err=True)
    for step in steps:
        try:
            subprocess.run(step, check=True, stdout=sys.stderr)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise HeliError(
                f"{shlex.join(step)} failed: {error}", "what was done before it stays; run it by hand"
            ) from error


def _remind_of_trust(paths: Paths, when: str = "") -> None:
    from heli.cli import trust_store

    if trust_store.was_noted(paths):
        say(f"  this machine's trust store holds the certificate before; {when}`heli ca trust` replaces it")
