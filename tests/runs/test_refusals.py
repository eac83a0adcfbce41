"""What the system refuses to a whole run is one line with exit code 2, and the same command goes on.

Each test has a mount namespace of its own, so that nothing stays mounted whatever happens.
"""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.virtual.tiny_study import quick_study

from jecur.cli import OK, USER_ERROR, run
from jecur.runs.folder import write_text
from jecur.runs.verify import verify_run
from jecur.settings import TrainingSettings, write_study

h5py = pytest.importorskip("h5py", reason="needs the extra: features")


def _namespace() -> list[str] | None:
    """How to get a mount namespace of our own here; None if the system does not give one."""
    for how in (["unshare", "-m"], ["unshare", "-Urm"]):
        trial = [*how, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
        try:
            if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
                return how
        except OSError:
            return None
    return None


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """A command that runs another where it may mount."""
    found = _namespace()
    if found is None:
        pytest.skip("needs a mount namespace: run as root, or where users may have their own")
    return found


def _study(folder: Path, patients: int = 16, tiles: int = 40) -> Path:
    rng = np.random.default_rng(3)
    (folder / "slides").mkdir(parents=True)
    rows = []
    for k in range(patients):
        features = rng.normal(size=(tiles, 64)).astype(np.float32)
        features[:, 0] += 1.5 if k % 2 else -1.5
        with h5py.File(folder / "slides" / f"P{k}.h5", "w") as stored:
            stored["features"] = features
            stored["coords"] = rng.integers(0, 9, (tiles, 2)) * 512
            stored["coords"].attrs["patch_size_level0"] = 512
        months = rng.uniform(2, 18) if k % 2 else rng.uniform(50, 90)
        role = "training" if k < patients // 2 else "validation"
        rows.append((f"P{k}", role, round(months, 1), k % 2, f"P{k}.h5"))
    columns = ["patient_id", "role", "months", "recurrence", "slide"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "clinical.csv", index=False)
    training = TrainingSettings.from_flat(epochs=2, learning_rate=1e-2)
    study = quick_study("Refused", training)
    columns_of = msgspec.structs.replace(study.cohort.columns, site="")
    cohort = msgspec.structs.replace(study.cohort, covariates=(), columns=columns_of)
    return write_text(
        folder / "study.toml", write_study(msgspec.structs.replace(study, cohort=cohort))
    )


STOP_AND_GO_ON = """
set -u
{refuse}
"$@" 2> said.txt; echo $? > first.txt
{allow}
"$@" 2> /dev/null; echo $? > second.txt
cp -r run kept
"""


def _stop_and_go_on(
    namespace: list[str], folder: Path, refuse: str, allow: str
) -> tuple[int, str, int]:
    """Run a study under a refusal, then without: exit code, what was said, exit code after."""
    (folder / "run").mkdir()
    script = STOP_AND_GO_ON.format(refuse=refuse, allow=allow)
    study = _study(folder / "study")
    command = [sys.executable, "-m", "jecur", "run", str(study), "--out", "run", "-j", "1"]
    subprocess.run(
        [*namespace, "sh", "-c", script, "sh", *command], cwd=folder, check=True, timeout=300
    )
    first = int((folder / "first.txt").read_text())
    after = folder / "second.txt"
    second = int(after.read_text()) if after.exists() else -1
    return first, (folder / "said.txt").read_text(encoding="utf-8"), second


def test_a_full_disk_is_one_line_and_with_room_the_run_goes_on(tmp_path, namespace):
    code, said, then = _stop_and_go_on(
        namespace,
        tmp_path,
        "mount -t tmpfs -o size=160k tmpfs run",
        "mount -o remount,size=64m run",
    )
    assert code == USER_ERROR, said
    assert "[disk-full]" in said
    assert "Traceback" not in said
    assert then == OK
    kept = tmp_path / "kept"
    assert verify_run(kept, threads=1).whole
    assert "failed" not in (kept / "slides.csv").read_text()


FORESEES_NOTHING = """
import sys
from jecur.study import bag_form, expected, needs
from jecur.cli import main

if __name__ == "__main__":
    expected.free_bytes = bag_form.free_bytes = needs.free_bytes = lambda _: 10**12
    sys.exit(main())
"""
PREPARE = """
set -u
mount -t tmpfs -o size=512k tmpfs run
"$@" --out run 2> said.txt; echo $? > first.txt
mount -o remount,size=64m run
"$@" --out run; echo $? > second.txt
cp -r run kept
"""


def test_features_on_a_full_disk_stop_workers_in_order_and_go_on_to_the_same_bytes(
    tmp_path, namespace
):
    (tmp_path / "run").mkdir()
    study = _study(tmp_path / "study", patients=4, tiles=3000)  # 768 kB a slide: no first one fits
    command = [sys.executable, "-c", FORESEES_NOTHING, "prepare", str(study), "-j", "2"]
    subprocess.run(
        [*namespace, "sh", "-c", PREPARE, "sh", *command], cwd=tmp_path, check=True, timeout=300
    )
    said = (tmp_path / "said.txt").read_text(encoding="utf-8")
    assert int((tmp_path / "first.txt").read_text()) == USER_ERROR, said
    assert "[disk-full]" in said
    assert "bag.npy" in said  # in mid-write, not foreseen
    assert "crashed" not in said
    assert int((tmp_path / "second.txt").read_text()) == OK
    assert run(["prepare", str(study), "--out", str(tmp_path / "undisturbed"), "-j", "1"]) == OK
    kept, undisturbed = (
        {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for path in [*(tmp_path / name / "slides").rglob("*"), tmp_path / name / "slides.csv"]
            if path.is_file()
        }
        for name in ("kept", "undisturbed")
    )
    assert sum(name.endswith("bag.npy") for name in kept) == 4
    assert kept == undisturbed


WRITE_FEATURES = """
import sys
from pathlib import Path
from jecur.errors import SystemRefusedError
from jecur.mil.feature_file import write_feature_bag
try:
    write_feature_bag(Path(sys.argv[1]), Path("run/bag.npy"))
except SystemRefusedError as error:
    print(error.code, [path.name for path in Path("run").iterdir()])
"""


def test_features_that_find_no_room_are_an_error_not_the_death_of_the_process(tmp_path, namespace):
    (tmp_path / "run").mkdir()
    _study(tmp_path / "study", patients=1, tiles=3000)
    script = 'mount -t tmpfs -o size=512k tmpfs run; exec "$@"'
    features = str(tmp_path / "study" / "slides" / "P0.h5")
    ended = subprocess.run(
        [*namespace, "sh", "-c", script, "sh", sys.executable, "-c", WRITE_FEATURES, features],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, "disk-full []\n"), ended.stderr


DESCRIBE = """
import subprocess
from pathlib import Path
import numpy as np
from jecur.errors import SystemRefusedError
from jecur.runs.folder import RunFolder
from jecur.runs.progress import SilentProgress
from jecur.settings import TrainingSettings
from jecur.study.described import describe_tiles
recipe = TrainingSettings.from_flat(encoder="mobilenetv2_035", start="random", encoder_learns=False)
for attempt in range(3):
    run = RunFolder(Path("run"), Path("slides"))
    try:
        found = describe_tiles(run, ["a"], recipe, SilentProgress())
    except SystemRefusedError as error:
        left = [p for p in Path("run").rglob("*") if p.is_file() and not p.name.startswith(".devices")]
        print(error.code, "bag.npy" in error.message, [p.name for p in left if p.name != "log.jsonl"])
    else:
        folder = found.slide_folder("a")
        tiles = np.load(folder / "bag.npy")
        print(tiles.shape, np.isfinite(tiles).all(), sorted(p.name for p in folder.iterdir()))
    if attempt == 0:
        subprocess.run(["mount", "-o", "remount,size=64m", "run"], check=True)
"""


def test_tiles_described_on_a_full_disk_are_an_error_and_with_room_they_go_on(tmp_path, namespace):
    pytest.importorskip("torch", reason="needs the extra: train")
    (tmp_path / "run").mkdir()
    slide = tmp_path / "slides" / "a"
    slide.mkdir(parents=True)
    tiles = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 4), dtype=np.uint8)
    np.save(slide / "bag.npy", tiles)  # 40 x 1280 features are 205 kB
    pd.DataFrame({"x": range(40)}).to_parquet(slide / "tiles.parquet")
    (slide / "looks.json").write_text("{}")
    script = 'mount -t tmpfs -o size=128k tmpfs run && "$@"'
    ended = subprocess.run(
        [*namespace, "sh", "-c", script, "sh", sys.executable, "-c", DESCRIBE],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    whole = "(40, 1280) True ['bag.npy', 'complete', 'looks.json', 'tiles.parquet']"
    said = ended.stdout.splitlines()
    assert said == ["disk-full True []", whole, whole], ended.stdout + ended.stderr


def test_a_folder_made_read_only_is_one_line(tmp_path, namespace):
    code, said, _ = _stop_and_go_on(
        namespace, tmp_path, "mount --bind run run && mount -o remount,bind,ro run", "exit 0"
    )
    assert code == USER_ERROR, said
    assert "[read-only]" in said
    assert "Traceback" not in said
