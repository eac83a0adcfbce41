"""``SOURCE.md``: whence the files are, under which terms, and how to cite them."""

import re
from collections.abc import Mapping

__all__ = ["source_page"]

_TERMS = """\
- Terms: open-access data of The Cancer Genome Atlas, free for any use under the NIH Genomic Data
  Sharing policy; nobody may try to identify a patient.
- Cite: The Cancer Genome Atlas Research Network. Comprehensive and integrative genomic
  characterization of hepatocellular carcinoma. Cell 2017;169:1327-1341. doi:10.1016/j.cell.2017.05.046
- Cite: Grossman RL et al. Toward a shared vision for cancer genomic data. N Engl J Med
  2016;375:1109-1112. doi:10.1056/NEJMp1607591
"""
_GDC = f"""\
## Slides: NCI Genomic Data Commons

- Last fetch {{day}}. List followed: {{list_used}}
- Project TCGA-LIHC, dbGaP accession phs000178, open-access tier; {{server}}
- Data release: {{release}}
{_TERMS}"""
_BIOTAB = f"""\
## BCR tables: NCI Genomic Data Commons

- Last fetch {{day}}
- Project TCGA-LIHC, dbGaP accession phs000178, open-access tier; {{server}}
- Data release: {{release}}
{_TERMS}"""
_CBIOPORTAL = """\
## Table of patients: cBioPortal, study lihc_tcga

- Last fetch {day} from {server}; {release}
- Terms: as on the study's page of cBioPortal; the values are TCGA's open-access tier.
- Cite: Cerami E et al. The cBio cancer genomics portal. Cancer Discov 2012;2:401-404.
  doi:10.1158/2159-8290.CD-12-0095
- Cite: Gao J et al. Integrative analysis of complex cancer genomics and clinical profiles using the
  cBioPortal. Sci Signal 2013;6:pl1. doi:10.1126/scisignal.2004088
"""
_IDC = """\
## Slides as DICOM: NCI Imaging Data Commons

- Last fetch {day}. List followed: {list_used}
- Collection tcga_lihc; {server}
- Data release: {release}
- DOI of the DICOM slides: 10.5281/zenodo.12690002; licence CC BY 3.0
- Cite: Fedorov A et al. National Cancer Institute Imaging Data Commons: toward transparency,
  reproducibility, and scalability in imaging artificial intelligence. RadioGraphics 2023;43:e230180.
  doi:10.1148/rg.230180
- Cite also the TCGA paper: doi:10.1016/j.cell.2017.05.046
"""
_PARTS = {"gdc": _GDC, "biotab": _BIOTAB, "cbioportal": _CBIOPORTAL, "idc": _IDC}
_HEAD = """\
# TCGA-LIHC

Every file, its size, its MD5 and how it was proved: fetched.csv. Prove them again: the same command with
`--check`.
"""
_SECTION = re.compile(r"^(?=## )", re.MULTILINE)


def source_page(
    origins: Mapping[str, tuple[str, str]], list_used: str, day: str, earlier: str = ""
) -> str:
    """Write the page.

    Parameters
    ----------
    origins
        "gdc", "biotab", "cbioportal" or "idc" -> (server, release as it calls it).
    list_used
        Which list of files was followed.
    day
        ISO 8601.
    earlier
        The page that an earlier command left in the folder. What it says of other origins stays: their
        files still lie there.
    """
    parts = {
        _title(part): part.format(server=server, release=release, day=day, list_used=list_used)
        for name, (server, release) in origins.items()
        for part in [_PARTS[name]]
    }
    kept = [part.strip() + "\n" for part in _SECTION.split(earlier) if part.startswith("## ")]
    return "\n".join([_HEAD, *parts.values(), *(p for p in kept if _title(p) not in parts)])


def _title(part: str) -> str:
    return part.partition("\n")[0].strip()
