"""/api/v1 on a real fleet: lists by pages, filters, changes to one job and to many, what a job logged, requests sent twice."""
import base64, csv, hashlib, io, json, os, subprocess, threading, time, urllib.request

import confluent_kafka
import fastavro

from fleet import BIN, Fleet, main, sleep_job, wait_for


def pages(f, query=""):
    """All items of a list, page by page."""
    items, cursor = [], ""
    while True:
        status, page = f.request("GET", "/api/v1/jobs?limit=7%s%s" % (query, "&cursor=" + cursor if cursor else ""))
        assert status == 200, (status, page)
        assert len(page["items"]) <= 7
        items += page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            return items


def lists_are_filtered_sorted_and_paged():
    with Fleet() as f:
        f.journal(), f.dispatch()
        for i in range(40):
            f.submit(sleep_job(60000, "list-%02d" % i, requested_by="ana" if i % 2 else "ben", tags=["wave-%d" % (i % 4)], priority=1 + i % 10))
        everything = pages(f)
        assert len(everything) == 40 and len({j["job_id"] for j in everything}) == 40
        created = [j["created_at"] for j in everything]
        assert created == sorted(created, reverse=True), created  # as text: a time has always its milliseconds
        assert [j["job_id"] for j in pages(f, "&sort=created")] == [j["job_id"] for j in reversed(everything)]
        assert {j["job_id"] for j in pages(f, "&requested_by=ana")} == {"list-%02d" % i for i in range(1, 40, 2)}
        assert len(pages(f, "&tag=wave-3&requested_by=ana")) == 10
        assert len(pages(f, "&operation=sleep&state=queued")) == 40 and pages(f, "&state=completed") == []
        assert len(pages(f, "&since=%s" % everything[9]["created_at"])) >= 10
        assert len(pages(f, "&until=%s" % everything[9]["created_at"])) <= 30
        status, job = f.request("GET", "/api/v1/jobs/list-07")
        assert status == 200 and job["state"] == "queued" and job["status"] == "pending" and job["spec"]["audit"]["requested_by"] == "ana", job
        for bad in ("limit=0", "sort=name", "cursor=nonsense", "state=asleep", "since=yesterday", "limit=5&limit=6"):
            status, problem = f.request("GET", "/api/v1/jobs?" + bad)
            assert status == 400 and problem["code"] == "invalid" and bad.split("=")[0] in problem["detail"], (bad, problem)


def many_jobs_are_changed_at_once_after_a_dry_run():
    with Fleet() as f:
        f.journal(), f.dispatch()
        f.submit(*[sleep_job(60000, "many-%d" % i, tags=["old" if i < 5 else "new"]) for i in range(8)])
        status, would = f.request("POST", "/api/v1/jobs/cancel", {"filter": {"tag": "old"}, "dry_run": True})
        assert status == 200 and would["matched"] == 5 and would["dry_run"] is True, would
        assert len(pages(f, "&state=queued")) == 8  # nothing happened
        status, did = f.request("POST", "/api/v1/jobs/cancel", {"filter": {"tag": "old"}, "reason": "superseded"})
        assert status == 200 and sorted(did["changed"]) == ["many-%d" % i for i in range(5)] and did["failed"] == {}, did
        f.wait_job("many-0", ("cancelled",))
        wait_for("all of them", lambda: len(pages(f, "&state=cancelled")) == 5)
        status, did = f.request("POST", "/api/v1/jobs/delete", {"ids": ["many-0", "many-6", "nobody"]})
        assert did["changed"] == ["many-0"] and "cannot be deleted" in did["failed"]["many-6"] and "not found" in did["failed"]["nobody"], did
        assert f.request("GET", "/api/v1/jobs/many-0")[0] == 404 and len(pages(f)) == 7
        status, did = f.request("POST", "/api/v1/jobs/many-1/retry")
        assert status == 200 and did["job_id"] == "many-1", did
        again = f.request("GET", "/api/v1/jobs/" + did["new_job_id"])[1]
        assert again["spec"]["origin"] == "retry-of:many-1" and again["state"] == "queued", again
        assert f.request("POST", "/api/v1/jobs/many-7/retry")[0] == 409
        assert f.request("DELETE", "/api/v1/jobs/many-1")[0] == 200
        assert f.request("POST", "/api/v1/jobs/many-7/cancel", {"reason": "enough"})[0] == 200
        for body in ({}, {"ids": [], }, {"ids": ["a"], "filter": {}}, {"filter": {"colour": "blue"}}, {"filter": {}, "dryrun": True}):
            status, problem = f.request("POST", "/api/v1/jobs/cancel", body)
            assert status == 400 and problem["status"] == 400, (body, problem)


