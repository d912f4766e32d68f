"""Windows registry hives, made from keys and values: as much of the format as hivex and libguestfs read.

Format: "Windows registry file format specification" (M. Suhanov), version 1.3: a base block of 4 KiB, one bin of cells behind it. Offsets
are from the first bin. Keys without class and security descriptor; lists of subkeys are "lf", sorted by name.
"""
import struct

NONE = 0xFFFFFFFF
BASE = 4096
BIN_HEADER = 32


class _Cells:
    def __init__(self):
        self.bytes = bytearray(BIN_HEADER)

    def add(self, data):
        """Puts a cell that is in use at the end; its offset."""
        at, size = len(self.bytes), (4 + len(data) + 7) & ~7
        self.bytes += struct.pack("<i", -size) + data.ljust(size - 4, b"\0")
        return at

    def reserve(self, size):
        return self.add(b"\0" * size)

    def put(self, at, data):
        self.bytes[at + 4:at + 4 + len(data)] = data

    def bin(self):
        """With the rest of the last page as a free cell."""
        rest = -len(self.bytes) % 4096
        self.bytes += struct.pack("<i", rest).ljust(rest, b"\0") if rest else b""
        self.bytes[:BIN_HEADER] = struct.pack("<4sIIQQI", b"hbin", 0, len(self.bytes), 0, 0, 0)
        return bytes(self.bytes)


def _value(cells, name, value):
    if isinstance(value, int):
        data, kind = struct.pack("<I", value), 4  # REG_DWORD
    elif isinstance(value, bytes):
        data, kind = value, 3  # REG_BINARY
    else:
        data, kind = (value + "\0").encode("utf-16-le"), 1  # REG_SZ
    size, where = len(data), int.from_bytes(data, "little") if len(data) <= 4 else cells.add(data)
    return cells.add(struct.pack("<2sHIIIHH", b"vk", len(name), size | (0x80000000 if size <= 4 else 0), where, kind, 1, 0) + name.encode("ascii"))


def _key(cells, name, content, parent):
    keys = {k: v for k, v in content.items() if isinstance(v, dict)}
    values = {k: v for k, v in content.items() if not isinstance(v, dict)}
    at = cells.reserve(76 + len(name))
    value_list = cells.add(b"".join(struct.pack("<I", _value(cells, k, v)) for k, v in values.items())) if values else NONE
    below = [(k, _key(cells, k, keys[k], at)) for k in sorted(keys, key=str.upper)]
    key_list = cells.add(struct.pack("<2sH", b"lf", len(below)) + b"".join(struct.pack("<I4s", o, k.encode("ascii")[:4]) for k, o in below)) if below else NONE
    flags = 0x20 | (0x0C if parent == NONE else 0)  # an ASCII name; the root, which cannot be removed
    cells.put(at, struct.pack("<2sHQIIIIIIIIIIIIIIIHH", b"nk", flags, 0, 0, 0 if parent == NONE else parent, len(below), 0, key_list, NONE, len(values), value_list, NONE, NONE,
                              64, 0, 64, 256, 0, len(name), 0) + name.encode("ascii"))
    return at


def hive(tree):
    """The bytes of a hive: a dict is a key; a value is a text (REG_SZ), a number (REG_DWORD) or bytes (REG_BINARY)."""
    cells = _Cells()
    root = _key(cells, "CMI-CreateHive", tree, NONE)
    body = cells.bin()
    head = bytearray(struct.pack("<4sIIQIIIIIII", b"regf", 1, 1, 0, 1, 3, 0, 1, root, len(body), 1).ljust(BASE, b"\0"))
    check = 0
    for (word,) in struct.iter_unpack("<I", head[:508]):
        check ^= word
    struct.pack_into("<I", head, 508, check)
    return bytes(head) + body
