"""R's example data and formulas, read the way the gold scripts read them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

LEVELS = {
    "celltype": ["squamous", "smallcell", "adeno", "large"],
    "rx": ["Obs", "Lev", "Lev+5FU"],
    "disease": ["Other", "GN", "AN", "PKD"],
    "x": ["Maintained", "Nonmaintained"],
    "stage3": ["I", "II", "III/IV"],
}


@dataclass(frozen=True)
class Design:
    """A formula turned into arrays, complete cases only."""

    time: np.ndarray
    event: np.ndarray
    columns: np.ndarray
    names: tuple[str, ...]
    terms: dict[str, tuple[int, ...]]
    strata: np.ndarray | None
    cluster: np.ndarray | None


def _split(right: str) -> list[str]:
    return [part.strip() for part in re.split(r"\+(?![^(]*\))", right)]


def build(formula: str, data: pd.DataFrame) -> Design:
    """Read the few formula constructs that the gold files use."""
    left, right = formula.split("~")
    time, event = re.fullmatch(r"Surv\((.*),(.*)\)", left.strip()).groups()
    used = [time, event]
    for part in _split(right):
        inner = re.fullmatch(r"\w+\((.*)\)", part)
        used += inner.group(1).split(",") if inner else [part] if part != "1" else []
    rows = data[[*dict.fromkeys(used)]].dropna()
    blocks, names, terms, strata, cluster = [], [], {}, None, None
    for part in _split(right):
        inner = re.fullmatch(r"(\w+)\((.*)\)", part)
        kind, name = inner.groups() if inner else ("", part)
        if kind == "strata":
            strata = rows[name.split(",")].astype(str).agg("/".join, axis=1).to_numpy()
        elif kind == "cluster":
            cluster = rows[name].to_numpy()
        elif part != "1":
            block, labels = _columns(rows[name], kind, part, name)
            terms[part] = tuple(range(len(names), len(names) + len(labels)))
            blocks.append(block)
            names += labels
    return Design(
        rows[time].to_numpy(float),
        rows[event].to_numpy().astype(bool),
        np.concatenate(blocks, axis=1) if blocks else np.empty((len(rows), 0)),
        tuple(names),
        terms,
        strata,
        cluster,
    )


def _columns(values: pd.Series, kind: str, part: str, name: str):
    if kind == "log":
        return np.log(values.to_numpy(float))[:, None], [part]
    if kind == "factor" or not pd.api.types.is_numeric_dtype(values):
        present = [v for v in LEVELS.get(name, sorted(values.unique())) if (values == v).any()]
        block = np.stack([(values == v).to_numpy(float) for v in present[1:]], axis=1)
        return block, [f"{part}{v:g}" if kind else f"{part}{v}" for v in present[1:]]
    return values.to_numpy(float)[:, None], [part]


class Gold:
    """Data sets and result tables of the gold folder."""

    build = staticmethod(build)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / name)

    def data(self, name: str) -> pd.DataFrame:
        if name == "colon_rec":
            return self.data("colon").query("etype == 1")
        if name == "rats_f":
            return self.data("rats").query("sex == 'f'")
        return pd.read_csv(self.folder / "data" / f"{name}.csv")

    def of_model(self, model: str) -> pd.DataFrame:
        """Data of a model named in standard/."""
        stem = model.split("_", maxsplit=1)[0].rstrip("1")
        name = {"hcc": "hepatoCellular", "rats": "rats_f", "colon": "colon"}.get(stem, stem)
        return self.data("colon_rec" if model == "colon_rec" else name)

    def tcga(self) -> pd.DataFrame:
        """The patient table with the derived covariates of the gold scripts."""
        d = pd.read_csv(
            self.folder / "data" / "tcga_lihc_patients.csv",
            na_values=[""],
            keep_default_na=False,
            low_memory=False,
        )
        number = d.afp.isna()
        d["male"] = (d.sex == "Male").astype(float)
        d["female"] = 1 - d.male
        d["vi_yes"] = (d.vascular_invasion != "None").astype(float).mask(d.vascular_invasion.isna())
        d["vi_no"] = 1 - d.vi_yes
        for cut in (15, 20, 400):
            d[f"afp{cut}"] = (d.afp > cut).astype(float).mask(number)
        d["afpuln"] = (d.afp > d.afp_uln).astype(float).mask(number | d.afp_uln.isna())
        d["stage_num"] = d.stage3.map({"I": 1.0, "II": 2.0, "III/IV": 3.0})
        return d

    def tcga_rule(self, rule: str) -> pd.DataFrame:
        """Patients of one inclusion rule with their follow-up as columns t and e."""
        d = self.tcga()
        hcc = d.histology == "Hepatocellular Carcinoma"
        clean = hcc & ~d.residual.isin(["R1", "R2"])
        stage, slide = d.stage3.notna(), d.dx_slides.notna()
        everyone = pd.Series(data=True, index=d.index)
        month = 30.4375
        first = d.nte_first_day.where(d.cbio_dfs == 1, d.fu_day) / month
        cbio = d.cbio_dfs_months, d.cbio_dfs
        rules = {
            "A_cbio_all": (*cbio, everyone),
            "B_cbio_stage_known": (*cbio, stage),
            "B2_cbio_stage_known_tpos": (*cbio, stage & (d.cbio_dfs_months > 0)),
            "C_cbio_hcc_notR12": (*cbio, clean),
            "C2_firstNTE_hcc_notR12": (first, d.cbio_dfs, clean),
            "D_slide": (*cbio, slide),
            "D2_slide_stage": (*cbio, slide & stage),
            "D3_slide_hcc": (*cbio, slide & hcc),
            "E_biotab_rec_all": (d.rec_days / month, d.rec, everyone),
            "E2_biotab_rec_hcc_notR12": (d.rec_days / month, d.rec, clean),
            "F_biotab_rfs_all": (d.rfs_days / month, d.rfs, everyone),
            "F2_biotab_rfs_hcc_notR12": (d.rfs_days / month, d.rfs, clean),
            "G_cdr_dfi": (d.cdr_dfi_days / month, d.cdr_dfi, everyone),
            "H_cdr_pfi": (d.cdr_pfi_days / month, d.cdr_pfi, everyone),
        }
        t, e, keep = rules[rule]
        keep &= t.notna() & e.notna()
        return d.assign(t=t, e=e)[keep]


@pytest.fixture(scope="session")
def r(gold: Path) -> Gold:
    """R's data, formulas and results."""
    return Gold(gold)
