"""The summary of failed calls fits on one screen."""

from acme_core.run.outcome import summarize
from acme_io.backend import Failure


def shown_line(line: str) -> str:
    failure = Failure(type="E", message=line, traceback=f"Traceback\n{line}\n")
    return summarize("f", 1, {0: failure}, []).splitlines()[4]


def test_long_line_is_cut_after_a_word() -> None:
    shown = shown_line("  indented " + "word " * 100)
    assert shown.endswith(" word …")
    assert shown.startswith("      indented word")
    assert len(shown) <= 304


def test_long_line_without_words_is_cut() -> None:
    shown = shown_line("x" * 1000)
    assert shown.endswith("x …")
    assert len(shown) <= 304


def test_short_line_is_unchanged() -> None:
    assert shown_line("  as it is") == "      as it is"
