"""Limits of concurrency on a real fleet: never more at once than was said, whatever the workers; what a killed worker held comes back;
a limit that is changed while it works; jobs that match none go on."""
import json, os, time, urllib.request

from fleet import Fleet, main, sleep_job, wait_for


def put(f, key, max, expect=200):
    status, answer = f.request("PUT", "/api/v1/limits/" + key, {"max": max, "reason": "by test"})
    assert status == expect, (status, answer)
    return answer


def in_use(f, key):
    status, answer = f.request("GET", "/api/v1/limits/" + key)
    assert status == 200, (status, answer)
    assert answer["in_use"] == len(answer["holders"]), answer
    return answer["in_use"]


def most_at_once(f, ids):
    """From what is on record: an attempt is under way from its claim to its end."""
    marks = []
    for id in ids:
        job = f.request("GET", "/api/v1/jobs/" + id)[1]
        marks += [(job["assigned_at"], 1), (job["finished_at"], -1)]
    most = now = 0
    for at, by in sorted(marks):  # an end comes before a beginning of the same millisecond
        now += by
        most = max(most, now)
    return most


def tagged(ms, id, tag):
    return sleep_job(ms, id, audit={"tags": [tag]})


def never_more_at_once_whatever_the_number_of_workers():
    with Fleet() as f:
        f.journal(), f.dispatch()
        answer = put(f, "tag/lab", 2)
        assert answer["max"] == 2 and answer["in_use"] == 0 and answer["kind"] == "tag" and answer["by"], answer
        for w in ("w1", "w2", "w3"):
            f.worker(w, worker__slots=3)
        ids = ["l%d" % i for i in range(40)]
        f.submit(*[tagged(60, id, "lab") for id in ids])
        wait_for("the limit in use", lambda: in_use(f, "tag/lab") > 0, 60)
        f.submit(sleep_job(0, "free"))  # less urgent than none of them, and limited by nothing
        f.wait_job("free")
        for id in ids:
            f.wait_job(id)
            assert in_use(f, "tag/lab") <= 2
        assert most_at_once(f, ids) == 2, most_at_once(f, ids)
        wait_for("all grants to be freed", lambda: in_use(f, "tag/lab") == 0, 60)
        page = urllib.request.urlopen(f.http + "/metrics", timeout=10).read().decode()
        assert 'hyperfleet_limit_max{limit="tag/lab"} 2' in page and 'hyperfleet_limit_in_use{limit="tag/lab"} 0' in page, page
        assert {l["key"]: l["max"] for l in json.loads(f.ctl("limit", "list", "--output", "json").stdout)["items"]} == {"tag/lab": 2}
        f.ctl("limit", "remove", "tag/lab")
        assert f.request("GET", "/api/v1/limits/tag/lab")[0] == 404
        told = f.request("GET", "/api/v1/audit/records?topic=limits&key=tag/lab")[1]["items"]
        assert [(t["change"], t["record"]["reason"] if t["change"] == "set" else None) for t in told] == [("deleted", None), ("set", "by test")], told
        assert f.request("DELETE", "/api/v1/limits/tag/lab")[0] == 404
        put(f, "worker/w1", 2, 400)
        put(f, "tag/lab", -2, 400)


def grants_of_a_killed_worker_come_back():
    with Fleet() as f:
        f.journal(), f.dispatch()
        put(f, "tag/lab", 1)
        worker = f.worker("w1", worker__slots=2)
        f.submit(tagged(60000, "long", "lab"))
        f.wait_job("long", ("running", "progressing"))
        f.submit(tagged(0, "short", "lab"))  # not beside the other one: a worker may hear of it first
        time.sleep(1)
        assert in_use(f, "tag/lab") == 1 and f.job("short")["state"] == "queued"
        worker.kill()
        f.ctl("cancel", "long")
        f.worker("w1", worker__slots=2)  # gives free what its former self held
        f.wait_job("long", ("cancelled",))
        f.wait_job("short")
        wait_for("all grants to be freed", lambda: in_use(f, "tag/lab") == 0, 60)


