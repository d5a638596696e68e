"""Filter terms that begin with a minus are terms; options stay options."""

import pytest

from heli.cli.filter_words import spell_out
from heli.schema.errors import ExitCode
from heli.schema.filter import FIELDS, parse


@pytest.mark.parametrize(
    "word",
    [
        "-user:alice",
        "-USER:alice",
        "-prop.env:prod",
        "-error.message:x",
        "-latency>2s",
        "-status<=200",
        "-cost=0.01",
        "-status!=200",
        "-(user:a OR user:b)",
        '-"two words"',
        "-out>5 in<3",
    ],
)
def test_a_term_that_is_turned_round_is_spelled_out(word):
    assert spell_out(["--tail", word]) == ["--tail", f"not {word[1:]}"]


@pytest.mark.parametrize(
    "words", [["-n5"], ["-n", "-5"], ["-f"], ["-ojson"], ["--user:alice"], ["-x:1"], ["-"], ["--", "-user:x"]]
)
def test_options_stay_options(words):
    assert spell_out(words) == words


@pytest.mark.parametrize("name", [name for field in FIELDS for name in (field.name, *field.aliases)])
def test_every_field_can_be_turned_round(name):
    (spelled,) = spell_out([f"-{name}:1d"])
    assert spelled == f"not {name}:1d"


@pytest.mark.parametrize("word", ["-user:alice", "-(user:a OR user:b)", '-"two words"', "-out>5 in<3"])
def test_it_means_the_same(word):
    assert parse(spell_out([word])[0]) == parse(word)


@pytest.mark.parametrize("command", ["logs", "costs"])
def test_the_commands_pass_it_to_the_backend(heli, backend, command):
    ran = heli(command, "model:gpt*", "-user:alice", "-o", "json")
    assert ran.code == ExitCode.OK, ran.err
    _, asked = backend.asked[0]
    assert asked["filter"] == "model:gpt* not user:alice"


def test_other_commands_take_no_filter(heli):
    ran = heli("show", "-user:alice")
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert ran.err == "heli: there is no option -u\n      see `heli show --help`\n"
