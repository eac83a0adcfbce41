"""The file of patients of a cBioPortal study, under whatever name it was downloaded."""

import pytest

from jecur.cohort.tcga.files import read_cbioportal_patients
from jecur.errors import TableError

PATIENTS = "#Patient\tAge\n#STRING\tNUMBER\nPATIENT_ID\tAGE\nTCGA-AA-0001\t61\nTCGA-AA-0002\t58\n"
SAMPLES = "PATIENT_ID\tSAMPLE_ID\nTCGA-AA-0001\tTCGA-AA-0001-01\n"
NAMES = ["data_clinical_patient.txt", "data_bcr_clinical_data_patient.txt", "data_clinical.txt"]
NAMES += [
    "data_clinical_patients.txt",
    "lihc_tcga_clinical_patient.txt",
    "data_clinical_patient.tsv",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_found_and_named(tmp_path, name):
    (tmp_path / name).write_text(PATIENTS)
    (tmp_path / "data_clinical_sample.txt").write_text(SAMPLES)
    (tmp_path / "data_bcr_clinical_data_sample.txt").write_text(SAMPLES)
    (tmp_path / "meta_clinical_patient.txt").write_text("cancer_study_identifier: lihc_tcga\n")
    table = read_cbioportal_patients(tmp_path)
    assert table.name == name
    assert table.column("AGE", "age").tolist() == ["61", "58"]


def test_the_present_name_goes_before_the_older_ones(tmp_path):
    for name in NAMES[:3]:
        (tmp_path / name).write_text(PATIENTS)
    assert read_cbioportal_patients(tmp_path).name == NAMES[0]


def test_a_folder_without_one_or_with_two_of_no_known_name_is_refused(tmp_path):
    (tmp_path / "data_clinical_sample.txt").write_text(SAMPLES)
    with pytest.raises(TableError, match=r"found data_clinical_sample\.txt; name the file itself"):
        read_cbioportal_patients(tmp_path)
    for name in ("a_clinical.txt", "b_clinical.txt"):
        (tmp_path / name).write_text(PATIENTS)
    with pytest.raises(TableError, match=r"found a_clinical\.txt, b_clinical\.txt"):
        read_cbioportal_patients(tmp_path)
