"""Whether a run folder still holds, byte for byte, what its manifest says."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jecur.errors import RunFolderError
from jecur.runs.finished import damage, read_marker
from jecur.runs.folder import LOG, MANIFEST, result_files, sha256_file
from jecur.runs.log import LogState, read_log

__all__ = ["Verification", "verify_run"]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a run folder; names are relative to it."""

    finished: bool
    """Whether there is a manifest of every file; else only what is marked as finished was checked."""
    n_files: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]
    log: str
    """What is wrong with the log, "" for nothing."""

    @property
    def whole(self) -> bool:
        """Whether every file is there, as it was written, and no other."""
        return not (self.missing or self.changed or self.extra or self.log)


class _Manifest(msgspec.Struct, frozen=True):
    """What of the manifest is needed here."""

    jecur: str
    sha256: dict[str, str] | None = None


def verify_run(root: Path, *, threads: int) -> Verification:
    """Read every file of a run folder and compare it with the manifest; changes nothing.

    Parameters
    ----------
    root
        Folder of a run.
    threads
        Files hashed at a time.

    Raises
    ------
    RunFolderError
        With code ``not-a-run`` if the folder has no manifest that can be read.
    """
    manifest = _read_manifest(root)
    if manifest.sha256 is None:
        return _of_markers(root)
    state = read_log(root / LOG)
    private = _private(state)
    expected = manifest.sha256 | private
    found = dict(result_files(root)) | {n: root / n for n in private if (root / n).is_file()}
    with ThreadPoolExecutor(max(1, threads)) as pool:
        digests = dict(zip(found, pool.map(_digest, found.values()), strict=True))
    return Verification(
        finished=True,
        n_files=len(found),
        missing=tuple(sorted(expected.keys() - found.keys())),
        changed=tuple(
            n for n in sorted(expected.keys() & found.keys()) if digests[n] != expected[n]
        ),
        extra=tuple(sorted(found.keys() - expected.keys())),
        log=_log_problem(state, sha256_file(root / MANIFEST)),
    )


def _private(state: LogState) -> dict[str, str]:
    """Digests of the study's own secrets, which differ from run to run: the log has them."""
    recorded = [event for event in state.events if event.get("event") == "private"]
    digests = recorded[-1].get("sha256") if recorded else None
    return {str(k): str(v) for k, v in digests.items()} if isinstance(digests, dict) else {}


def _digest(path: Path) -> str:
    """Digest of a file; "" for one that cannot be read, which is no digest of any."""
    try:
        return sha256_file(path)
    except OSError:
        return ""


def _read_manifest(root: Path) -> _Manifest:
    try:
        return msgspec.json.decode((root / MANIFEST).read_bytes(), type=_Manifest)
    except OSError as error:
        raise RunFolderError(
            f"expected the folder of a run at {root}, found no {MANIFEST} that can be read "
            f"({error.strerror}); name the folder given as --out",
            code="not-a-run",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"expected a manifest at {root / MANIFEST}, found other content ({error}); "
            "the folder is damaged: run the same command again into a new --out",
            code="not-a-run",
        ) from error


def _of_markers(root: Path) -> Verification:
    """Check what is marked as finished in a run that was stopped."""
    missing: list[str] = []
    changed: list[str] = []
    n_files = 0
    for marker, folder in _markers(root):
        finished = read_marker(marker)
        if finished is None:
            changed.append(marker.relative_to(root).as_posix())
            continue
        n_files += len(finished.files)
        for name in damage(folder, finished):
            path = folder / name
            (changed if path.exists() else missing).append(path.relative_to(root).as_posix())
    state = read_log(root / LOG)
    log = _broken(state) if state.broken_at else ""
    return Verification(False, n_files, tuple(missing), tuple(changed), (), log)


def _markers(root: Path) -> Iterator[tuple[Path, Path]]:
    """Every marker and the folder it is about: slides, stages, stages of parts."""
    for path in sorted((root / "slides").rglob("complete")):
        yield path, path.parent
    for stages in sorted(root.rglob("stages")):
        for path in sorted(p for p in stages.glob("*") if not p.name.startswith(".")):
            yield path, stages.parent


def _log_problem(state: LogState, manifest_sha256: str) -> str:
    if state.broken_at:
        return _broken(state)
    ends = [event for event in state.events if event.get("event") == "finished"]
    if not ends or ends[-1].get("manifest_sha256") != manifest_sha256:
        return f"{LOG}: expected its last end of a run to name this {MANIFEST}, found a different one or none"
    return ""


def _broken(state: LogState) -> str:
    return (
        f"{LOG}: expected each line to follow from the one before, line {state.broken_at} does not"
    )
