#!/usr/bin/env python3
"""What a live stream costs the journal: many clients of /api/v1/events, idle and while jobs flow; anonymous memory of the journal per client.

  bench_streams.py [clients, 5000] [jobs, 2]

With more than two jobs: how long a submit of so many takes beside the clients, and until all of them have been told of all.
"""
import json, os, re, resource, selectors, socket, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.setdefault("HF_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
os.environ.setdefault("HF_BIN_DIR", os.path.join(os.environ["HF_SOURCE_DIR"], "build/release/bin"))
sys.path.insert(0, os.path.join(os.environ["HF_SOURCE_DIR"], "tests/integration"))
from fleet import Fleet, sleep_job  # noqa: E402

CLIENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
JOBS = int(sys.argv[2]) if len(sys.argv) > 2 else 2
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CLIENTS + 1000), hard))


def memory(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))


with Fleet() as f:
    f.journal(), f.dispatch(), f.worker()
    f.submit(*[sleep_job(0, "warm-%d" % i) for i in range(2000)])
    for i in range(0, 2000, 100):
        f.wait_job("warm-%d" % i)
    time.sleep(2)
    before = memory(f.j.process.pid)
    host, port = f.http[7:].split(":")
    clients, select = [], selectors.DefaultSelector()
    begun = time.monotonic()
    for _ in range(CLIENTS):
        s = socket.create_connection((host, int(port)))
        s.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        s.setblocking(False)
        select.register(s, selectors.EVENT_READ)
        clients.append(s)
    opened = time.monotonic() - begun
    counts = {s: 0 for s in clients}

    def drain(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in select.select(0.1):
                data = key.fileobj.recv(65536)
                counts[key.fileobj] += data.count(b"event: transition")
                if not data:
                    select.unregister(key.fileobj)

    drain(3)
    idle = memory(f.j.process.pid)
    begun, answered = time.monotonic(), []

    def submit():
        f.submit(*[sleep_job(60000 if JOBS > 2 else 0, "flow-%d" % i) for i in range(JOBS)])
        answered.append(time.monotonic() - begun)

    thread = threading.Thread(target=submit)
    thread.start()
    while JOBS > 2 and (not answered or min(counts.values()) < JOBS) and time.monotonic() - begun < 120:
        drain(0.05)
    told = time.monotonic() - begun
    thread.join()
    if JOBS > 2:
        print("a submit of %d jobs beside %d clients was answered after %.2f s; %s" % (JOBS, CLIENTS, answered[0],
              "each client had been told of each job after %.2f s" % told if min(counts.values()) >= JOBS else "some client was not told of all within 120 s"))
    drain(15 if JOBS == 2 else 1)
    flowing = memory(f.j.process.pid)
    per = sorted(counts.values())
    print("%d clients, opened in %.1f s; the journal's anonymous memory: %.1f MiB before, %.1f kB a client idle, %.1f kB a client after two jobs flowed"
          % (CLIENTS, opened, before / 1024, (idle - before) / CLIENTS * 1.024, (flowing - before) / CLIENTS * 1.024))
    print("events each client saw: least %d, most %d" % (per[0], per[-1]))
    for s in clients:
        s.close()
