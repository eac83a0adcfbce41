"""A slide is known by its content: neither name nor date hides a replaced one, or makes one new."""

import os
import shutil

import numpy as np
import pytest

from jecur.preview.slide import default_recipe
from jecur.runs.folder import RunFolder
from jecur.slide.content import content_digest
from jecur.study.slide_task import SlideTask


def disguised(path, data):
    """Replace a file's content, keeping its size and dates."""
    before = path.stat()
    assert len(data) == before.st_size
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("size", [1, 1000, 3 * 2**20, 9 * 2**20, 40 * 2**20])
def test_another_content_of_the_same_size_and_date_is_noticed(tmp_path, size):
    rng = np.random.default_rng(size)
    path = tmp_path / "s.svs"
    path.write_bytes(rng.bytes(size))
    before = content_digest(path)
    disguised(path, rng.bytes(size))
    assert content_digest(path) != before


def test_a_stretch_that_changed_anywhere_is_noticed(tmp_path):
    """One part in forty replaced: no larger gap lies between two samples."""
    size = 20 * 2**20
    data = np.random.default_rng(0).bytes(size)
    path = tmp_path / "s.svs"
    path.write_bytes(data)
    before = content_digest(path)
    part = size // 40
    for start in range(0, size - part + 1, part):
        changed = data[:start] + bytes(part) + data[start + part :]
        disguised(path, changed)
        assert content_digest(path) != before, start


def test_name_and_date_do_not_count(tmp_path):
    path = tmp_path / "s.svs"
    path.write_bytes(bytes(range(256)) * 100)
    before = content_digest(path)
    os.utime(path, (1, 1))
    copy = shutil.copy(path, tmp_path / "t.svs")
    assert content_digest(path) == content_digest(copy) == before
    assert content_digest(tmp_path / "nothing.svs") == "absent"


def companions(tmp_path, kind):
    """A slide of several files: what a user names, and one file that belongs to it."""
    if kind == "mrxs":
        named, other = tmp_path / "s.mrxs", tmp_path / "s" / "Data0000.dat"
    elif kind == "dicom folder":
        named, other = tmp_path / "s", tmp_path / "s" / "level-1.dcm"
    elif kind == "dicom file":
        named, other = tmp_path / "level-0.dcm", tmp_path / "level-1.dcm"
    elif kind == "dicom without suffix":
        named, other = tmp_path / "1.2.840.1", tmp_path / "1.2.840.2"
    elif kind == "vsi":
        named, other = tmp_path / "s.vsi", tmp_path / "_s_" / "stack1" / "frame_t.ets"
    elif kind == "vms":
        named, other = tmp_path / "s.vms", tmp_path / "s(1,0).jpg"
    elif kind == "ome":
        named, other = tmp_path / "s.ome.tif", tmp_path / "s_part.ome.tif"
    other.parent.mkdir(parents=True, exist_ok=True)
    start = b"\0" * 128 + b"DICM" if kind == "dicom without suffix" else b""
    other.write_bytes(start + b"pixels" * 100)
    if kind == "dicom folder":
        (named / "level-0.dcm").write_bytes(b"one")
    else:
        text = {
            "vms": "[x]\nImageFile(1,0)=s(1,0).jpg\n",
            "ome": '<UUID FileName="s_part.ome.tif">',
        }
        named.write_bytes(start + text.get(kind, "head").encode())
    return named, other


@pytest.mark.parametrize(
    "kind", ["mrxs", "dicom folder", "dicom file", "dicom without suffix", "vsi", "vms", "ome"]
)
def test_the_files_that_belong_to_a_slide_count(tmp_path, kind):
    named, other = companions(tmp_path, kind)
    before = content_digest(named)
    disguised(other, other.read_bytes().upper())
    assert content_digest(named) != before


def test_the_mark_of_a_run_follows_the_content(tmp_path):
    path = tmp_path / "s.tiff"
    path.write_bytes(b"a" * 5000)
    order = SlideTask("s", "P", path, None, default_recipe(), RunFolder(tmp_path / "run"))
    before = order.mark
    os.utime(path, (5, 5))
    assert order.mark == before
    disguised(path, b"b" * 5000)
    assert order.mark != before
