"""Usage objects of OpenAI's kind are read whatever stands in a field that should hold a count."""

from typing import Any

import pytest

from heli.providers.formats.openai_usage import read_usage
from heli.schema.usage import Usage

WHOLE = {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 30}}
LEDGER = Usage(input_tokens=70, cache_read_tokens=30, output_tokens=50)


@pytest.mark.parametrize("nonsense", ["7", True, -1, 2**60, 1.5, 1e300, [], {}, {"a": 1}])
def test_nonsense_in_one_field_leaves_the_others_alone(nonsense: Any) -> None:
    details = {**WHOLE["prompt_tokens_details"], "audio_tokens": nonsense}  # type: ignore[dict-item]
    usage = {**WHOLE, "total_tokens": nonsense, "prompt_tokens_details": details}

    assert read_usage(usage, "OPENAI") == LEDGER


@pytest.mark.parametrize("nonsense", [None, 5, "x", [], {}])
def test_details_that_tell_nothing_give_way_to_those_of_the_other_name(nonsense: Any) -> None:
    usage = {**WHOLE, "prompt_tokens_details": nonsense, "input_tokens_details": {"cached_tokens": 30}}

    assert read_usage(usage, "OPENAI") == LEDGER


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert read_usage({"prompt_tokens": 7.0, "output_tokens": 1}, "OPENAI") == Usage(
        input_tokens=7, output_tokens=1
    )


@pytest.mark.parametrize("usage", [None, {}, [], "x", 5])
def test_no_usage_is_an_empty_ledger(usage: Any) -> None:
    assert read_usage(usage, "OPENAI") == Usage()
