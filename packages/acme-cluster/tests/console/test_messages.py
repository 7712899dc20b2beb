from __future__ import annotations

import io
import logging

import pytest

from acme_cluster.console.dask_logging import silenced
from acme_cluster.console.messages import shown

LOGGER = logging.getLogger("acme_cluster.something")


def test_messages_go_to_the_current_stderr_while_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with shown():
        LOGGER.info("one %s", "message")
        LOGGER.debug("not this one")
    LOGGER.info("nor this one")
    assert capsys.readouterr().err == "one message\n"


def test_nested_levels_and_their_restoration(capsys: pytest.CaptureFixture[str]) -> None:
    package = logging.getLogger("acme_cluster")
    before = package.level, list(package.handlers)
    with shown(logging.WARNING):
        with shown(logging.DEBUG):
            LOGGER.debug("a")
        LOGGER.info("b")
        LOGGER.warning("c")
    assert capsys.readouterr().err == "a\nc\n"
    assert (package.level, list(package.handlers)) == before


def test_further_loggers_are_shown_and_restored(capsys: pytest.CaptureFixture[str]) -> None:
    other = logging.getLogger("other_package")
    before = other.level, list(other.handlers)
    with shown():
        other.info("not asked for")
        with shown(loggers=["other_package"]):
            logging.getLogger("other_package.part").info("asked for")
    assert capsys.readouterr().err == "asked for\n"
    assert (other.level, list(other.handlers)) == before


def test_restored_after_an_exception() -> None:
    package = logging.getLogger("acme_cluster")
    before = package.level, list(package.handlers)
    with pytest.raises(KeyError), shown():
        raise KeyError
    assert (package.level, list(package.handlers)) == before


def test_no_second_copy_where_the_root_logger_prints(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(stream := io.StringIO())
    logging.getLogger().addHandler(handler)
    try:
        with shown():
            LOGGER.info("once")
    finally:
        logging.getLogger().removeHandler(handler)
    assert stream.getvalue() == "once\n"
    assert capsys.readouterr().err == ""


def test_silenced_affects_only_dask_and_restores_handlers() -> None:
    handler = logging.StreamHandler(stream := io.StringIO())
    logging.getLogger().addHandler(handler)
    try:
        with silenced(logging.CRITICAL), silenced(logging.ERROR):
            logging.getLogger("distributed.core").error("dask's")
            logging.getLogger("user.analysis").warning("mine")
        assert handler.filters == []
        logging.getLogger("distributed.core").warning("later")
    finally:
        logging.getLogger().removeHandler(handler)
    assert stream.getvalue() == "mine\nlater\n"
