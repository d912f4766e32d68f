"""Clients nobody here wrote: confluent-kafka and fastavro submit jobs and read events, and spoil the log."""
import io, json, os, struct, time

from fleet import Fleet, SOURCE, main, skip, sleep_job, wait_for

try:
    import fastavro
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient
except ImportError as e:
    skip("%s; ops/test makes the environment that has it (HF_TEST_PYTHON)" % e)


def schema(name):
    return fastavro.parse_schema(json.load(open(os.path.join(SOURCE, "schemas/avro", name + ".avsc"))))


def fingerprint(name):
    text = fastavro.schema.to_parsing_canonical_form(json.load(open(os.path.join(SOURCE, "schemas/avro", name + ".avsc"))))
    return bytes.fromhex(fastavro.schema.fingerprint(text, "CRC-64-AVRO"))


def frame(name, record):
    out = io.BytesIO()
    out.write(b"\xc3\x01" + fingerprint(name))
    fastavro.schemaless_writer(out, schema(name), record)
    return out.getvalue()


def read_all(f, suffix, seconds=60, until=None):
    """Records of a topic, decoded by fastavro with our schema, until `until(records)` holds."""
    consumer = Consumer({"bootstrap.servers": f.bootstrap, "group.id": "interop-%f" % time.time(), "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(f.topic(suffix), p, 0) for p in range(f.partitions)])
    records, end = [], time.monotonic() + seconds
    name = {"job-events": "JobEvent", "job-states": "Job"}[suffix]
    while time.monotonic() < end and not (until and until(records)):
        m = consumer.poll(0.2)
        if m is None or m.error():
            continue
        value = m.value()
        assert value[:2] == b"\xc3\x01" and value[2:10] == fingerprint(name), value[:10]
        records.append((m, fastavro.schemaless_reader(io.BytesIO(value[10:]), schema(name), None)))
    consumer.close()
    return records


def python_submits_avro_and_json_and_reads_the_events():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        producer = Producer({"bootstrap.servers": f.bootstrap})
        record = {"job_id": "avro-1", "spec": {"name": "from python", "operation": "sleep"}}  # the rest by the schema's defaults
        producer.produce(f.topic("submissions"), frame("JobSubmission", record), key="avro-1")
        producer.produce(f.topic("submissions"), json.dumps(sleep_job(0, "json-1")), key="json-1")
        producer.produce(f.topic("submissions"), json.dumps(sleep_job(0)))
        producer.flush(10)
        f.wait_job("avro-1"), f.wait_job("json-1")
        wait_for("the job without an id", lambda: f.request("GET", "/status")[1]["completed_jobs"] == 3)

        def done(records):
            return sum(1 for _, r in records if any("result" in t for t in r["transitions"])) >= 3
        events = read_all(f, "job-events", until=done)
        mine = [r for _, r in events if r["job_id"] == "avro-1"]
        assert [t["spec"]["name"] for r in mine for t in r["transitions"] if "spec" in t] == ["from python"], mine
        assert mine[0]["attempt"] == 0 and mine[-1]["attempt"] == 1
        headers = dict(events[0][0].headers())
        assert headers["hf-type"] == b"JobEvent" and headers["hf-producer"].startswith(b"hyper"), headers
        states = read_all(f, "job-states", until=lambda rs: len({r["job_id"] for _, r in rs if r["state"] == "completed"}) == 3)
        assert {r["job_id"] for _, r in states if r["state"] == "completed"} >= {"avro-1", "json-1"}


def a_new_dispatcher_publishes_the_states_its_killed_predecessor_did_not():
    with Fleet() as f:
        f.journal(), f.worker()
        ids = []
        for round in range(3):  # each dispatcher is killed right after the jobs it took in have ended
            d = f.dispatch("d%d" % round)
            more = ["takeover-%d-%d" % (round, i) for i in range(30)]
            producer = Producer({"bootstrap.servers": f.bootstrap})
            for id in more:
                producer.produce(f.topic("submissions"), json.dumps(sleep_job(0, id)))
            producer.flush(10)
            for id in more:
                f.wait_job(id)
            d.kill()
            ids += more
        f.dispatch("d9")
        ended = lambda records: {r["job_id"] for _, r in records if r["state"] == "completed"}
        states = read_all(f, "job-states", 60, until=lambda records: ended(records) >= set(ids))
        assert ended(states) >= set(ids), sorted(set(ids) - ended(states))


def invalid_jobs_with_an_id_are_on_record_and_secrets_nowhere():
    with Fleet() as f:
        f.journal(), f.dispatch()
        producer = Producer({"bootstrap.servers": f.bootstrap})
        producer.produce(f.topic("submissions"), json.dumps({"job_id": "bad-1", "name": "x", "vm_path": "/a.raw", "output_dir": "/o", "priority": 99, "retry_count": 50}))
        producer.produce(f.topic("submissions"), json.dumps({"job_id": "bad-2", "name": "x", "vm_path": "/a.raw", "output_dir": "/o", "password": "hunter2"}))
        producer.flush(10)
        job = f.wait_job("bad-1", ("failed",))
        rejected = [t for e in f.events("bad-1") for t in e["transitions"] if t["type"] == "Rejected"][0]
        assert len(rejected["errors"]) == 2 and any("priority" in e for e in rejected["errors"]) and any("retry_count" in e for e in rejected["errors"]), rejected
        f.wait_job("bad-2", ("failed",))
        consumer = Consumer({"bootstrap.servers": f.bootstrap, "group.id": "look", "auto.offset.reset": "earliest"})
        for suffix in ("job-events", "dead-letters", "job-states"):
            consumer.assign([TopicPartition(f.topic(suffix), p, 0) for p in range(f.partitions)])
            end = time.monotonic() + 3
            while time.monotonic() < end:
                m = consumer.poll(0.2)
                assert m is None or m.error() or b"hunter2" not in (m.value() or b""), suffix
        consumer.close()


def a_log_truncated_under_the_journal_fails_loudly_and_says_how_to_mend_it():
    with Fleet() as f:
        j = f.journal()
        f.dispatch()
        for i in range(20):
            f.submit(sleep_job(60000))
        j.stop()
        for i in range(20):  # behind the journal's back
            producer = Producer({"bootstrap.servers": f.bootstrap})
            producer.produce(f.topic("submissions"), json.dumps(sleep_job(60000)))
            producer.flush(10)
        def high(p):
            consumer = Consumer({"bootstrap.servers": f.bootstrap, "group.id": "w"})
            low, top = consumer.get_watermark_offsets(TopicPartition(f.topic("job-events"), p), timeout=10)
            consumer.close()
            return top
        wait_for("the submissions to be taken in", lambda: sum(high(p) for p in range(f.partitions)) >= 40)
        admin = AdminClient({"bootstrap.servers": f.bootstrap})
        for future in admin.delete_records([TopicPartition(f.topic("job-events"), p, high(p)) for p in range(f.partitions)]).values():
            future.result(30)
        j = f.journal(wait=False)
        wait_for("the journal to refuse", lambda: not j.alive(), 60)
        assert j.process.returncode == 65, j.process.returncode
        text = j.tail()
        assert "log-truncated" in text and "job-events" in text, text


if __name__ == "__main__":
    main(python_submits_avro_and_json_and_reads_the_events, a_new_dispatcher_publishes_the_states_its_killed_predecessor_did_not,
         invalid_jobs_with_an_id_are_on_record_and_secrets_nowhere,
         a_log_truncated_under_the_journal_fails_loudly_and_says_how_to_mend_it)
