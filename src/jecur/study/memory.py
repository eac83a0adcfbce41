"""Which patients a study's models were trained on: recognized inside the study, nowhere outside it.

A model file knows the tiles it was trained on by digest. Patients' names are not in it, nor any hash of
them: names are few and quickly guessed. They are kept in the study's run folder, in `FOLDER`, hashed by
scrypt [1]_ with a secret of 256 bits that is made with the folder and never leaves it. Whoever has
the folder has the study's tables anyway; whoever has the model alone has nothing to guess with.

References
----------
.. [1] C. Percival, S. Josefsson. The scrypt password-based key derivation function. RFC 7914, 2016.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jecur.errors import RunFolderError
from jecur.runs.files import sha256_file, write_private
from jecur.runs.folder import RunFolder

__all__ = ["FOLDER", "StudyMemory", "memory_beside", "remember_patients"]

FOLDER = "private"
"""Of the secret and of the hashes; readable by the owner alone, and no part of any result."""
_SECRET, _PATIENTS = "secret.key", "trained_on"
_COST = {"n": 2**14, "r": 8, "p": 1, "dklen": 16}
"""16 MiB and some 40 ms a name."""


@dataclass(frozen=True, slots=True)
class StudyMemory:
    """Patients a model was trained on; empty where only the model file is at hand."""

    patients: frozenset[str] = frozenset()
    secret: bytes = field(default=b"", repr=False)

    def saw(self, patient: str) -> bool:
        """Whether the model was trained on this patient."""
        return bool(self.patients) and _hashed(self.secret, patient) in self.patients


def remember_patients(patients: Iterable[str], model: Path, run: RunFolder) -> None:
    """Write down which patients the model of a run, or of a part of it, was trained on."""
    secret = _study_secret(run)
    with ThreadPoolExecutor(2) as pool:
        hashed = sorted(pool.map(lambda patient: _hashed(secret, patient), patients))
    folder = run.root / FOLDER
    facts = {"model_sha256": sha256_file(model), "patients": hashed}
    write_private(folder / f"{_PATIENTS}-{model.stem}.json", json.dumps(facts, indent=1) + "\n")


def memory_beside(model: Path) -> StudyMemory:
    """Find which patients a model was trained on, if it still lies in the run folder of its study.

    Raises
    ------
    RunFolderError
        If the list of training patients is there and cannot be read.
    """
    root = model.resolve().parent.parent
    lists = sorted((root / FOLDER).glob(f"{_PATIENTS}*.json"))
    keys = [folder / FOLDER / _SECRET for folder in (root, *root.parents[:5])]
    secret = next((key for key in keys if key.is_file()), None)
    if secret is None or not lists:
        return StudyMemory()
    try:
        own = sha256_file(model)
        for path in lists:
            facts = json.loads(path.read_text(encoding="utf-8"))
            if facts["model_sha256"] == own:
                return StudyMemory(frozenset(map(str, facts["patients"])), _secret_in(secret))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"expected the list of patients that {model.name} was trained on in {root / FOLDER}, found "
            f"it damaged ({type(error).__name__}); remove that folder and train again"
        ) from error
    return StudyMemory()


def _study_secret(run: RunFolder) -> bytes:
    """Secret of the whole study; the parts of a run share it."""
    root = run.slides.parent if run.slides else run.root
    path = root / FOLDER / _SECRET
    if not path.is_file():
        write_private(path, secrets.token_hex(32) + "\n")
    try:
        return _secret_in(path)
    except ValueError as error:
        raise RunFolderError(
            f"expected 64 hexadecimal digits in {path}, found something else; remove the file and train again"
        ) from error


def _secret_in(path: Path) -> bytes:
    secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    if len(secret) != 32:
        raise ValueError("secret of the wrong length")
    return secret


@lru_cache(maxsize=100_000)
def _hashed(secret: bytes, patient: str) -> str:
    return hashlib.scrypt(patient.encode(), salt=secret, **_COST).hex()
