"""`hyperctl dev`: a whole fleet with the embedded broker, driven as a user's script would drive it.

Ports are 0 everywhere, state directories are our own, every process is ended by its pid.
"""
import base64, hashlib, hmac, json, os, shutil, signal, socket, subprocess, tempfile, time

from fleet import BIN, main, skip, wait_for
from webhook_receiver import Receiver

CTL = os.path.join(BIN, "hyperctl")


class Dev:
    """A running `hyperctl dev`; its ready file is in .ready."""

    def __init__(self, *args, state=None, workers=1, wait=True, ctl=CTL):
        for name in ("hyperjournal", "hyperdispatch", "hyperhook", "hyperworker") if ctl == CTL else ():
            if not os.path.exists(os.path.join(BIN, name)):
                skip(name + " is not built")
        self.dir = tempfile.mkdtemp(prefix="hf-dev-")
        self.runtime = os.path.join(self.dir, "runtime")
        os.mkdir(self.runtime, 0o700)
        self.ready_path = os.path.join(self.dir, "ready.json")
        self.env = dict(os.environ, XDG_RUNTIME_DIR=self.runtime)
        self.env.pop("HF_HTTP", None)
        self.log_path = os.path.join(self.dir, "terminal")
        command = [ctl, "dev", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--workers", str(workers), "--ready-file", self.ready_path]
        if state:
            command += ["--state", state]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command + list(args), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        if wait:
            self.wait_ready()

    def said(self):
        return open(self.log_path, errors="replace").read()

    def read_ready(self):
        try:
            with open(self.ready_path) as f:
                return json.load(f)
        except FileNotFoundError:
            return None

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError("hyperctl dev ended with %d:\n%s" % (self.process.returncode, self.said()))
            return self.read_ready()
        self.ready = wait_for("the ready file", ready, 120)
        self.pids = self.all_pids(self.ready)
        return self.ready

    @staticmethod
    def all_pids(ready):
        p = ready["pids"]
        return [p["hyperjournal"], p["hyperdispatch"], p["hyperhook"]] + p["hyperworker"]

    def ctl(self, *args, check=True, input=None):
        run = subprocess.run([CTL, *args], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, input=input or "", timeout=120)
        if check and run.returncode != 0:
            raise AssertionError("hyperctl %s ended with %d: %s%s\n%s" % (" ".join(args), run.returncode, run.stdout, run.stderr, self.said()))
        return run

    def job(self, id):
        run = self.ctl("show", id, "--output", "json", check=False)
        return json.loads(run.stdout) if run.returncode == 0 else None

    def wait_state(self, id, state, seconds=60):
        return wait_for("job %s to be %s" % (id, state), lambda: (self.job(id) or {}).get("state") == state, seconds)

    def stop(self, sig=signal.SIGTERM, seconds=60):
        if self.process.poll() is None:
            self.process.send_signal(sig)
            self.process.wait(seconds)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            print("---- hyperctl dev said:\n" + self.said())
            logs = os.path.join(getattr(self, "ready", {}).get("state", "/nonexistent"), "log")
            for name in sorted(os.listdir(logs)) if os.path.isdir(logs) else []:
                lines = open(os.path.join(logs, name), errors="replace").read().splitlines()[-15:]
                print("---- %s:\n%s" % (name, "\n".join(lines)))
        self.close()


class Actors:
    """hyperctl in a directory of its own, with programs beside it that play what the real ones do not."""

    BODY = """#!/bin/sh
name=${0##*/}
%s
echo HTTP=127.0.0.1:1 >&$HF_READY_FD
echo READY=1 >&$HF_READY_FD
while :; do sleep 0.1; done
"""

    def __init__(self, **before):
        self.dir = tempfile.mkdtemp(prefix="hf-dev-actors-")
        self.ctl = os.path.join(self.dir, "hyperctl")
        shutil.copy(CTL, self.ctl)
        for name in ("hyperjournal", "hyperdispatch", "hyperhook", "hyperworker"):
            path = os.path.join(self.dir, name)
            with open(path, "w") as f:
                f.write(self.BODY % before.get(name, ""))
            os.chmod(path, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)


def gone(pid):
    """True when no process of that pid runs (a zombie that is not ours to reap does not run)."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def descendants(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry) as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                found += [int(entry)] + descendants(int(entry))
    return found


def raw_image(dir, mib=4):
    path = os.path.join(dir, "disk.raw")
    with open(path, "wb") as f:
        f.truncate(mib << 20)
        f.seek(1 << 20)
        f.write(os.urandom(300000))
    return path


# ---- tests ---------------------------------------------------------------------------------------------------------

def the_ready_file_says_where_everything_is():
    with Dev(workers=2) as d:
        r = d.ready
        assert r["fleet"] == "dev" and len(r["pids"]["hyperworker"]) == 2, r
        assert r["pids"]["hyperctl"] == d.process.pid
        for pid in d.pids:
            with open("/proc/%d/stat" % pid) as f:
                assert int(f.read().rsplit(")", 1)[1].split()[1]) == d.process.pid, "not a direct child: %d" % pid
        for address in (r["kafka"], r["http"]):
            host, port = address.rsplit(":", 1)
            assert int(port) > 0
            socket.create_connection((host, int(port)), 5).close()
        assert os.path.isdir(r["state"]) and os.path.isdir(r["journal"]), r
        assert "no jobs" in d.ctl("list").stdout  # found without flags
        def workers():
            return sorted(w["worker_id"] for w in json.loads(d.ctl("workers", "--output", "json").stdout)["workers"])
        wait_for("both workers", lambda: workers() == ["worker-1", "worker-2"], 20)
        assert d.stop() == 0, d.said()
        assert d.read_ready() is None and not os.listdir(d.runtime)
        assert not os.path.exists(r["state"]), "the temporary state was left behind"


def jobs_come_in_by_kafka_and_by_http_and_an_image_is_exported():
    with Dev() as d:
        out = os.path.join(d.dir, "out")
        os.mkdir(out)
        image = raw_image(d.dir)
        topic = "hyperfleet.dev.submissions"
        by_hand = {"job_id": "by-kcat", "name": "by-kcat", "operation": "sleep", "parameters": {"ms": 10}}
        subprocess.run(["kcat", "-P", "-b", d.ready["kafka"], "-t", topic], input=json.dumps(by_hand) + "\n", text=True, check=True, timeout=60)
        by_kafka = d.ctl("submit", "--via", "kafka", image, "--output-dir", out, "--format", "qcow2", "--name", "by-kafka").stdout.strip()
        watched = d.ctl("submit", image, "--output-dir", out, "--format", "raw", "--name", "by-http", "--wait")
        by_http = watched.stdout.split()[0]
        assert "completed" in watched.stdout, watched.stdout
        assert d.ctl("watch", by_kafka).returncode == 0  # not taken in yet, perhaps: its id is fresh
        d.wait_state("by-kcat", "completed")
        result = d.job(by_http)["result"]
        raw = next(p for p in result["files"] if p.endswith(".raw"))
        assert open(raw, "rb").read() == open(image, "rb").read(), "the exported disk differs from its source"
        events = d.ctl("events", by_http).stdout
        for name in ("Created", "Assigned", "Completed", "accepted"):
            assert name in events, events
        listed = d.ctl("list").stdout
        for name in ("by-kcat", "by-kafka", "by-http"):
            assert name in listed, listed


def statuses_tell_what_happened():
    with Dev() as d:
        assert d.ctl("show", "nobody", check=False).returncode == 66
        assert d.ctl("watch", "nobody", check=False).returncode == 66
        assert d.ctl("cancel", "nobody", check=False).returncode == 66
        bad = d.ctl("submit", "--operation", "export", "--vm-path", "/nonexistent/x.raw", "--output-dir", d.dir, "--retry", "0", "--wait", check=False)
        assert bad.returncode == 1 and "failed" in bad.stdout, (bad.returncode, bad.stdout, bad.stderr)
        refused = d.ctl("submit", "-", check=False, input='[{"name":"a","operation":"sleep"},{"name":"b","operation":"export"}]')
        assert refused.returncode == 65 and len(refused.stdout.split()) == 1, (refused.returncode, refused.stdout, refused.stderr)
        id = d.ctl("submit", "-", input='{"name":"long","operation":"sleep","parameters":{"ms":60000}}').stdout.strip()
        d.wait_state(id, "running")
        assert d.ctl("cancel", id, "--reason", "trial").returncode == 0
        assert d.ctl("watch", id, check=False).returncode == 75
        assert d.ctl("cancel", id, check=False).returncode == 65


def a_killed_child_is_started_again_and_watch_outlives_the_sidecar():
    with Dev() as d:
        id = d.ctl("submit", "-", input='{"name":"w","operation":"sleep","parameters":{"ms":6000}}').stdout.strip()
        d.wait_state(id, "running")
        watch = subprocess.Popen([CTL, "watch", id], env=d.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        address = d.ready["http"]
        os.kill(d.ready["pids"]["hyperjournal"], signal.SIGKILL)
        wait_for("another journal", lambda: d.read_ready()["pids"]["hyperjournal"] != d.ready["pids"]["hyperjournal"], 30)
        out, err = watch.communicate(timeout=60)
        assert watch.returncode == 0 and "completed" in out, (watch.returncode, out, err)
        assert d.read_ready()["http"] == address, "the sidecar moved"
        os.kill(d.ready["pids"]["hyperworker"][0], signal.SIGKILL)
        wait_for("another worker", lambda: d.read_ready()["pids"]["hyperworker"] != d.ready["pids"]["hyperworker"], 30)
        assert "runs again" in d.said(), d.said()
        d.ctl("submit", "-", "--wait", input='{"name":"after","operation":"sleep","parameters":{"ms":1}}')


def nothing_is_left_after_kill_9_of_hyperctl():
    with Dev() as d:
        id = d.ctl("submit", "-", input='{"name":"w","operation":"sleep","parameters":{"ms":60000}}').stdout.strip()
        d.wait_state(id, "running")
        everybody = descendants(d.process.pid)
        assert set(d.pids) <= set(everybody)
        d.process.kill()
        d.process.wait()
        wait_for("all to be gone", lambda: all(gone(p) for p in everybody), 10)
        shutil.rmtree(d.ready["state"], ignore_errors=True)


def ctrl_c_leaves_nothing():
    with Dev() as d:
        everybody = descendants(d.process.pid)
        assert d.stop(signal.SIGINT) == 0, d.said()
        assert all(gone(p) for p in everybody)


def told(receiver, event):
    """(job's name, webhook-id) of each delivery of that event, in order."""
    bodies = [(json.loads(r.body), r.headers) for r in list(receiver.requests)]
    return [(b["data"]["job_name"], h["webhook-id"]) for b, h in bodies if b["event"] == event]


def a_webhook_is_told_with_a_signature_and_its_secret_stays_here():
    state = tempfile.mkdtemp(prefix="hf-dev-state-")
    receiver = Receiver()
    try:
        with Dev(state=state) as d:
            secret = os.path.join(d.dir, "ops.secret")
            with open(secret, "w") as f:
                f.write("whsec_" + base64.b64encode(b"k" * 32).decode() + "\n")
            os.chmod(secret, 0o600)
            d.ctl("webhook", "add", receiver.url + "/status/200", "--id", "ops", "--event", "job.completed", "--secret-file", secret)
            kept = os.path.join(state, "webhook-secrets.json")
            assert os.stat(kept).st_mode & 0o777 == 0o600 and "whsec_" in open(kept).read()
            assert d.ctl("webhook", "test", "ops").returncode == 0
            d.ctl("submit", "-", "--wait", input='{"name":"first","operation":"sleep","parameters":{"ms":1}}')
            wait_for("the first delivery", lambda: told(receiver, "job.completed"), 30)
            request = receiver.requests[-1]
            signed = "%s.%s." % (request.headers["webhook-id"], request.headers["webhook-timestamp"])
            proper = hmac.new(b"k" * 32, signed.encode() + request.body, hashlib.sha256).digest()
            assert request.headers["webhook-signature"] == "v1," + base64.b64encode(proper).decode(), request.headers
            assert d.stop() == 0, d.said()
        with Dev(state=state) as d:  # webhooks, secrets and what was delivered are still known
            d.ctl("submit", "-", "--wait", input='{"name":"second","operation":"sleep","parameters":{"ms":1}}')
            wait_for("the second delivery", lambda: "second" in dict(told(receiver, "job.completed")), 60)
            deliveries = told(receiver, "job.completed")
            assert len(set(id for _, id in deliveries)) == 2, deliveries
            assert deliveries.count(deliveries[0]) == 1, "told again, though it was settled: %s" % deliveries
            assert d.stop() == 0
    finally:
        receiver.close()
        shutil.rmtree(state, ignore_errors=True)


def a_killed_hook_is_started_again_and_tells_what_came_meanwhile():
    receiver = Receiver()
    try:
        with Dev() as d:
            d.ctl("webhook", "add", receiver.url + "/status/200", "--event", "job.completed")
            os.kill(d.ready["pids"]["hyperhook"], signal.SIGKILL)
            d.ctl("submit", "-", "--wait", input='{"name":"meanwhile","operation":"sleep","parameters":{"ms":1}}')
            wait_for("another hook", lambda: d.read_ready()["pids"]["hyperhook"] != d.ready["pids"]["hyperhook"], 30)
            wait_for("the delivery", lambda: "meanwhile" in dict(told(receiver, "job.completed")), 60)
    finally:
        receiver.close()


def state_survives(how):
    state = tempfile.mkdtemp(prefix="hf-dev-state-")
    try:
        with Dev(state=state) as d:
            jobs = [{"job_id": "keep-%d" % i, "name": "k", "operation": "sleep", "parameters": {"ms": 0}} for i in range(20)]
            d.ctl("submit", "-", "--via", "kafka", input=json.dumps(jobs))
            for job in jobs:
                d.wait_state(job["job_id"], "completed")
            before = {j["job_id"]: json.loads(d.ctl("events", j["job_id"], "--output", "json").stdout)["events"] for j in jobs}
            if how == "kill":
                everybody = descendants(d.process.pid)
                d.process.kill()
                d.process.wait()
                wait_for("all to be gone", lambda: all(gone(p) for p in everybody), 10)
            else:
                assert d.stop() == 0, d.said()
                assert "lacks" not in d.said(), d.said()
        with Dev(state=state) as d:
            for id, events in before.items():
                again = json.loads(d.ctl("events", id, "--output", "json").stdout)["events"]
                assert again[:len(events)] == events, (id, events, again)
                assert d.job(id)["state"] == "completed"
            end = {}
            for e in (e for events in before.values() for e in events):
                end[e["partition"]] = max(end.get(e["partition"], -1), e["offset"])
            for partition, offset in end.items():  # the broker holds the same record at the same offset
                out = subprocess.run(["kcat", "-C", "-b", d.ready["kafka"], "-t", "hyperfleet.dev.job-events", "-p", str(partition), "-o", str(offset), "-c", "1",
                                      "-q", "-f", "%o %k\n"], stdout=subprocess.PIPE, text=True, timeout=30).stdout.split()
                assert out[0] == str(offset) and out[1].startswith("keep-"), (partition, offset, out)
            d.ctl("submit", "-", "--wait", input='{"job_id":"new","name":"n","operation":"sleep","parameters":{"ms":0}}')
            duplicate = d.ctl("submit", "-", "--via", "http", check=False, input='{"job_id":"keep-3","name":"n","operation":"sleep","parameters":{"ms":0}}')
            assert duplicate.returncode == 73 and "exists" in duplicate.stderr, (duplicate.returncode, duplicate.stderr)
            assert d.stop() == 0, d.said()
            verify = subprocess.run([os.path.join(BIN, "hyperjournal"), "verify", state], capture_output=True, text=True, timeout=60)
            assert verify.returncode == 0, verify.stdout + verify.stderr
    finally:
        shutil.rmtree(state, ignore_errors=True)


def a_state_directory_is_gone_on_with_and_offsets_agree():
    state_survives("stop")


def a_state_directory_survives_kill_9_of_everything():
    state_survives("kill")


def a_replica_that_saw_more_than_the_journal_kept_is_folded_anew():
    """A crash in which the journal lost its last batch and the others did not: the journal decides what was."""
    state = tempfile.mkdtemp(prefix="hf-dev-state-")
    journal, older = os.path.join(state, "journal"), os.path.join(state, "..", os.path.basename(state) + "-older")
    try:
        with Dev(state=state) as d:
            d.ctl("submit", "-", "--wait", input='{"job_id":"kept","name":"k","operation":"sleep","parameters":{"ms":0}}')
            d.stop()
        shutil.copytree(journal, older)
        with Dev(state=state) as d:
            d.ctl("submit", "-", "--wait", input='{"job_id":"lost","name":"l","operation":"sleep","parameters":{"ms":0}}')
            d.stop()
        shutil.rmtree(journal)
        shutil.move(older, journal)
        with Dev(state=state) as d:
            assert d.said().count("folded anew from the log") >= 2, d.said()
            assert d.job("kept")["state"] == "completed" and d.job("lost") is None
            d.ctl("submit", "-", "--wait", input='{"job_id":"lost","name":"l","operation":"sleep","parameters":{"ms":0}}')
            assert d.stop() == 0
    finally:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)


def two_fleets_run_at_once_and_a_taken_place_is_refused_by_name():
    state = tempfile.mkdtemp(prefix="hf-dev-state-")
    try:
        with Dev(state=state) as a, Dev() as b:
            assert a.ready["http"] != b.ready["http"] and a.ready["kafka"] != b.ready["kafka"]
            run = subprocess.run([CTL, "dev", "--http", a.ready["http"], "--kafka", "127.0.0.1:0"], env=a.env, capture_output=True, text=True, timeout=60)
            assert run.returncode == 73 and "--http " + a.ready["http"] in run.stderr, (run.returncode, run.stderr)
            run = subprocess.run([CTL, "dev", "--kafka", a.ready["kafka"], "--http", "127.0.0.1:0"], env=a.env, capture_output=True, text=True, timeout=60)
            assert run.returncode == 73 and "--kafka " + a.ready["kafka"] in run.stderr, (run.returncode, run.stderr)
            run = subprocess.run([CTL, "dev", "--state", state, "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"], env=a.env, capture_output=True, text=True, timeout=60)
            assert run.returncode == 75 and "pid %d" % a.process.pid in run.stderr, (run.returncode, run.stderr)
    finally:
        shutil.rmtree(state, ignore_errors=True)


def a_program_that_is_not_there_is_named():
    with Actors() as a:
        os.unlink(os.path.join(a.dir, "hyperdispatch"))
        with Dev(ctl=a.ctl, wait=False) as d:
            assert d.process.wait(60) == 69 and "hyperdispatch" in d.said(), d.said()


def a_program_that_keeps_dying_at_the_start_ends_the_fleet():
    with Actors(hyperdispatch="echo its last words; exit 70") as a, Dev(ctl=a.ctl, wait=False) as d:
        assert d.process.wait(60) == 70 and "its last words" in d.said() and "exit status 70" in d.said(), d.said()
    with Actors(hyperworker="echo bad key; exit 78") as a, Dev(ctl=a.ctl, wait=False) as d:
        assert d.process.wait(60) == 70 and "started again" not in d.said() and "bad key" in d.said(), d.said()


def a_second_signal_kills_who_does_not_end():
    with Actors(hyperworker="trap '' TERM INT") as a, Dev(ctl=a.ctl) as d:
        everybody = descendants(d.process.pid)
        d.process.send_signal(signal.SIGINT)
        wait_for("the end to begin", lambda: "Stopping" in d.said(), 20)
        time.sleep(0.5)
        assert d.process.poll() is None, "it did not wait for the worker"
        d.process.send_signal(signal.SIGINT)
        d.process.wait(20)
        assert "hyperworker-1 did not end in time and is killed" in d.said(), d.said()
        wait_for("all to be gone", lambda: all(gone(p) for p in everybody), 10)


def a_flood_of_output_reaches_the_log_and_not_the_terminal():
    with Actors(hyperworker="i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done") as a, Dev(ctl=a.ctl) as d:
        log = os.path.join(d.ready["state"], "log", "hyperworker-1.log")
        wait_for("the log", lambda: "line 1999" in open(log).read(), 20)
        assert d.said().count("hyperworker-1: line") < 200 and "further lines are in" in d.said()


def a_child_that_cannot_start_is_told_with_its_words():
    with Dev("--set", "kafka.no.such.property=1", wait=False) as d:
        d.process.wait(120)
        assert d.process.returncode == 70 and "before it was ready" in d.said() and "no.such.property" in d.said(), (d.process.returncode, d.said())
        assert d.read_ready() is None


if __name__ == "__main__":
    main(the_ready_file_says_where_everything_is, jobs_come_in_by_kafka_and_by_http_and_an_image_is_exported, statuses_tell_what_happened,
         a_killed_child_is_started_again_and_watch_outlives_the_sidecar, nothing_is_left_after_kill_9_of_hyperctl, ctrl_c_leaves_nothing,
         a_webhook_is_told_with_a_signature_and_its_secret_stays_here, a_killed_hook_is_started_again_and_tells_what_came_meanwhile,
         a_state_directory_is_gone_on_with_and_offsets_agree, a_state_directory_survives_kill_9_of_everything,
         a_replica_that_saw_more_than_the_journal_kept_is_folded_anew, a_program_that_is_not_there_is_named, a_program_that_keeps_dying_at_the_start_ends_the_fleet, a_second_signal_kills_who_does_not_end,
         a_flood_of_output_reaches_the_log_and_not_the_terminal, two_fleets_run_at_once_and_a_taken_place_is_refused_by_name, a_child_that_cannot_start_is_told_with_its_words)