def a_killed_workers_grants_come_back_when_its_lease_has_ended():
    with Fleet() as f:
        f.journal(), f.dispatch()
        put(f, "tag/lab", 1)
        worker = f.worker("w1", worker__slots=2)
        f.submit(dict(tagged(600000, "long", "lab"), retry_count=0))
        wait_for("the job to run", lambda: (f.job("long") or {}).get("state") in ("running", "progressing"), 60)
        f.worker("w2", worker__slots=2)
        ids = ["after%d" % i for i in range(3)]
        f.submit(*[tagged(50, id, "lab") for id in ids])
        wait_for("them to wait", lambda: all((f.job(id) or {}).get("state") == "queued" for id in ids), 60)
        assert in_use(f, "tag/lab") == 1
        worker.kill()  # and nobody starts it again
        long = f.wait_job("long", ("failed",))
        for id in ids:
            assert f.wait_job(id)["worker"].startswith("w2/")
        assert most_at_once(f, ["long"] + ids) == 1, [long] + [f.job(id) for id in ids]
        wait_for("all grants to be freed", lambda: in_use(f, "tag/lab") == 0, 60)


def no_job_gets_past_an_endpoints_limit_by_naming_none():
    with Fleet() as f:
        f.journal(), f.dispatch()
        put(f, "endpoint/vc", 0)
        with open(f.dir + "/password", "w") as out:
            out.write("secret\n")
        os.chmod(f.dir + "/password", 0o600)
        f.worker(endpoints=json.dumps({"vc": {"provider": "vsphere", "url": "https://127.0.0.1:9/sdk", "username": "u", "password_file": f.dir + "/password"}}))
        job = {"name": "web", "vm_path": "/DC0/vm/web", "provider": "vsphere", "output_dir": f.out, "format": "ova"}
        named, unnamed = f.submit(dict(job, endpoint="vc"), job)["job_ids"]
        failed = f.wait_job(unnamed, ("failed",))
        assert "names no endpoint" in json.dumps(failed["error"]), failed
        assert f.job(named)["state"] == "queued" and f.job(named)["attempt"] == 0, f.job(named)


def a_limit_is_changed_while_it_works():
    with Fleet() as f:
        f.journal(), f.dispatch()
        worker = f.worker("w1", worker__slots=4)
        f.submit(tagged(0, "before", "lab"))
        f.wait_job("before")
        put(f, "tag/lab", 0)
        wait_for("the worker to hear of it", lambda: " event=limit limit=tag/lab max=0 " in worker.tail())  # topics have no common order
        f.submit(*[tagged(4000, "l%d" % i, "lab") for i in range(4)])
        time.sleep(1)
        assert all(f.job("l%d" % i)["state"] == "queued" for i in range(4))
        f.ctl("limit", "set", "tag/lab", "3")
        wait_for("three at once", lambda: in_use(f, "tag/lab") == 3, 60)
        put(f, "tag/lab", 1)  # nobody loses a grant
        assert in_use(f, "tag/lab") == 3
        for i in range(4):
            f.wait_job("l%d" % i)
        assert most_at_once(f, ["l%d" % i for i in range(4)]) == 3


def the_configurations_limits_are_what_counts():
    with Fleet() as f:
        f.journal()
        put(f, "tag/asked", 5)
        first = f.dispatch("d1", limits=json.dumps({"tag/lab": 2, "endpoint/vc1": 3}))
        kept = lambda: {l["key"]: l["max"] for l in f.request("GET", "/api/v1/limits")[1]["items"]}
        wait_for("both to be set", lambda: kept() == {"tag/lab": 2, "endpoint/vc1": 3, "tag/asked": 5}, 60)
        put(f, "tag/lab", 9, 409)
        first.stop()
        second = f.dispatch("d1", limits=json.dumps({"tag/lab": 4}))
        wait_for("one changed, one gone", lambda: kept() == {"tag/lab": 4, "tag/asked": 5}, 60)
        second.stop()
        bad = f.dispatch("d1", wait=False, limits=json.dumps({"worker/w1": 1, "tag/lab": -1}))
        bad.process.wait(60)
        assert bad.process.returncode == 78 and "limits.worker/w1" in bad.tail() and "limits.tag/lab" in bad.tail(), bad.tail()


if __name__ == "__main__":
    main(never_more_at_once_whatever_the_number_of_workers, grants_of_a_killed_worker_come_back,
         a_killed_workers_grants_come_back_when_its_lease_has_ended, no_job_gets_past_an_endpoints_limit_by_naming_none, a_limit_is_changed_while_it_works,
         the_configurations_limits_are_what_counts)
