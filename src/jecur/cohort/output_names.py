"""Names of outputs in a folder that the user chose: no slide's are written over another's."""

from pathlib import Path

import msgspec
from filelock import FileLock

from jecur.cohort.slide_names import stem_of
from jecur.runs.folder import fingerprint, write_text

__all__ = ["claim_name"]

_INDEX = ".jecur-names.json"


def claim_name(folder: Path, source: Path) -> str:
    """Name under which the outputs of ``source`` go into ``folder``, the same at every call.

    The stem, unless another file has it there (``a.svs`` and ``a.tif``, or two folders with an
    ``a.svs``, or ``A.svs`` where case is not told apart): then the whole name, then the whole name and
    eight letters of its path's hash. Who has which is kept in the folder, by hashes of paths alone.

    Parameters
    ----------
    folder
        Made if it does not exist.
    source
        Slide or image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / _INDEX
    mark = fingerprint(str(source.resolve()))
    name = source.resolve().name
    with FileLock(folder / f"{_INDEX}.lock"):
        owners = _owners(index)
        for form in (stem_of(name), name, f"{name}-{mark[:8]}"):
            if owners.setdefault(form.casefold(), mark) == mark:
                write_text(index, msgspec.json.encode(owners).decode())
                return form
    return f"{name}-{mark}"


def _owners(index: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(index.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}  # none yet, or damaged: names are claimed anew