def a_request_sent_twice_makes_its_jobs_once():
    with Fleet() as f:
        f.journal(), f.dispatch()
        key = {"Idempotency-Key": "nightly-2026-01-17"}
        body = [sleep_job(60000), sleep_job(60000)]
        first = f.request("POST", "/api/v1/jobs", body, headers=key)
        second = f.request("POST", "/api/v1/jobs", body, headers=key)
        assert first == second and first[0] == 200 and first[1]["accepted"] == 2, (first, second)
        assert len(pages(f)) == 2
        assert f.request("POST", "/api/v1/jobs", body, headers={"Idempotency-Key": "another"})[1]["items"] != first[1]["items"]
        status, problem = f.request("POST", "/api/v1/jobs", {"operation": "export"})
        assert status == 400 and "vm_path" in problem["detail"], problem
        f.submit(sleep_job(60000, "mine"))
        status, problem = f.request("POST", "/api/v1/jobs", sleep_job(60000, "mine"))
        assert status == 409 and problem["code"] == "exists", problem


def what_a_job_did_and_said_is_told():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        image = f.raw_image(mib=4)
        f.submit({"job_id": "told", "vm_path": image, "output_dir": f.out, "format": "raw"})
        f.wait_job("told")
        status, events = f.request("GET", "/api/v1/jobs/told/events?limit=1")
        assert status == 200 and len(events["items"]) == 1 and events["next_cursor"], events
        names, cursor = [], None
        while True:
            page = f.request("GET", "/api/v1/jobs/told/events?limit=1" + ("&cursor=" + cursor if cursor else ""))[1]
            names += [n for e in page["items"] for n in e["events"]]
            cursor = page.get("next_cursor")
            if not cursor:
                break
        assert names[0] == "Created" and names[-1] == "Completed", names
        assert f.request("GET", "/api/v1/jobs/told/events?verdict=rejected")[1]["items"] == []
        status, logs = f.request("GET", "/api/v1/jobs/told/logs")
        assert status == 200 and all(line["level"] and line["job_id"] == "told" for line in logs["items"]), logs
        older = f.request("GET", "/jobs/logs/told")[1]
        assert older["log_count"] >= len(logs["items"]) + 3
        stamps = [line["timestamp"] for line in older["logs"]]
        assert stamps == sorted(stamps), stamps


class Listener(threading.Thread):
    """Reads the fleet's stream until told to stop; goes on from the last id, as a browser does."""

    def __init__(self, url, last_id=None):
        super().__init__(daemon=True)
        self.url, self.last_id, self.events, self.progress, self.stopped = url, last_id, [], [], False
        self.connected = threading.Event()

    def run(self):
        request = urllib.request.Request(self.url + "/api/v1/events", headers={"Accept": "text/event-stream", **({"Last-Event-ID": self.last_id} if self.last_id else {})})
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.answer = answer
            self.connected.set()
            name, data, id = None, None, None
            for line in answer:
                if self.stopped:
                    return
                line = line.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("id: "):
                    id = line[4:]
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                elif not line and data is not None:
                    if name == "transition":
                        self.last_id = id  # first: whoever looks between the two has seen less than it says, not more
                        self.events.append((data["partition"], data["offset"], data["job_id"]))
                    else:
                        self.progress.append(data)
                    name, data, id = None, None, None


