"""What the BCR biotab files say against an endpoint that is read from them is told, patient by patient."""

import random
from pathlib import Path

import pytest

from jecur.cohort.tcga.endpoint import biotab_days, biotab_endpoint, contradictions

NONE = "[Not Available]"
COLUMNS = {
    "patient": ("new_tumor_event_dx_indicator", "last_contact_days_to", "death_days_to"),
    "follow_up_v4.0": ("new_tumor_event_dx_indicator", "last_contact_days_to", "death_days_to"),
    "nte": ("new_tumor_event_type", "new_tumor_event_dx_days_to"),
    "follow_up_v4.0_nte": ("new_tumor_event_type", "new_tumor_event_dx_days_to"),
}
# Kind of patient -> rows of (table, cells), and a word of the line that names them.
KINDS: dict[str, tuple[list[tuple[str, tuple[str, ...]]], str]] = {
    "free": ([("patient", ("NO", "800", NONE)), ("follow_up_v4.0", ("NO", "900", NONE))], ""),
    "recurred": ([("patient", ("YES", "900", NONE)), ("nte", ("Locoregional", "300"))], ""),
    "died": ([("patient", ("NO", NONE, "700"))], ""),
    "no event after all": (
        [("patient", ("NO", "900", NONE)), ("nte", ("No New Tumor Event", NONE))],
        "",
    ),
    "event without a day": (
        [("patient", ("NO", "900", NONE)), ("follow_up_v4.0_nte", ("Extrahepatic", NONE))],
        "without a day",
    ),
    "indicated alone": (
        [("patient", (NONE, "900", NONE)), ("follow_up_v4.0", ("YES", "950", NONE))],
        "without a day",
    ),
    "one of two days": (
        [
            ("patient", ("YES", "900", NONE)),
            ("nte", ("x", NONE)),
            ("follow_up_v4.0_nte", ("x", "40")),
        ],
        "",
    ),
    "after the end": ([("patient", ("YES", "10", NONE)), ("nte", ("x", "102"))], "after the last"),
    "alive after death": (
        [("patient", ("NO", NONE, "500")), ("follow_up_v4.0", ("NO", "600", NONE))],
        "after death",
    ),
    "before diagnosis": (
        [("patient", ("YES", "900", NONE)), ("nte", ("x", "-5"))],
        "before diagnosis",
    ),
}


def write_biotab(folder: Path, people: dict[str, str]) -> Path:
    folder.mkdir()
    for table, columns in COLUMNS.items():
        heading = "\t".join(("bcr_patient_barcode", *columns))
        rows = [
            "\t".join((patient, *cells))
            for patient, kind in people.items()
            for name, cells in KINDS[kind][0]
            if name == table
        ]
        ids = "\t".join("CDE_ID:1" for _ in (0, *columns))
        text = "\n".join([heading, heading, ids, *rows]) + "\n"
        (folder / f"x_clinical_{table}_lihc.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("endpoint", ["recurrence", "rfs"])
@pytest.mark.parametrize("seed", range(8))
def test_each_contradiction_names_its_patients_and_no_others(tmp_path, endpoint, seed):
    draw = random.Random(seed)  # noqa: S311
    kinds = [draw.choice(list(KINDS)) for _ in range(25)] + list(KINDS)
    people = {f"TCGA-AA-{k:04d}": kind for k, kind in enumerate(kinds)}
    folder = write_biotab(tmp_path / "biotab", people)
    frame = biotab_endpoint(biotab_days(folder), endpoint)
    lines = contradictions(folder, frame[frame["reason"] == ""], endpoint)
    for word in {word for _, word in KINDS.values()} - {""}:
        (line,) = [line for line in lines if word in line]
        wanted = sorted(p for p, kind in people.items() if KINDS[kind][1] == word)
        assert line.partition(": ")[2].split(", ") == wanted
        assert line.startswith(f"{len(wanted)} with ")
    assert len(lines) == 4


def test_files_without_contradictions_are_passed_over_in_silence(tmp_path):
    sound = [kind for kind, (_, word) in KINDS.items() if not word]
    folder = write_biotab(
        tmp_path / "b", {f"TCGA-AA-{k:04d}": kind for k, kind in enumerate(sound)}
    )
    frame = biotab_endpoint(biotab_days(folder), "rfs")
    assert contradictions(folder, frame, "rfs") == []
