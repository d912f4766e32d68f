"""A whole fleet of real programs on a real Kafka, for integration tests: start, kill, ask, clean up.

Every process is started by us and ended by its pid. Everything lives in one temporary directory that
is removed at the end, unless the test failed (then its path is printed).
Environment: HF_BIN_DIR (the programs), HF_SOURCE_DIR (the tree).
"""
import json, os, random, shutil, signal, subprocess, sys, tempfile, time, traceback, urllib.error, urllib.request

BIN = os.environ.get("HF_BIN_DIR", "build/dev/bin")
SOURCE = os.environ.get("HF_SOURCE_DIR", os.getcwd())
KAFKA = os.path.join(SOURCE, "tests/support/kafka")
SKIP = 77
PATIENCE = 60  # seconds a wait has at least: a bound ends a test that hangs, and how fast something is the benches say


def skip(why):
    print("SKIPPED: " + why)
    sys.exit(SKIP)


def wait_for(what, predicate, seconds=30.0, every=0.05):
    """Polls until predicate() is true; its last value comes back. Fails by name when time is up."""
    seconds = max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("timed out after %gs waiting for %s (last: %r)" % (seconds, what, value))
        time.sleep(every)


class Program:
    def __init__(self, fleet, name, args, env=None, log=None):
        self.fleet, self.name, self.args, self.env = fleet, name, args, env or {}
        self.log_path = os.path.join(fleet.dir, (log or name) + ".log")
        self.process = None
        self.notes = {}

    def start(self, wait=True, seconds=60, env=None):
        read_fd, write_fd = os.pipe()
        full = dict(os.environ, HF_READY_FD=str(write_fd), **self.env, **(env or {}))
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen([os.path.join(BIN, self.args[0])] + self.args[1:], env=full, pass_fds=[write_fd],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        os.close(write_fd)
        self.ready_fd = os.fdopen(read_fd, "rb", buffering=0)
        os.set_blocking(self.ready_fd.fileno(), False)
        self.heard = b""
        if wait:
            self.wait_ready(seconds)
        return self

    def is_ready(self):
        try:
            more = self.ready_fd.read(65536)
        except BlockingIOError:
            more = None
        if more:
            self.heard += more
            for line in self.heard.decode().splitlines():
                if "=" in line:
                    key, value = line.split("=", 1)
                    self.notes[key] = value
        return self.notes.get("READY") == "1"

    def wait_ready(self, seconds=60):
        def ready():
            if self.is_ready():
                return True
            if self.process.poll() is not None:
                raise AssertionError("%s ended with %s before it was ready:\n%s" % (self.name, self.process.returncode, self.tail()))
        wait_for(self.name + " to be ready", ready, seconds)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.alive():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self, seconds=30):
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(self.name + " did not end after SIGTERM:\n" + self.tail())
        return self.process.returncode if self.process else None

    def tail(self, lines=25):
        """The end of its log; all from where a sanitizer found something, if one did."""
        with open(self.log_path, "rb") as f:
            text = f.read().splitlines()
        for i, line in enumerate(text):
            if b"ERROR: AddressSanitizer" in line or b"runtime error:" in line or b"WARNING: ThreadSanitizer" in line:
                return b"\n".join(text[i:i + 60]).decode(errors="replace")
        return b"\n".join(text[-lines:]).decode(errors="replace")


