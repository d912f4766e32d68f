"""Webhooks from end to end: a fleet, hyperhooks and receivers of real HTTP."""
import collections, http.server, json, os, socketserver, sys, threading, time, uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fleet
from fleet import Fleet, sleep_job, wait_for


class Receiver(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Remembers every delivery. `answer(request)` gives the status, or (status, headers)."""
    daemon_threads, request_queue_size, allow_reuse_address = True, 128, True

    def __init__(self, answer=lambda r: 204, port=0):
        self.got, self.answer, self.lock = [], answer, threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)
        self.url = "http://127.0.0.1:%d/hook" % self.server_port
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def of(self, *events):
        with self.lock:
            return [r for r in self.got if not events or r["body"]["event"] in events]

    def told(self, status=204):
        """(job, event) -> how often it was answered with success."""
        with self.lock:
            return collections.Counter((r["body"]["data"]["job_id"], r["body"]["event"]) for r in self.got
                                       if r["status"] == status and r["body"]["event"].startswith("job."))

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, timeout, disable_nagle_algorithm = "HTTP/1.1", 30, True

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        seen = {"raw": raw, "body": body, "id": self.headers["webhook-id"], "headers": dict(self.headers), "at": time.monotonic()}
        answer = self.server.answer(seen)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        seen["status"] = status
        with self.server.lock:
            self.server.got.append(seen)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def hook(f, id="h1", webhooks=None, env=None, wait=True, **more):
    more.setdefault("webhook__allow_private", "true")
    if webhooks is not None:
        more["webhooks"] = json.dumps(webhooks)
    return f.program("hyperhook-" + id, ["hyperhook", "--id", id] + f.sets(**more), env).start(wait)


def begin(f):
    f.journal()
    f.dispatch()
    f.worker(**{"worker__slots": 4})


def jobs(f, n, **more):
    made = [sleep_job(id=str(uuid.uuid4()), **more) for _ in range(n)]
    f.submit(*made)
    return [job["job_id"] for job in made]


LIFE = ("job.created", "job.started", "job.completed")


def all_told(receiver, ids, events=LIFE):
    told = receiver.told()
    return all(told[(id, e)] for id in ids for e in events) and told


def test_all_events_of_a_job():
    r = Receiver()
    with Fleet() as f:
        begin(f)
        hook(f, webhooks=[{"id": "all", "url": r.url, "headers": {"X-Token": "s3cret"}, "ordered": True}])
        ids = jobs(f, 5)
        told = wait_for("all events", lambda: all_told(r, ids), 30)
        assert set(told.values()) == {1}, told
        for id in ids:
            mine = [x for x in r.of() if x["body"]["data"]["job_id"] == id and x["body"]["event"] in LIFE]
            assert [x["body"]["event"] for x in mine] == list(LIFE), mine
            assert all(x["body"]["type"] == x["body"]["event"] for x in mine)
            assert all(x["headers"].get("X-Token") == "s3cret" for x in mine)
            assert mine[0]["body"]["data"]["job_name"] == "trial"
            assert "duration_seconds" in mine[2]["body"]["data"], mine[2]
        assert len({x["id"] for x in r.of(*LIFE)}) == 15
        assert not any("." in x["id"] for x in r.of())
    r.close()


def test_retries_keep_their_id_and_dead_ones_hold_up_nobody():
    failures = collections.Counter()
    def twice(seen):
        failures[seen["id"]] += 1
        return 500 if failures[seen["id"]] <= 2 else 204
    unwell, well = Receiver(twice), Receiver()
    with Fleet() as f:
        begin(f)
        hook(f, webhooks=[{"id": "dead", "url": "http://127.0.0.1:9/", "events": ["job.completed"]},
                          {"id": "well", "url": well.url}, {"id": "unwell", "url": unwell.url, "events": ["job.completed"]}])
        begun = time.monotonic()
        ids = jobs(f, 3)
        wait_for("the living one", lambda: all_told(well, ids), 10)
        wait_for("the unwell one", lambda: all_told(unwell, ids, ["job.completed"]), 25)
        assert time.monotonic() - begun >= 0.8 + 1.6
        assert set(failures.values()) == {3}, failures
        seen = [x for x in unwell.of("job.completed") if x["body"]["data"]["job_id"] == ids[0]]
        assert [x["status"] for x in seen] == [500, 500, 204] and len({x["id"] for x in seen}) == 1
        assert len({json.dumps(x["body"]) for x in seen}) == 1, "a body changed between attempts"
    well.close(), unwell.close()


def test_gone_switches_off():
    r = Receiver(lambda seen: 410)
    with Fleet() as f:
        begin(f)
        hook(f, webhooks=[{"id": "gone", "url": r.url}])
        jobs(f, 1)
        def off():
            status, answer = f.request("GET", "/api/v1/webhooks/gone")
            return status == 200 and answer.get("enabled") is False and answer
        answer = wait_for("the webhook to be switched off", off, 20)
        assert "410" in answer["disabled_reason"], answer
        time.sleep(1)
        n = len(r.got)
        f.wait_job(jobs(f, 1)[0])
        time.sleep(1)
        assert len(r.got) == n
    r.close()


def test_killed_and_taken_over():
    r = Receiver()
    with Fleet() as f:
        begin(f)
        hooks = [{"id": "all", "url": r.url, "retry": 20}]
        a, b = hook(f, "a", hooks, wait=False), hook(f, "b", hooks, wait=False)
        a.wait_ready(), b.wait_ready()
        first = jobs(f, 60)
        wait_for("some to be told", lambda: len(r.of()) > 30, 20)
        a.kill()
        second = jobs(f, 20)
        told = wait_for("all of both", lambda: all_told(r, first + second), 60)
        repeats = sum(n - 1 for n in told.values())
        assert repeats <= 16, "%d were told again; 8 may have been under way" % repeats
        b.kill()
        third = jobs(f, 10)
        hook(f, "b", hooks)
        wait_for("what came while none ran", lambda: all_told(r, third), 40)
        b.stop()
        before = len(r.got)
        hook(f, "fresh", hooks)
        time.sleep(2)
        assert len(r.got) == before, "an empty disk told old stories"
    r.close()


if __name__ == "__main__":
    fleet.main(test_all_events_of_a_job, test_retries_keep_their_id_and_dead_ones_hold_up_nobody, test_gone_switches_off,
               test_killed_and_taken_over)
