"""Bytes exchanged with fastavro, in both directions.  interop.py SOURCE_DIR TEST_INTEROP"""

import copy
import io
import json
import pathlib
import subprocess
import sys
import tempfile

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

source, helper = pathlib.Path(sys.argv[1]), sys.argv[2]
golden = source / "tests/unit/event/golden"
avro = source / "schemas/avro"
scratch = tempfile.TemporaryDirectory(prefix="hf-interop-")
work = pathlib.Path(scratch.name)


def text_of(name):
    return json.loads((avro / f"{name}.avsc").read_text())


def write(schema, record):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def reencode(name, frame, body, registry=None):
    """What our codec makes of these bytes, without our frame."""
    (work / "in").write_bytes(frame + body)
    subprocess.run([helper, "reencode", name, work / "in", work / "out"] + ([registry] if registry else []), check=True)
    return (work / "out").read_bytes()[10:]


def changed(value):
    """The same shape with other values: text that is not ASCII, larger numbers, longer lists."""
    if isinstance(value, dict):
        return {key: changed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [changed(inner) for inner in value + value]
    if isinstance(value, tuple):  # a branch of a union, by name
        return (value[0], changed(value[1]))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return -value * 3
    if isinstance(value, float):
        return value / 7
    if isinstance(value, str) and value.startswith("{"):
        return '{"größe": "\\u0001 €"}'
    return value  # enums, times; names stay within their bounds


def main():
    names = sorted(path.stem for path in avro.glob("*.avsc"))
    ours = dict(line.split() for line in subprocess.check_output([helper, "fingerprints"], text=True).splitlines())
    assert sorted(ours) == names, (sorted(ours), names)
    variants = 0
    for name in names:
        parsed = parse_schema(text_of(name))
        little_endian = bytes.fromhex(fingerprint(to_parsing_canonical_form(parsed), "CRC-64-AVRO"))
        assert little_endian[::-1].hex() == ours[name], (name, "fingerprint")
        frame = b"\xc3\x01" + little_endian

        # fastavro reads every golden record of this version, and writes it again with the same bytes.
        last = max(golden.glob(f"{name}.*.hex"), key=lambda path: int(path.stem.split(".")[1]))
        data = bytes.fromhex("".join(last.read_text().split()))
        assert data[:10] == frame, (name, "frame")
        body = io.BytesIO(data[10:])
        record = fastavro.schemaless_reader(body, parsed, return_record_name=True)
        assert not body.read(), (name, "bytes left")
        assert write(parsed, record) == data[10:], (name, "written again")

        # What fastavro writes, our decoder reads: written again by us, it is the same.
        for theirs in (record, {}, other(name, record)):
            expected = write(parsed, theirs)
            assert reencode(name, frame, expected) == expected, (name, "read by us")

        # The same through a registry, from a writer that orders its fields otherwise and has one of its own.
        variant = text_of(name)
        variant["fields"] = variant["fields"][::-1] + [{"name": "site", "type": {"type": "map", "values": "int"}}]
        if redefined(variant):
            continue
        (work / "variant.avsc").write_text(json.dumps(variant))
        body = write(parse_schema(variant), dict(record, site={"rack": 7}))
        expected = write(parsed, record)
        assert reencode(name, b"\0\0\0\0\5", body, work / "variant.avsc") == expected, (name, "variant")
        variants += 1
    assert variants >= 6, variants
    print(f"fastavro {fastavro.__version__}: {len(names)} schemas, both directions")


def other(name, record):
    record = changed(copy.deepcopy(record))
    if name == "JobEvent":
        record["transitions"] = record["transitions"][:16]
    return record


def redefined(schema):
    """Whether reversing the fields put the mention of a named type before its definition."""
    try:
        parse_schema(copy.deepcopy(schema))
        return False
    except fastavro.schema.UnknownType:
        return True


main()
