"""Controls on a real fleet: what is paused waits, what is resumed goes on; workers that are quiet, drain and stop; jobs adjusted while they
run; all of it through the API and the command line, and nothing of it lost by a crash."""
import json, os, time

from fleet import Fleet, main, sleep_job, wait_for


def heard(program):
    """How many controls it says it heard of."""
    with open(program.log_path) as f:
        return sum(" event=control " in line or " event=intake " in line for line in f)


def give(f, target, action, reason="", to=()):
    """Returns when the programs it is for have heard of it: the answer says that the log has it, and topics have no common order."""
    before = [heard(p) for p in to]
    status, answer = f.request("POST", "/api/v1/controls", {"target": target, "action": action, "reason": reason})
    assert status == 200, (status, answer)
    for p, count in zip(to, before):
        wait_for("%s to hear of %s %s" % (p.name, action, target), lambda: heard(p) > count)
    return answer


def in_force(f):
    status, answer = f.request("GET", "/api/v1/controls")
    assert status == 200, (status, answer)
    return {c["target"]: c for c in answer["items"]}


def state_of(f, worker):
    for w in f.request("GET", "/api/v1/workers")[1]["items"]:
        if w["worker_id"] == worker:
            return w["state"]
    return None


def stays(f, id, state, seconds=1.5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = f.job(id)
        assert job and job["state"] == state, (id, state, job and job["state"])
        time.sleep(0.1)


def claims_wait_while_they_are_paused():
    with Fleet() as f:
        f.journal(), f.dispatch()
        w = f.worker()
        assert in_force(f) == {}
        said = give(f, "claims", "pause", "storage maintenance", to=[w])
        assert said["action"] == "pause" and said["reason"] == "storage maintenance" and said["by"] and said["at"], said
        assert in_force(f)["claims"]["reason"] == "storage maintenance"  # our own write is folded when the answer comes
        f.submit(sleep_job(0, "all"))
        stays(f, "all", "queued")
        late = f.worker("w2")  # what was said before it started counts for it
        stays(f, "all", "queued", 1)
        give(f, "claims", "resume", to=[w, late])
        f.wait_job("all")
        for target in ("operation/sleep", "provider/local"):
            give(f, target, "pause", to=[w, late])
            image = f.raw_image("disk.raw", mib=4)
            f.submit(sleep_job(0, "op-" + target[-1]),
                     {"job_id": "export-" + target[-1], "name": "e", "operation": "export", "vm_path": image, "format": "raw",
                      "output_dir": f.out + "/" + target[-1]})
            waits, runs = ("op-", "export-") if target.startswith("op") else ("export-", None)
            if runs:
                f.wait_job(runs + target[-1])
            stays(f, waits + target[-1], "queued")
            give(f, target, "resume", to=[w, late])
            f.wait_job(waits + target[-1])
        assert in_force(f) == {}
        # an older record, its key the bare name, is of the same target
        for body in ({"target": "claims"}, {"target": "claims", "action": "quiet"}, {"target": "worker/w1", "action": "pause"},
                     {"target": "operation/", "action": "pause"}, {"target": "moon", "action": "pause"},
                     {"target": "claims", "action": "pause", "why": "?"}, []):
            assert f.request("POST", "/api/v1/controls", body)[0] == 400, body
        assert f.request("POST", "/api/v1/workers/nobody/quiet")[0] == 404
        assert f.request("POST", "/api/v1/controls", {"target": "worker/nobody", "action": "stop"})[0] == 404
        assert late.stop() == 0


def nothing_is_taken_in_while_intake_is_paused():
    import confluent_kafka
    with Fleet() as f:
        j, d1 = f.journal(), f.dispatch()
        f.worker()
        give(f, "intake", "pause", "moving the database", to=[d1])
        for path in ("/jobs/submit", "/api/v1/jobs"):
            status, answer = f.request("POST", path, [sleep_job(0, "no")])
            assert status == 503, (status, answer)
            assert "moving the database" in json.dumps(answer), answer
        import urllib.request, urllib.error
        try:
            urllib.request.urlopen(urllib.request.Request(f.http + "/jobs/submit", data=b"{}", method="POST"), timeout=10)
            raise AssertionError("taken in")
        except urllib.error.HTTPError as e:
            assert e.code == 503 and int(e.headers["Retry-After"]) > 0, (e.code, e.headers)
        p = confluent_kafka.Producer({"bootstrap.servers": f.bootstrap})
        p.produce(f.topic("submissions"), json.dumps(sleep_job(0, "kept")).encode())
        p.flush(10)
        d2 = f.dispatch("d2")  # begins with what was said before
        time.sleep(2)
        assert f.job("kept") is None
        j.kill()  # what was acknowledged is in the log
        f.journal()
        assert in_force(f)["intake"]["reason"] == "moving the database"
        give(f, "intake", "resume")
        f.wait_job("kept")
        f.submit(sleep_job(0, "yes"))
        f.wait_job("yes")
        assert d2.stop() == 0


def a_worker_is_quiet_drains_stops_and_comes_back():
    with Fleet() as f:
        f.journal(), f.dispatch()
        w = f.worker("w1", worker__slots="1")
        f.submit(sleep_job(2500, "runs"))
        f.wait_job("runs", ("running", "progressing"))
        said = f.request("POST", "/api/v1/workers/w1/quiet", {"reason": "look at it"})
        assert said[0] == 200 and said[1]["target"] == "worker/w1" and said[1]["action"] == "quiet", said
        wait_for("it to be quiet", lambda: state_of(f, "w1") == "quiet", 60)
        f.submit(sleep_job(0, "waits"))
        f.wait_job("runs")
        stays(f, "waits", "queued")
        assert f.request("POST", "/api/v1/workers/w1/drain")[0] == 200
        wait_for("it to drain", lambda: state_of(f, "w1") == "draining", 60)
        stays(f, "waits", "queued", 1)
        assert f.request("POST", "/api/v1/workers/w1/resume")[0] == 200
        f.wait_job("waits")
        wait_for("it to work", lambda: state_of(f, "w1") == "active", 60)
        f.submit(sleep_job(6000, "last"))  # until the stop was looked at
        f.wait_job("last", ("running", "progressing"))
        assert f.request("POST", "/api/v1/workers/w1/stop", {"reason": "new kernel"})[0] == 200
        assert in_force(f)["worker/w1"]["action"] == "stop"
        assert w.process.wait(60) == 0
        f.wait_job("last")  # it finished what it ran
        wait_for("it to have stopped", lambda: state_of(f, "w1") == "stopped", 60)
        assert in_force(f) == {}
        assert f.request("POST", "/api/v1/workers/w1/stop")[0] == 409
        f.submit(sleep_job(0, "again"))
        f.worker("w1")  # the stop was for the process that ran then
        f.wait_job("again")
        status, audit = f.request("GET", "/api/v1/audit/records?topic=controls")
        assert status == 200, (status, audit)
        told = json.dumps(audit)
        assert "new kernel" in told and "look at it" in told, audit


def a_running_export_is_given_more_bandwidth():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        path = os.path.join(f.images, "full.raw")
        with open(path, "wb") as out:
            for _ in range(16):
                out.write(os.urandom(1 << 20))
        # 16 MiB at 64 KiB/s are four minutes: it cannot end within this test unless it is told otherwise
        f.submit({"job_id": "slow", "name": "slow", "operation": "export", "vm_path": path, "format": "raw", "output_dir": f.out,
                  "options": {"bandwidth_limit": 65536}})
        f.wait_job("slow", ("running", "progressing"))
        time.sleep(1)
        assert f.job("slow")["state"] in ("running", "progressing")
        status, said = f.request("POST", "/api/v1/jobs/slow/adjust", {"bandwidth_limit": "400MiB/s", "reason": "the night is short"})
        assert status == 200 and said == {"job_id": "slow", "priority": 5, "bandwidth_limit": 400 << 20}, (status, said)
        f.wait_job("slow")
        assert "Adjusted" in f.accepted("slow")
        assert f.request("POST", "/api/v1/jobs/slow/adjust", {"priority": 1})[0] == 409  # it is over
        for body in ({}, {"priority": 0}, {"priority": 11}, {"bandwidth_limit": -1}, {"bandwidth_limit": "fast"}, {"colour": 1, "priority": 2}):
            assert f.request("POST", "/api/v1/jobs/slow/adjust", body)[0] == 400, body
        assert f.request("POST", "/api/v1/jobs/nobody/adjust", {"priority": 1})[0] == 404


def a_queued_job_is_moved_to_the_front():
    with Fleet() as f:
        f.journal(), f.dispatch()
        f.submit(sleep_job(0, "first"), sleep_job(0, "second"))
        status, said = f.request("POST", "/api/v1/jobs/second/adjust", {"priority": 1})
        assert status == 200 and said["priority"] == 1, (status, said)
        assert f.request("GET", "/api/v1/jobs/second")[1]["priority"] == 1
        f.worker("w1", worker__slots="1")
        f.wait_job("first"), f.wait_job("second")
        at = {id: f.request("GET", "/api/v1/jobs/" + id)[1]["assigned_at"] for id in ("first", "second")}
        assert at["second"] <= at["first"], at


# ---- the command line -------------------------------------------------------------------------------------------------
OK, USAGE, INVALID, NOT_FOUND, CONFLICT = 0, 64, 65, 66, 65


def said(f, status, *args, words=()):
    """One command: its exit status, and that it says these words (on standard error, where it failed)."""
    run = f.ctl(*args, check=False)
    text = run.stdout if status == OK else run.stderr
    assert run.returncode == status, "hyperctl %s: %d, not %d\n%s%s" % (" ".join(args), run.returncode, status, run.stdout, run.stderr)
    for word in (words,) if isinstance(words, str) else words:
        assert word in text, "hyperctl %s does not say '%s':\n%s" % (" ".join(args), word, text)
    assert status == OK or not run.stdout, "it failed, and printed %s" % run.stdout
    return run.stdout


def targets(text):
    return {c["target"]: c["action"] for c in json.loads(text)["items"]}


def the_command_line_pauses_and_resumes_every_target():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        wait_for("the worker to be known", lambda: state_of(f, "w1") == "active", 60)
        said(f, OK, "controls", words="nothing is paused")
        assert targets(said(f, OK, "controls", "-o", "json")) == {}
        said(f, OK, "pause", "intake", "--reason", "moving the database", words=("intake", "pause", "moving the database"))
        assert targets(said(f, OK, "pause", "claims", "-o", "json")) == {"intake": "pause", "claims": "pause"}
        # "claims" beside what narrows it: those claims alone; a worker that is paused is quiet
        said(f, OK, "resume", "claims")
        now = targets(said(f, OK, "pause", "claims", "--operation", "sleep", "--provider", "vsphere", "--provider", "local", "--worker", "w1", "-o", "json"))
        assert now == {"intake": "pause", "operation/sleep": "pause", "provider/vsphere": "pause", "provider/local": "pause", "worker/w1": "quiet"}, now
        assert targets(said(f, OK, "resume", "--provider", "vsphere", "intake", "-o", "json")) == {
            "operation/sleep": "pause", "provider/local": "pause", "worker/w1": "quiet"}
        # wrong words are told before anything is done
        before = in_force(f)
        said(f, USAGE, "pause", words="say what: intake, claims, --operation NAME")
        said(f, USAGE, "resume", words="say what")
        said(f, USAGE, "pause", "moon", words="'moon': say intake, claims, --operation")
        said(f, USAGE, "pause", "intake", "moon", words="'moon'")
        said(f, USAGE, "pause", "intake", "--operation", "two words", words="'two words' is no name")
        said(f, USAGE, "pause", "intake", "--worker", "w/1", words="'w/1' is no worker's id")
        said(f, USAGE, "pause", "intake", "claims", "intake", words="one argument too many for pause")
        said(f, USAGE, "pause", "--colour", "red", words=("no option", "hyperctl pause --help"))
        said(f, USAGE, "controls", "now", words="one argument too many")
        said(f, NOT_FOUND, "pause", "--worker", "nobody", words="nobody")
        assert in_force(f) == before
        said(f, OK, "resume", "--operation", "sleep", "--provider", "local", "--worker", "w1", words="nothing is paused")


def the_command_line_tells_workers():
    with Fleet() as f:
        f.journal(), f.dispatch()
        w = f.worker("w1")
        wait_for("the worker to be known", lambda: state_of(f, "w1") == "active", 60)
        said(f, OK, "worker", "quiet", "w1", "--reason", "its disk", words=("worker/w1", "quiet", "its disk"))
        wait_for("it to be quiet", lambda: state_of(f, "w1") == "quiet", 60)
        drain = said(f, OK, "worker", "drain", "w1", "-o", "json")
        assert targets(drain) == {"worker/w1": "drain"} and [c["action"] for c in json.loads(drain)["told"]] == ["drain"], drain
        said(f, OK, "worker", "resume", "w1", words="nothing is paused")
        said(f, USAGE, "worker", words="worker needs quiet|drain|stop|resume ID")
        said(f, USAGE, "worker", "quiet", words="worker needs")
        said(f, USAGE, "worker", "kill", "w1", words="'kill': say quiet, drain, stop or resume")
        said(f, USAGE, "worker", "quiet", "w1", "no one", words="'no one' is no worker's id")
        said(f, NOT_FOUND, "worker", "stop", "nobody", words="nobody")
        assert in_force(f) == {}
        said(f, OK, "worker", "stop", "w1", words="worker/w1 told to stop\n")  # it may be obeyed and gone by now
        assert w.process.wait(60) == 0
        wait_for("it to have stopped", lambda: state_of(f, "w1") == "stopped", 60)
        said(f, CONFLICT, "worker", "stop", "w1", words="w1")


def the_command_line_adjusts_and_retries_jobs():
    with Fleet() as f:
        f.journal(), f.dispatch()
        f.submit(sleep_job(0, "a"), sleep_job(0, "b"))
        said(f, OK, "adjust", "a", "b", "--priority", "2", "--reason", "month's end", words=("a: priority 2, bandwidth limit none\n", "b: priority 2"))
        now = json.loads(said(f, OK, "adjust", "a", "--bandwidth", "20MiB/s", "-o", "json"))
        assert now == {"job_id": "a", "priority": 2, "bandwidth_limit": 20 << 20}, now
        said(f, OK, "adjust", "a", "--bandwidth", "0", words="bandwidth limit none")
        said(f, USAGE, "adjust", "--priority", "1", words="adjust needs ID")
        said(f, USAGE, "adjust", "a", words="say what: --priority 1-10, --bandwidth RATE")
        said(f, USAGE, "adjust", "a", "--priority", "11", words="--priority '11': give a whole number from 1 to 10")
        said(f, USAGE, "adjust", "a", "--priority", "high", words="--priority 'high'")
        said(f, USAGE, "adjust", "a", "--bandwidth", "fast", words="--bandwidth 'fast': give bytes a second")
        said(f, USAGE, "adjust", "a", "no job", "--priority", "1", words="'no job' is no job id")
        said(f, NOT_FOUND, "adjust", "nobody", "--priority", "1", words="nobody")
        assert f.request("GET", "/api/v1/jobs/a")[1]["priority"] == 2
        said(f, CONFLICT, "retry", "a", words="a")  # it waits: there is nothing to do anew
        f.worker("w1")
        f.wait_job("a"), f.wait_job("b")
        said(f, CONFLICT, "adjust", "a", "--priority", "1", words="completed")
        again = said(f, OK, "retry", "a", "b", "--reason", "the share is back").split()
        assert len(again) == 2 and len({*again, "a", "b"}) == 4, again
        for id in again:
            f.wait_job(id)
        one = json.loads(said(f, OK, "retry", "a", "-o", "json"))
        f.wait_job(one["new_job_id"])
        said(f, USAGE, "retry", words="retry needs ID")
        said(f, USAGE, "retry", "a", "no job", words="'no job' is no job id")
        said(f, NOT_FOUND, "retry", "nobody", words="nobody")
        assert "month's end" in json.dumps(f.request("GET", "/api/v1/jobs/a/events")[1])


def the_command_line_looks_at_dead_letters():
    import confluent_kafka
    with Fleet() as f:
        f.journal(), f.dispatch()
        said(f, OK, "dead", "list", words="no dead letters")
        p = confluent_kafka.Producer({"bootstrap.servers": f.bootstrap})
        p.produce(f.topic("submissions"), key="k1", value=b"\x99 nobody reads this", partition=0)
        p.produce(f.topic("submissions"), key="k2", value=b"{ half a job", partition=0)
        assert p.flush(10) == 0

        def letters():
            return {"%d/%d" % (d["partition"], d["offset"]): d for d in json.loads(said(f, OK, "dead", "list", "-o", "json"))["items"]}
        wait_for("both", lambda: len(letters()) == 2, 60)
        assert json.loads(said(f, OK, "dead", "list", "-o", "json"))["total"] == 2
        said(f, OK, "dead", "list", words=("LETTER", "submissions/0/1", "12"))  # its size is told
        half = next(at for at, d in letters().items() if d["key"] == "k2")
        other = next(at for at in letters() if at != half)
        shown = json.loads(said(f, OK, "dead", "show", half))
        assert shown["text"] == "{ half a job" and {"name": "hf-origin", "value": "submissions/0/1"} in shown["headers"], shown
        assert "text" not in json.loads(said(f, OK, "dead", "show", other))
        said(f, USAGE, "dead", words="dead needs list|show|replay|drop")
        said(f, USAGE, "dead", "bury", half, words="'bury': say list, show, replay or drop")
        said(f, USAGE, "dead", "list", half, words="list takes nothing more")
        for verb in ("show", "replay", "drop"):
            said(f, USAGE, "dead", verb, words=verb + " which? PARTITION/OFFSET")
            for wrong in ("1", "0/", "/1", "0/1/2", "0/x", "-1/0"):
                said(f, USAGE, "dead", verb, "--", half, wrong, words="'%s' is no dead letter: give PARTITION/OFFSET" % wrong)
            said(f, NOT_FOUND, "dead", verb, "0/99999", words="there is no dead letter at 0/99999")
        assert len(letters()) == 2  # a wrong one beside it: nothing was done
        said(f, OK, "dead", "replay", half, words=half + ": replayed as submissions/")
        wait_for("it to come back, as it is no better", lambda: len(letters()) == 2 and half not in letters(), 60)
        said(f, NOT_FOUND, "dead", "replay", half, words="or it was replayed or dropped")
        last = next(at for at in letters() if at != other)
        assert json.loads(said(f, OK, "dead", "drop", last, "-o", "json"))["how"] == "dropped"
        said(f, OK, "dead", "drop", other, words=other + ": dropped")
        said(f, OK, "dead", "list", words="no dead letters")


if __name__ == "__main__":
    main(claims_wait_while_they_are_paused, nothing_is_taken_in_while_intake_is_paused, a_worker_is_quiet_drains_stops_and_comes_back,
         a_running_export_is_given_more_bandwidth, a_queued_job_is_moved_to_the_front,
         the_command_line_pauses_and_resumes_every_target, the_command_line_tells_workers, the_command_line_adjusts_and_retries_jobs,
         the_command_line_looks_at_dead_letters)
