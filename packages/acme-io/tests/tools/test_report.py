"""The report is complete, self-contained, and safe whatever its texts contain."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import acme_io
from acme_io import Slots, StorageOptions
from acme_io.cli import main
from acme_io.errors import ResultsExistError
from acme_io.records.call_record import DONE, FAILED, Failure
from acme_io.runs.store import RunStore
from acme_io.tools.charts import format_bytes, format_seconds, histogram, timeline

NASTY = "</pre><script>alert(1)</script>\0\ud800 & <img src=x onerror=alert(2)>"

KINDS = {
    "links": StorageOptions(),
    "single": StorageOptions(single_file=True),
    "stacked": StorageOptions(slots=Slots((None,))),
    "pickles": StorageOptions(pickle=True),
}

VOID = {"meta"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and those left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "img", "object", "embed", "base", "a")
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href")]
    return page


def test_a_run_with_failures(tmp_path: Path, tools) -> None:
    info = tools.new_run(20, function=NASTY, user=NASTY, options={NASTY: NASTY})
    store = RunStore.create(tmp_path / "out", "f", StorageOptions(), info)
    writer = store.sink.open(range(20))
    table = store.table
    table.workers = [NASTY, "tcp://127.0.0.1:2"]
    for call in range(20):
        table.started[call], table.seconds[call] = 1e9 + call // 2, 1 + call / 100
        table.worker[call], table.peak_memory[call] = call % 2, 100_000_000 + call * 1000
        if call in (3, 7):
            failure = Failure("ValueError", NASTY, f"Traceback of call {call}\n{NASTY}")
            writer.fail(tools.report(call), failure)
            table.status[call], table.failures[call] = FAILED, failure
        else:
            writer.put(tools.report(call, x=NASTY[-31:], y=np.zeros((3, 4))), call)
    store.accept(writer.close())
    store.finish()
    store.close()
    path = acme_io.write_report(tmp_path / "out")
    assert path == tmp_path / "out" / "f_report.html"
    page = page_of(path)
    for part in ("18 done, 2 failed", "Traceback of call 3", "Traceback of call 7", "1.19 s"):
        assert part in page.text, part
    assert "onerror=alert(2)>', y=<ndarray [3, 4] <f8>" in page.text
    drawn = [attributes.get("class") for tag, attributes in page.elements if tag == "rect"]
    assert drawn.count("failed") == 2
    assert sum(tag == "svg" for tag, _ in page.elements) == 3
    assert page.text.count("<script>alert(1)</script>") >= 5  # as text
    assert "\0" not in page.text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run(run, kind: str) -> None:
    done = run(lambda call: call, 6, KINDS[kind])
    page = page_of(acme_io.write_report(done.output_dir))
    assert "6 done" in page.text
    with acme_io.open_results(done.output_dir, allow_pickle=True) as results:
        assert len(results) == 6  # the page is not mistaken for results


def test_an_unfinished_run_and_one_without_results(run) -> None:
    done = run(lambda call: call, 4, only=range(2))
    done.container.unlink()
    assert "2 done" in page_of(acme_io.write_report(done.output_dir)).text
    failed = run(lambda call: 1 / 0, 2)
    assert "2 failed" in page_of(acme_io.write_report(failed.output_dir)).text


def test_only_reports_are_replaced(run, tmp_path: Path) -> None:
    done = run(lambda call: call, 2)
    first = acme_io.write_report(done.output_dir, tmp_path)
    assert acme_io.write_report(done.output_dir, tmp_path) == first == tmp_path / "f_report.html"
    other = tmp_path / "notes.html"
    other.write_text("my notes")
    with pytest.raises(ResultsExistError, match=r"notes\.html"):
        acme_io.write_report(done.output_dir, other)
    assert other.read_text() == "my notes"
    with pytest.raises(FileNotFoundError):
        acme_io.write_report(tmp_path / "nowhere")


def test_command(run, tmp_path: Path, capsys) -> None:
    done = run(lambda call: call, 2)
    assert main(["report", str(done.output_dir)]) == 0
    assert capsys.readouterr().out == f"Wrote {done.output_dir / 'f_report.html'}.\n"
    assert main(["report", str(done.output_dir), str(tmp_path / "a.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(tmp_path / "a.html")}
    assert main(["report", str(done.output_dir), str(tmp_path / "no" / "a.html")]) == 2
    assert main(["report", str(tmp_path / "nowhere")]) == 2


def test_many_calls_are_drawn_as_load_over_time() -> None:
    n = 20_000
    started = np.repeat(np.arange(n // 2), 2).astype(float)
    seconds = np.where(np.arange(n) % 2, 1.0, 0.25)  # one worker is busy a quarter of the time
    worker, status = (np.arange(n) % 2).astype("i4"), np.full(n, DONE, "u1")
    drawn = timeline(started, seconds, worker, status, ["a", "b"])
    bars = [float(height) for height in re.findall(r'class="bar".* height="([\d.]+)"', drawn)]
    assert len(bars) == 800
    assert bars[:400] == pytest.approx([14 / 4] * 400, rel=0.1)
    assert bars[400:] == pytest.approx([14.0] * 400, rel=0.1)
    assert len(drawn) < 200_000


def test_charts_of_little_data() -> None:
    nothing, none = np.array([]), np.array([np.nan])
    assert timeline(none, none, np.array([-1]), np.array([0]), []) == ""
    assert histogram(nothing, format_seconds, "") == histogram(none, format_seconds, "") == ""
    assert histogram(np.zeros(3), format_bytes, "") == ""
    same = histogram(np.full(3, 2.0), format_seconds, "times")
    assert same.count("<rect") == 1
    assert "3 calls: " in same
    assert "logarithmic" in histogram(np.array([1e-3, 1.0]), format_seconds, "times")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 µs"), (2.5e-3, "2.5 ms"), (1, "1 s"), (150, "2:30 min"), (3723, "1:02:03 h")],
)
def test_durations(value: float, text: str) -> None:
    assert format_seconds(value) == text
    assert format_bytes(value * 1e6 + 1e6).endswith("B")
