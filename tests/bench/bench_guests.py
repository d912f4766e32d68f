#!/usr/bin/env python3
"""Seconds of guest operations, beside the same done by hand with guestfish and virt-customize.

    tests/bench/bench_guests.py [--rounds 3] [--bin build/release/bin] [--guests build/guests] [--dir /var/tmp]

Each begins with a copy of the guest that does not boot and ends with a repaired image; by hand that is a copy of the source and a repair in it.
    start       the appliance alone: `guestfish run`, and what fs_repair's report says of its own
    fs_repair   the root's first superblock is gone: `hyperworker run-job`, and guestfish: e2fsck, which finds a copy by itself
    boot_repair names of another bus in fstab and on the kernel's command line: `hyperworker run-job`, and virt-customize --run-command 'sed'
Prints the median wall seconds, and those of the processor (the appliance's included), and judges nothing. In emulation unless HF_GUEST_KVM=yes.
"""
import argparse, json, os, resource, shutil, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--bin", default="build/release/bin")
parser.add_argument("--guests", default="build/guests")
parser.add_argument("--dir", default="/var/tmp", help="where copies and results lie")
options = parser.parse_args()
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["HF_BIN_DIR"], os.environ["HF_SOURCE_DIR"], os.environ["HF_GUESTS_DIR"] = os.path.abspath(options.bin), root, os.path.abspath(options.guests)
sys.path.insert(0, os.path.join(root, "tests/integration"))
import guests  # noqa: E402
from test_guest_boot import as_vmware_had_it, debugfs  # noqa: E402
from test_guest_more import SUPERBLOCK, zero  # noqa: E402

WORKER = os.path.join(os.environ["HF_BIN_DIR"], "hyperworker")
ENV = dict(os.environ, LIBGUESTFS_BACKEND="direct")
if os.environ.get("HF_GUEST_KVM") != "yes":
    ENV["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
healthy = guests.image("bios")
uuid = debugfs(healthy, "cat /etc/fstab").split("UUID=")[1].split()[0]
BY_HAND = {
    "fs_repair": lambda image: (["guestfish", "--rw", "--format=raw", "-a", image], "run\ne2fsck /dev/sda1 forceall:true\n"),
    "boot_repair": lambda image: (["virt-customize", "-q", "--format", "raw", "-a", image, "--no-network", "--no-logfile", "--run-command",
                                   "sed -i s,^/dev/sda1,UUID=%s, /etc/fstab; sed -i s,root=/dev/sda1,root=UUID=%s, /boot/grub/grub.cfg" % (uuid, uuid)], None),
}
BREAK = {"fs_repair": lambda image: zero(image, SUPERBLOCK, 1024), "boot_repair": as_vmware_had_it}
figures = {}


def measured(name, command, input=None):
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, input=input, text=True, capture_output=True, env=ENV)
    if done.returncode:
        raise SystemExit("%s ended with %d: %s" % (name, done.returncode, done.stdout[-2000:] + done.stderr[-2000:]))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures.setdefault(name, []).append(time.monotonic() - begun)
    figures.setdefault(name + ": processor", []).append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return done.stdout


def ours(operation, dir, source):
    job = {"name": operation, "operation": operation, "vm_path": source, "output_dir": os.path.join(dir, "out")}
    with open(os.path.join(dir, "job.json"), "w") as f:
        json.dump(job, f)
    said = measured(operation, [WORKER, "run-job", f.name, "--set", "worker.roots=" + json.dumps([dir])])
    report = json.loads(said)["report"]
    report = json.loads(report) if isinstance(report, str) else report
    figures.setdefault(operation + ": its appliance", []).append(report["guest"]["appliance_seconds"])
    figures.setdefault(operation + ": its steps", []).append(sum(s["seconds"] for s in report["steps"]))
    shutil.rmtree(os.path.join(dir, "out"))


with tempfile.TemporaryDirectory(prefix="hf-bench-guests-", dir=options.dir) as dir:
    for _ in range(options.rounds):
        measured("guestfish run", ["guestfish", "--ro", "--format=raw", "-a", healthy], "run\n")
        for operation in BY_HAND:
            source = guests.copy(healthy, os.path.join(dir, "source.raw"))
            BREAK[operation](source)
            ours(operation, dir, source)
            begun = time.monotonic()
            command, input = BY_HAND[operation](guests.copy(source, os.path.join(dir, "copy.raw")))
            copied = time.monotonic() - begun
            name = operation + ", by " + command[0]
            measured(name, command, input)
            figures[name][-1] += copied
for name, seconds in figures.items():
    print("%-40s %6.1f s (%s)" % (name, statistics.median(seconds), ", ".join("%.1f" % s for s in seconds)))
