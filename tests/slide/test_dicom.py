"""DICOM slides over the product of what they may be: the picture that was written, or why not."""

import sys
from pathlib import Path

import numpy as np
import pytest

from jecur.errors import SlideError
from jecur.slide.dicom_series import read_dicom_header
from jecur.slide.reader import open_slide

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TILE = 128


@pytest.fixture
def dicom(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import slide_differential_dicom  # noqa: PLC0415 -- found by the line above

    monkeypatch.setattr(slide_differential_dicom, "wsidicom", None)
    yield slide_differential_dicom
    for name in ("slide_differential_dicom", "slide_differential", "dicom_writer"):
        sys.modules.pop(name, None)


def sound(dicom, **changes):
    return dicom.Plan(**{name: values[0] for name, values in dicom.FACTORS.items()} | changes)


def test_every_slide_is_equal_or_refused_with_a_cause_that_is_in_it(dicom, tmp_path):
    found = dicom.campaign(30, 4, tmp_path)
    assert [(plan, v.outcome, v.note) for plan, v in found if v.outcome.isupper()] == []
    assert sum(verdict.outcome == "equal" for _, verdict in found) >= 10


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"levels": 3},
        {"syntax": "explicit", "photometric": "rgb"},
        {"syntax": "j2k", "photometric": "rgb", "levels": 3},
        {"syntax": "j2k-lossless", "photometric": "rgb", "order": "sparse"},
        {"rate": "422", "offsets": "extended"},
        {"rate": "420", "fragments": 2},
        {"order": "sparse-shuffled", "missing": "level-0"},
        {"parts": "all", "levels": 3},
        {"parts": "all", "order": "sparse", "missing": "level-0", "nested": "defined"},
        {"photometric": "rgb", "beside": "label and overview"},
    ],
)
def test_regions_at_edges_and_corners_of_every_level(dicom, tmp_path, changes):
    shown = dicom.write(sound(dicom, **changes), tmp_path)
    with open_slide(tmp_path) as slide:
        assert [(size.height, size.width) for size in slide.levels] == [s.shape[:2] for s in shown]
        for level, image in enumerate(shown):
            height, width = image.shape[:2]
            whole = slide._source.read(level, 0, 0, width, height).astype(int)
            assert np.abs(whole - image).max() <= 1
            # OpenSlide counts in level-0 pixels: elsewhere it would read between two pixels
            if slide.size.width % width or slide.size.height % height:
                continue
            for x, y, w, h in ((0, 0, 9, 7), (width - 11, 0, 11, 5), (0, height - 3, 60, 3),
                               (width - 1, height - 1, 1, 1)):  # fmt: skip
                region = slide._source.read(level, x, y, w, h).astype(int)
                assert np.abs(region - image[y : y + h, x : x + w]).max() <= 1


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"planes": 3}, "3 focal planes"),
        ({"paths": 2}, "2 optical paths"),
        ({"planes": 3, "told": "untold"}, "one frame for each place"),
        ({"paths": 2, "told": "untold", "order": "sparse"}, "one frame for each place"),
        ({"parts": "lacking"}, "part 2 of 2 missing"),
        ({"parts": "uncounted"}, "does not say of how many"),
        ({"photometric": "rgb", "stream": "other"}, "Y, Cb, Cr under a tag"),
        ({"stream": "other"}, "R, G, B under a tag"),
        ({"syntax": "j2k", "stream": "other"}, "without a color transform"),
        ({"syntax": "rle", "photometric": "rgb"}, "Unsupported transfer syntax"),
        ({"syntax": "explicit", "photometric": "rgb", "planar": 1}, "separate color planes"),
        ({"syntax": "explicit", "photometric": "rgb", "bits": 16}, "16-bit"),
        ({"samples": 1}, "gray pixels"),
        ({"second": "patient"}, "one scan, found 2 .patient of level-0.dcm, patient of z.dcm"),
        ({"second": "series"}, "one scan"),
    ],
)
def test_what_openslide_would_mix_up_is_refused_by_name(dicom, tmp_path, changes, cause):
    dicom.write(sound(dicom, **changes), tmp_path)
    with pytest.raises(SlideError, match=cause) as caught:
        open_slide(tmp_path)
    assert "damage" not in caught.value.message


def test_slides_of_two_series_in_one_folder_have_names_of_their_own(dicom, tmp_path):
    dicom.write(sound(dicom, second="series", levels=3), tmp_path)
    names = {}
    for file in sorted(tmp_path.glob("*.dcm")):
        with open_slide(file) as slide:
            names[file.name] = slide.name
    assert names == {f"level-{k}.dcm": "level-0" for k in range(3)} | {"z.dcm": "z"}


