#!/usr/bin/env python3
"""How fast the sidecar answers, on a journal of many jobs and a real Kafka, beside nginx serving a file of the same size, in turns in one run.

  bench_http.py [jobs, 1000000] [seconds each, 5]

Needs the release build (HF_BIN_DIR, default build/release/bin), and the programs wrk and nginx (Debian's wrk and nginx-light). The load
generator runs on the same cores. Figures: requests a second, median and 99th percentile in ms.
"""
import json, os, random, re, shutil, subprocess, sys, threading, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.setdefault("HF_SOURCE_DIR", os.path.dirname(os.path.dirname(HERE)))
os.environ.setdefault("HF_BIN_DIR", os.path.join(os.environ["HF_SOURCE_DIR"], "build/release/bin"))
sys.path.insert(0, os.path.join(os.environ["HF_SOURCE_DIR"], "tests/integration"))
from fleet import Fleet, wait_for  # noqa: E402

JOBS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
BATCH = 5000


def milliseconds(text):
    found = re.match(r"([\d.]+)(us|ms|s|m)", text)
    if not found:
        return float("nan")
    number, unit = found.groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def wrk(url, connections, script=None, headers=()):
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", "%ds" % SECONDS, "--latency"]
    for header in headers:
        command += ["-H", header]
    out = subprocess.run(command + (["-s", script] if script else []) + [url], stdout=subprocess.PIPE, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), "p50": milliseconds(re.search(r"50%\s+(\S+)", out).group(1)),
            "p99": milliseconds(re.search(r"99%\s+(\S+)", out).group(1)), "bad": int(bad.group(1)) if bad else 0}


def say(name, f, aim=""):
    print("%-44s %9.0f /s   p50 %7.2f ms   p99 %7.2f ms%s   %s" % (name, f["rate"], f["p50"], f["p99"], "   %d refused" % f["bad"] if f["bad"] else "", aim), flush=True)


def fill(f):
    begun = time.monotonic()
    ids = ["bench-%07d" % i for i in range(JOBS)]
    for at in range(0, JOBS, BATCH):
        f.submit(*[{"job_id": id, "operation": "sleep", "name": "trial", "parameters": {"ms": 1}, "tags": ["wave-%d" % (at // BATCH % 7)]} for id in ids[at:at + BATCH]])
    print("%d jobs submitted over HTTP in arrays of %d, acknowledged and folded: %.0f jobs/s" % (JOBS, BATCH, JOBS / (time.monotonic() - begun)), flush=True)
    return ids


def random_jobs(f, ids, path, name):
    """A wrk script that asks for jobs at random."""
    file = os.path.join(f.dir, name + ".lua")
    some = random.Random(1).sample(ids, min(len(ids), 20000))
    with open(file, "w") as out:
        out.write("local ids = {%s}\nlocal n = 0\nrequest = function() n = n %% #ids + 1; return wrk.format('GET', string.format('%s', ids[n])) end\n"
                  % (",".join("'%s'" % i for i in some), path))
    return file


def submits(f):
    file = os.path.join(f.dir, "submit.lua")
    body = json.dumps({"operation": "sleep", "name": "one", "parameters": {"ms": 1}})
    with open(file, "w") as out:
        out.write("wrk.method = 'POST'\nwrk.body = '%s'\nwrk.headers['Content-Type'] = 'application/json'\n" % body)
    return file


def static_server(f, size):
    """nginx with a file of that size; its URL and process."""
    root = os.path.join(f.dir, "nginx")
    os.makedirs(root)
    with open(root + "/file", "wb") as out:
        out.write(b"x" * size)
    port = 20000 + os.getpid() % 10000
    with open(root + "/nginx.conf", "w") as out:
        out.write("""worker_processes 2; daemon off; pid %s/pid; error_log %s/error.log; events { worker_connections 4096; }
http { access_log off; sendfile on; keepalive_requests 1000000; default_type application/json;
  client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;
  server { listen 127.0.0.1:%d; root %s; } }""" % ((root,) * 7 + (port, root)))
    os.chmod(f.dir, 0o755)
    process = subprocess.Popen(["nginx", "-c", root + "/nginx.conf", "-e", root + "/error.log"], stderr=subprocess.DEVNULL)
    url = "http://127.0.0.1:%d/file" % port
    def up():
        try:
            return urllib.request.urlopen(url).status == 200
        except OSError:
            return False
    wait_for("nginx", up, 10)
    return url, process


def rss_mib(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1)) / 1024


def main():
    for program in ("wrk", "nginx"):
        if not shutil.which(program):
            sys.exit("bench_http: %s is not in PATH: install Debian's wrk and nginx-light" % program)
    print("load before: %.1f" % os.getloadavg()[0])
    with Fleet(partitions=4) as f:
        f.journal(http__write_wait="60s")
        ids = fill(f)
        with urllib.request.urlopen(f.http + "/api/v1/jobs/" + ids[0]) as answer:
            size = len(answer.read())
        url, nginx = static_server(f, size)
        try:
            one = random_jobs(f, ids, "/api/v1/jobs/%s", "one")
            for turn in range(2):
                say("nginx, a file of %d bytes" % size, wrk(url, 64))
                say("GET one job of %d" % JOBS, wrk(f.http, 64, one), "(aim 40000, p99 5)")
                say("GET one job, older shape", wrk(f.http, 64, random_jobs(f, ids, "/jobs/%s", "older")))
                say("GET 100 jobs by state", wrk(f.http + "/api/v1/jobs?state=queued&sort=-updated&limit=100", 16), "(aim 5000)")
                say("GET /metrics", wrk(f.http + "/metrics", 1), "(aim: p50 5)")
                say("POST one job, folded", wrk(f.http + "/jobs/submit", 64, submits(f)), "(aim 5000)")
        finally:
            nginx.terminate()
            nginx.wait()
        print("journal's anonymous memory: %.0f MiB" % rss_mib(f.j.process.pid))


main()
