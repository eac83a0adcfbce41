"""The run folder: every file written whole or not at all, and a manifest of how it was made.

Two runs of the same study end in the same bytes, however often one of them was stopped and gone on
with. Times, dates and durations go into one file alone, ``log.jsonl``.
"""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

import jecur
from jecur.errors import RunFolderError, SystemRefusedError
from jecur.runs.device import device_record
from jecur.runs.files import (
    atomic_path,
    fingerprint,
    refused_as_said,
    sha256_file,
    write_json,
    write_text,
)
from jecur.runs.finished import (
    Finished,
    ProvedFiles,
    damage,
    read_marker,
    renew_marker,
    write_marker,
)
from jecur.runs.leftovers import sweep
from jecur.runs.locks import is_locked
from jecur.runs.log import append_event, read_events
from jecur.runs.opening import (
    HOLDER,
    LOCK,
    MANIFEST,
    Identity,
    identity_of,
    in_progress,
    lock_root,
    make_root,
    name_holder,
    read_manifest,
    refuse_workers,
)

__all__ = [
    "BAG_FILES",
    "HOLDER",
    "LOCK",
    "LOG",
    "MANIFEST",
    "SEEN",
    "RunFolder",
    "atomic_path",
    "bag_file",
    "fingerprint",
    "library_versions",
    "result_files",
    "sha256_file",
    "write_json",
    "write_text",
]

LOG = "log.jsonl"
BAG_FILES = ("bag.npy", "bag.zip")
"""Files of a slide's tiles, raw or packed: one of them is there, or none. They may be huge."""
SEEN = ".slides"
"""Where the slides lie, seen from the run folder: names of folders, so no part of what is handed on."""
_COMPLETE = "complete"
_REVIEW = "review"

_LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "onnxruntime",
    "openslide-python",
    "openslide-bin",
    "torch",
)