def the_fleet_is_followed_live_without_a_gap_or_a_repeat():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker(id="w1", worker__slots=4)
        f.submit(*[sleep_job(1, "before-%d" % i) for i in range(5)])
        first = Listener(f.http)
        first.start()
        assert first.connected.wait(10)
        time.sleep(0.3)
        f.submit(*[sleep_job(5, "live-%d" % i) for i in range(30)])
        wait_for("some events", lambda: len(first.events) >= 20)
        first.stopped = True
        seen = list(first.events)
        last = first.last_id
        f.submit(*[sleep_job(5, "meanwhile-%d" % i) for i in range(30)])
        for i in range(30):
            f.wait_job("meanwhile-%d" % i)
        second = Listener(f.http, last)
        second.start()
        f.submit(sleep_job(200, "slow"))
        f.wait_job("slow")
        ids = [name % i for name, n in (("before-%d", 5), ("live-%d", 30), ("meanwhile-%d", 30)) for i in range(n)]
        for id in ids:
            f.wait_job(id)
        wanted = {(event["partition"], event["offset"]): id for id in ids[5:] + ["slow"] for event in f.events(id)}
        wait_for("all to be told", lambda: not wanted.keys() - {e[:2] for e in first.events + second.events})
        together = [e[:2] for e in first.events if (e[0], e[1]) in {x[:2] for x in seen}] + [e[:2] for e in second.events]
        assert len(together) == len(set(together)), "an event came twice"
        status, problem = f.request("GET", "/api/v1/events?last_event_id=nonsense", headers={"Accept": "text/event-stream"})
        assert status == 400 and "Last-Event-ID" in problem["detail"], problem
        partitions = f.request("GET", "/api/v1/partitions")[1]["items"]
        mine = [p for p in partitions if p["topic"] == "job-events"]
        assert len(mine) == 4 and sum(p["next_offset"] for p in mine) > 100, partitions
        wait_for("no lag", lambda: all(p.get("lag") == 0 for p in f.request("GET", "/api/v1/partitions")[1]["items"] if p["topic"] == "job-events"))
        workers = f.request("GET", "/api/v1/workers")[1]
        assert workers["alive"] == 1 and workers["items"][0]["worker_id"] == "w1" and workers["items"][0]["alive"], workers
        stats = f.request("GET", "/api/v1/statistics")[1]
        assert stats["ended"]["completed"]["count"] == 66 and stats["jobs_by_state"]["completed"] == 66 and stats["minutes"], stats


