"""A vCenter of our own (tests/support/vsphere-sim) with disks to serve, and jobs run against it: what the tests of vSphere share.

Everything lives in one temporary directory. Every process is started by us and ended by its pid.
"""
import hashlib, json, os, random, re, shutil, signal, subprocess, tempfile, threading, time, urllib.parse, urllib.request

from fleet import BIN, SKIP, SOURCE, skip, wait_for

PASSWORD = "corr3ct-horse&<b>attery"  # looked for in all that is written


def build():
    run = subprocess.run([os.path.join(SOURCE, "tests/support/vsphere-sim/build")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    if run.returncode == SKIP:
        skip("the simulator of vSphere cannot be built here: see above")
    assert run.returncode == 0, "the simulator of vSphere could not be built"
    return run.stdout.strip()


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def make_disk(dir, n, mib=8, seed=0):
    """A disk with data, text, zeros and holes, as raw and as a streamOptimized VMDK: even ones as hosts send them, with a footer and an
    end-of-stream marker, odd ones as qemu-img lays them out, directory first."""
    raw, vmdk = os.path.join(dir, "disk%d.raw" % n), os.path.join(dir, "disk%d.vmdk" % n)
    rng = random.Random(seed * 100 + n)
    with open(raw, "wb") as f:
        f.truncate(mib << 20)
        for _ in range(max(2, mib // 2)):
            f.seek(rng.randrange(0, (mib << 20) - 500000) & ~511)
            f.write(rng.randbytes(350000) + (b"text of disk %d " % n) * 5000)
    if n % 2:
        subprocess.check_call(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, vmdk])
    else:
        job = {"name": "made", "vm_path": raw, "output_dir": dir, "format": "vmdk"}
        run = subprocess.run([os.path.join(BIN, "hyperworker"), "run-job", "-", "--set", "worker.roots=" + json.dumps([dir])], input=json.dumps(job),
                             stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE)
        assert run.returncode == 0, run.stderr
        os.rename(json.loads(run.stdout)["artifacts"][0]["path"], vmdk)
    return raw, vmdk


class VSphere:
    """The simulator, a directory with an endpoint's configuration, and the jobs run against it.

    disks: how many each VM has; mib: the size of each; served: a VMDK to serve instead. Further arguments are the simulator's."""

    def __init__(self, *args, disks=1, mib=8, seed=0, vms=2, served=None, **members):
        program = build()
        self.dir = tempfile.mkdtemp(prefix="hf-vsphere-")
        self.out = self.path("out")
        os.mkdir(self.out)
        os.mkdir(self.path("tmp"))
        self.disks = [(None, served)] if served else [make_disk(self.dir, n, mib, seed) for n in range(disks)]
        self.said = []  # everything programs of ours have written
        command = [program, "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-vms", str(vms), "-user", "exporter", "-password", PASSWORD]
        for _, vmdk in self.disks:
            command += ["-disk", vmdk]
        self.log = open(self.path("simulator.log"), "wb")
        self.process = subprocess.Popen(command + list(args), stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL,
                                        env=dict(os.environ, TMPDIR=self.path("tmp")))
        line = self.process.stdout.readline().decode()
        assert line.startswith("sdk="), "the simulator did not start: " + open(self.path("simulator.log")).read()
        self.sdk, self.control = re.match(r"sdk=(\S+) control=(\S+)", line).groups()
        with open(self.path("ca.pem"), "wb") as f:
            f.write(self.get("/ca", raw=True))
        self.write("password", PASSWORD + "\n", 0o600)
        self.config_path = self.path("hyperfleet.yaml")
        self.configure(**members)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w") as f:
            f.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def endpoint(self, **members):
        """The endpoint's members; those given replace or, with None, remove."""
        all = {"provider": "vsphere", "url": self.sdk, "username": "exporter", "password_file": self.path("password"), "ca_file": self.path("ca.pem"),
               "connect_timeout": "3s", "call_timeout": "20s", "stall_timeout": "3s", "lease_wait": "10s", "task_wait": "20s", "lease_keepalive": "500ms"}
        all.update(members)
        return {k: v for k, v in all.items() if v is not None}

    def configure(self, **members):
        """Writes the configuration; JSON is YAML too."""
        self.write("hyperfleet.yaml", json.dumps({"endpoints": {"vc": self.endpoint(**members)}, "worker": {"roots": [self.dir]}}))

    # ---- the control port
    def get(self, path, raw=False):
        with urllib.request.urlopen(self.control + path, timeout=30) as answer:
            body = answer.read()
        return body if raw else json.loads(body)

    def fault(self, **values):
        """vs.fault(drop_after=1000): names with _ for -. Answers with all of them."""
        query = {k.replace("_", "-"): str(v).lower() if isinstance(v, bool) else str(v) for k, v in values.items()}
        return self.get("/fault?" + urllib.parse.urlencode(query))

    def reset(self):
        return self.get("/fault?reset")

    def stats(self):
        return self.get("/stats")

    def vm(self, name="DC0_C0_RP0_VM0", **change):
        return self.get("/vm?" + urllib.parse.urlencode(dict(change, name=name)))

    # ---- jobs
    def job(self, operation="export", **more):
        job = {"name": "web", "operation": operation, "provider": "vsphere", "endpoint": "vc", "output_dir": self.out}
        if operation == "export":
            job["vm_path"] = "/DC0/vm/DC0_C0_RP0_VM0"
        job.update(more)
        return {k: v for k, v in job.items() if v is not None}

    def start(self, job, *args, env=None):
        """Runs it in this machine's hyperworker, without Kafka; the process comes back."""
        return subprocess.Popen([os.path.join(BIN, "hyperworker"), "run-job", "-", "--config", self.config_path, *args], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, **dict({"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"}, **(env or {})))), json.dumps(job)

    def finish(self, started, seconds=90):
        process, text = started
        peak = Peak(process.pid)
        try:
            out, err = process.communicate(text, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("the job did not end within %d s:\n%s\n%s" % (seconds, err[-3000:], self.log_tail()))
        return Outcome(self, process.returncode, out, err, peak.mib())

    def run(self, job, *args, seconds=90, env=None):
        return self.finish(self.start(job, *args, env=env), seconds)

    # ---- what must hold afterwards
    def published(self):
        """Files in the output directory, without what is an attempt's own."""
        found = []
        for at, dirs, names in os.walk(self.out):
            dirs[:] = [d for d in dirs if not (d.startswith(".hf-") and d.endswith(".partial"))]
            found += [os.path.relpath(os.path.join(at, n), self.out) for n in names]
        return sorted(found)

    def private(self):
        return [n for n in os.listdir(self.out) if n.startswith(".hf-")]

    def empty(self):
        shutil.rmtree(self.out)
        os.mkdir(self.out)

    def clean(self, sessions=0, snapshots=0):
        """No lease, session, snapshot or download is left behind."""
        def gone():
            s = self.stats()
            return s if (s["leases_open"], s["downloads_open"]) == (0, 0) and s["sessions_open"] <= sessions and s["snapshots_left"] == snapshots else None
        try:
            return wait_for("everything to be given back", gone, 30)
        except AssertionError as e:
            s = self.stats()
            raise AssertionError("left behind: %s" % {k: s[k] for k in ("leases_open", "downloads_open", "sessions_open", "snapshots_left", "snapshots")}) from e

    def log_tail(self):
        with open(self.path("simulator.log"), errors="replace") as f:
            return "---- the simulator said:\n" + f.read()[-3000:]

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind and kind is not SystemExit:
            print(self.log_tail())
        self.close()
        for text in self.said:
            assert PASSWORD not in text and "corr3ct-horse" not in text, "the password was written out:\n" + text


class Peak(threading.Thread):
    """The most memory a process is seen with, until it ends."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.kib = pid, 0
        self.start()

    def run(self):
        while True:
            try:
                with open("/proc/%d/status" % self.pid) as f:
                    found = re.search(r"VmHWM:\s+(\d+)", f.read())
            except (FileNotFoundError, ProcessLookupError):
                return
            if not found:
                return
            self.kib = int(found.group(1))
            time.sleep(0.02)

    def mib(self):
        self.join(5)
        return self.kib / 1024


class Outcome:
    """How a job ended: exit status, what it printed, its result or error."""

    def __init__(self, vs, status, out, err, peak_mib):
        self.vs, self.status, self.out, self.err, self.peak_mib = vs, status, out, err, peak_mib
        vs.said += [out, err]
        assert "Sanitizer" not in err and "runtime error:" not in err, err[-6000:]
        try:
            self.json = json.loads(out)
        except ValueError:
            self.json = {}
        self.error = self.json.get("error") or {}
        self.code, self.message = self.error.get("code"), self.error.get("message", "")
        self.artifacts = {os.path.basename(a["path"]): a for a in self.json.get("artifacts", [])}

    def good(self):
        assert self.status == 0, "exit status %d\n%s\n%s%s" % (self.status, self.out, self.err[-4000:], self.vs.log_tail())
        return self

    def bad(self, *codes, status=None):
        """Failed with one of these codes, and says something; what stands in the output directory is whole or not there."""
        assert self.status != 0 and self.status < 128, "exit status %d\n%s\n%s" % (self.status, self.out, self.err[-4000:])
        assert not codes or self.code in codes, "%r is none of %r: %s\n%s" % (self.code, codes, self.message, self.err[-3000:])
        assert status is None or self.status == status, (self.status, self.message)
        assert len(self.message) > 20, self.error
        assert self.vs.published() == [], "published by a job that failed: %s" % self.vs.published()
        return self


def raw_of(path, format):
    """The disk's bytes: back through qemu-img, which nobody here wrote."""
    back = path + ".back"
    subprocess.check_call(["qemu-img", "convert", "-f", format, "-O", "raw", path, back])
    try:
        return sha256(back), os.path.getsize(back)
    finally:
        os.unlink(back)


def check_export(vs, outcome, format, disks=None):
    """The whole result: manifest, descriptor and every disk equal to what was served. Gives the disks' paths in order."""
    outcome.good()
    names = vs.published()
    for name, artifact in outcome.artifacts.items():
        if artifact.get("checksum"):
            assert artifact["checksum"].removeprefix("sha256:") == sha256(artifact["path"]), name
        if artifact.get("size_bytes") is not None:
            assert artifact["size_bytes"] == os.path.getsize(artifact["path"]), name
    at = vs.out
    if format == "ova":
        ova = next(n for n in names if n.endswith(".ova"))
        at = vs.path("unpacked")
        shutil.rmtree(at, ignore_errors=True)
        os.mkdir(at)
        subprocess.check_call(["tar", "xf", os.path.join(vs.out, ova), "-C", at])
        names = subprocess.check_output(["tar", "tf", os.path.join(vs.out, ova)], text=True).split("\n")[:-1]
        assert names[0].endswith(".ovf") and names[1].endswith(".mf"), names
    if format == "ovf":  # a directory of its own
        at = os.path.join(at, os.path.dirname(next(n for n in names if n.endswith(".ovf"))))
        names = [os.path.basename(n) for n in names]
    if format in ("ova", "ovf"):
        manifest = next(n for n in names if n.endswith(".mf"))
        sums = re.findall(r"^SHA256\((.*)\)= ([0-9a-f]{64})\s*$", open(os.path.join(at, manifest)).read(), re.M)
        assert len(sums) == len(names) - 1, (sums, names)
        for name, digest in sums:
            assert sha256(os.path.join(at, name)) == digest, name
    suffix = {"ova": "vmdk", "ovf": "vmdk"}.get(format, format)
    found = sorted(n for n in names if n.endswith("." + suffix))
    wanted = vs.disks[:disks] if disks else vs.disks
    assert len(found) == len(wanted), (found, len(wanted))
    for name, (raw, _) in zip(found, wanted):
        got = raw_of(os.path.join(at, name), suffix)
        assert got == (sha256(raw), os.path.getsize(raw)), "%s differs from what was served" % name
    return [os.path.join(at, n) for n in found]


def kill_tree(pid):
    """SIGKILL to a process and all it has started."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    children.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    todo, all = [pid], []
    while todo:
        one = todo.pop()
        all.append(one)
        todo += children.get(one, [])
    for one in all:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return all