def test_a_header_is_read_whatever_the_length_of_its_sequences(dicom, tmp_path):
    for nested in ("defined", "undefined"):
        dicom.write(sound(dicom, nested=nested, order="sparse", parts="all"), tmp_path)
        header = read_dicom_header(tmp_path / "level-0-1.dcm")
        assert (header.part, header.parts, header.n_frames) == (2, 2, 4)
        assert (header.size, header.tile) == ((340, 290), (TILE, TILE))


def planes(dicom, image, shift):
    """Frames of an image, and of one beside it for the same places."""
    plan = sound(dicom, syntax="explicit", photometric="rgb")
    moved = [
        (r, c, 1, p, data) for r, c, _, p, data in dicom._frames(plan, np.roll(image, shift, 1))
    ]
    return dicom._frames(plan, image), moved


def put(dicom, path, image, frames, **told):
    size = (image.shape[1], image.shape[0])
    told = {"syntax": "explicit", "photometric": "RGB"} | told
    instance = dicom.Instance(size=size, tile=(TILE, TILE), mpp=0.25, frames=frames, **told)
    dicom.write_instance(path, instance)


@pytest.mark.parametrize("sparse", [False, True])
def test_planes_that_lie_in_parts_of_their_own_are_not_passed_over(dicom, tmp_path, sparse):
    image = dicom.picture()
    for part, frames in enumerate(planes(dicom, image, 40), start=1):
        told = {"part": (part, 2), "first_frame": 9 * (part - 1), "sparse": sparse}
        put(dicom, tmp_path / f"{part}.dcm", image, frames, **told)
    with pytest.raises(SlideError, match="one frame for each place"):
        open_slide(tmp_path)


@pytest.mark.parametrize("untold", ["organization", "icon before"])
def test_planes_over_some_places_are_seen_whatever_the_header_is_like(
    dicom, tmp_path, monkeypatch, untold
):
    image = dicom.picture()
    first, second = planes(dicom, image, 40)
    if untold == "organization":
        import benchmarks.dicom_writer as writer  # noqa: PLC0415 -- found as the module it is used from

        whole = writer._attributes
        monkeypatch.setattr(
            writer,
            "_attributes",
            lambda i: {k: v for k, v in whole(i).items() if k != (0x20, 0x9311)},
        )
        more = ((0x20, 0x13), ("IS", "1"))
    else:
        more = ((0x88, 0x200), ("SQ", [{(0x7FE0, 0x10): ("OW", bytes(192))}]))
    put(dicom, tmp_path / "a.dcm", image, first[:4] + second[:4], sparse=True, more=(more,))
    with pytest.raises(SlideError, match="one frame for each place"):
        open_slide(tmp_path)


def test_a_second_copy_of_a_file_is_no_second_plane(dicom, tmp_path):
    dicom.write(sound(dicom), tmp_path)
    (tmp_path / "level-0 (1).dcm").write_bytes((tmp_path / "level-0.dcm").read_bytes())
    with open_slide(tmp_path) as slide:
        assert len(slide.levels) == 1


def test_a_level_padded_on_one_side_is_not_read(dicom, tmp_path):
    image = dicom.picture()
    smaller = np.pad(image[::2, ::2], ((0, 0), (0, 14), (0, 0)), constant_values=255)
    for number, level in enumerate((image, smaller)):
        put(dicom, tmp_path / f"{number}.dcm", level, planes(dicom, level, 0)[0], number=number + 1)
    with open_slide(tmp_path) as slide:
        assert (len(slide.levels), [flag for flag, _ in slide.notes]) == (1, ["levels-disagree"])


@pytest.mark.parametrize(("mpp", "told"), [(0.25, False), (0.26, False), (0.5, True)])
def test_an_imaged_volume_that_denies_the_spacing_is_told(dicom, tmp_path, mpp, told):
    image = dicom.picture()
    volume = (((0x48, 1), ("FL", mpp * image.shape[1] / 1e3)),)
    put(dicom, tmp_path / "a.dcm", image, planes(dicom, image, 0)[0], more=volume)
    with open_slide(tmp_path) as slide:
        assert slide.mpp == pytest.approx(0.25)
        assert [flag for flag, _ in slide.notes] == (["scale-contradiction"] if told else [])


def test_files_without_a_suffix_are_a_slide_and_two_slides_are_not_one(dicom, tmp_path):
    image = dicom.picture()
    frames = planes(dicom, image, 0)[0]
    put(dicom, tmp_path / "IM0", image, frames)
    (tmp_path / "notes.txt").write_text("none")
    with open_slide(tmp_path) as slide:
        assert slide.size.width == image.shape[1]
    put(dicom, tmp_path / "b.dcm", image, frames, series="2")
    with pytest.raises(SlideError, match="found 2"):
        open_slide(tmp_path)