def download(f, path):
    with urllib.request.urlopen(f.http + path, timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read()


def root_of(leaf, index, size, path):
    """RFC 9162, section 2.1.3.2: the root that an audit path leads to."""
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if fn & 1 or fn == sn:
            r = hashlib.sha256(b"\1" + p + r).digest()
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = hashlib.sha256(b"\1" + r + p).digest()
        fn >>= 1
        sn >>= 1
    assert sn == 0
    return r.hex()


def the_auditor_sees_any_time_and_takes_it_all_along():
    with Fleet() as f:
        f.journal(), f.dispatch()
        f.submit(*[sleep_job(60000, "audit-%03d" % i, name='=cmd "x", y') for i in range(450)])
        time.sleep(0.1)
        now = time.time()
        then = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%03dZ" % (now % 1 * 1000)
        time.sleep(0.1)
        f.request("POST", "/api/v1/jobs/cancel", {"ids": ["audit-000", "audit-001"], "reason": "audit"})
        f.wait_job("audit-000", ("cancelled",)), f.wait_job("audit-001", ("cancelled",))
        f.request("DELETE", "/api/v1/jobs/audit-001")
        was = f.request("GET", "/api/v1/audit/jobs/audit-000?as_of=" + then)[1]["job"]
        assert was["state"] == "queued", was
        assert f.request("GET", "/api/v1/audit/jobs/audit-000")[1]["job"]["state"] == "cancelled"
        assert f.request("GET", "/api/v1/audit/jobs/audit-000?as_of=2020-01-01T00:00:00Z")[1]["job"] is None
        changed = f.request("GET", "/api/v1/audit/jobs/audit-000/changes?from=" + then)[1]["changes"]
        assert changed["state"] == {"from": "queued", "to": "cancelled"} and "spec" not in changed, changed
        items, cursor = [], ""
        while True:
            page = f.request("GET", "/api/v1/audit/jobs?limit=200&as_of=%s%s" % (then, cursor and "&cursor=" + cursor))[1]
            items += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                break
        assert len(items) == 450 and {j["state"] for j in items} == {"queued"}, len(items)  # also the one deleted since
        heads = f.request("GET", "/api/v1/audit/chain")[1]["items"]
        assert len(heads) == 4 and all(len(h["sha256"]) == 64 for h in heads), heads
        # a tree's root that was kept proves single records later, however the log has grown
        tree = {h["partition"]: h for h in f.request("GET", "/api/v1/audit/tree")[1]["items"]}
        f.submit(sleep_job(60000, "later"))
        event = f.events("audit-000")[0]
        kept = tree[event["partition"]]
        for size in (kept["tree_size"], event["offset"] + 1, None):
            proof = f.request("GET", "/api/v1/audit/proof/%d/%d%s" % (event["partition"], event["offset"], "?tree_size=%d" % size if size else ""))[1]
            row = base64.b64decode(proof["row"])
            assert b"audit-000" in row
            leaf = hashlib.sha256(b"\0" + event["offset"].to_bytes(8, "big") + row).digest()
            assert leaf.hex() == proof["leaf"] and root_of(leaf, event["offset"], proof["tree_size"], [bytes.fromhex(p) for p in proof["path"]]) == proof["root"], proof
            if size == kept["tree_size"]:
                assert proof["root"] == kept["root"]
        assert f.request("GET", "/api/v1/audit/proof/0/99999")[0] == 404
        assert f.request("GET", "/api/v1/audit/proof/%d/%d?tree_size=1000000" % (event["partition"], event["offset"]))[0] == 400
        # everything, as files
        kind, text = download(f, "/api/v1/download/jobs?format=csv")
        rows = list(csv.DictReader(io.StringIO(text.decode())))
        assert kind.startswith("text/csv") and len(rows) == 450 and len({r["job_id"] for r in rows}) == 450
        assert rows[5]["name"] == "'=cmd \"x\", y" and rows[5]["state"] == "queued", rows[5]
        kind, text = download(f, "/api/v1/download/jobs?state=cancelled")
        assert [json.loads(line)["job_id"] for line in text.decode().splitlines()] == ["audit-000"]
        kind, data = download(f, "/api/v1/download/log.avro")
        records = list(fastavro.reader(io.BytesIO(data)))
        assert {r["job_id"] for r in records} == {"audit-%03d" % i for i in range(450)} | {"later"} and len(records) >= 450 + 2 + 2 + 1, len(records)


def dead_letters_are_looked_at_replayed_and_dropped():
    with Fleet() as f:
        f.journal(), f.dispatch()
        producer = confluent_kafka.Producer({"bootstrap.servers": f.bootstrap})
        producer.produce(f.topic("submissions"), key="k1", value=b"\x99 nobody reads this", partition=0)
        producer.produce(f.topic("submissions"), key="k2", value=b"{ half a job", partition=0)
        producer.flush(10)
        def letters():
            return f.request("GET", "/api/v1/dead-letters")[1]["items"]
        wait_for("two letters", lambda: len(letters()) == 2)
        half = next(d for d in letters() if d["key"] == "k2")
        assert half["text"] == "{ half a job" and half["origin"] == "submissions/0/1" and half["error"], half
        path = "/api/v1/dead-letters/%d/%d" % (half["partition"], half["offset"])
        whole = f.request("GET", path)[1]
        assert base64.b64decode(whole["base64"]) == b"{ half a job", whole
        status, did = f.request("POST", path + "/replay")
        assert status == 200 and did["how"] == "replayed" and did["submission"].startswith("submissions/"), did
        wait_for("it to come back as it is no better", lambda: f.request("GET", path)[0] == 404 and len(letters()) == 2)
        for letter in letters():
            assert f.request("DELETE", "/api/v1/dead-letters/%d/%d" % (letter["partition"], letter["offset"]))[1]["how"] == "dropped"
        wait_for("the list to be empty", lambda: letters() == [])
        assert f.request("GET", "/api/v1/dead-letters/0/99999")[0] == 404 and f.request("GET", "/api/v1/dead-letters/x/1")[0] == 400
        f.j.stop()
        verified = subprocess.run([os.path.join(BIN, "hyperjournal"), "verify", f.dir + "/state"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert verified.returncode == 0, verified.stderr


if __name__ == "__main__":
    main(lists_are_filtered_sorted_and_paged, many_jobs_are_changed_at_once_after_a_dry_run, a_request_sent_twice_makes_its_jobs_once,
         what_a_job_did_and_said_is_told, the_fleet_is_followed_live_without_a_gap_or_a_repeat,
         the_auditor_sees_any_time_and_takes_it_all_along, dead_letters_are_looked_at_replayed_and_dropped)
