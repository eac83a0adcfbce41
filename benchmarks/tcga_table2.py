"""The paper's Table 2 beside TCGA-LIHC itself, from the files as downloaded.

    python -m benchmarks.tcga_table2 --clinical DIR [--write docs/tcga.md]

DIR holds the cBioPortal study folder, the BCR biotab folder (any names; found by their files).
Prints the tables of docs/tcga.md; ``--write`` puts them there between its two marks.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.common import Arguments, table

from jecur.cohort.csv_text import csv_text
from jecur.cohort.tcga.endpoint import EVENT
from jecur.cohort.tcga.lihc import TcgaFiles, read_tcga_lihc
from jecur.settings import TcgaSettings
from jecur.survival.auc import time_dependent_auc
from jecur.survival.cox import CoxModel, fit_cox
from jecur.survival.proportional_hazards import proportional_hazards_test

PAPER = {  # Table 2 as printed: hazard ratio, z, p
    "age": (0.995675, -0.69645, 0.48615),
    "male": (0.859213, -0.91769, 0.358779),
    "afp20": (1.379967, 1.770971, 0.076566),
    "vi_no": (0.543518, -3.32539, 0.000883),
    "stage3II": (1.937217, 3.171588, 0.001516),
    "stage3III/IV": (3.078974, 5.909885, 3.42e-09),
}
LABELS = {
    "age": "Age, per year",
    "male": "Sex, male vs female (printed: female vs male)",
    "afp20": "AFP, positive vs negative (here > 20 ng/ml)",
    "afp15": "AFP > 15 ng/ml",
    "afp400": "AFP > 400 ng/ml",
    "afpuln": "AFP above the laboratory's limit",
    "vi_no": "Vascular invasion, no vs yes",
    "vi_yes": "Vascular invasion, yes vs no",
    "stage3II": "AJCC stage, II vs I",
    "stage3III/IV": "AJCC stage, III/IV vs I",
}
TERMS = {"stage3": ("stage3II", "stage3III/IV")}
UNIVARIABLE = ("age", "male", "afp20", "vi_no", "stage3", "afp15", "afp400", "afpuln")
MULTIVARIABLE = (
    ("age", "male", "stage3"),
    ("vi_yes", "stage3"),
    ("age", "male", "afp20", "vi_yes", "stage3"),
)
YEARS = np.arange(1, 7) * 12.0


@dataclass(frozen=True)
class Patients:
    """Follow-up and coded columns of a cohort; NaN where unknown."""

    months: np.ndarray
    event: np.ndarray
    columns: dict[str, np.ndarray]

    def fit(self, terms: tuple[str, ...]) -> tuple[CoxModel, np.ndarray, np.ndarray]:
        """Fit the patients who have every term; return model, design and who they are."""
        names = tuple(c for t in terms for c in TERMS.get(t, (t,)))
        design = np.column_stack([self.columns[c] for c in names])
        known = np.isfinite(design).all(axis=1)
        model = fit_cox(design[known], self.months[known], self.event[known], names=names)
        return model, design[known], known


def read(clinical: Path, endpoint: str = "dfs") -> Patients:
    """Make the cohort of 302 patients (endpoint ``dfs``) or the same rule on another endpoint."""
    portal = next(iter(sorted(clinical.rglob("data_clinical_patient.txt"))))
    biotab = next(iter(sorted(clinical.rglob("*clinical_patient_lihc.txt")))).parent
    settings = TcgaSettings(endpoint=endpoint, histology="hcc", residual="exclude-r1-r2")
    frame = read_tcga_lihc(TcgaFiles(portal, biotab=biotab), settings).frame
    months = frame["time"].to_numpy(float) * (1 if endpoint == "dfs" else 12 / 365.25)
    return Patients(months, (frame["event"] == EVENT).to_numpy(), _columns(frame))


def _columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    def yes(is_one: pd.Series, known: pd.Series) -> np.ndarray:
        return is_one.astype(float).where(known).to_numpy()

    afp, limit, stage = frame["afp"], frame["afp_upper_limit"], frame["stage_group"]
    invasion = frame["any_vascular_invasion"]
    male = yes(frame["sex"] == "Male", frame["sex"] != "")
    return {
        "age": frame["age"].to_numpy(float),
        "male": male,
        **{f"afp{cut}": yes(afp > cut, afp.notna()) for cut in (15, 20, 400)},
        "afpuln": yes(afp > limit, afp.notna() & limit.notna()),
        "vi_no": yes(invasion == "no", invasion != ""),
        "vi_yes": yes(invasion == "yes", invasion != ""),
        "stage3II": yes(stage == "II", stage != ""),
        "stage3III/IV": yes(stage == "III/IV", stage != ""),
        "stage_num": stage.map({"I": 1.0, "II": 2.0, "III/IV": 3.0}).to_numpy(float),
    }


def univariable(patients: Patients) -> pd.DataFrame:
    rows = []
    for term in UNIVARIABLE:
        model, _, _ = patients.fit((term,))
        for ratio in model.hazard_ratios():
            paper = PAPER.get(ratio.name, (np.nan,) * 3)
            rows.append((ratio.name, *_facts(ratio), *paper))
    paper_columns = ["paper_HR", "paper_z", "paper_p"]
    return pd.DataFrame(rows, columns=["term", *FACTS, *paper_columns])


FACTS = ["n", "events", "HR", "lower", "upper", "z", "p"]


def _facts(ratio) -> tuple[float, ...]:
    return (ratio.n, ratio.events, ratio.estimate, ratio.lower, ratio.upper, ratio.z, ratio.p)


def multivariable(patients: Patients) -> pd.DataFrame:
    rows = []
    for terms in MULTIVARIABLE:
        model, design, known = patients.fit(terms)
        groups, start = {}, 0
        for term in terms:
            width = len(TERMS.get(term, (term,)))
            groups[term] = tuple(range(start, start + width))
            start += width
        hazards = proportional_hazards_test(
            model, design, patients.months[known], patients.event[known], terms=groups
        )
        for ratio in model.hazard_ratios():
            overall = model.likelihood_ratio().p, hazards.global_test.p
            rows.append(("+".join(terms), ratio.name, *_facts(ratio), *overall))
    return pd.DataFrame(rows, columns=["model", "term", *FACTS, "lrt_p", "zph_p"])


def stage_auc(patients: Patients) -> pd.DataFrame:
    """Stage as 1, 2, 3; cases before t (timeROC), plain intervals as the paper's tool gives."""
    stage = patients.columns["stage_num"]
    known = np.isfinite(stage)
    auc = time_dependent_auc(
        stage[known],
        patients.months[known],
        patients.event[known],
        YEARS,
        recipe="timeroc",
        interval="plain",
    )
    columns = {
        "year": YEARS / 12,
        "n_at_risk": auc.n_at_risk,
        "cases": auc.n_cases,
        "controls": auc.n_controls,
        "auc": auc.estimate,
        "se": auc.standard_error,
        "lower": auc.lower,
        "upper": auc.upper,
    }
    return pd.DataFrame(columns)


