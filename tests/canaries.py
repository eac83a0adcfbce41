"""Texts that must stay where they were put, and a search of everything that a command left behind."""

import base64
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import tifffile
from benchmarks.dicom_writer import Instance, encode, write_instance
from PIL import Image, PngImagePlugin

__all__ = ["Cage", "everything_in", "write_slides"]

MAGENTA = (255, 0, 255)
"""Of label and macro images: no tissue and no color scale has it."""


class Cage:
    """Hands out texts, each once, and knows them again."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def __call__(self, what: str) -> str:
        text = f"KNRY{len(self.planted):03d}XQ"
        self.planted[text] = what
        return text

    def found_in(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """Name every planted text that occurs, and where."""
        forms = {
            form: what
            for text, what in self.planted.items()
            for form in (
                text.encode(),
                text.encode("utf-16-le"),
                text.encode("utf-16-be"),
                text.encode().hex().encode(),
            )
        }
        return [
            f"{what} in {place}"
            for place, data in places
            for form, what in forms.items()
            if form in data
        ]


def _forms(text: str) -> tuple[bytes, ...]:
    plain = text.encode()
    wide = (text.encode("utf-16-le"), text.encode("utf-16-be"))
    return plain, *wide, plain.hex().encode()


def everything_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder: its name, its bytes, and what is packed or encoded in them."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".slides":  # where the slides lie: handed to nobody
            name = path.relative_to(folder).as_posix()
            yield f"the name {name}", name.encode()
            yield from _layers(name, path.read_bytes())


def _layers(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, data
    for found in re.finditer(rb"base64,([A-Za-z0-9+/=\s]{16,})", data):
        yield from _layers(f"{name} (base64)", base64.b64decode(found[1]))
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        yield f"{name} (cells)", table.to_pandas().to_csv().encode()
        yield f"{name} (schema)", str(table.schema.metadata).encode()
    start = data.find(b"PK\x03\x04")
    if 0 <= start < 200:
        with zipfile.ZipFile(io.BytesIO(data[start:])) as archive:
            for member in archive.namelist():
                yield from _layers(f"{name}/{member}", archive.read(member))
    if data[:8] == b"\x89PNG\r\n\x1a\n" or data[:3] == b"\xff\xd8\xff":
        with Image.open(io.BytesIO(data)) as picture:
            told = {k: v for k, v in picture.info.items() if k not in _HARMLESS}
            pixels = np.asarray(picture.convert("RGB"))
        yield f"{name} (metadata)", repr(told).encode()
        assert not told or "icc" in str(told), f"{name}: metadata {told}"
        assert not (pixels == MAGENTA).all(axis=-1).any(), (
            f"{name}: pixels of a label or macro image"
        )


_HARMLESS = ("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "Software", "icc_profile")


def write_slides(folder: Path, image: np.ndarray, plant: Cage) -> list[Path]:
    """One slide of each kind, all with the same tissue, each with its own planted texts."""
    folder.mkdir(parents=True, exist_ok=True)
    side = np.full((256, 400, 3), MAGENTA, np.uint8)
    return [
        _aperio(folder / "aperio.svs", image, side, plant, mpp="0.5"),
        _aperio(folder / "odd-scale.svs", image, side, plant, mpp=plant("a scale that is text")),
        _ndpi_like(folder / "hamamatsu.ndpi", image, side, plant),
        _ome(folder / "ome.ome.tiff", image, plant),
        _plain(folder / "plain.tiff", image, plant),
        _jpeg(folder / "photo.jpg", image, plant),
        _png(folder / "photo.png", image, plant),
        _cut(folder / "cut.svs", folder / "aperio.svs", plant),
        _garbage(folder / "garbage.svs", plant),
        _dicom(folder / "series", image, side, plant),
    ]


def _tags(plant: Cage, *codes: int) -> list[tuple[int, str, int, str, bool]]:
    return [(code, "s", 0, plant(f"TIFF tag {code}"), True) for code in codes]


def _aperio(path: Path, image: np.ndarray, side: np.ndarray, plant: Cage, *, mpp: str) -> Path:
    h, w = image.shape[:2]
    fields = "|".join(
        f"{key} = {plant('Aperio ' + key)}"
        for key in (
            "Filename",
            "Date",
            "Time",
            "User",
            "Barcode",
            "ScanScope ID",
            "Patient",
            "Title",
            "DSR ID",
            "ImageID",
        )
    )
    size = f"{w}x{h} [0,0 {w}x{h}] (256x256) JPEG/RGB Q=70"
    text = f"Aperio Image Library v11.2.1\r\n{size}|AppMag = 20|MPP = {mpp}|{fields}"
    tiled = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    strips = {"photometric": "rgb", "compression": "lzw", "metadata": None, "rowsperstrip": 256}
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            image, description=text, extratags=_tags(plant, 306, 315, 316, 269, 33432), **tiled
        )
        writer.write(image[::4, ::4], description=text, **strips)
        writer.write(image[::2, ::2], description=text, **tiled)
        writer.write(
            side,
            description=f"Aperio Image Library v11.2.1\r\nlabel 400x256|{plant('label')}",
            **strips,
        )
        writer.write(
            side,
            description=f"Aperio Image Library v11.2.1\r\nmacro 400x256|{plant('macro')}",
            **strips,
        )
    return path


def _ndpi_like(path: Path, image: np.ndarray, side: np.ndarray, plant: Cage) -> Path:
    own = [
        (65420, "I", 1, 1, True),
        (65421, "f", 1, 20.0, True),
        (65427, "s", 0, plant("NDPI reference, a barcode"), True),
        (
            65449,
            "s",
            0,
            f"Scanner serial={plant('NDPI serial')}\r\nPath={plant('NDPI path')}",
            True,
        ),
        *_tags(plant, 271, 306),
    ]
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            image,
            photometric="rgb",
            compression="jpeg",
            metadata=None,
            extratags=own,
            resolution=(20_000, 20_000),
            resolutionunit="centimeter",
        )
        writer.write(
            side,
            photometric="rgb",
            compression="jpeg",
            metadata=None,
            extratags=[(65421, "f", 1, -1.0, True)],
        )
    return path


def _ome(path: Path, image: np.ndarray, plant: Cage) -> Path:
    told = {
        "axes": "YXS",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "Name": plant("OME image name"),
        "Description": plant("OME description"),
        "AcquisitionDate": "2001-02-03T04:05:06",
        "Experimenter": {"UserName": plant("OME experimenter")},
        "Instrument": {"Microscope": {"SerialNumber": plant("OME serial")}},
    }
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(image, photometric="rgb", tile=(256, 256), compression="jpeg", metadata=told)
    return path


def _plain(path: Path, image: np.ndarray, plant: Cage) -> Path:
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{plant("XMP of a TIFF")}</x:xmpmeta>'.encode()
    own = [(700, "B", len(xmp), xmp, True), *_tags(plant, 306, 315, 316, 269, 285, 33432)]
    own.append((33723, "B", 9, plant("IPTC of a TIFF")[:9].encode(), True))
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            image, photometric="rgb", tile=(256, 256), compression="jpeg", metadata=None,
            description=plant("TIFF description"), software=plant("TIFF software"), extratags=own,
            resolution=(20_000, 20_000), resolutionunit="centimeter",
        )  # fmt: skip
    return path


def _exif(plant: Cage, what: str) -> Image.Exif:
    exif = Image.Exif()
    for code in (270, 271, 272, 305, 306, 315, 33432):
        exif[code] = plant(f"EXIF {code} of a {what}")
    exif.get_ifd(0x8769)[0x9286] = plant(f"EXIF comment of a {what}")
    exif.get_ifd(0x8825)[29] = plant(f"EXIF GPS of a {what}")
    return exif


def _jpeg(path: Path, image: np.ndarray, plant: Cage) -> Path:
    xmp = f"<x:xmpmeta>{plant('XMP of a JPEG')}</x:xmpmeta>".encode()
    Image.fromarray(image).save(
        path, "JPEG", quality=95, exif=_exif(plant, "JPEG"), xmp=xmp, comment=plant("JPEG comment")
    )
    return path


def _png(path: Path, image: np.ndarray, plant: Cage) -> Path:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Comment", plant("PNG text"))
    chunks.add_text("Packed", plant("PNG packed text"), zip=True)
    chunks.add_itxt("XML:com.adobe.xmp", plant("XMP of a PNG"))
    Image.fromarray(image).save(path, "PNG", pnginfo=chunks, exif=_exif(plant, "PNG"))
    return path


DICOM_NAMES = {
    (8, 0x50): "SH", (8, 0x80): "LO", (8, 0x81): "ST", (8, 0x90): "PN", (8, 0x1010): "SH",
    (8, 0x1030): "LO", (8, 0x103E): "LO", (8, 0x1040): "LO", (8, 0x1070): "PN", (0x10, 0x10): "PN",
    (0x10, 0x20): "LO", (0x10, 0x1000): "LO", (0x10, 0x4000): "LT", (0x18, 0x1000): "LO",
    (0x20, 0x10): "SH", (0x20, 0x4000): "LT", (0x40, 0x512): "LO",
}  # fmt: skip
"""Accession, institution and its address, physicians, station, descriptions, department, operators,
patient's name, number, other numbers and comments, serial number, study, comments, container."""


