#!/usr/bin/env python3
"""How fast a real hyperhook tells webhooks what a real broker has, and how much memory it takes; beside the bare sender (bench_send) and wrk,
which posts the same body to the same receiver, in the same run.

    tests/bench/bench_webhooks.py [--deliveries N] [--endpoints 1,16,1000] [--set key=value ...]

Needs the release build (--bin) and wrk. Jobs of no work are run first; then the fleet rests, and the broker, one hook and the receiver (one
thread of C, connections kept) share the cores. Events are job.created, job.started and job.completed, signed; each delivery is also a record on
webhook-deliveries, acknowledged, which the hook and the journal read. Prints figures, judges nothing.
"""
import argparse, json, os, re, signal, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--deliveries", type=int, default=200000)
parser.add_argument("--endpoints", default="1,16,1000")
parser.add_argument("--set", action="append", default=[], help="key=value for hyperhook")
parser.add_argument("--bin", default="build/release/bin")
options = parser.parse_args()
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["HF_BIN_DIR"], os.environ["HF_SOURCE_DIR"] = os.path.abspath(options.bin), root
sys.path.insert(0, os.path.join(root, "tests/integration"))
from fleet import Fleet, wait_for  # noqa: E402

BENCH = os.path.join(os.environ["HF_BIN_DIR"], "bench")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def figures(pid):
    """CPU seconds and resident MiB of a process."""
    fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    pages = int(open("/proc/%d/statm" % pid).read().split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGESIZE") / 2**20


class Sink:
    def __init__(self):
        self.program = subprocess.Popen([os.path.join(BENCH, "bench_webhooks")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port, self.pid = map(int, self.program.stdout.readline().split())

    def count(self):
        self.program.stdin.write("\n")
        self.program.stdin.flush()
        return int(self.program.stdout.readline())

    def close(self):
        self.program.stdin.close()
        self.program.wait()


def wrk(sink):
    dir = tempfile.TemporaryDirectory()
    script = os.path.join(dir.name, "post.lua")
    body = {"event": "job.completed", "type": "job.completed", "timestamp": "2026-01-17T10:30:00.000Z",
            "data": {"job_id": "b0190c0de0000-0000001", "job_name": "no work", "vm_path": "", "duration_seconds": 0.012, "ovf_path": "", "exported_files": []}}
    headers = {"Content-Type": "application/json", "webhook-id": "msg_" + "0" * 32, "webhook-timestamp": "1768645800", "webhook-signature": "v1," + "A" * 43 + "="}
    with open(script, "w") as out:
        out.write("wrk.method = 'POST'\nwrk.body = '%s'\n" % json.dumps(body))
        out.writelines("wrk.headers['%s'] = '%s'\n" % h for h in headers.items())
    for connections in (8, 64):
        run = subprocess.run(["wrk", "-t", "1", "-c", str(connections), "-d", "5s", "-s", script, "http://127.0.0.1:%d/hook" % sink.port],
                             stdout=subprocess.PIPE, text=True, check=True)
        print("wrk, %d connections: %s requests/s" % (connections, re.search(r"Requests/sec:\s+(\S+)", run.stdout).group(1)), flush=True)


def hook(f, id, webhooks):
    file = os.path.join(f.dir, id + ".yaml")  # a thousand are too many for a command line
    with open(file, "w") as out:
        json.dump({"webhooks": webhooks}, out)
    os.chmod(file, 0o600)
    extra = [part for item in options.set for part in ("--set", item)]
    return f.program("hyperhook-" + id, ["hyperhook", "--id", id, "--config", file] + f.sets(webhook__allow_private="true", log__level="warn") + extra).start()


def run_jobs(f, n):
    subprocess.run([os.path.join(BENCH, "bench_fleet"), "submit", f.bootstrap, "bench", str(n)], stdout=subprocess.DEVNULL, check=True)
    wait_for("jobs", lambda: f.request("GET", "/status")[1]["completed_jobs"] >= n, 300)


def round_of(f, endpoints):
    sink = Sink()
    webhooks = [{"id": "e%d-%d" % (endpoints, i), "url": "http://127.0.0.1:%d/hook/%d" % (sink.port, i), "secret": SECRET,
                 "events": ["job.created", "job.started", "job.completed"]} for i in range(endpoints)]
    id = "e%d" % endpoints
    first = hook(f, id, webhooks)  # a webhook is told of what comes after it was added
    time.sleep(3)
    idle = figures(first.process.pid)[1]
    first.stop()
    jobs = max(1, options.deliveries // endpoints // 3)
    run_jobs(f, jobs)
    due = jobs * 3 * endpoints
    broker = int(open(os.path.join(f.kafka_dir, "n1/pid")).read())
    os.kill(sink.pid, signal.SIGSTOP)  # nobody answers: queues fill
    h = hook(f, id, webhooks)
    time.sleep(4)
    filled = figures(h.process.pid)[1]
    before = {name: figures(pid)[0] for name, pid in (("hook", h.process.pid), ("broker", broker), ("receiver", sink.pid))}
    os.kill(sink.pid, signal.SIGCONT)
    begun = time.monotonic()
    wait_for("%d deliveries" % due, lambda: sink.count() >= due, 600, 0.02)
    seconds = time.monotonic() - begun
    cpu = {name: (figures(pid)[0] - before[name]) / due * 1e6 for name, pid in (("hook", h.process.pid), ("broker", broker), ("receiver", sink.pid))}
    print("%5d endpoints: %d deliveries (%d more), %.0f/s; us of processor for each: %s; hook resident %.1f MiB idle, %.1f with its queues filled, %.1f at the end; load %.1f" % (
        endpoints, due, sink.count() - due, due / seconds, ", ".join("%s %.0f" % c for c in cpu.items()), idle, filled, figures(h.process.pid)[1], os.getloadavg()[0]), flush=True)
    h.stop()
    sink.close()


def main():
    sink = Sink()
    wrk(sink)
    sink.close()
    for endpoints, flights in ((16, 64), (1000, 256)):
        print(subprocess.run([os.path.join(BENCH, "bench_send"), "100000", str(endpoints), str(flights)], stdout=subprocess.PIPE, text=True).stdout.strip(), flush=True)
    for endpoints in map(int, options.endpoints.split(",")):
        with Fleet(fleet="bench") as f:
            f.journal(log__level="warn"), f.dispatch(log__level="warn")
            f.worker(worker__lease="30s", worker__heartbeat_interval="5s", log__level="warn")
            round_of(f, endpoints)


main()
