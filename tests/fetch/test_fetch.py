"""Fetching from a twin of the servers: whatever goes wrong, what lies under its final name is whole."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.fetch.twin import Twin, TwinFile, make_file, read_patients, serve

from jecur.cli import fetch_progress, run
from jecur.cli.console import SafeConsole
from jecur.cohort.tcga.lihc import TcgaFiles, read_tcga_lihc
from jecur.errors import FetchError, SystemRefusedError
from jecur.fetch import crew, idc, plan, ready, tcga_lihc, transfer
from jecur.fetch.answers import md5_told
from jecur.fetch.lists import (
    DicomSeries,
    choose,
    read_manifest_files,
    shipped_series,
    shipped_slides,
)
from jecur.fetch.patience import Patience
from jecur.fetch.ready import Choice, ready_from_gdc, ready_from_idc
from jecur.fetch.record import Record
from jecur.fetch.remote import is_plain_name
from jecur.fetch.tcga_lihc import Fetched, check, fetch
from jecur.fetch.web import Web, require_base
from jecur.settings import TcgaSettings

QUICK = Patience(
    tries=4,
    first_s=0.01,
    most_s=0.05,
    most_asked_s=0.3,
    connect_s=2.0,
    read_s=2.0,
    window_s=0.3,
    least_rate=1e5,
)
SIZE = 300_000


class Watched:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failed: dict[str, str] = {}

    def start(self, file: object) -> None: ...

    def at(self, file: object, length: int) -> None: ...

    def end(self, file, error) -> None:
        if error is not None:
            self.failed[file.name] = error.code

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    monkeypatch.setattr(ready, "ASKING", QUICK)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve(Twin()) as served:
        served.add(*(make_file(k, SIZE + k) for k in range(3)))
        yield served


def prepared(twin: Twin, out: Path, **choice: object):
    path = out.parent / "list.tsv"
    path.write_text(twin.manifest(), encoding="utf-8")
    wanted = Choice(out=out, manifest=path, **{"clinical": False, **choice})
    return ready_from_gdc(wanted, Web(QUICK), twin.url, twin.url)


def fetched(twin: Twin, out: Path, **choice: object) -> tuple[Fetched, Watched]:
    watch = Watched()
    return fetch(prepared(twin, out, **choice), Web(QUICK), watch), watch


def place(out: Path, file: TwinFile) -> Path:
    return out / "slides" / file.id / file.name


def assert_equal(twin: Twin, out: Path) -> None:
    """Every file of the twin is here, byte by byte, and nothing else lies beside it."""
    for file in twin.files.values():
        assert place(out, file).read_bytes() == file.read(0, file.size)
    lying = {p for p in (out / "slides").rglob("*") if p.is_file()}
    assert lying == {place(out, file) for file in twin.files.values()}


def assert_nothing_false(twin: Twin, out: Path) -> None:
    """Under a final name lies the right file or none."""
    for file in twin.files.values():
        if place(out, file).exists():
            assert place(out, file).read_bytes() == file.read(0, file.size)


PASSING = [
    "cut",
    "flip",
    "busy",
    "too-many",
    "wrong-length",
    "drip",
    "to-itself",
    "chunked",
    "packed",
]


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_waited_for(twin: Twin, tmp_path: Path, fault: str) -> None:
    for file_id in twin.files:
        twin.faults[file_id] = [fault]
    done, watch = fetched(twin, tmp_path / "out")
    assert (done.n_whole, done.failed, watch.failed) == (3, (), {})
    assert_equal(twin, tmp_path / "out")


def test_a_cut_file_goes_on_where_it_ended(twin: Twin, tmp_path: Path) -> None:
    file = next(iter(twin.files.values()))
    twin.faults[file.id] = ["cut", "cut"]
    fetched(twin, tmp_path / "out")
    asked = [sent.asked_from for sent in twin.sent_of(file.id)]
    assert asked[0] == 0
    assert asked == sorted(asked)
    assert 0 < asked[1] < asked[2]
    assert_equal(twin, tmp_path / "out")


@pytest.mark.parametrize("fault", ["whole-for-part", "wrong-range"])
def test_only_a_right_part_is_appended(twin: Twin, tmp_path: Path, fault: str) -> None:
    for file_id in twin.files:
        twin.faults[file_id] = ["cut", fault]
    done, _ = fetched(twin, tmp_path / "out")
    assert done.n_whole == 3
    assert_equal(twin, tmp_path / "out")


LASTING = {
    "cut": "cut-short",
    "flip": "changed-md5",
    "changed": "changed-md5",
    "other-md5": "changed-md5",
    "busy": "server-busy",
    "wrong-length": "wrong-length",
    "elsewhere": "redirected",
    "name": "bad-name",
    "login": "login-page",
    "login-in-disguise": "login-page",
    "forbidden": "server-refused",
    "gone": "not-on-server",
}


@pytest.mark.parametrize(("fault", "code"), LASTING.items())
def test_what_lasts_is_refused_by_name_and_stops_nothing_else(
    twin: Twin, tmp_path: Path, fault: str, code: str
) -> None:
    bad = next(iter(twin.files.values()))
    twin.faults[bad.id] = [f"always:{fault}"]
    done, watch = fetched(twin, tmp_path / "out")
    # a line that is cut again and again yields half of what is left each time
    allowed = {code, "connection-lost"} if fault == "cut" else {code}
    assert watch.failed.keys() == {bad.name}
    assert watch.failed[bad.name] in allowed
    assert [row.name for row in done.failed] == [bad.name]
    assert done.n_whole == 2
    assert not place(tmp_path / "out", bad).exists()
    twin.faults.clear()
    twin.answers.clear()
    again, _ = fetched(twin, tmp_path / "out")
    assert (again.n_whole, again.failed) == (3, ())
    assert {sent.id for sent in twin.answers} == {bad.id}, "what was whole is not fetched twice"
    assert_equal(twin, tmp_path / "out")


def test_a_redirect_is_followed_nowhere_else(twin: Twin, tmp_path: Path) -> None:
    with serve(Twin()) as other:
        other.add(*twin.files.values())
        twin.elsewhere = other.url  # another port is another server
        for file_id in twin.files:
            twin.faults[file_id] = ["always:elsewhere"]
        done, _ = fetched(twin, tmp_path / "out")
        assert {row.code for row in done.failed} == {"redirected"}
        assert other.answers == []


def test_a_full_disk_stops_all_and_the_same_command_goes_on(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = transfer._Draft.append

    def full(draft: transfer._Draft, piece: bytes) -> None:
        if draft.length + len(piece) > SIZE // 2:
            with transfer.refused_as_said(draft.path):
                raise OSError(28, "No space left on device")
        append(draft, piece)

    monkeypatch.setattr(transfer._Draft, "append", full)
    with pytest.raises(SystemRefusedError) as caught:
        fetched(twin, tmp_path / "out")
    assert caught.value.code == "disk-full"
    assert_nothing_false(twin, tmp_path / "out")
    monkeypatch.undo()
    assert fetched(twin, tmp_path / "out")[0].n_whole == 3
    assert_equal(twin, tmp_path / "out")


def test_a_disk_too_small_is_refused_before_anything_is_fetched(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "free_bytes", lambda _: 2 * SIZE)
    with pytest.raises(FetchError) as caught:
        fetched(twin, tmp_path / "out")
    assert caught.value.code == "disk-too-small"
    assert twin.answers == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("left", ["damaged", "too-long", "empty"])
def test_what_lies_there_is_proved_and_not_believed(twin: Twin, tmp_path: Path, left: str) -> None:
    file = next(iter(twin.files.values()))
    final = place(tmp_path / "out", file)
    final.parent.mkdir(parents=True)
    bytes_of = {"damaged": b"x" * file.size, "too-long": b"x" * (file.size + 9), "empty": b""}
    final.write_bytes(bytes_of[left])
    final.with_name(final.name + ".partial").write_bytes(bytes_of[left])
    assert fetched(twin, tmp_path / "out")[0].n_whole == 3
    assert_equal(twin, tmp_path / "out")


def test_nothing_is_written_through_a_link(twin: Twin, tmp_path: Path) -> None:
    file = next(iter(twin.files.values()))
    (tmp_path / "out" / "slides").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "out" / "slides" / file.id).symlink_to(tmp_path / "secret")
    done, _ = fetched(twin, tmp_path / "out")
    assert [(row.name, row.code) for row in done.failed] == [(file.name, "bad-name")]
    assert list((tmp_path / "secret").iterdir()) == []


def test_check_finds_what_changed_and_the_next_fetch_mends_it(twin: Twin, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetched(twin, out)
    first, second, _ = twin.files.values()
    data = bytearray(place(out, first).read_bytes())
    data[1000] ^= 1
    place(out, first).write_bytes(data)
    place(out, second).unlink()
    watch = Watched()
    done = check(out, watch)
    assert {(row.name, row.state) for row in done.failed} == {
        (first.name, "damaged"),
        (second.name, "missing"),
    }
    assert len(watch.lines) == 2
    twin.answers.clear()
    assert fetched(twin, out)[0].failed == ()
    assert {sent.id for sent in twin.answers} == {first.id, second.id}
    assert check(out, watch).failed == ()
    assert_equal(twin, out)


BAD_NAMES = ["../x.svs", "a/b.svs", "a\\b.svs", "..", "", ".hidden", "x.svs ", "CON", "nul.svs"]
BAD_NAMES += ["a:b.svs", "x\u202egnp.svs", "x\n.svs", "x.partial", "/etc/passwd", "x" * 300, "a\0b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_plain_file_is_refused(name: str) -> None:
    assert not is_plain_name(name)


def test_every_name_of_the_lists_is_plain_and_their_sums_are_right() -> None:
    files, _ = shipped_slides("https://x")
    series, _ = shipped_series()
    assert (len(files), len({f.patient for f in files})) == (379, 365)
    assert f"{sum(f.size for f in files) / 1e9:.2f}" == "503.46"
    assert all(is_plain_name(f.name) and f.md5 for f in files)
    assert len({f.md5 for f in files}) == 379
    assert (len(series), len({s.patient for s in series})) == (379, 365)
    assert {s.patient for s in series} == {f.patient for f in files}


def test_a_bad_manifest_is_refused_with_every_bad_row(tmp_path: Path) -> None:
    good = make_file(1, 10)
    rows = [
        f"{good.id}\t{good.name}\t{good.md5}\t{good.size}",
        f"{good.id}\t../../etc/x\t{good.md5}\t10",
        f"../../x\t{good.name}\tabc\t-1",
        "too\tfew",
    ]
    path = tmp_path / "m.tsv"
    path.write_text("\n".join(["id\tfilename\tmd5\tsize", *rows]), encoding="utf-8")
    with pytest.raises(FetchError) as caught:
        read_manifest_files(path, "https://x")
    assert caught.value.code == "bad-manifest"
    for part in ("row 3", "row 4", "row 5", "../../etc/x", "'../../x'", "'abc'", "found 2"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    "url",
    ["http://example.org", "ftp://x", "https://u:p@x", "x", "https://x/?q", "http://127.0.0.1.x/"],
)
def test_only_https_or_this_machine(url: str) -> None:
    with pytest.raises(FetchError):
        require_base(url)


def test_a_draw_of_fewer_is_among_the_more() -> None:
    named = [(f"P{k}", frozenset({f"id{k}"})) for k in range(40)]
    draws = [set(choose(named, ids=None, patients=n, seed=3)) for n in (5, 20)]
    assert draws[0] < draws[1]
    assert [len(draw) for draw in draws] == [5, 20]
    with pytest.raises(FetchError):
        choose(named, ids=None, patients=5, seed=-1)
    assert draws[0] != set(choose(named, ids=None, patients=5, seed=4))
    assert choose(named, ids=["id7", "P3"], patients=None, seed=0) == [3, 7]
    with pytest.raises(FetchError, match="X1, X2"):
        choose(named, ids=["X1", "P3", "X2"], patients=None, seed=0)


def test_md5_in_a_header_in_either_writing() -> None:
    assert md5_told("1B2M2Y8AsgTpgAmY7PhCfg==") == "d41d8cd98f00b204e9800998ecf8427e"
    assert md5_told('"D41D8CD98F00B204E9800998ECF8427E"') == "d41d8cd98f00b204e9800998ecf8427e"
    assert md5_told("none") == ""


def biotab_file(seed: int, name: str) -> TwinFile:
    return make_file(
        seed, 5000, name=f"nationwidechildrens.org_clinical_{name}_lihc.txt", kind="table"
    )


def test_clinical_files_come_from_their_pages(twin: Twin, tmp_path: Path, test_data: Path) -> None:
    source = next((test_data / "clinical").rglob("data_clinical_patient.txt"))
    twin.patients = read_patients(source)
    tables = [biotab_file(100 + k, f"t{k}") for k in range(250)]
    twin.files = {file.id: file for file in tables}
    out = tmp_path / "out"
    wanted = ready_from_gdc(Choice(out=out, slides=False), Web(QUICK), twin.url, twin.url)
    done = fetch(wanted, Web(QUICK), Watched())
    assert (done.n_whole, done.failed) == (250, ())
    for file in tables:
        assert (out / "clinical" / "biotab" / file.name).read_bytes() == file.body
    settings = TcgaSettings(histology="hcc", residual="exclude-r1-r2")
    ours = read_tcga_lihc(TcgaFiles(out / "clinical" / "lihc_tcga"), settings)
    theirs = read_tcga_lihc(TcgaFiles(source), settings)
    assert (len(ours.frame), ours.events) == (302, 165)
    assert ours.frame.set_index("patient_id").equals(
        theirs.frame.set_index("patient_id").loc[ours.frame["patient_id"]]
    )
    assert "Data Release 45.0" in (out / "SOURCE.md").read_text("utf-8")
    asked = len(twin.answers)
    assert fetch(wanted, Web(QUICK), Watched()).failed == ()
    assert len(twin.answers) == asked


@pytest.mark.parametrize("said", ["busy", "login", '{"data": 7}', "[1", "{}"])
def test_a_list_that_is_none_is_told_and_the_slides_go_on(
    twin: Twin, tmp_path: Path, said: str
) -> None:
    twin.patients = {"TCGA-XX-0001": {"AGE": "50"}}
    twin.add(biotab_file(50, "patient"))
    twin.page_faults = [said] * 30
    done, _ = fetched(twin, tmp_path / "out", clinical=True)
    assert done.n_whole == 3
    assert {row.folder for row in done.failed} == {"clinical/biotab", "clinical/lihc_tcga"}
    twin.page_faults = []
    done, _ = fetched(twin, tmp_path / "out", clinical=True)
    assert (done.n_whole, done.failed) == (4, ())


def test_a_newer_list_is_told_and_not_followed(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = shipped_slides(twin.url)
    twin.files = {
        f.id: TwinFile(f.id, f.name, f.md5, f.size) for f in ours[1:]
    }  # one gone, one changed, one new
    twin.files[ours[1].id].md5 = "0" * 32
    twin.add(make_file(7, 10))
    wanted = ready_from_gdc(
        Choice(out=tmp_path / "out", clinical=False), Web(QUICK), twin.url, twin.url
    )
    told = "\n".join(wanted.plan.lines())
    assert f"{ours[0].name}: on the list, no longer on the server" in told
    assert f"{ours[1].name}: md5 {ours[1].md5} in the list" in told
    assert f"{make_file(7, 10).name}: on the server, not on the list" in told
    assert [f.md5 for f in wanted.files] == [f.md5 for f in ours]


@pytest.mark.parametrize("in_parts", [False, True])
def test_dicom_slides_from_the_bucket(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_parts: bool
) -> None:
    series = [make_file(900 + k, 10).id for k in range(2)]
    for k, one in enumerate(series):
        for n in range(5):
            file = make_file(1000 + 10 * k + n, 20_000, name=f"{make_file(n, 9).id}.dcm")
            twin.objects[f"{one}/{file.name}"] = file
    twin.etags_in_parts = in_parts
    listed = tuple(
        DicomSeries(s, 5, 100_000, f"TCGA-XX-{k:04d}", "DX1") for k, s in enumerate(series)
    )
    monkeypatch.setattr(ready, "shipped_series", lambda: (listed, "a list"))
    out = tmp_path / "out"
    first = next(iter(twin.objects))
    twin.faults[first] = ["cut"]
    wanted = ready_from_idc(Choice(out=out), twin.url)
    assert wanted.plan.lines()[0] == "2 files, 2 patients, 0.00 GB"
    assert fetch(wanted, Web(QUICK), Watched()).n_whole == 10
    for key, file in twin.objects.items():
        assert (out / "slides" / key).read_bytes() == file.body
    proofs = {row.proved_by for row in Record(out).rows}
    assert proofs == {"size" if in_parts else "size and MD5"}
    del twin.objects[first]
    done = fetch(wanted, Web(QUICK), Watched())
    assert [(row.patient, row.code) for row in done.failed] == [("TCGA-XX-0000", "wrong-length")]


@pytest.mark.parametrize(
    "page",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult>&a;</ListBucketResult>',
        "<x/>",
        "<",
        "text",
    ],
)
def test_a_listing_that_is_none_is_refused(page: str) -> None:
    with pytest.raises(FetchError) as caught:
        idc._parsed(page)
    assert caught.value.code == "wrong-answer"


def test_two_fetches_into_one_folder_are_refused(twin: Twin, tmp_path: Path) -> None:
    with tcga_lihc._locked(tmp_path / "out"), pytest.raises(FetchError) as caught:
        fetched(twin, tmp_path / "out")
    assert caught.value.code == "fetch-in-progress"


def command(twin: Twin, out: Path, *more: str) -> list[str]:
    path = out.parent / "list.tsv"
    path.write_text(twin.manifest(), encoding="utf-8")
    what = ["--manifest", str(path), "--what", "slides", "--base-url", twin.url]
    return ["fetch", "tcga-lihc", "--out", str(out), *what, *more]


def test_the_command_asks_says_and_exits_as_it_should(
    twin: Twin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(command(twin, out, "--dry-run")) == 0
    assert "3 files, 3 patients, 0.00 GB" in capsys.readouterr().out
    assert run(command(twin, out)) == 2  # nobody is there to answer
    assert not out.exists()
    bad = next(iter(twin.files.values()))
    twin.faults[bad.id] = ["always:gone"]
    assert run(command(twin, out, "--yes")) == 3
    told = capsys.readouterr()
    assert f"{bad.name}: expected the file on the server" in told.err
    assert "2 files whole, 1 not" in told.out
    twin.faults.clear()
    assert run(command(twin, out, "--yes")) == 0
    assert run(["fetch", "tcga-lihc", "--out", str(out), "--check"]) == 0
    assert_equal(twin, out)
    assert run(command(twin, out, "--what", "rna", "--yes")) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9")
def test_killed_at_any_moment_it_goes_on(twin: Twin, tmp_path: Path) -> None:
    twin.files.clear()
    twin.add(*(make_file(k, 2_000_000) for k in range(6)))
    twin.rate = 3e6
    out = tmp_path / "out"
    program = [sys.executable, "-m", "jecur", *command(twin, out, "--yes")]
    for after_s in (0.2, 0.7, 1.1):
        process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = len(twin.answers)
        while len(twin.answers) == begun and process.poll() is None:
            time.sleep(0.01)
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert_nothing_false(twin, out)
        whole = {file.id for file in twin.files.values() if place(out, file).exists()}
        twin.answers.clear()
    twin.rate = 0.0
    assert subprocess.run(program, check=False, capture_output=True).returncode == 0
    assert whole.isdisjoint(sent.id for sent in twin.answers)
    assert_equal(twin, out)


def test_four_at_once(twin: Twin) -> None:
    assert crew.AT_ONCE == 4


def watched_by(watch, twin: Twin, out: Path) -> None:
    bad = list(twin.files.values())[1]
    twin.faults[bad.id] = ["always:gone"]
    fetch(prepared(twin, out), Web(QUICK), watch)


def test_progress_on_a_terminal_and_elsewhere(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = list(twin.files.values())[1]
    for terminal in (True, False):
        shown = io.StringIO()
        consoled = SafeConsole(file=shown, force_terminal=terminal, width=200)
        monkeypatch.setattr(fetch_progress, "errors", consoled)
        monkeypatch.setattr(fetch_progress, "_EVERY_S", 0.0)
        with fetch_progress.watch_transfers(prepared(twin, tmp_path / "o").plan) as watch:
            assert isinstance(watch, fetch_progress.BarWatch) is terminal
            watched_by(watch, twin, tmp_path / str(terminal))
        told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
        assert f"{bad.name}: expected the file on the server" in told
        assert "MB/s" in told or "bytes/s" in told or "kB/s" in told
        assert ("All" in told) is terminal
        assert ("files whole" in told) is not terminal


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals")
def test_ctrl_c_ends_at_once_and_says_how_to_go_on(twin: Twin, tmp_path: Path) -> None:
    for file_id in twin.files:
        twin.faults[file_id] = ["always:drip"]
    program = [sys.executable, "-m", "jecur", *command(twin, tmp_path / "out", "--yes")]
    # a runner in the background ignores Ctrl-C, and so would whatever it starts
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        program,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=listen,  # noqa: PLW1509 -- it sets a signal and takes no lock
    ) as process:
        try:
            while not twin.answers and process.poll() is None:
                time.sleep(0.01)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"run the same command again to go on" in said
    assert (tmp_path / "out" / "fetched.csv").is_file()
