#!/usr/bin/env python3
"""Exports from a vCenter of our own on this machine: wall time, CPU, resident memory, of one disk and of four.

    tests/bench/bench_vsphere.py [--mib 650] [--rounds 5] [--bin build/release/bin] [--dir /var/tmp] [--only curl,ours]

In each round, one after the other, from the same simulator over TLS:

    curl        the lease's URLs to files, one after the other: the floor. Checks nothing, syncs nothing
    curl -Z     the same, three at a time
    govmomi     disks, descriptor (tests/bench/vsphere_peer, on govmomi's nfc and ovf packages). Checks nothing
    +sha256+tar the same with SHA-256 and a manifest, then tar makes the OVA of it
    ours        hyperworker run-job: a verified OVA (walk of each VMDK, SHA-256, manifest), synced and renamed into place

The four disks together have as many bytes as the one. The simulator's work is in every wall time and in no CPU time. Prints each
figure and the ratio of the medians to curl's; judges nothing. The disks' page cache is warm from the first round on.
"""
import argparse, json, os, random, shutil, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--mib", type=int, default=650, help="size of the stream")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--bin", default="build/release/bin")
parser.add_argument("--dir", default="/var/tmp", help="where disks and results lie")
parser.add_argument("--only", default="curl,curl -Z,govmomi,+sha256+tar,ours")
options = parser.parse_args()
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["HF_BIN_DIR"], os.environ["HF_SOURCE_DIR"], os.environ["TMPDIR"] = os.path.abspath(options.bin), root, os.path.abspath(options.dir)
tempfile.tempdir = None
sys.path.insert(0, os.path.join(root, "tests/integration"))
from vsphere import PASSWORD, Peak, VSphere, sha256  # noqa: E402

WORKER = os.path.join(os.environ["HF_BIN_DIR"], "hyperworker")
PEER = subprocess.check_output([os.path.join(root, "tests/support/vsphere-sim/build"), os.path.join(root, "tests/bench/vsphere_peer")], text=True).strip()


