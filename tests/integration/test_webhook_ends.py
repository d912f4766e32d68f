"""What becomes of deliveries, from end to end: who is told what, when it comes again, what is kept, what is refused."""
import base64, http.server, json, os, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import Fleet, main, sleep_job, wait_for
from test_webhooks import Handler, Receiver, begin, hook

SECRET, OTHER = ("whsec_" + base64.b64encode(bytes([n]) * 24).decode() for n in (1, 2))
LONG = {"ms": 250000, "steps": 1000}  # until it is cancelled; tells how far it is four times a second


class Down(Receiver):
    """Its port refuses connections, and nobody else gets it, until up()."""

    def __init__(self):
        self.got, self.answer, self.lock = [], lambda seen: 204, threading.Lock()
        http.server.HTTPServer.__init__(self, ("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server_bind()
        self.url = "http://127.0.0.1:%d/hook" % self.server_port

    def up(self):
        self.server_activate()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


def of_job(receiver, id):
    return [r for r in receiver.of() if r["body"]["data"].get("job_id") == id]


def names(receiver, id):
    return [r["body"]["event"] for r in of_job(receiver, id) if r["status"] < 300]


def cancel(f, *ids):
    answer = f.request("POST", "/jobs/cancel", {"job_ids": list(ids)})[1]
    assert sorted(answer["cancelled"]) == sorted(ids), answer
    for id in ids:
        f.wait_job(id, ("cancelled",))


# ---- who is told what -----------------------------------------------------------------------------------------------------
def say_again(f, event):
    """The record of an event, once more, as a proposal of somebody who is late."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    where = TopicPartition(f.topic("job-events"), event["partition"], event["offset"])
    reader = Consumer({"bootstrap.servers": f.bootstrap, "group.id": "by-hand", "enable.auto.commit": False})
    reader.assign([where])
    record = wait_for("the record", lambda: reader.poll(1), 30)
    reader.close()
    assert not record.error() and record.offset() == event["offset"], record.error()
    writer = Producer({"bootstrap.servers": f.bootstrap})
    writer.produce(where.topic, record.value(), record.key(), where.partition, headers=record.headers())
    assert writer.flush(30) == 0


def told_are_accepted_events_of_the_kinds_asked_for_and_progress_now_and_then():
    everything, two, often, seldom = Receiver(), Receiver(), Receiver(), Receiver()
    with Fleet() as f:
        begin(f)
        hook(f, webhooks=[{"id": "everything", "url": everything.url, "ordered": True, "progress_interval": 3600},
                          {"id": "two", "url": two.url, "events": ["job.cancelled", "job.failed"]},
                          {"id": "often", "url": often.url, "events": ["job.progress"], "progress_interval": "100ms"},
                          {"id": "seldom", "url": seldom.url, "events": ["job.progress"], "progress_interval": 3600}])
        f.submit(*(dict(sleep_job(id=id), parameters=LONG) for id in ("a", "b")), dict(sleep_job(id="bad"), parameters={"ms": 0, "fail": "no"}, retry_count=0))
        wait_for("progress of both", lambda: all(len(of_job(often, id)) >= 4 for id in "ab") and all(of_job(seldom, id) for id in "ab"), 60)
        wait_for("the failure", lambda: names(two, "bad"), 30)

        # What is proposed again is not accepted, and nobody is told; the end of the job stands behind it in the log.
        before = [e for e in f.events("a") if e["verdict"] == "accepted" and "Progressing" not in e["events"]]
        for event in before:
            say_again(f, event)
        wait_for("the repeats to be refused", lambda: sum(e["verdict"] == "rejected" for e in f.events("a")) == len(before), 30)
        cancel(f, "a", "b")
        wait_for("the ends", lambda: all("job.cancelled" in names(r, id) for r in (everything, two) for id in "ab"), 30)
        for id, life in (("a", ["job.created", "job.started", "job.cancelled"]), ("bad", ["job.created", "job.started", "job.failed"])):
            assert [n for n in names(everything, id) if n != "job.progress"] == life, names(everything, id)
        assert [names(two, id) for id in ("a", "b", "bad")] == [["job.cancelled"], ["job.cancelled"], ["job.failed"]]
        assert {r["body"]["event"] for r in often.of() + seldom.of()} == {"job.progress"}
        assert [len(of_job(r, id)) for r in (seldom, everything) for id in "ab"] == [1, 1, 4, 4], "one job.progress for each job in an hour"
        shares = [r["body"]["data"]["percent_complete"] for r in of_job(often, "a")]
        assert len(set(shares)) > 1 and len({r["id"] for r in often.of()}) == len(often.of()), shares
    for r in (everything, two, often, seldom):
        r.close()


# ---- when it comes again -----------------------------------------------------------------------------------------------------
def what_failed_is_kept_and_told_by_a_replay_and_retry_after_is_obeyed():
    down, limited, well = Down(), Receiver(), Receiver()
    first = iter([(429, {"Retry-After": "4"})])
    limited.answer = lambda seen: next(first, 204)
    with Fleet() as f:
        begin(f)
        # The breaker would have its own say in when a probe is made.
        hook(f, webhooks=[{"id": "down", "url": down.url, "events": ["job.completed", "job.created"], "retry": 1},
                          {"id": "limited", "url": limited.url, "events": ["job.completed"], "retry": 3},
                          {"id": "well", "url": well.url, "events": ["job.completed"]}], webhook__breaker_failures=1000)
        f.submit(*(sleep_job(id=id) for id in "abc"))
        for id in "abc":
            f.wait_job(id)
        def kept():
            one = f.request("GET", "/api/v1/webhooks/down")[1]
            return one.get("failed_waiting") == 6 and one
        wait_for("six deliveries to be given up", kept, 60)
        listed = f.request("GET", "/api/v1/webhooks/down/deliveries?outcome=failed&limit=50")[1]["items"]
        ids = {d["delivery_id"] for d in listed}
        assert len(ids) == 6 and all(d["attempt"] == 2 and d["error"] for d in listed), listed
        assert {r["body"]["data"]["job_id"] for r in well.of()} == set("abc"), "a dead endpoint held up another"

        down.up()
        dry = f.ctl("webhook", "replay", "down", "--all", "--dry-run").stdout
        assert dry == "6 failed, 0 put back to be told again\n", dry
        assert not down.of(), "what is given up is not tried again by itself"
        said = f.ctl("webhook", "replay", "down", "--all").stdout
        assert said == "6 failed, 6 put back to be told again\n", said
        wait_for("the replays", lambda: len(down.of()) >= 6, 30)
        wait_for("nothing to be left", lambda: f.request("GET", "/api/v1/webhooks/down")[1].get("failed_waiting") == 0, 30)
        assert {r["id"] for r in down.of()} == ids and len(down.of()) == 6, "another webhook-id, or one told twice"
        assert sorted((r["body"]["data"]["job_id"], r["body"]["event"]) for r in down.of()) == sorted((id, e) for id in "abc" for e in ("job.completed", "job.created"))

        wait_for("the one that wanted a pause", lambda: sorted(names(limited, id) for id in "abc") == [["job.completed"]] * 3, 60)
        seen = limited.of()
        paused = next(r for r in seen if r["status"] == 429)
        again = next(r for r in seen if r["status"] == 204 and r["id"] == paused["id"])
        assert len(seen) == 4 and again["raw"] == paused["raw"], seen
        assert again["at"] - paused["at"] >= 3.9, "it came again after %.1f s of the 4 asked for" % (again["at"] - paused["at"])
    for r in (down, limited, well):
        r.close()


# ---- secrets ------------------------------------------------------------------------------------------------------------------
def a_secrets_file_signs_and_one_that_others_can_read_is_refused():
    from standardwebhooks import Webhook, WebhookVerificationError
    made, listed = Receiver(), Receiver()
    for r in (made, listed):
        r.answer = lambda seen: 204
    with Fleet() as f:
        path = os.path.join(f.dir, "webhook-secrets.json")
        keep = {"webhook.secrets_file": path, "webhook.allow_private": "true"}
        with open(path, "w") as out:
            json.dump({"webhooks": {"listed": {"secrets": [OTHER]}}}, out)
        os.chmod(path, 0o644)
        refused = hook(f, "open", wait=False, **keep)
        assert wait_for("it to end", lambda: refused.process.poll(), 30) not in (0, None)
        said = refused.tail()
        assert "0644" in said and "chmod 600" in said and OTHER not in said, said
        os.chmod(path, 0o600)

        f.journal(**keep)
        f.dispatch(), f.worker(worker__slots=4)
        h = hook(f, webhooks=[{"id": "listed", "url": listed.url, "events": ["job.completed"]}], **keep)
        status, one = f.request("POST", "/api/v1/webhooks", {"id": "made", "url": made.url, "events": ["job.completed"], "secret": SECRET})
        assert status == 201 and one["signed"] == 1, one
        assert os.stat(path).st_mode & 0o777 == 0o600
        f.submit(sleep_job(id="a"))
        wait_for("both to be told", lambda: of_job(made, "a") and of_job(listed, "a"), 30)
        for receiver, secret, wrong in ((made, SECRET, OTHER), (listed, OTHER, SECRET)):
            seen = of_job(receiver, "a")[0]
            headers = {k.lower(): v for k, v in seen["headers"].items()}
            assert Webhook(secret).verify(seen["raw"], headers)["data"]["job_id"] == "a"
            try:
                Webhook(wrong).verify(seen["raw"], headers)
                raise AssertionError("a wrong secret verifies")
            except WebhookVerificationError:
                pass

        # Opened to others while it runs: it says so, and goes on with what it has.
        os.chmod(path, 0o644)
        wait_for("it to say so", lambda: b"0644" in open(h.log_path, "rb").read(), 30)
        f.submit(sleep_job(id="b"))
        wait_for("it to go on", lambda: of_job(listed, "b"), 30)
        assert "webhook-signature" in {k.lower() for k in of_job(listed, "b")[0]["headers"]}
        for name in os.listdir(f.dir):
            if name.endswith(".log"):
                text = open(os.path.join(f.dir, name), errors="replace").read()
                assert SECRET not in text and OTHER not in text, name
    made.close(), listed.close()


if __name__ == "__main__":
    main(told_are_accepted_events_of_the_kinds_asked_for_and_progress_now_and_then,
         what_failed_is_kept_and_told_by_a_replay_and_retry_after_is_obeyed,
         a_secrets_file_signs_and_one_that_others_can_read_is_refused)