def bag_file(folder: Path) -> Path:
    """Path of the file that holds the tiles of a slide, in whichever form; that of raw ones if none does."""
    raw, packed = (folder / name for name in BAG_FILES)
    return packed if packed.is_file() else raw


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Everything one run leaves behind.

    Parameters
    ----------
    root
        The folder; made on demand.
    slides
        Where the slides' folders are; None is ``root / "slides"``.
    lock
        Held while this object, or a part of it, lives: one run writes at a time.
    """

    root: Path
    slides: Path | None = None
    lock: FileLock | None = field(default=None, compare=False, repr=False)
    whole: Path | None = None
    """Root of the run that this is a part of; None if it is the whole."""
    identity: Identity | None = field(default=None, compare=False, repr=False)
    """Of the root when it was opened."""
    proved: ProvedFiles = field(default_factory=ProvedFiles, compare=False, repr=False)
    """Digests of files that this process has read; the parts of a run share them."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process border without the lock: workers write for the run that started them."""
        return RunFolder, (self.root, self.slides, None, self.whole, self.identity)

    @classmethod
    def open(cls, root: Path) -> "RunFolder":
        """Make or reuse a run folder.

        Raises
        ------
        RunFolderError
            If the path is a file, or a folder that holds something else, or another run or workers
            are writing there.
        """
        make_root(root)
        lock = lock_root(root)
        run = cls(root, lock=lock, identity=identity_of(root))
        if lock is None or lock.lock_counter == 1:
            try:
                refuse_workers(root)
            except RunFolderError:
                if lock is not None:
                    lock.release()
                raise
            name_holder(root)
        if lock and lock.lock_counter == 1:  # no other run writes here: a killed run left these
            run.sweep()
        return run

    @classmethod
    def join(cls, root: Path) -> "RunFolder":
        """Make or reuse a run folder as one of several workers, which write each for its own slides.

        Raises
        ------
        RunFolderError
            As `open`; there may be other workers, but no run.
        """
        make_root(root)
        if is_locked(root / LOCK):
            raise in_progress(root)
        return cls(root, identity=identity_of(root))

    def sweep(self) -> None:
        """Take away what killed processes left half written; what a live one is writing stays."""
        sweep(self.root)

    def slide_folder(self, slide: str) -> Path:
        """Folder of one slide's files."""
        return (self.slides or self.root / "slides") / slide

    def part(self, name: str) -> "RunFolder":
        """Return the folder of one part of this run (a fold), with the slides of the whole."""
        root = self.root / "parts" / name
        with refused_as_said(root):
            root.mkdir(parents=True, exist_ok=True)
        slides, whole = self.slides or self.root / "slides", self.whole or self.root
        return RunFolder(root, slides, self.lock, whole, self.identity, self.proved)

    def parts(self) -> tuple["RunFolder", ...]:
        """Parts that there are, also those of an earlier command."""
        root = self.root / "parts"
        return tuple(self.part(p.name) for p in sorted(root.glob("*")) if p.is_dir())

    def finished_slide(self, slide: str, mark: str) -> Finished | None:
        """Return what was finished of a slide under the same settings, unproved; else None."""
        finished = read_marker(self.slide_folder(slide) / _COMPLETE)
        return finished if finished is not None and finished.mark == mark else None

    def is_complete(self, slide: str, mark: str) -> bool:
        """Whether this slide was prepared under the same settings and every byte is as it was."""
        finished = self.finished_slide(slide, mark)
        return finished is not None and not damage(self.slide_folder(slide), finished)

    def mark_complete(self, slide: str, mark: str, names: Sequence[str] = ()) -> None:
        """Say that these files of the slide are there; written last."""
        self._require_there()
        folder = self.slide_folder(slide)
        write_marker(folder / _COMPLETE, folder, mark, names)

    def renew_file(self, slide: str, name: str) -> None:
        """Take up a file of a finished slide that was written anew."""
        self._require_there()
        folder = self.slide_folder(slide)
        renew_marker(folder / _COMPLETE, folder, name)

    def has_file(self, slide: str, name: str) -> bool:
        """Whether a file is among those that a slide was finished with."""
        finished = read_marker(self.slide_folder(slide) / _COMPLETE)
        return finished is not None and name in finished.files

    def bag_sha256(self, slide: str) -> str:
        """Digest of the file of a slide's tiles as it was written; measured now if it was not recorded."""
        folder = self.slide_folder(slide)
        finished = read_marker(folder / _COMPLETE)
        for name in BAG_FILES:
            if finished is not None and name in finished.files:
                return finished.files[name].sha256
        return sha256_file(bag_file(folder))

    def is_finished(self, stage: str, mark: str) -> bool:
        """Whether a stage was finished under this mark and its files are as they were."""
        finished = read_marker(self.root / "stages" / stage)
        return finished is not None and finished.mark == mark and not damage(self.root, finished)

    def mark_stage(self, stage: str, mark: str, files: Sequence[Path]) -> None:
        """Say that these files of a stage are there; written last."""
        self._require_there()
        names = [path.relative_to(self.root).as_posix() for path in files]
        write_marker(self.root / "stages" / stage, self.root, mark, names)

    def log(self, event: str, **facts: object) -> None:
        """Append one line to the log of the whole run."""
        self._require_there()
        append_event((self.whole or self.root) / LOG, event, **facts)

    def log_slide_folder(self, folder: Path) -> None:
        """Write where the slides lie, seen from the run folder, into a hidden file that is no result."""
        root = (self.whole or self.root).resolve()
        try:
            seen = os.path.relpath(folder.resolve(), root)
        except ValueError:  # another drive
            seen = str(folder.resolve())
        write_text(root / SEEN, Path(seen).as_posix() + "\n")

    def log_private(self) -> None:
        """Write the digests of the study's own secrets into the log: they differ by design."""
        root = self.whole or self.root
        found = (path for path in sorted(root.rglob("private/*")) if path.is_file())
        self.log("private", sha256={p.relative_to(root).as_posix(): sha256_file(p) for p in found})

    def day_begun(self, stage: str, mark: str) -> str:
        """Day (UTC, ISO 8601) on which this very work was first begun; today if it was not yet.

        A run that was stopped and gone on with keeps the day of its start.
        """
        for line in read_events((self.whole or self.root) / LOG, "begun"):
            if (line.get("stage"), line.get("mark")) == (stage, mark):
                return str(line["day"])
        day = datetime.now(UTC).date().isoformat()
        self.log("begun", stage=stage, mark=mark, day=day)
        return day

    def write_manifest(self, facts: Mapping[str, Any]) -> Path:
        """Write how the run was made: settings, seeds, versions, and the hash of each file."""
        self._require_there()
        self.sweep()
        path = write_json(
            self.root / MANIFEST,
            {
                "jecur": jecur.__version__,
                "versions": library_versions(),
                **({"device": device} if (device := device_record(self.root)) else {}),
                **facts,
                "sha256": self._digests(),
            },
        )
        self.log("finished", manifest_sha256=sha256_file(path))
        return path

    @property
    def command(self) -> str:
        """Command whose results the folder holds; "" where none has ended."""
        return str(read_manifest(self.root).get("command") or "")

    def refuse_other_command(
        self, command: str, *also: str, remedy: str = "name another --out"
    ) -> None:
        """Refuse to write over the results of another command than this, or than those it consists of.

        Raises
        ------
        RunFolderError
            With code ``other-recipe``.
        """
        if self.command not in ("", command, *also):
            raise RunFolderError(
                f"expected an empty folder or an earlier jecur {command} at {self.root}, found the "
                f"results of jecur {self.command}; {remedy}",
                code="other-recipe",
            )

    def renew_manifest(self) -> bool:
        """Take up files that a later command has added to a finished run; False if none was finished."""
        facts = read_manifest(self.root)
        if "sha256" in facts:
            known = ("jecur", "versions", "device", "sha256")
            self.write_manifest({key: facts[key] for key in facts if key not in known})
        return "sha256" in facts

    def _digests(self) -> dict[str, str]:
        """Digest of every file; that of a bag as it was when written, for it may be huge."""
        return {
            name: self.bag_sha256(Path(name).parent.relative_to("slides").as_posix())
            if name.startswith("slides/") and path.name in BAG_FILES
            else sha256_file(path)
            for name, path in result_files(self.root)
        }

    def _require_there(self) -> None:
        """Refuse to go on in a folder that is not the one that was opened."""
        root = self.whole or self.root
        if self.identity is not None and not self.identity.is_that_of(root):
            raise SystemRefusedError(
                f"expected the run folder at {root} to stay, found that it was deleted or replaced "
                "meanwhile; run the same command again to start anew",
                code="vanished",
            )


def result_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a run folder that the manifest answers for: (relative name, path), sorted.

    Left out are hidden files, the study's own secrets (``private``, never to be shared), the blinded
    review (its order is drawn anew for every run), the manifest itself and the log, which has a
    chain of its own. Slides and parts may be links to another disk; no other link to a folder is followed.
    """
    for path in sorted(_all_below(root)):
        name = path.relative_to(root)
        hidden = any(part.startswith(".") or part == "private" for part in name.parts)
        hidden = hidden or name.parts[0] == _REVIEW
        if path.is_file() and not hidden and name.as_posix() not in {MANIFEST, LOG}:
            yield name.as_posix(), path


def _all_below(root: Path) -> Iterator[Path]:
    yield from root.rglob("*")
    for linked in (root / "slides", root / "parts"):
        if linked.is_symlink():
            yield from linked.rglob("*")


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a number."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        versions[name] = _version(name) or _version(f"{name}-gpu") or "absent"
    return versions


@cache
def _version(name: str) -> str:
    """Version of an installed library; "" if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