def stream(dir, name, mib, seed):
    """A streamOptimized VMDK of about so many MiB: five eighths of each grain cannot be compressed. Made by our own export, for speed."""
    raw, rng = os.path.join(dir, name + ".raw"), random.Random(seed)
    with open(raw, "wb") as f:
        for _ in range(mib * 16 * 8 // 5):
            f.write(rng.randbytes(40960) + b"all work and no play " * 1170 + b"123456")
        f.truncate((f.tell() + 0xfffff) & ~0xfffff)
    job = {"name": name, "vm_path": raw, "output_dir": dir, "format": "vmdk"}
    run = subprocess.run([WORKER, "run-job", "-", "--set", "worker.roots=" + json.dumps([dir])], input=json.dumps(job), text=True, capture_output=True)
    if run.returncode:
        raise SystemExit(run.stdout + run.stderr)
    os.unlink(raw)
    path = next(a["path"] for a in json.loads(run.stdout)["artifacts"] if a["path"].endswith(".vmdk"))
    os.rename(path, os.path.join(dir, name + ".vmdk"))
    return os.path.join(dir, name + ".vmdk")


class Measured:
    def __init__(self):
        self.wall = self.cpu = self.mib = 0.0

    def run(self, command, input=None, **more):
        """One process; its figures are added to those before it."""
        begun = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
        peak = Peak(process.pid)  # ru_maxrss would count what this script had when it forked
        if input is not None:
            process.stdin.write(input.encode())
            process.stdin.close()
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.wall += time.monotonic() - begun
        self.cpu += usage.ru_utime + usage.ru_stime
        self.mib = max(self.mib, peak.mib())
        if process.returncode:
            raise SystemExit("%s ended with %d:\n%s" % (command[0], process.returncode, said.decode(errors="replace")[-3000:]))
        return said


class Bench(VSphere):
    def peer(self, what):
        return [PEER, what, "-sdk", self.sdk, "-vm", "/DC0/vm/DC0_C0_RP0_VM0"], dict(os.environ, VC_USER="exporter", VC_PASSWORD=PASSWORD)

    def lease(self):
        command, env = self.peer("lease")
        process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return process, [process.stdout.readline().strip() for _ in range(self.disk_count)]

    def curl(self, *more):
        process, urls = self.lease()
        command = ["curl", "-sSfk", *more]
        for i, url in enumerate(urls):
            command += ["-o", os.path.join(self.out, "disk-%d.vmdk" % i), url]
        measured = Measured()
        measured.run(command)
        process.stdin.close()
        process.wait()
        return measured

    def govmomi(self, hashed):
        command, env = self.peer("export")
        measured = Measured()
        measured.run(command + ["-out", self.out] + (["-sha256"] if hashed else []), env=env)
        if hashed:
            name = "DC0_C0_RP0_VM0"
            measured.run(["tar", "--format=ustar", "-cf", name + ".ova", name + ".ovf", name + ".mf"] + ["disk-%d.vmdk" % i for i in range(self.disk_count)], cwd=self.out)
        return measured

    def ours(self):
        measured = Measured()
        measured.run([WORKER, "run-job", "-", "--config", self.config_path], input=json.dumps(self.job(format="ova")))
        return measured

    def once(self, what):
        shutil.rmtree(self.out)
        os.mkdir(self.out)
        os.sync()  # what the one before has left is not this one's
        measured = {"curl": lambda: self.curl(), "curl -Z": lambda: self.curl("-Z", "--parallel-max", "3"), "govmomi": lambda: self.govmomi(False),
                    "+sha256+tar": lambda: self.govmomi(True), "ours": self.ours}[what]()
        if what == "ours":
            self.check()
        return measured

    def check(self):
        """The OVA holds exactly the bytes that were served."""
        ova = next(n for n in self.published() if n.endswith(".ova"))
        at = os.path.join(self.dir, "unpacked")
        os.mkdir(at)
        subprocess.check_call(["tar", "xf", os.path.join(self.out, ova), "-C", at])
        got = sorted(sha256(os.path.join(at, n)) for n in os.listdir(at) if n.endswith(".vmdk"))
        if got != sorted([sha256(self.served)] * self.disk_count):
            raise SystemExit("the OVA's disks are not what was served")
        shutil.rmtree(at)


def bench(disks, served):
    args = ["-disk", served] * (disks - 1)
    with Bench(*args, served=served, vms=1) as vs:
        vs.served, vs.disk_count = served, disks
        mb = os.path.getsize(served) * disks / 1e6
        print("%d disk%s, %.0f MB served" % (disks, "s" if disks > 1 else "", mb), flush=True)
        wanted = [w for w in options.only.split(",")]
        seen = {w: [] for w in wanted}
        for round in range(options.rounds + 1):
            for what in wanted:
                measured = vs.once(what)
                if round:  # the one before the first warms the caches
                    seen[what].append(measured)
        floor = statistics.median(m.wall for m in seen["curl"]) if "curl" in seen else None
        for what in wanted:
            walls = sorted(m.wall for m in seen[what])
            middle = statistics.median(walls)
            print("  %-12s wall %s s: median %.2f (%.0f MB/s)%s, CPU %.2f s, resident %.0f MiB" % (
                what, " ".join("%.2f" % w for w in walls), middle, mb / middle, ", %.2f x curl" % (middle / floor) if floor else "",
                statistics.median(m.cpu for m in seen[what]), max(m.mib for m in seen[what])), flush=True)


print("load %.1f on %d cores" % (os.getloadavg()[0], os.cpu_count()))
with tempfile.TemporaryDirectory(prefix="hf-bench-vsphere-") as dir:
    bench(1, stream(dir, "one", options.mib, 1))
    bench(4, stream(dir, "quarter", max(1, options.mib // 4), 2))
