"""The kit as code for a shell, with a guard: while heli does not answer, the shell is as it was before.

A shell lives for days, and its heli may end meanwhile. So the code asks at each prompt whether the
interceptor answers, and puts the variables back when it does not, and on again when it does.
"""

import shlex
from collections.abc import Callable, Mapping

import msgspec

from heli.cli.runs.before import Values

SHELLS = ("bash", "zsh", "fish", "powershell", "sh")


class Guarded(msgspec.Struct, frozen=True, kw_only=True):
    """What the code is made of."""

    kit: Mapping[str, str]
    before: Values
    """What the same variables were without heli."""
    host: str
    port: int
    is_on: bool
    """Whether heli answers now."""


def write_on(shell: str, guarded: Guarded) -> str:
    """Code that puts the kit on and guards it."""
    return _WRITERS[shell](guarded.kit, guarded.before, guarded)


def write_off(shell: str, changes: Values) -> str:
    """Code that puts everything back and takes the guard away."""
    return _REMOVERS[shell] + _ASSIGNERS[shell](changes)


# The POSIX shells.


def _posix_assign(values: Values) -> str:
    return "".join(
        f"unset {name}\n" if value is None else f"export {name}={shlex.quote(value)}\n"
        for name, value in values.items()
    )


def _posix_function(name: str, body: str) -> str:
    return f"{name}() {{\n{body}}}\n"


_POSIX_GUARD = """\
_heli_guard() {
local _heli_code=$?
if _heli_answers; then
if [ -z "${_heli_is_on-}" ]; then _heli_on; printf 'heli: this shell is captured\\n' >&2; fi
elif [ -n "${_heli_is_on-}" ]; then
_heli_off; printf 'heli: it does not answer, so this shell goes without it until it does\\n' >&2
fi
return $_heli_code
}
"""


def _write_posix(kit: Values, before: Values, guarded: Guarded, answers: str, hook: str) -> str:
    return (
        _posix_function("_heli_on", f"{_posix_assign(kit)}_heli_is_on=1\n")
        + _posix_function("_heli_off", f"{_posix_assign(before)}_heli_is_on=\n")
        + _posix_function("_heli_answers", answers)
        + _POSIX_GUARD
        + ("_heli_on\n" if guarded.is_on else "_heli_off\n")
        + hook
    )


def _write_bash(kit: Values, before: Values, guarded: Guarded) -> str:
    # In a subshell, so that a descriptor of the user's own is not taken.
    answers = f"(exec 3<>/dev/tcp/{guarded.host}/{guarded.port}) 2>/dev/null\n"
    hook = (
        'case "${PROMPT_COMMAND-}" in\n*_heli_guard*) ;;\n'
        '*) PROMPT_COMMAND="_heli_guard${PROMPT_COMMAND:+; $PROMPT_COMMAND}" ;;\nesac\n'
    )
    return _write_posix(kit, before, guarded, answers, hook)


def _write_zsh(kit: Values, before: Values, guarded: Guarded) -> str:
    answers = (
        f"zmodload zsh/net/tcp 2>/dev/null || return 0\n"
        f"ztcp {guarded.host} {guarded.port} 2>/dev/null || return 1\nztcp -c $REPLY\n"
    )
    hook = "autoload -Uz add-zsh-hook\nadd-zsh-hook precmd _heli_guard\nadd-zsh-hook preexec _heli_guard\n"
    return _write_posix(kit, before, guarded, answers, hook)


def _write_sh(kit: Values, before: Values, guarded: Guarded) -> str:
    """Plain shells have no prompt hook; who uses them runs short scripts."""
    return _posix_assign(kit) if guarded.is_on else ""


_POSIX_REMOVE = "unset -f _heli_on _heli_off _heli_answers _heli_guard 2>/dev/null\nunset _heli_is_on\n"
_BASH_REMOVE = (
    'PROMPT_COMMAND="${PROMPT_COMMAND/_heli_guard; /}"\nPROMPT_COMMAND="${PROMPT_COMMAND/_heli_guard/}"\n'
)
_ZSH_REMOVE = (
    "autoload -Uz add-zsh-hook\nadd-zsh-hook -d precmd _heli_guard\nadd-zsh-hook -d preexec _heli_guard\n"
)


