#!/usr/bin/env python3
"""The whole fleet against a real Kafka on this machine: no-op jobs a second, pick-up latency, resident memory.

    tests/bench/bench_fleet.py [--jobs N] [--bin build/release/bin]
    tests/bench/bench_fleet.py --limits [--jobs N]    what limits of concurrency cost: without one, with one that no job matches,
                                                      with one that all match and that binds none, with ones that bind

One broker, one journal, one dispatcher, one worker; the broker shares the cores. Every event is acknowledged by all
in-sync replicas; the clock stops when the journal has folded the last Completed. Prints figures, judges nothing.
"""
import argparse, http.client, json, os, subprocess, sys, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--jobs", type=int, default=100000)
parser.add_argument("--pickups", type=int, default=400)
parser.add_argument("--rate", type=float, default=20)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--limits", action="store_true")
parser.add_argument("--bin", default="build/release/bin")
options = parser.parse_args()
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["HF_BIN_DIR"], os.environ["HF_SOURCE_DIR"] = os.path.abspath(options.bin), root
sys.path.insert(0, os.path.join(root, "tests/integration"))
from fleet import Fleet, wait_for  # noqa: E402


def load(*args):
    out = subprocess.run([os.path.join(os.environ["HF_BIN_DIR"], "bench/bench_fleet"), *map(str, args)], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(out.stderr)
    return out.stdout.strip()


def figures(pid):
    """CPU seconds and resident MiB of a process."""
    fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    pages = int(open("/proc/%d/statm" % pid).read().split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGESIZE") / 2**20


def completed(f):
    return f.request("GET", "/status")[1]["completed_jobs"]


def throughput(round, limits=()):
    with Fleet(fleet="bench") as f:
        journal = f.journal(log__level="warn")
        for key, max in limits:
            assert f.request("PUT", "/api/v1/limits/" + key, {"max": max})[0] == 200
        print("round %s: %s" % (round, load("submit", f.bootstrap, "bench", options.jobs)), flush=True)
        begun = time.monotonic()
        dispatch, worker = f.dispatch(wait=False, log__level="warn"), f.worker(wait=False, worker__lease="30s", worker__heartbeat_interval="5s", log__level="warn")
        ready = None
        while completed(f) < options.jobs:
            if ready is None and worker.is_ready() and dispatch.is_ready():
                ready = time.monotonic()
            time.sleep(0.02)
        end = time.monotonic()
        broker = int(open(os.path.join(f.kafka_dir, "n1/pid")).read())
        print("         %d jobs of no work in %.2f s from the start of dispatcher and worker: %.0f jobs/s" % (options.jobs, end - begun, options.jobs / (end - begun)))
        for name, pid in (("journal", journal.process.pid), ("dispatch", dispatch.process.pid), ("worker", worker.process.pid), ("broker", broker)):
            cpu, rss = figures(pid)
            print("         %-9s CPU %5.1f s, resident %6.1f MiB" % (name, cpu, rss), flush=True)


def latency():
    with Fleet(fleet="bench") as f:
        journal, dispatch, worker = f.journal(), f.dispatch(), f.worker(worker__lease="30s", worker__heartbeat_interval="5s")
        time.sleep(3)
        for name, p in (("worker", worker), ("dispatch", dispatch), ("journal", journal)):
            print("idle %-9s resident %5.1f MiB" % (name, figures(p.process.pid)[1]), flush=True)
        print("through submissions: " + load("pickup", f.bootstrap, "bench", options.pickups, options.rate), flush=True)
        through_the_sidecar(f)


def through_the_sidecar(f, jobs=200):
    """From the HTTP request to the runner's start, one job at a time."""
    connection = http.client.HTTPConnection(f.http[len("http://"):])
    waits = []
    for i in range(jobs):
        begun = time.time_ns()
        connection.request("POST", "/jobs/submit", json.dumps({"name": "no work", "operation": "sleep"}), {"Content-Type": "application/json"})
        id = json.loads(connection.getresponse().read())["job_ids"][0]
        job = f.wait_job(id)
        waits.append((job["result"]["report"]["started_unix_ns"] - begun) / 1e6)
        time.sleep(0.02)
    waits = sorted(waits[20:])
    print("through the sidecar: pick-up of %d jobs: p50 %.2f ms, p90 %.2f ms, p99 %.2f ms" % (
        len(waits), waits[len(waits) // 2], waits[len(waits) * 9 // 10], waits[len(waits) * 99 // 100]), flush=True)


LIMITS = (("no limit", ()), ("a limit no job matches", [("tag/none", 1)]), ("10,000 at once", [("tag/bench", 10000)]),
          ("64 at once", [("tag/bench", 64)]), ("4 at once", [("tag/bench", 4)]))
if not options.limits:
    latency()
for i in range(options.rounds):
    for name, limits in LIMITS if options.limits else ((None, ()),):
        throughput("%d, %s" % (i + 1, name) if name else i + 1, limits)
