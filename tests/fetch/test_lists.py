"""Lists in several answers: all of one state of the server, or refused; and what of them is written down."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.fetch.test_fetch import QUICK, Watched, biotab_file
from tests.fetch.twin import Twin, make_file, serve

from jecur.cli import run
from jecur.errors import FetchError, SystemRefusedError
from jecur.fetch import cbioportal, gdc, ready
from jecur.fetch.lists import DicomSeries, read_manifest_files
from jecur.fetch.ready import Choice, Ready, ready_from_gdc, ready_from_idc
from jecur.fetch.record import Record
from jecur.fetch.tcga_lihc import check, fetch
from jecur.fetch.web import Web

T = TypeVar("T")
Change = Callable[[list[Any]], object]


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    monkeypatch.setattr(ready, "ASKING", QUICK)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serve(Twin()) as served:
        yield served


def changes(draw: random.Random) -> tuple[str, Change]:
    """Something that may happen to a list while its pages are read."""
    name = draw.choice(["nothing", "lose", "gain", "turn round", "repeat"])
    seed = draw.random()
    return name, {
        "nothing": lambda _rows: None,
        "lose": lambda rows: rows.pop(int(seed * len(rows))),
        "gain": lambda rows: rows.insert(int(seed * len(rows)), _another(rows[0])),
        "turn round": lambda rows: rows.reverse(),
        "repeat": lambda rows: rows.__setitem__(len(rows) - 1, rows[0]),
    }[name]


def _another(row: Any) -> Any:
    if isinstance(row, dict):
        return row | {"clinicalAttributeId": "NEWER", "value": "1"}
    return make_file(999, 7, kind=row.kind)


def pages(twin: Twin, draw: random.Random, n: int) -> str:
    """Give out a few at once, and let something happen before the second page."""
    twin.largest_page = draw.randint(1, n + 2)
    name, change = changes(draw)
    twin.between_pages = [change] if twin.largest_page < n else []
    return name if twin.between_pages else "nothing"


def or_refused(ask: Callable[[], T], happened: str) -> T | None:
    """Answer, or None if it is refused as a list that changed; if nothing has, it must not be."""
    code = ""
    try:
        return ask()
    except FetchError as error:
        code = error.code
    assert (happened == "nothing", code) == (False, "wrong-answer")
    return None


def as_found(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["patientId"], {})[row["clinicalAttributeId"]] = row["value"]
    return found


@pytest.mark.parametrize("seed", range(60))
def test_clinical_values_are_all_of_one_state_or_refused(twin: Twin, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    people = {
        f"P{k}": {a: str(draw.randint(0, 9)) for a in "ABC" if draw.random() < 0.7}
        for k in range(draw.randint(1, 6))
    } | {"P": {"A": "1"}}
    twin.patients = people
    twin.total_beside_rows = draw.random() < 0.5
    n = sum(map(len, people.values()))
    happened = pages(twin, draw, n)
    answer = or_refused(lambda: cbioportal.patient_table(Web(QUICK), twin.url), happened)
    if answer is None:
        return
    text, proof = answer
    heading, *rows = [line.split("\t") for line in text.splitlines()[1:]]
    found = {
        row[0]: {
            a: v
            for a, v in zip(heading, row, strict=True)
            if len(a) == 1 and v != "[Not Available]"
        }
        for row in rows
    }
    rows_then = [
        {"patientId": p, "clinicalAttributeId": a, "value": v}
        for p, values in people.items()
        for a, v in values.items()
    ]
    states = [as_found(rows_then)]
    for change in twin.happened:
        change(rows_then)
        states.append(as_found(rows_then))
    assert found in states
    assert proof == "number of values"


@pytest.mark.parametrize("seed", range(40))
def test_files_are_all_of_one_state_or_refused(
    twin: Twin, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)  # noqa: S311
    n = draw.randint(2, 9)
    twin.add(*(biotab_file(k, f"t{k}") for k in range(n)))
    happened = pages(twin, draw, n)
    monkeypatch.setattr(gdc, "_PAGE", min(twin.largest_page, n + 1))
    files = or_refused(lambda: gdc.clinical_files(Web(QUICK), twin.url), happened)
    assert files is None or {f.id for f in files} == twin.files.keys()


def test_a_portal_that_tells_no_number_is_read_to_its_last_page(twin: Twin) -> None:
    twin.patients = {f"P{k}": {"A": "1", "B": "2"} for k in range(5)}
    twin.largest_page, twin.total_beside_rows = 3, False
    whole, proof = cbioportal.patient_table(Web(QUICK), twin.url)
    assert (whole.count("\t1\t2\n"), proof) == (5, "number of values")


@pytest.mark.parametrize("name", ["A\tB", "", "A\nB", " A", "A\u202eB", "#A"])
def test_a_name_that_would_shift_the_table_is_refused(twin: Twin, name: str) -> None:
    twin.patients = {name: {"A": "1"}}
    with pytest.raises(FetchError, match="names of patients and columns"):
        cbioportal.patient_table(Web(QUICK), twin.url)
    if name != "#A":
        twin.patients = {"P": {name: "1"}}
        with pytest.raises(FetchError, match="names of patients and columns"):
            cbioportal.patient_table(Web(QUICK), twin.url)


def test_a_list_that_drips_is_given_up(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_file(1, 500)
    twin.add(file)
    twin.faults[file.id] = ["always:drip"]
    with pytest.raises(FetchError) as caught:
        Web(QUICK).text(f"{twin.url}/data/{file.id}")
    assert caught.value.code == "too-slow"


# --- what is written down ---


def of_gdc(twin: Twin, out: Path, **choice: Any) -> Ready:
    path = out.parent / "list.tsv"
    path.write_text(twin.manifest(), encoding="utf-8")
    return ready_from_gdc(Choice(out=out, manifest=path, **choice), Web(QUICK), twin.url, twin.url)


def of_idc(twin: Twin, out: Path, monkeypatch: pytest.MonkeyPatch) -> Ready:
    """Two slides, of which the bucket has the first."""
    ids = [make_file(900 + k, 10).id for k in range(2)]
    for n in range(2):
        file = make_file(1000 + n, 2000, name=f"{make_file(n, 9).id}.dcm")
        twin.objects[f"{ids[0]}/{file.name}"] = file
    listed = tuple(DicomSeries(s, 2, 4000, f"TCGA-XX-{k:04d}", "DX1") for k, s in enumerate(ids))
    monkeypatch.setattr(ready, "shipped_series", lambda: (listed, "a list"))
    return ready_from_idc(Choice(out=out), twin.url)


def everything_failed(out: Path) -> set[tuple[str, str]]:
    return {(row.folder, row.code) for row in Record(out).rows if row.state != "whole"}


def test_what_could_not_be_looked_up_is_recorded_until_it_could(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    wanted = of_idc(twin, out, monkeypatch)
    done = fetch(wanted, Web(QUICK), Watched())
    absent = wanted.series[1]
    gone = {(f"slides/{absent.id}", "not-on-server")}
    assert {(row.folder, row.code) for row in done.failed} == everything_failed(out) == gone
    assert [(r.id, r.patient) for r in done.failed] == [(absent.id, absent.patient)]
    assert {(row.folder, row.code) for row in check(out, Watched()).failed} == gone
    twin.patients = {"TCGA-XX-0001": {"AGE": "50"}}
    fetch(of_gdc(twin, out, slides=False), Web(QUICK), Watched())  # no BCR table there
    assert everything_failed(out) == gone | {("clinical/biotab", "wrong-answer")}
    twin.add(biotab_file(50, "patient"))
    for n in range(2):
        file = make_file(2000 + n, 2000, name=f"{make_file(20 + n, 9).id}.dcm")
        twin.objects[f"{absent.id}/{file.name}"] = file
    fetch(of_gdc(twin, out, slides=False), Web(QUICK), Watched())
    fetch(wanted, Web(QUICK), Watched())
    assert everything_failed(out) == set()
    assert check(out, Watched()).failed == ()


def test_what_lies_in_a_folder_by_an_earlier_command_stays_on_its_pages(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    twin.add(*(make_file(k, 300 + k) for k in range(6)), biotab_file(50, "patient"))
    twin.patients = {"TCGA-XX-0001": {"AGE": "50"}}
    titles = ["Slides as DICOM", "BCR tables", "Table of patients", "Slides: NCI"]
    commands = [
        of_idc(twin, out, monkeypatch),
        of_gdc(twin, out, slides=False),
        of_gdc(twin, out, clinical=False, patients=3),
        of_gdc(twin, out, clinical=False, patients=2, seed=1),
        of_gdc(twin, out, slides=False),
    ]
    for command in commands:
        fetch(command, Web(QUICK), Watched())
    page = (out / "SOURCE.md").read_text("utf-8")
    assert [page.count(f"## {title}") for title in titles] == [1, 1, 1, 1]
    listed = read_manifest_files(out / "manifest.tsv", "https://x")
    lying = {p.name for p in (out / "slides").rglob("*.svs")}
    assert len(listed) == len(lying) > 3
    assert {file.name for file in listed} == lying


def test_a_folder_that_cannot_be_written_is_proved_all_the_same(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    twin.add(*(make_file(k, 300 + k) for k in range(2)))
    fetch(of_gdc(twin, out, clinical=False), Web(QUICK), Watched())
    first = next(iter(twin.files.values()))
    before = (out / "fetched.csv").read_bytes()
    (out / "slides" / first.id / first.name).write_bytes(b"x" * first.size)

    def refuse(_record: Record) -> Path:
        raise SystemRefusedError("expected permission", code="no-permission")

    monkeypatch.setattr(Record, "save", refuse)
    watch = Watched()
    done = check(out, watch)
    assert [(row.name, row.state) for row in done.failed] == [(first.name, "damaged")]
    assert done.n_whole == 1
    assert any("no-permission" in line for line in watch.lines)
    assert (out / "fetched.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "servers"),
    [
        ([], (gdc.GDC, cbioportal.CBIOPORTAL)),
        (["--base-url", "https://a"], ("https://a", cbioportal.CBIOPORTAL)),
        (["--portal-url", "https://b"], (gdc.GDC, "https://b")),
        (["--base-url", "https://a", "--portal-url", "https://b"], ("https://a", "https://b")),
    ],
)
def test_a_mirror_of_one_server_is_none_of_the_other(
    options: list[str], servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def look_up(_choice: Choice, _web: Web, base: str, portal: str) -> Ready:
        asked.append((base, portal))
        raise FetchError("enough")

    monkeypatch.setattr(ready, "ready_from_gdc", look_up)
    run(["fetch", "tcga-lihc", "--out", str(tmp_path / "out"), "--dry-run", *options])
    assert asked == [servers]