class Fleet:
    def __init__(self, kafka_nodes=1, fleet="test", bootstrap=None, partitions=4):
        self.dir = tempfile.mkdtemp(prefix="hf-test-")
        self.name, self.partitions = fleet, partitions
        self.kafka_dir, self.programs = None, []
        self.images, self.out = os.path.join(self.dir, "images"), os.path.join(self.dir, "out")
        os.mkdir(self.images)
        os.mkdir(self.out)
        if bootstrap is None:
            self.kafka_dir = os.path.join(self.dir, "kafka")
            bootstrap = self.kafka("kafka-up", self.kafka_dir, str(kafka_nodes)).strip().splitlines()[-1]
        self.bootstrap = bootstrap

    # ---- Kafka
    def kafka(self, script, *args):
        run = subprocess.run([os.path.join(KAFKA, script), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             stdin=subprocess.DEVNULL, timeout=180)
        if run.returncode != 0:
            raise AssertionError("%s failed: %s" % (script, run.stderr[-2000:]))
        return run.stdout

    def kafka_kill(self, node=1):
        self.kafka("kafka-down", self.kafka_dir, str(node), "KILL")

    def kafka_restart(self, node=1):
        self.kafka("kafka-up", "--restart", self.kafka_dir, str(node))

    def topic(self, suffix):
        return "hyperfleet.%s.%s" % (self.name, suffix)

    # ---- programs
    def sets(self, **more):
        values = {"fleet": self.name, "kafka.bootstrap.servers": self.bootstrap, "state_dir": self.dir + "/state",
                  "topics.partitions": self.partitions, "http.listen": "127.0.0.1:0", "worker.sleep_operation": "true",
                  "worker.roots": json.dumps([self.images, self.out]), "worker.lease": "3s", "worker.heartbeat_interval": "500ms",
                  "worker.retry_base": "100ms", "worker.stranger_wait": "100ms", "dispatch.lease_grace": "1s"}
        values.update({k.replace("__", "."): v for k, v in more.items()})
        out = []
        for key, value in values.items():
            out += ["--set", "%s=%s" % (key, value)]
        return out

    def program(self, name, args, env=None, log=None):
        p = Program(self, name, args, env, log)
        self.programs.append(p)
        return p

    def journal(self, wait=True, program="hyperjournal", **more):
        self.j = self.program("hyperjournal", [program] + self.sets(**more)).start(wait)
        if wait:
            self.http = "http://" + self.j.notes["HTTP"]
        return self.j

    def dispatch(self, id="d1", wait=True, env=None, **more):
        return self.program("hyperdispatch-" + id, ["hyperdispatch", "--id", id] + self.sets(**more), env).start(wait)

    def worker(self, id="w1", wait=True, env=None, **more):
        return self.program("hyperworker-" + id, ["hyperworker"] + self.sets(worker__id=id, **more), env).start(wait)

    def ctl(self, *args, check=True):
        run = subprocess.run([os.path.join(BIN, "hyperctl"), *args, "--http", self.http, *self.sets()], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=120)
        if check and run.returncode != 0:
            raise AssertionError("hyperctl %s ended with %d: %s" % (" ".join(args), run.returncode, run.stderr))
        return run

    # ---- HTTP
    def request(self, method, path, body=None, seconds=30, headers=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.http + path, data=data, method=method,
                                         headers=dict({"Content-Type": "application/json"} if data else {}, **(headers or {})))
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as e:
            text = e.read()
            try:
                return e.code, json.loads(text)
            except ValueError:
                return e.code, {"error": text.decode(errors="replace")}

    def submit(self, *jobs):
        status, answer = self.request("POST", "/jobs/submit", list(jobs))
        assert status == 200, (status, answer)
        return answer

    def job(self, id):
        status, answer = self.request("GET", "/jobs/" + id)
        return answer if status == 200 else None

    def wait_job(self, id, states=("completed",), seconds=60):
        def there():
            job = self.job(id)
            if job and job["state"] in ("completed", "failed", "cancelled") and job["state"] not in states:
                raise AssertionError("job %s is %s: %s" % (id, job["state"], json.dumps(job, indent=1)[:3000]))
            return job if job and job["state"] in states else None
        return wait_for("job %s to be %s" % (id, "/".join(states)), there, seconds)

    def events(self, id):
        status, answer = self.request("GET", "/jobs/%s/events" % id)
        assert status == 200, (status, answer)
        return answer["events"]

    def accepted(self, id):
        """Names of the accepted events of a job, in order."""
        return [name for e in self.events(id) if e["verdict"] == "accepted" for name in e["events"]]

    # ---- images
    def raw_image(self, name="disk.raw", mib=8, seed=1):
        path = os.path.join(self.images, name)
        rng = random.Random(seed)
        with open(path, "wb") as f:
            f.truncate(mib << 20)
            for _ in range(max(1, mib // 4)):
                f.seek(rng.randrange(0, (mib << 20) - 300000) & ~511)
                f.write(rng.randbytes(200000) + b"text " * 10000)
        return path

    # ---- the end
    def close(self, keep=False):
        for p in self.programs:
            p.kill()
        if self.kafka_dir:
            subprocess.run([os.path.join(KAFKA, "kafka-down"), "--now", self.kafka_dir], stdin=subprocess.DEVNULL, timeout=60)
        if keep:
            print("kept for you to look at: " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        failed = bool(kind) and kind is not SystemExit
        try:
            for p in self.programs if failed else ():
                print("---- end of %s:\n%s" % (p.name, p.tail()))
        finally:  # also where nobody reads what is printed any more
            self.close(keep=failed and bool(os.environ.get("HF_KEEP")))


def sleep_job(ms=0, id=None, **more):
    job = {"name": "trial", "operation": "sleep", "parameters": {"ms": ms}, **more}
    if id:
        job["job_id"] = id
    return job


def main(*tests):
    """Runs the test functions named on the command line (all without any) and says how it went."""
    wanted = sys.argv[1:]
    unknown = set(wanted) - {test.__name__ for test in tests}
    if unknown:
        sys.exit("no test of %s: %s" % (sys.argv[0], " ".join(sorted(unknown))))
    failed = 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        begun = time.monotonic()
        try:
            test()
            print("PASSED %s (%.1f s)" % (test.__name__, time.monotonic() - begun), flush=True)
        except SystemExit:
            raise
        except BaseException:
            failed += 1
            traceback.print_exc()
            print("FAILED %s (%.1f s)" % (test.__name__, time.monotonic() - begun), flush=True)
    sys.exit(1 if failed else 0)
