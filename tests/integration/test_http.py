"""The sidecar on a real fleet: shapes that users' scripts rely on, read-your-own-writes, live events, and hostile requests."""
import json, os, socket, threading, time, urllib.error, urllib.request

from fleet import Fleet, main, sleep_job, wait_for


def raw(fleet, text, seconds=5):
    """Sends bytes as they are and returns what comes back until the server closes or goes quiet."""
    host, port = fleet.http[len("http://"):].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds) as s:
        s.sendall(text if isinstance(text, bytes) else text.encode())
        out = b""
        try:
            while True:
                more = s.recv(65536)
                if not more:
                    break
                out += more
                if b"\r\n\r\n" in out and b"Connection: close" not in out and b"content-length" in out.lower():
                    head, body = out.split(b"\r\n\r\n", 1)
                    length = int([l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length")][0].split(b":")[1])
                    if len(body) >= length:
                        break
        except (TimeoutError, ConnectionResetError):
            pass
        return out.decode(errors="replace")


def status_of(answer):
    return int(answer.split(" ", 2)[1]) if answer.startswith("HTTP/1.") else None


def the_older_shapes_are_kept():
    with Fleet() as f:
        f.journal(), f.dispatch()
        status, health = f.request("GET", "/health")
        assert status == 200 and health["status"] == "healthy" and "timestamp" in health, health
        answer = f.submit(sleep_job(60000, "shape-1"))
        assert answer["job_ids"] == ["shape-1"] and answer["accepted"] == 1 and answer["rejected"] == 0 and "errors" not in answer, answer
        status, job = f.request("GET", "/jobs/shape-1")  # it reads its own write
        assert status == 200 and job["definition"]["id"] == "shape-1" and job["status"] == "pending", job
        assert f.submit(sleep_job(0, "shape-1"))["errors"] == ["job with ID shape-1 already exists"]
        status, answer = f.request("POST", "/jobs/submit", {"jobs": [sleep_job(60000), {"name": "no path", "operation": "export"}]})
        assert status == 200 and answer["accepted"] == 1 and answer["rejected"] == 1 and len(answer["errors"]) == 1, answer
        assert f.request("GET", "/jobs/nobody") [1]["error"] == "job not found: nobody"
        assert f.request("GET", "/jobs/nobody")[0] == 404
        status, all_jobs = f.request("GET", "/jobs/query?all=true")
        assert all_jobs["total"] == 2 and len(all_jobs["jobs"]) == 2, all_jobs
        status, some = f.request("POST", "/jobs/query", {"job_ids": ["shape-1"]})
        assert [j["definition"]["id"] for j in some["jobs"]] == ["shape-1"]
        status, some = f.request("POST", "/jobs/query", {"status": ["completed"]})
        assert some["total"] == 0
        status, s = f.request("GET", "/status")
        for key in ("version", "uptime", "total_jobs", "running_jobs", "completed_jobs", "failed_jobs", "cancelled_jobs", "timestamp"):
            assert key in s, s
        assert s["total_jobs"] == 2
        f.request("POST", "/jobs/cancel", {"job_ids": ["shape-1"], "reason": "no more"})
        job = f.wait_job("shape-1", ("cancelled",))
        assert job["status"] == "cancelled"
        for path in ("progress", "logs", "eta"):
            status, answer = f.request("GET", "/jobs/%s/shape-1" % path)
            assert status == 200 and answer["job_id"] == "shape-1", (path, answer)
        status, answer = f.request("POST", "/jobs/submit", {"name": "x", "vm_path": "/a.raw", "output_dir": "/o", "password": "hunter2"})
        assert answer["rejected"] == 1 and "hunter2" not in json.dumps(answer), answer


def yaml_is_taken_where_the_content_type_says_so():
    with Fleet() as f:
        f.journal(), f.dispatch()
        body = b"name: y\noperation: sleep\njob_id: yaml-1\nparameters: {ms: 1}\n"
        request = urllib.request.Request(f.http + "/jobs/submit", data=body, headers={"Content-Type": "application/x-yaml"})
        assert json.load(urllib.request.urlopen(request))["job_ids"] == ["yaml-1"]
        request = urllib.request.Request(f.http + "/jobs/submit", data=b"{nonsense", headers={"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request)
            raise AssertionError("nonsense was taken")
        except urllib.error.HTTPError as e:
            assert e.code == 400 and "error" in json.load(e)


def hostile_requests_are_refused_and_others_still_served():
    with Fleet() as f:
        f.journal(), f.dispatch()
        refused = {
            "two lengths": "POST /jobs/submit HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "length and chunked": "POST /jobs/submit HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "other coding": "POST /jobs/submit HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "no host": "GET /status HTTP/1.1\r\n\r\n",
            "two hosts": "GET /status HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "space before colon": "POST /jobs/submit HTTP/1.1\r\nHost: h\r\nContent-Length : 2\r\n\r\n{}",
            "NUL in the path": "GET /jobs/a%00b HTTP/1.1\r\nHost: h\r\n\r\n",
            "slash in a segment": "GET /jobs/a%2fb HTTP/1.1\r\nHost: h\r\n\r\n",
            "half an escape": "GET /jobs/a%2 HTTP/1.1\r\nHost: h\r\n\r\n",
        }
        for what, text in refused.items():
            answer = raw(f, text)
            assert status_of(answer) == 400 or answer == "", (what, answer)
        assert status_of(raw(f, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")) == 404
        answer = raw(f, "DELETE /jobs/submit HTTP/1.1\r\nHost: h\r\n\r\n")
        assert status_of(answer) == 405 and "Allow: POST" in answer, answer
        assert status_of(raw(f, "POST /jobs/submit HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n")) == 413
        assert status_of(raw(f, "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n" % ("a" * 100000))) in (414, 431, 400, None)
        deep = "[" * 100000
        assert status_of(raw(f, "POST /jobs/submit HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(deep), deep))) == 400
        idle = [socket.create_connection(f.http[len("http://"):].rsplit(":", 1)) for _ in range(200)]
        for s in idle[:100]:
            s.sendall(b"GET /status HTTP/1.1\r\nHo")
        assert f.request("GET", "/health")[0] == 200
        for s in idle:
            s.close()


def what_is_kept_is_what_would_be_rendered():
    """Answers of lists are kept until the journal changes: the same bytes and ETag as one that never is, and never an old one."""
    import gzip

    def get(f, query, **headers):
        request = urllib.request.Request(f.http + "/api/v1/jobs?" + query, headers={k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request) as answer:
                body = answer.read()
                return answer.status, gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body, answer.headers["ETag"]
        except urllib.error.HTTPError as e:
            return e.code, e.read(), e.headers["ETag"]
    with Fleet() as f:
        f.journal()
        answer = f.submit(*[dict(sleep_job(1, "kept-%04d" % i), name="n\u00e4me \"%d\" \\" % i, tags=["t%d" % (i % 3)]) for i in range(1000)])
        assert answer["accepted"] == 1000, str(answer)[:500]
        for query in ("limit=1000", "state=queued&limit=100", "sort=created&limit=300", "tag=t1&limit=500", "sort=-updated&limit=7"):
            fresh = get(f, query + "&since=1970-01-02T00:00:00Z")  # with a time it is not kept
            for _ in range(3):
                assert get(f, query) == fresh, query
                assert get(f, query, Accept_Encoding="gzip") == fresh, query
                assert get(f, query, If_None_Match=fresh[2])[0] == 304
            assert len(json.loads(fresh[1])["items"]) > 0, (query, fresh)
        seen = []
        for i in range(40):  # each write is in the list that is asked for next
            f.submit(sleep_job(1, "more-%02d" % i))
            answer = get(f, "sort=-created&limit=1")
            assert json.loads(answer[1])["items"][0]["job_id"] == "more-%02d" % i and answer[2] not in seen, answer
            assert get(f, "sort=-created&limit=1") == answer
            seen.append(answer[2])
        queries = ["limit=%d" % (1 + n % 150) for n in range(600)]  # more than are kept, from several clients at once
        wanted = {q: get(f, q) for q in set(queries)}
        wrong = []
        threads = [threading.Thread(target=lambda n=n: wrong.extend(q for q in queries[n::4] if get(f, q) != wanted[q])) for n in range(4)]
        [t.start() for t in threads], [t.join() for t in threads]
        assert not wrong, wrong[:5]


def live_events_resume_without_a_gap():
    with Fleet() as f:
        f.journal(), f.dispatch()
        id = f.submit(sleep_job(300))["job_ids"][0]
        seen, ended = [], threading.Event()

        def listen(last=None, stop_after=None):
            headers = {"Accept": "text/event-stream"}
            if last:
                headers["Last-Event-ID"] = last
            with urllib.request.urlopen(urllib.request.Request(f.http + "/jobs/%s/events" % id, headers=headers), timeout=60) as s:
                assert s.headers["Content-Type"] == "text/event-stream"
                event = {}
                for line in s:
                    line = line.decode().rstrip("\n")
                    if line:
                        key, value = line.split(": ", 1) if ": " in line else (line, "")
                        event[key] = value
                        continue
                    if event.get("event") == "transition":
                        seen.append((event["id"], json.loads(event["data"])))
                        if stop_after and len(seen) >= stop_after:
                            return
                    if event.get("event") == "end":
                        ended.set()
                        return
                    event = {}

        listen(stop_after=1)
        f.worker()
        listen(last=seen[-1][0])
        assert ended.is_set()
        names = [n for _, e in seen if e["verdict"] == "accepted" for n in e["events"]]
        assert names[:3] == ["Created", "Validated", "Queued"] and names[-1] == "Completed", names
        ids = [i for i, _ in seen]
        assert len(ids) == len(set(ids)), ids


def metrics_are_prometheus_text():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        f.wait_job(f.submit(sleep_job(0))["job_ids"][0])
        text = urllib.request.urlopen(f.http + "/metrics").read().decode()
        families = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in families, "family twice: " + name
                families[name] = kind
            elif line and not line.startswith("#"):
                name = line.split("{")[0].split(" ")[0]
                base = name
                for suffix in ("_bucket", "_sum", "_count"):
                    if name.endswith(suffix) and name[:-len(suffix)] in families:
                        base = name[:-len(suffix)]
                assert base in families, line
                float(line.rsplit(" ", 1)[1])
        for name in ("hypersdk_jobs_total", "hypersdk_active_jobs", "hypersdk_queued_jobs", "hypersdk_api_requests_total", "hypersdk_build_info"):
            assert name in families, (name, sorted(families))
        assert 'status="completed"' in text


if __name__ == "__main__":
    main(the_older_shapes_are_kept, yaml_is_taken_where_the_content_type_says_so, hostile_requests_are_refused_and_others_still_served,
         live_events_resume_without_a_gap, what_is_kept_is_what_would_be_rendered, metrics_are_prometheus_text)
