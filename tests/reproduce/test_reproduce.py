"""The paper's protocol on slides under TCGA's names: whom it takes, what it compares, what it keeps."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from benchmarks.tcga_table2 import read
from benchmarks.tcga_table2 import univariable as documented
from tests.model_files import write_toy

from jecur.cli import run
from jecur.cohort.cohort import read_cohort
from jecur.cohort.tcga.lihc import TcgaFiles
from jecur.errors import TableError
from jecur.fetch.lists import shipped_series
from jecur.reproduce import liu2021
from jecur.reproduce.cohort import paper_cohort
from jecur.reproduce.compare import cells_of_table_2
from jecur.reproduce.paper import TABLE_2, TABLE_3
from jecur.reproduce.places import find_clinical, find_slides
from jecur.reproduce.table2 import univariable
from jecur.settings import PAPER_FEATURES
from jecur.simulate.regions import TissueFeatures
from jecur.simulate.slide import render_tile, write_slide

TERMS = {
    "age": "age",
    "male": "male",
    "afp20": "afp",
    "vi_no": "no_invasion",
    "stage3II": "stage_2",
    "stage3III/IV": "stage_34",
}


def test_clinical_rows_of_table_2_are_those_of_the_documentation(test_data: Path) -> None:
    files = find_clinical((test_data / "clinical",))
    everybody = {f"TCGA-{k}": ("x",) for k in range(2)}
    frame = None
    with pytest.raises(TableError):
        paper_cohort(files, everybody, endpoint="dfs")
    slides = {
        p: (f"{p}.svs",) for p in pd.read_csv(files.cbioportal, sep="\t", comment="#")["PATIENT_ID"]
    }
    cohort = paper_cohort(files, slides, endpoint="dfs")
    frame = cohort.everybody.frame
    assert (len(frame), cohort.everybody.events) == (302, 165)
    assert [step.left for step in cohort.with_slides.flow] == [377, 326, 325, 316, 302, 302]
    ours = univariable(frame, {})
    theirs = documented(read(test_data / "clinical")).set_index("term")
    for name, term in TERMS.items():
        ratio, row = ours[term], theirs.loc[name]
        assert not isinstance(ratio, str)
        assert (ratio.n, ratio.events) == (row["n"], row["events"])
        assert ratio.estimate == pytest.approx(row["HR"], rel=1e-12)
        assert ratio.p == pytest.approx(row["p"], rel=1e-9)
        assert TABLE_2[term][1] == row["paper_HR"]
    cells = {cell.what: cell for cell in cells_of_table_2(ours, None, scored_by="x")}
    assert cells["TIL, low vs high: HR"].ours is None
    assert cells["AJCC stage, III/IV vs I: HR"].paper == 3.078974
    assert cells["Classifier, high vs low risk: HR"].ours is None


def lay(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_slides_are_found_however_they_lie(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "TCGA-AA-0001-01Z-00-DX2.ABC.svs",
        "sub/TCGA-AA-0001-01Z-00-DX1.DEF.svs",
        "TCGA-AA-0001-01A-01-TS1.GHI.svs",  # frozen
        "TCGA-AA-0002.svs",  # named by hand
        "TCGA-AA-0003-01Z-00-DX1.JKL.svs.partial",  # not whole
        "TCGA-AA-0004.txt",
        "other.svs",
    )
    series, _ = shipped_series()
    lay(tmp_path, f"slides/{series[0].id}/a.dcm")
    found = find_slides(tmp_path)
    assert found.of_patient == {
        "TCGA-AA-0001": ("sub/TCGA-AA-0001-01Z-00-DX1.DEF.svs", "TCGA-AA-0001-01Z-00-DX2.ABC.svs"),
        "TCGA-AA-0002": ("TCGA-AA-0002.svs",),
        series[0].patient: (f"slides/{series[0].id}",),
    }
    assert (found.n_slides, found.n_other) == (4, 1)


def test_one_slide_twice_and_none_at_all_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "a.svs")
    with pytest.raises(TableError) as none:
        find_slides(tmp_path)
    assert none.value.code == "no-slides"
    lay(tmp_path, "one/TCGA-AA-0001-01Z-00-DX1.X.svs", "two/TCGA-AA-0001-01Z-00-DX1.X.svs")
    with pytest.raises(TableError, match=r"one/.*two/") as twice:
        find_slides(tmp_path)
    assert twice.value.code == "duplicate-slide"
    with pytest.raises(TableError) as nowhere:
        find_clinical((tmp_path,))
    assert nowhere.value.code == "no-clinical-table"


COLUMNS = {
    "PATIENT_ID": "",
    "TISSUE_SOURCE_SITE": "AA",
    "AGE": "60",
    "SEX": "Male",
    "HISTOLOGICAL_DIAGNOSIS": "Hepatocellular Carcinoma",
    "GRADE": "G2",
    "RESIDUAL_TUMOR": "R0",
    "AJCC_PATHOLOGIC_TUMOR_STAGE": "Stage I",
    "VASCULAR_INVASION": "None",
    "CHILD_PUGH_CLASSIFICATION": "A",
    "ISHAK_FIBROSIS_SCORE": "0",
    "DEFINITIVE_SURGICAL_PROCEDURE": "x",
    "HISTORY_NEOADJUVANT_TRTYN": "No",
    "HISTORY_OTHER_MALIGNANCY": "No",
    "TUMOR_STATUS": "x",
    "AFP_AT_PROCUREMENT": "5",
    "AFP_NORM_RANGE_UPPER": "8",
    "DFS_STATUS": "0:DiseaseFree",
    "DFS_MONTHS": "30",
}
N = 8


def write_small_tcga(folder: Path) -> None:
    """Invented patients with one small slide each, and one more without."""
    rows = []
    for k in range(N + 1):
        event = k % 2 == 0
        rows.append(
            COLUMNS
            | {
                "PATIENT_ID": f"TCGA-AA-{k:04d}",
                "TISSUE_SOURCE_SITE": "AB"[k // 2 % 2],
                "AGE": str(40 + 3 * k % 37),
                "SEX": "Male" if k % 3 else "Female",
                "AJCC_PATHOLOGIC_TUMOR_STAGE": f"Stage {('I', 'II', 'III')[k % 3]}",
                "DFS_STATUS": "1:Recurred/Progressed" if event else "0:DiseaseFree",
                "DFS_MONTHS": str(5 + 7 * k % 50),
            }
        )
    lines = ["\t".join(COLUMNS), *("\t".join(row.values()) for row in rows)]
    (folder / "lihc").mkdir(parents=True)
    (folder / "lihc" / "data_clinical_patient.txt").write_text("\n".join(lines) + "\n", "utf-8")
    for k in range(N):
        features = TissueFeatures(*(np.random.default_rng(k).uniform(0.1, 0.9, 4).tolist()))
        image = render_tile(features, np.random.default_rng(k), size_px=640)
        write_slide(folder / f"TCGA-AA-{k:04d}-01Z-00-DX1.{k}.svs", image, um_per_px=0.5)


def test_the_protocol_from_a_plain_folder_goes_on_and_keeps_the_review(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    write_small_tcga(data)
    model = write_toy(tmp_path / "toy.jecur")
    command = ["reproduce", "liu2021", "--data", str(data), "--out", str(out), "-j", "1"]
    command += ["--model", str(model)]
    assert run(command) == 0
    capsys.readouterr()
    for name in ("paper.md", "paper.csv", "report.html", "scores.csv", "review/review.csv"):
        assert (out / name).is_file(), name
    page = (out / "paper.md").read_text("utf-8")
    assert "| no diagnostic slide here | 1 | 8 | 4 |" in page
    assert "another design" not in page
    cells = pd.read_csv(out / "paper.csv").set_index(["where", "what"])
    assert cells.loc[("Cohort", "patients"), "ours"] == N + 1
    assert cells.loc[("Table 2", "Age, per year: HR"), "n"] == N + 1
    scored = pd.read_csv(out / "scores.csv")
    assert len(scored) == N
    sheet = out / "review" / "review.csv"
    rows = list(csv.DictReader(sheet.read_text("utf-8").splitlines()))
    for k, row in enumerate(rows):
        row |= {name: str((k + n) % 2) for n, name in enumerate(PAPER_FEATURES)}
    filled = ",".join(rows[0]) + "\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    sheet.write_text(filled, "utf-8")
    assert run(command) == 0
    assert sheet.read_text("utf-8") == filled, "what the pathologist entered stays"
    cells = pd.read_csv(out / "paper.csv").set_index(["where", "what"])
    ends = [
        f"{name.replace('_', ' ')}: {end}" for name in TABLE_3 for end in ("high risk", "low risk")
    ]
    entered = sum(int(row[name]) for row in rows for name in PAPER_FEATURES)
    assert sum(cells.loc[("Table 3", what), "ours"] for what in ends) == entered
    assert not (out / "recurrence-free-survival").exists()
    assert run([*command, "--max-tiles", "5"]) == 2


def test_without_a_model_it_cross_validates_and_says_that_this_is_another_design(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    write_small_tcga(data)
    asked = {}

    def stand_in(study, folder, run, settings, **_) -> SimpleNamespace:
        """What comes of a cross-validation, without one: benchmarks.reproduce_virtual runs it."""
        patients = read_cohort(study.cohort, folder).of_role("training")
        asked.update(study=study, settings=settings, n=len(patients))
        rows = [(p.id, "high" if k % 3 else "low") for k, p in enumerate(patients)]
        scores = pd.DataFrame(rows, columns=["patient_id", "group"])
        (run.root / "scores.csv").write_text(scores.to_csv(index=False), "utf-8")
        return SimpleNamespace(summary=run.root / "crossval.md", n_failed_slides=0)

    monkeypatch.setattr(liu2021, "cross_validate", stand_in)
    command = ["reproduce", "liu2021", "--data", str(data), "--out", str(out)]
    assert run([*command, "--preset", "jecur", "--folds", "2", "--max-tiles", "7"]) == 0
    assert asked["n"] == N
    assert (asked["settings"].folds, asked["settings"].site_preserving) == (2, True)
    assert asked["study"].tiling.max_tiles == 7
    assert asked["study"].training.preset == "jecur"
    assert asked["study"].training.loss.name == "cox"
    assert "another design than the paper's" in capsys.readouterr().out
    assert "another design than the paper's" in (out / "paper.md").read_text("utf-8")
    assert run([*command, "--folds", "1"]) == 2


def test_the_rule_needs_the_files_it_reads(tmp_path: Path) -> None:
    write_small_tcga(tmp_path)
    files = TcgaFiles(tmp_path / "lihc" / "data_clinical_patient.txt")
    cohort = paper_cohort(files, {"TCGA-AA-0003": ("a.svs", "b.svs")}, endpoint="dfs")
    assert cohort.with_slides.frame["slide"].tolist() == ["a.svs;b.svs"]
    assert cohort.with_slides.flow[-1].excluded == N
