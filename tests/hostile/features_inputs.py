"""HDF5 files that are no features of a slide, by name: each writes one at a path."""

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")


def _h5(path):
    return h5py.File(path, "w")


def write_arrays(features, coords=None, **attributes):
    def write(path):
        with _h5(path) as file:
            file["features"] = features
            if coords is not None:
                file["coords"] = coords
                for name, value in attributes.items():
                    file["coords"].attrs[name] = value

    return write


GOOD = np.ones((4, 3), np.float32)
CORNERS = np.arange(8).reshape(4, 2)


def _external(path):
    other = path.with_name("secret.bin")
    other.write_bytes(b"secret" * 100)
    with _h5(path) as file:
        file.create_dataset("features", (4, 3), "f4", external=[(str(other), 0, 48)])


def _virtual(path):
    other = path.with_name("other.h5")
    write_arrays(GOOD)(other)
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(other), "features", shape=(4, 3))
    with _h5(path) as file:
        file.create_virtual_dataset("features", layout)


def _external_link(path):
    other = path.with_name("other.h5")
    write_arrays(GOOD)(other)
    with _h5(path) as file:
        file["features"] = h5py.ExternalLink(str(other), "features")


def _soft_link(target):
    def write(path):
        with _h5(path) as file:
            file["a"] = h5py.SoftLink("/features")
            file["features"] = h5py.SoftLink(target)

    return write


def _coords_link(path):
    other = path.with_name("other.h5")
    write_arrays(GOOD, CORNERS)(other)
    with _h5(path) as file:
        file["features"] = GOOD
        file["coords"] = h5py.ExternalLink(str(other), "coords")


def _group(path):
    with _h5(path) as file:
        file.create_group("features").create_dataset("a", data=GOOD)


def _group_loop(path):
    with _h5(path) as file:
        group = file.create_group("features")
        group["again"] = group


def _zeros(shape, chunks, **options):
    def write(path):
        with _h5(path) as file:
            made = file.create_dataset("features", shape, "f4", chunks=chunks, **options)
            made[:1] = 0.0

    return write


def _unwritten(**options):
    def write(path):
        with _h5(path) as file:
            file.create_dataset("features", (1000, 8), "f4", **options)

    return write


def _half_written(**options):
    def write(path):
        with _h5(path) as file:
            made = file.create_dataset("features", (1000, 8), "f4", **options)
            made[:640] = 1.0 + np.arange(640)[:, None]
            file["coords"] = np.stack([256 * np.arange(1000), np.zeros(1000)], 1).astype(int)

    return write


def _bomb(path):
    with _h5(path) as file:
        data = np.zeros((60_000, 512), np.float32)
        file.create_dataset("features", data=data, chunks=(4096, 512), compression="gzip")


def _empty(path):
    with _h5(path) as file:
        file["features"] = h5py.Empty("f4")


def _compound():
    return np.zeros(4, dtype=[("a", "f4"), ("b", "f4")])


def _objects(path):
    with _h5(path) as file:
        file.create_dataset("features", (4, 3), dtype=h5py.vlen_dtype(np.float32))


def _enumeration(path):
    with _h5(path) as file:
        kind = h5py.enum_dtype({"low": 0, "high": 1}, basetype="i1")
        file.create_dataset("features", data=np.ones((4, 3), np.int8), dtype=kind)


def _references(path):
    with _h5(path) as file:
        file["features"] = np.full((4, 3), file.ref, dtype=h5py.ref_dtype)


def _group_coords(path):
    with _h5(path) as file:
        file["features"] = GOOD
        file.create_group("coords")


def _half(path):
    write_arrays(np.ones((400, 300)))(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FEATURES = {
    "values in another file": _external,
    "a virtual array": _virtual,
    "a link to another file": _external_link,
    "a link of coords to another file": _coords_link,
    "a link to itself": _soft_link("/features"),
    "two links in a circle": _soft_link("/a"),
    "a link to nothing": _soft_link("/nowhere"),
    "a group": _group,
    "a group that holds itself": _group_loop,
    "an empty space": _empty,
    "nothing": lambda path: _h5(path).close(),
    "a number": write_arrays(1.0),
    "a text": write_arrays("features"),
    "texts": write_arrays(np.array([[b"1", b"2"]])),
    "complex numbers": write_arrays(GOOD.astype(np.complex64)),
    "objects": _objects,
    "records": write_arrays(_compound()),
    "truths": write_arrays(GOOD > 0),
    "an enumeration": _enumeration,
    "references": _references,
    "NaN": write_arrays(np.full((4, 3), np.nan)),
    "infinity": write_arrays(np.full((4, 3), np.inf)),
    "a NaN in the last tile": write_arrays(np.vstack([GOOD, [[1, np.nan, 1]]])),
    "numbers beyond float32": write_arrays(np.full((4, 3), 1e300)),
    "no tiles": write_arrays(np.ones((0, 3))),
    "no width": write_arrays(np.ones((4, 0))),
    "one axis": write_arrays(np.ones(4)),
    "four axes": write_arrays(np.ones((1, 1, 4, 3))),
    "two slides in one": write_arrays(np.ones((2, 4, 3))),
    "NaN as coords": write_arrays(GOOD, np.full((4, 2), np.nan)),
    "infinity as coords": write_arrays(GOOD, np.full((4, 2), np.inf)),
    "coords of 1e300": write_arrays(GOOD, np.full((4, 2), 1e300)),
    "coords of 2**63": write_arrays(GOOD, np.full((4, 2), 2**63, np.uint64)),
    "coords between pixels": write_arrays(GOOD, CORNERS + 0.25),
    "texts as coords": write_arrays(GOOD, CORNERS.astype("S8")),
    "complex coords": write_arrays(GOOD, CORNERS.astype(np.complex128)),
    "coords of three numbers": write_arrays(GOOD, np.zeros((4, 3), int)),
    "coords of other tiles": write_arrays(GOOD, np.zeros((5, 2), int)),
    "a group as coords": _group_coords,
    "a text as side": write_arrays(GOOD, CORNERS, patch_size_level0="many"),
    "NaN as side": write_arrays(GOOD, CORNERS, patch_size_level0=np.nan),
    "a negative side": write_arrays(GOOD, CORNERS, patch_size_level0=-512),
    "many sides": write_arrays(GOOD, CORNERS, patch_size_level0=[1, 2, 3]),
    "a terabyte of zeros": _zeros((500_000_000, 512), (4096, 512), compression="gzip"),
    "a chunk of 150 megabytes": _zeros((300_000, 128), (300_000, 128), compression="gzip"),
    "120 megabytes out of 100 kilobytes": _bomb,
    "nothing written": _unwritten(),
    "nothing written in chunks": _unwritten(chunks=(100, 8)),
    "one chunk of ten written": _zeros((1000, 8), (100, 8)),
    "two tiles of three written": _half_written(),
    "two tiles of three written in one chunk": _half_written(chunks=(1000, 8)),
    "no HDF5": lambda path: path.write_bytes(b"\x89PNG" * 100),
    "an empty file": lambda path: path.write_bytes(b""),
    "half a file": _half,
}
