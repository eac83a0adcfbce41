"""Every table of R's numbers is compared somewhere, or stands here with the reason why not."""

from pathlib import Path

NOT_COMPARED = {
    "standard/basehaz_lung1_efroncoef_breslowhaz.csv": "a mixture that no function of R returns by "
    "itself; basehaz_uncentered.csv is compared",
    "standard/coxzph_old_formula.csv": "cox.zph before survival 3, kept to show that it differs: "
    "the score test is computed",
    "standard/schoenfeld_lung1.csv": "residuals are not an output; the test made of them is compared",
    "standard/schoenfeld_veteran1.csv": "as above",
    "standard/survminer_surv_cutpoint_hepatoCellular_CXCL17T.csv": "a cut-off chosen by the outcome "
    "is what the product refuses to offer",
    "tcga/table2_side_by_side.csv": "the paper beside R; benchmarks/tcga_table2.py writes it anew",
}


def _named(path: Path) -> set[str]:
    """Files of results that the tests name, with patterns such as ``residuals_{model}`` cut."""
    folder = Path(__file__).parents[1]
    sources = "".join(
        p.read_text(encoding="utf-8") for p in folder.rglob("test_*.py") if p != Path(__file__)
    )
    stems = {"residuals_", "survfit_cox_"} if "residuals_{model}" in sources else set()
    name = path.name
    return {name} if name in sources or any(name.startswith(stem) for stem in stems) else set()


def test_no_table_of_r_is_left_out_without_a_reason(gold):
    files = {
        path.relative_to(gold).as_posix(): path
        for part in ("standard", "tcga", "timeauc", "fisher")
        for path in (gold / part).glob("*.csv")
    }
    tcga_by_name = {"tcga/cox_univariable.csv", "tcga/cox_multivariable.csv"}  # tcga/{file}.csv
    compared = {name for name, path in files.items() if _named(path)} | tcga_by_name
    assert set(files) - compared == set(NOT_COMPARED)
    assert not compared & set(NOT_COMPARED)