def tables(clinical: Path) -> str:
    """All tables of docs/tcga.md as Markdown."""
    cohort = read(clinical)
    parts = ["### Univariable Cox, n = 302, 165 events\n", _uni_text(univariable(cohort))]
    parts += ["\n### Multivariable Cox, same patients\n", _multi_text(multivariable(cohort))]
    parts += ["\n### AUC of AJCC stage over time\n", _auc_text(stage_auc(cohort))]
    parts += ["\n### The same patients' rule, other endpoints\n", _endpoint_text(clinical, cohort)]
    return "\n".join(parts) + "\n"


def _ratio(row) -> str:
    return f"{row.HR:.3f} ({row.lower:.3f}-{row.upper:.3f})"


def _uni_text(frame: pd.DataFrame) -> str:
    rows = [
        [LABELS[r.term], str(r.n), str(r.events), _ratio(r), f"{r.z:.2f}", f"{r.p:.2g}"]
        + (
            ["-", "-", "-"]
            if np.isnan(r.paper_HR)
            else [f"{r.paper_HR:.3f}", f"{r.paper_z:.2f}", f"{r.paper_p:.2g}"]
        )
        for r in frame.itertuples()
    ]
    heading = ["Factor", "n", "events", "HR (95 %)", "z", "p", "paper HR", "paper z", "paper p"]
    return table(heading, rows)


def _multi_text(frame: pd.DataFrame) -> str:
    rows = [
        [
            " + ".join(r.model.split("+")) if new else "",
            LABELS[r.term].split(" (")[0],
            str(r.n),
            str(r.events),
            _ratio(r),
            f"{r.p:.2g}",
            f"{r.lrt_p:.2g}" if new else "",
            f"{r.zph_p:.2g}" if new else "",
        ]
        for r, new in zip(frame.itertuples(), ~frame["model"].duplicated(), strict=True)
    ]
    heading = ["Model", "Factor", "n", "events", "HR (95 %)", "p", "model p", "PH test p"]
    return table(heading, rows)


def _auc_text(frame: pd.DataFrame) -> str:
    rows = [
        [
            f"{r.year:.0f}",
            str(r.n_at_risk),
            str(r.cases),
            str(r.controls),
            f"{r.auc:.3f} ({r.lower:.3f}-{r.upper:.3f})",
        ]
        for r in frame.itertuples()
    ]
    return table(["Year", "at risk", "cases", "controls", "AUC (95 %)"], rows)


def _endpoint_text(clinical: Path, dfs: Patients) -> str:
    names = {"dfs": "cBioPortal DFS", "recurrence": "first new tumor event", "rfs": "RFS"}
    cohorts = {"dfs": dfs, **{e: read(clinical, e) for e in ("recurrence", "rfs")}}
    rows = []
    for endpoint, patients in cohorts.items():
        found = univariable(patients).set_index("term")["HR"]
        counts = [str(patients.event.size), str(patients.event.sum())]
        rows.append([names[endpoint], *counts, *(f"{found[t]:.3f}" for t in PAPER)])
    paper = ["Paper (called RFS)", "302", "165", *(f"{PAPER[t][0]:.3f}" for t in PAPER)]
    heading = ["Endpoint", "n", "events", "age", "male", "AFP", "no invasion", "II", "III/IV"]
    return table(heading, [*rows, paper])


MARKS = ("<!-- tables: benchmarks/tcga_table2.py -->\n", "<!-- end of tables -->\n")


def write(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(before + MARKS[0] + "\n" + text + "\n" + MARKS[1] + after, encoding="utf-8")


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--clinical", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--csv", type=Path, help="folder for the three tables in full")
    arguments = parser.parse_args()
    text = tables(arguments.clinical)
    print(text)
    if arguments.write:
        write(arguments.write, text)
    if arguments.csv:
        arguments.csv.mkdir(parents=True, exist_ok=True)
        cohort = read(arguments.clinical)
        for name, make in (("uni", univariable), ("multi", multivariable), ("auc", stage_auc)):
            path = arguments.csv / f"{name}variable.csv".replace("aucvariable", "stage_auc")
            path.write_text(csv_text(make(cohort)), encoding="utf-8")


if __name__ == "__main__":
    main()
