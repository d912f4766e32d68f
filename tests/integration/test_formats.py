"""Images that the worker writes, read by somebody who is neither us nor QEMU: dissect.hypervisor, a forensics library in Python."""
import hashlib, json, os, random, subprocess, tempfile

from dissect.hypervisor.disk import qcow2, vdi, vhd, vhdx, vmdk

from fleet import BIN, main

MIB = 1 << 20
SIZE = 35 * MIB + 8192 * 5  # two grain tables, 18 VHD blocks, none ends where the disk does; the reader wants whole 8 KiB


def _disk_bytes():
    """Text, noise, zeros and holes in pieces that end nowhere even."""
    noise, kinds, out = random.Random(4), random.Random(5), bytearray(SIZE)
    at = 0
    while at < SIZE:
        length, kind = min(97 * 1024 + 512, SIZE - at), kinds.randrange(4)
        if kind == 1:
            out[at:at + length] = noise.randbytes(length)
        elif kind == 2:
            out[at:at + length] = (b"what is said at offset %d, again and again; " % at * length)[:length]
        at += length
    return bytes(out)


# What the worker is asked for, and who reads it.
READERS = [
    ({"format": "vmdk"}, ".vmdk", vmdk.VMDK),
    ({"format": "vmdk", "options": {"codec": "balanced"}}, ".vmdk", vmdk.VMDK),
    ({"format": "vmdk", "options": {"codec": "small"}}, ".vmdk", vmdk.VMDK),
    ({"format": "vmdk", "options": {"compress": False}}, ".vmdk", vmdk.VMDK),
    ({"format": "vmdk-sparse"}, ".vmdk", vmdk.VMDK),
    ({"format": "qcow2"}, ".qcow2", qcow2.QCow2),
    ({"format": "qcow2", "options": {"codec": "balanced"}}, ".qcow2", qcow2.QCow2),
    ({"format": "qcow2", "options": {"codec": "small"}}, ".qcow2", qcow2.QCow2),
    ({"format": "qcow2", "options": {"compress": False}}, ".qcow2", qcow2.QCow2),
    ({"format": "vdi"}, ".vdi", vdi.VDI),
    ({"format": "vhd"}, ".vhd", vhd.VHD),
    ({"format": "vhdx"}, ".vhdx", vhdx.VHDX),
]


def content(image, length):
    stream = image.open() if hasattr(image, "open") else image
    stream.seek(0)
    return stream.read(length)


def another_reader_finds_the_same_disk_in_every_format():
    with tempfile.TemporaryDirectory(prefix="hf-test-") as dir:
        data, source = _disk_bytes(), os.path.join(dir, "disk.raw")
        with open(source, "wb") as f:
            f.write(data)
        for number, (wanted, suffix, reader) in enumerate(READERS):
            out = os.path.join(dir, "out%d" % number)
            job = dict(wanted, vm_path=source, output_dir=out, operation="convert", name="disk")
            with open(dir + "/job.json", "w") as f:
                json.dump(job, f)
            run = subprocess.run([BIN + "/hyperworker", "run-job", dir + "/job.json", "--job-id", "j%d" % number, "--set",
                                  "worker.roots=[%s]" % dir], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
            assert run.returncode == 0, (wanted, run.stderr)
            with open(os.path.join(out, "disk" + suffix), "rb") as f:
                image = reader(f)
                found = content(image, SIZE)
                assert len(found) == SIZE and hashlib.sha256(found).digest() == hashlib.sha256(data).digest(), wanted
                size = getattr(image, "size", None)
                assert size is None or size == SIZE, (wanted, size)


if __name__ == "__main__":
    main(another_reader_finds_the_same_disk_in_every_format)