# fish.


def _fish_quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _fish_assign(values: Values) -> str:
    return "".join(
        f"set -e {name}\n" if value is None else f"set -gx {name} {_fish_quote(value)}\n"
        for name, value in values.items()
    )


def _write_fish(kit: Values, before: Values, guarded: Guarded) -> str:
    ask = f"(exec 3<>/dev/tcp/{guarded.host}/{guarded.port}) 2>/dev/null"
    return (
        f"function _heli_on\n{_fish_assign(kit)}set -g _heli_is_on 1\nend\n"
        f"function _heli_off\n{_fish_assign(before)}set -e _heli_is_on\nend\n"
        f"function _heli_answers\nbash -c {_fish_quote(ask)}\nend\n"
        "function _heli_guard --on-event fish_prompt --on-event fish_preexec\n"
        "if _heli_answers\n"
        "if not set -q _heli_is_on\n_heli_on\necho 'heli: this shell is captured' >&2\nend\n"
        "else if set -q _heli_is_on\n_heli_off\n"
        "echo 'heli: it does not answer, so this shell goes without it until it does' >&2\n"
        "end\nend\n" + ("_heli_on\n" if guarded.is_on else "_heli_off\n")
    )


_FISH_REMOVE = "functions -e _heli_on _heli_off _heli_answers _heli_guard\nset -e _heli_is_on\n"


# PowerShell.


def _powershell_quote(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _powershell_assign(values: Values) -> str:
    return "".join(
        f"Remove-Item -ErrorAction Ignore Env:{name}\n"
        if value is None
        else f"$Env:{name} = {_powershell_quote(value)}\n"
        for name, value in values.items()
    )


def _write_powershell(kit: Values, before: Values, guarded: Guarded) -> str:
    return (
        f"function global:_heli_on {{\n{_powershell_assign(kit)}$global:_heli_is_on = $true\n}}\n"
        f"function global:_heli_off {{\n{_powershell_assign(before)}$global:_heli_is_on = $false\n}}\n"
        "function global:_heli_answers {\n$client = [System.Net.Sockets.TcpClient]::new()\n"
        f"try {{ return $client.ConnectAsync('{guarded.host}', {guarded.port}).Wait(250) }}\n"
        "catch { return $false }\nfinally { $client.Dispose() }\n}\n"
        "function global:_heli_guard {\n$answers = _heli_answers\n"
        "if ($answers -and -not $global:_heli_is_on) { _heli_on }\n"
        "elseif (-not $answers -and $global:_heli_is_on) { _heli_off }\n}\n"
        "if (-not $global:_heli_prompt) {\n$global:_heli_prompt = $function:prompt\n"
        "function global:prompt { _heli_guard; & $global:_heli_prompt }\n}\n"
        + ("_heli_on\n" if guarded.is_on else "_heli_off\n")
    )


_POWERSHELL_REMOVE = (
    "if ($global:_heli_prompt) { $function:global:prompt = $global:_heli_prompt; "
    "$global:_heli_prompt = $null }\n"
)

_WRITERS: dict[str, Callable[[Values, Values, Guarded], str]] = {
    "bash": _write_bash,
    "zsh": _write_zsh,
    "fish": _write_fish,
    "powershell": _write_powershell,
    "sh": _write_sh,
}
_ASSIGNERS: dict[str, Callable[[Values], str]] = {
    "bash": _posix_assign,
    "zsh": _posix_assign,
    "fish": _fish_assign,
    "powershell": _powershell_assign,
    "sh": _posix_assign,
}
_REMOVERS = {
    "bash": _BASH_REMOVE + _POSIX_REMOVE,
    "zsh": _ZSH_REMOVE + _POSIX_REMOVE,
    "fish": _FISH_REMOVE,
    "powershell": _POWERSHELL_REMOVE,
    "sh": "",
}