def _dicom(folder: Path, image: np.ndarray, side: np.ndarray, plant: Cage) -> Path:
    """A series of one level and its label image, which also holds the barcode as text."""
    folder.mkdir()
    said = tuple(
        (tag, (kind, plant(f"DICOM {tag[0]:04x},{tag[1]:04x}")))
        for tag, kind in DICOM_NAMES.items()
    )
    label = (((0x2200, 2), ("UT", plant("DICOM label"))), ((0x2200, 5), ("LT", plant("barcode"))))
    level = folder / "level.dcm"
    for number, (path, pixels, more, kind) in enumerate(
        (
            (level, image, said, ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")),
            (folder / "label.dcm", side, said + label, ("ORIGINAL", "PRIMARY", "LABEL", "NONE")),
        ),
        start=1,
    ):
        h, w = pixels.shape[:2]
        padded = np.pad(pixels, ((0, -h % 256), (0, -w % 256), (0, 0)), mode="edge")
        rows, columns = padded.shape[0] // 256, padded.shape[1] // 256
        frames = [
            (r, c, 0, 0, encode(padded[256 * r : 256 * (r + 1), 256 * c : 256 * (c + 1)], "jpeg"))
            for r in range(rows)
            for c in range(columns)
        ]
        size = (w, h)
        write_instance(
            path,
            Instance(size, (256, 256), 0.5, frames, number=number, image_type=kind, more=more),
        )
    return level


def _cut(path: Path, whole: Path, plant: Cage) -> Path:
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) // 2] + plant("tail of a cut slide").encode())
    return path


def _garbage(path: Path, plant: Cage) -> Path:
    path.write_bytes(b"II*\0" + f"Aperio Image|MPP = {plant('no slide at all')}|".encode() * 20)
    return path


def write_features(path: Path, rng: np.random.Generator, shift: float, plant: Cage | None) -> None:
    """A slide as features; with planted texts in the attributes and a further data set."""
    with h5py.File(path, "w") as stored:
        features = rng.normal(size=(5, 4)).astype(np.float32)
        features[:, 0] += shift
        stored["features"] = features
        stored["coords"] = rng.integers(0, 9, (5, 2)) * 512
        if plant:
            stored.attrs["slide_path"] = f"/mnt/{plant('path in HDF5')}/a.svs"
            stored["coords"].attrs["patient"] = plant("attribute of coords")
            stored["notes"] = plant("further data set")


def with_private_columns(table: pd.DataFrame, plant: Cage) -> pd.DataFrame:
    """The table with columns that no study file names; a text a cell, other patients' rows included."""
    for column in ("family_name", "address", "comment", "hospital_number"):
        table[column] = [plant(f"{column} of row {row}") for row in range(len(table))]
    table[plant("name of a column")] = "x"
    return table
