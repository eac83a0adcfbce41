"""The ZIP inside a model file, read strictly: one way to read it, and a size known beforehand.

Programs disagree on ZIP files in which a name stands twice, a header lies, members overlap or bytes
lie before, between or after them. Such a file could show one model to a reader and score with
a different one. So the archive must be plain: members one after another from the first byte, then the list
of them, then its end, and nothing else. Sizes are held against the limits before anything is
inflated, and inflating stops at the stated size.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from jecur.errors import BundleError

__all__ = ["MAX_RATIO", "MAX_TOTAL_BYTES", "is_bomb_like", "read_members"]

MAX_TOTAL_BYTES = 512 * 2**20
"""Of all members together, inflated."""
MAX_RATIO = 40
"""A member may be so many times its size in the file, and 64 KiB: weights hardly shrink."""
_SMALL_BYTES = 64 * 2**10

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def read_members(
    archive: bytes, *, required: set[str], limits: Mapping[str, int]
) -> dict[str, bytes]:
    """Read every member of an archive.

    Parameters
    ----------
    archive
        The whole ZIP.
    required
        Names that must be there.
    limits
        Name -> most bytes, inflated, of every member that may be there.

    Raises
    ------
    BundleError
        If the archive is anything but its members, once each, stored or deflated, unencrypted,
        within the limits.
    """
    try:
        members = _listed(archive)
    except (struct.error, UnicodeDecodeError) as error:
        raise _refused(f"headers that cannot be read ({error})") from error
    names = [member.name for member in members]
    if len(set(names)) < len(names) or not required <= set(names) <= set(limits):
        raise _refused(
            f"the members {', '.join(map(repr, names[:8]))}; expected {', '.join(sorted(required))} "
            "and no others, once each"
        )
    for member in members:
        _refuse_size(member, limits[member.name])
    if sum(member.size for member in members) > MAX_TOTAL_BYTES:
        raise _refused(f"more than {MAX_TOTAL_BYTES // 2**20} MiB inflated")
    found, place = {}, 0
    for member in members:
        data, place = _packed_bytes(archive, member, place)
        found[member.name] = _inflated(data, member)
    if place != _END.unpack(archive[-_END.size :])[6]:
        raise _refused("bytes between the members and their list")
    return found


def _listed(archive: bytes) -> list[_Member]:
    """Read the list of members; it must end where the archive ends."""
    if len(archive) < _END.size:
        raise _refused(f"{len(archive)} bytes")
    mark, disk, first_disk, here, n, size, start, comment = _END.unpack(archive[-_END.size :])
    plain = mark == b"PK\x05\x06" and (disk, first_disk, here, comment) == (0, 0, n, 0)
    if not plain or start + size != len(archive) - _END.size:
        raise _refused("no plain end of the list of members, or bytes after it")
    members, place = [], start
    for _ in range(n):
        member, place = _listed_member(archive, place)
        members.append(member)
    if place != start + size:
        raise _refused("a list of members whose length is not the one stated")
    return members


def _listed_member(archive: bytes, place: int) -> tuple[_Member, int]:
    fields = _CENTRAL.unpack_from(archive, place)
    mark, _, _, flags, method, _, _, crc, packed, size = fields[:10]
    name_length, extra, comment, disk, _, _, offset = fields[10:]
    if mark != b"PK\x01\x02" or (flags, extra, comment, disk) != (0, 0, 0, 0):
        raise _refused("a member that is encrypted, split, or has extra fields")
    if method not in (_STORED, _DEFLATED):
        raise _refused(f"a member packed by method {method}, neither stored nor deflated")
    start = place + _CENTRAL.size
    name = archive[start : start + name_length].decode("ascii")
    return _Member(name, method, crc, packed, size, offset), start + name_length


def is_bomb_like(size: int, packed: int) -> bool:
    """Whether a member of so many bytes is packed into so few that a reader would refuse it."""
    return size > MAX_RATIO * packed + _SMALL_BYTES // 2


def _refuse_size(member: _Member, limit: int) -> None:
    most = min(limit, MAX_RATIO * member.packed + _SMALL_BYTES)
    if member.size > most or (member.method == _STORED and member.size != member.packed):
        raise _refused(
            f"{member.name} of {member.size} bytes out of {member.packed} packed ones; "
            f"at most {most} are read"
        )


def _packed_bytes(archive: bytes, member: _Member, place: int) -> tuple[bytes, int]:
    """Take a member's bytes; its own header must say what the list says, right at ``place``."""
    if member.offset != place or place + _LOCAL.size > len(archive):
        raise _refused(f"{member.name} elsewhere than behind the member before it")
    mark, _, flags, method, _, _, crc, packed, size, length, extra = _LOCAL.unpack_from(
        archive, place
    )
    start = place + _LOCAL.size
    name = archive[start : start + length]
    header = (mark, flags, method, crc, packed, size, name, extra)
    listed = (b"PK\x03\x04", 0, member.method, member.crc, member.packed, member.size)
    if header != (*listed, member.name.encode(), 0):
        raise _refused(f"{member.name} with a header that contradicts the list of members")
    data = archive[start + length : start + length + packed]
    if len(data) != packed:
        raise _refused(f"{member.name} cut short")
    return data, start + length + packed


def _inflated(data: bytes, member: _Member) -> bytes:
    if member.method == _DEFLATED:
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data, packed = engine.decompress(data, member.size + 1), data
        except zlib.error as error:
            raise _refused(f"{member.name} that cannot be inflated ({error})") from error
        if not engine.eof or engine.unused_data or engine.unconsumed_tail or not packed:
            raise _refused(f"{member.name} whose size is not the one stated")
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise _refused(f"{member.name} whose bytes do not match its checksum")
    return data


def _refused(found: str) -> BundleError:
    return BundleError(
        f"expected a plain ZIP archive of a model's members, found {found}; "
        "get the model file again from those who made it"
    )
