"""A study that was edited after a run: the same folder gives what an empty one gives."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from tests.runs.test_refusals import _study as write_features_study

from jecur.cli import OK, run
from jecur.model.file import read_bundle
from jecur.runs.log import read_events
from jecur.settings import TrainingSettings, read_study, write_study

pytest.importorskip("h5py", reason="needs the extra: features")


def _edit_table(folder: Path, edit: Callable[[pd.DataFrame], None]) -> None:
    table = pd.read_csv(folder / "clinical.csv", dtype={"months": float}).set_index("patient_id")
    edit(table)
    table.reset_index().to_csv(folder / "clinical.csv", index=False)


def _exchange(column: str, one: str, other: str) -> Callable[[Path], None]:
    def edit(table: pd.DataFrame) -> None:
        table.loc[[one, other], column] = table.loc[[other, one], column].to_numpy()

    return lambda folder: _edit_table(folder, edit)


def _redefine(folder: Path) -> None:
    path = folder / "study.toml"
    study = read_study(path)
    endpoint = msgspec.structs.replace(study.cohort.endpoint, definition="months from resection")
    cohort = msgspec.structs.replace(study.cohort, endpoint=endpoint)
    path.write_text(write_study(msgspec.structs.replace(study, cohort=cohort)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A study of eight training patients, four tuning ones and others, trained on for Cox's likelihood."""
    folder = tmp_path_factory.mktemp("edited")
    path = write_features_study(folder / "study")

    def watch(table: pd.DataFrame) -> None:
        table.loc[["P8", "P9", "P10", "P11"], "role"] = "tuning"

    _edit_table(path.parent, watch)
    study = read_study(path)
    training = TrainingSettings.from_flat(preset="jecur", loss="cox", epochs=2, learning_rate=1e-2)
    path.write_text(write_study(msgspec.structs.replace(study, training=training)))
    assert run(["train", str(path), "--out", str(folder / "run"), "-j", "1"]) == OK
    return folder


@pytest.mark.parametrize(
    ("edit", "trains"),
    [
        (_exchange("months", "P1", "P3"), True),
        (_exchange("slide", "P1", "P3"), True),
        (_exchange("months", "P9", "P11"), True),
        (_redefine, False),
    ],
    ids=["months", "slides", "months of tuning patients", "endpoint"],
)
def test_a_model_is_that_of_the_study_as_it_is_now(trained, tmp_path, edit, trains):
    folder = tmp_path / "again"
    shutil.copytree(trained, folder)
    before = read_bundle(folder / "run" / "models" / "refused.jecur").sha256
    edit(folder / "study")
    for out in ("run", "fresh"):
        command = ["train", str(folder / "study" / "study.toml"), "--out", str(folder / out)]
        assert run([*command, "-j", "1"]) == OK
    again, fresh = (
        (folder / out / "models" / "refused.jecur").read_bytes() for out in ("run", "fresh")
    )
    assert again == fresh
    assert read_bundle(folder / "run" / "models" / "refused.jecur").sha256 != before
    marks = {line["mark"] for line in read_events(folder / "run" / "log.jsonl", "begun")}
    assert (len(marks) == 2) == trains


def test_what_was_measured_on_other_tiles_is_not_left_beside_the_new_ones(trained, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(trained, folder)
    slides = folder / "study" / "slides"
    for slide in ("P0", "P1"):
        for name in ("nuclei.parquet", "each_nucleus.parquet"):
            (folder / "run" / "slides" / slide / name).write_bytes(b"of the tiles before")
    shutil.copyfile(slides / "P12.h5", slides / "P0.h5")  # of the validation role
    command = ["prepare", str(folder / "study" / "study.toml"), "--out", str(folder / "run")]
    table = pd.read_csv(folder / "study" / "clinical.csv")
    table[table["patient_id"] != "P12"].to_csv(folder / "study" / "clinical.csv", index=False)
    assert run([*command, "-j", "1"]) == OK
    found = {path.parent.name for path in (folder / "run" / "slides").glob("*/*nucle*.parquet")}
    assert found == {"P1"}
