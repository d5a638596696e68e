"""The checker of the reliability figures must itself be right."""

from pathlib import Path

from tests.rel.ledger import Ledger, check


def test_each_kind_of_wrong_is_told_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.invoke("abcdef", sha256={"a": "1", "b": "2", "c": "3", "d": "4"}, cost={"a": "0.1", "b": "0.2"})
    ledger.ok("abcd")
    ledger.fail("e")
    ledger.close()
    book = ledger.read()
    found = [("a", "1"), ("b", "2"), ("b", "2"), ("c", "9"), ("e", ""), ("f", ""), ("z", "")]
    verdict = check(book, found)
    assert verdict.lost == ["d"]
    assert verdict.duplicate == ["b"]
    assert verdict.corrupt == ["c"]
    assert verdict.phantom == ["e", "z"]
    assert str(book.cost_of("ab")) == "0.3"


def test_a_clean_run_is_clean_whether_or_not_the_unknown_arrived(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.invoke("ab", sha256={"a": "1", "b": "2"})
    ledger.ok("a")
    ledger.unknown("b")
    ledger.close()
    assert check(ledger.read(), [("a", "1")]).is_clean
    assert check(ledger.read(), [("a", "1"), ("b", "2")]).is_clean
