"""A fleet with schema_registry.url: a small registry of our own on loopback, and fastavro as the stranger who uses it."""
import io, json, os, struct, subprocess, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fleet import BIN, Fleet, SOURCE, main, skip, sleep_job, wait_for

try:
    import fastavro
    from confluent_kafka import Consumer, Producer, TopicPartition
except ImportError as e:
    skip("%s; ops/test makes the environment that has it (HF_TEST_PYTHON)" % e)

UNKNOWN = 4711  # an id the registry does not have
PROTOBUF = 4712


class Registry:
    """POST /subjects/S/versions and GET /schemas/ids/N, as Confluent's answers them. `down`: every answer is a 503."""
    def __init__(self):
        self.texts, self.subjects, self.asked, self.down, self.lock = {}, {}, [], False, threading.Lock()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                parts = self.path.split("/")
                if registry.down:
                    return self.answer(503, {"error_code": 50301, "message": "down for the test"})
                if len(parts) != 4 or parts[1] != "subjects" or parts[3] != "versions":
                    return self.answer(404, {"error_code": 40401, "message": "no such path"})
                self.answer(200, {"id": registry.register(parts[2], body["schema"])})

            def do_GET(self):
                id = int(self.path.rsplit("/", 1)[1])
                with registry.lock:
                    registry.asked.append(id)
                if registry.down:
                    self.answer(503, {"error_code": 50301, "message": "down for the test"})
                elif id == PROTOBUF:
                    self.answer(200, {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3";'})
                elif id in registry.texts:
                    self.answer(200, {"schema": registry.texts[id]})
                else:
                    self.answer(404, {"error_code": 40403, "message": "Schema %d not found" % id})

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def register(self, subject, text):
        with self.lock:
            for id, known in self.texts.items():
                if known == text:
                    break
            else:
                id = 100 + len(self.texts)
                self.texts[id] = text
            self.subjects.setdefault(subject, id)
            return id

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def avsc(name):
    with open(os.path.join(SOURCE, "schemas/avro", name + ".avsc")) as f:
        return f.read()


def frame(id, text, record):
    out = io.BytesIO()
    out.write(struct.pack(">bI", 0, id))
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(text)), record)
    return out.getvalue()


def produce(f, *values):
    producer = Producer({"bootstrap.servers": f.bootstrap})
    for value in values:
        producer.produce(f.topic("submissions"), value)
    assert producer.flush(10) == 0


def read_until(f, suffix, enough, seconds=60):
    consumer = Consumer({"bootstrap.servers": f.bootstrap, "group.id": "registry-%f" % time.time(), "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(f.topic(suffix), p, 0) for p in range(f.partitions)])
    messages, end = [], time.monotonic() + seconds
    while not enough(messages):
        assert time.monotonic() < end, "%s: %d messages are not enough" % (suffix, len(messages))
        m = consumer.poll(0.2)
        if m is not None and not m.error():
            messages.append(m)
    consumer.close()
    return messages


def dead_letters(f, count):
    """Their values by what is in the header hf-schema-id."""
    found = read_until(f, "dead-letters", lambda ms: len(ms) >= count)
    assert len(found) == count, found
    for m in found:
        assert dict(m.headers())["hf-error"] == b"schema-unknown", m.headers()
    return {int(dict(m.headers())["hf-schema-id"]): m.value() for m in found}


def tool(f, *args):
    """hyperjournal's tools, without any configuration and so without the registry."""
    run = subprocess.run([os.path.join(BIN, "hyperjournal"), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         stdin=subprocess.DEVNULL, timeout=60)
    assert run.returncode == 0, (args, run.returncode, run.stderr)
    return run.stdout


def a_fleet_writes_the_registrys_ids_and_reads_those_of_strangers():
    with Registry() as registry, Fleet() as f:
        url = {"schema_registry__url": registry.url}
        journal = f.journal(**url)
        f.dispatch(**url), f.worker(**url)
        f.submit(sleep_job(0, "http-1"))
        f.wait_job("http-1")

        # A stranger's own schema: fewer fields than ours, registered under an id of its own.
        whole = json.loads(avsc("JobSubmission"))
        names = {"job_id", "spec"}
        own = json.dumps(dict(whole, fields=[field for field in whole["fields"] if field["name"] in names]))
        id = registry.register(f.topic("submissions") + "-value", own)
        assert registry.texts[id] == own
        good = frame(id, own, {"job_id": "avro-1", "spec": {"name": "from python", "operation": "sleep"}})
        unknown, protobuf = struct.pack(">bI", 0, UNKNOWN) + good[5:], struct.pack(">bI", 0, PROTOBUF) + good[5:]
        produce(f, unknown, protobuf, good)
        f.wait_job("avro-1")
        assert [t["spec"]["name"] for e in f.events("avro-1") for t in e["transitions"] if "spec" in t] == ["from python"]
        assert dead_letters(f, 2) == {UNKNOWN: unknown, PROTOBUF: protobuf}

        # What hyperctl puts on the log itself goes by the registry as well.
        with open(os.path.join(f.dir, "job.json"), "w") as out:
            json.dump(sleep_job(0, "ctl-1"), out)
        run = subprocess.run([os.path.join(BIN, "hyperctl"), "submit", "-f", out.name, "--via", "kafka", *f.sets(**url)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert run.returncode == 0, run.stderr
        f.wait_job("ctl-1")
        mine = [m for m in read_until(f, "submissions", lambda ms: len(ms) >= 4) if b"ctl-1" in m.value()]
        assert [m.value()[:5] for m in mine] == [struct.pack(">bI", 0, registry.register("again", avsc("JobSubmission")))], mine

        # Every record of the fleet has byte 0 and the id of the schema text as it is in the tree.
        for suffix, name, least in (("job-events", "JobEvent", 9), ("job-states", "Job", 3), ("workers", "WorkerHeartbeat", 1)):
            wanted = registry.subjects[f.topic(suffix) + "-value"]
            assert registry.texts[wanted] == avsc(name), suffix
            partitions, f.partitions = f.partitions, 1 if suffix == "workers" else f.partitions
            for m in read_until(f, suffix, lambda ms: len(ms) >= least):
                assert m.value()[:5] == struct.pack(">bI", 0, wanted), (suffix, m.value()[:10])
                fastavro.schemaless_reader(io.BytesIO(m.value()[5:]), fastavro.parse_schema(json.loads(avsc(name))), None)
            f.partitions = partitions
        assert registry.asked.count(UNKNOWN) == 1 and registry.asked.count(id) == 1, registry.asked

        # The journal keeps what it has read: its tools, and a rebuild, need no registry.
        assert journal.stop() == 0
        dir = f.dir + "/state/journal"
        assert "verified: " in tool(f, "verify", dir)
        assert "rebuilt: " in tool(f, "rebuild", dir)
        assert "verified: " in tool(f, "verify", dir)
        assert '"completed"' in tool(f, "print", dir, "job", "avro-1", "-o", "json")


def submissions_wait_while_the_registry_is_down_and_none_is_lost():
    with Registry() as registry, Fleet() as f:
        url = {"schema_registry__url": registry.url}
        f.journal(**url), f.dispatch(**url), f.worker(**url)
        text = avsc("JobSubmission") + "\n"  # not the text ours has: its id must be asked for
        id = registry.register("elsewhere", text)
        registry.down = True
        produce(f, frame(id, text, {"job_id": "late-1", "spec": {"name": "late", "operation": "sleep"}}))
        wait_for("the dispatcher to ask more than once", lambda: registry.asked.count(id) >= 2)
        assert f.job("late-1") is None
        registry.down = False
        f.wait_job("late-1")
        assert f.submit(sleep_job(0, "next-1"))
        f.wait_job("next-1")


def no_registry_at_start_and_an_emptied_one_are_errors_that_say_so():
    with Registry() as registry, Fleet() as f:
        f.journal(schema_registry__url=registry.url).stop()
        registry.texts = {100: '"string"', **{100 + i: t for i, t in enumerate(registry.texts.values(), 1)}}
        emptied = f.journal(wait=False, schema_registry__url=registry.url)
        wait_for("the journal to refuse ids that changed their meaning", lambda: not emptied.alive())
        assert emptied.process.returncode == 78 and "stood for another schema" in emptied.tail(), emptied.tail()
        registry.close()
        nobody = f.dispatch(wait=False, schema_registry__url=registry.url)
        wait_for("the dispatcher to give up", lambda: not nobody.alive(), 60)
        text = nobody.tail()
        assert nobody.process.returncode == 69 and "tried 5 times" in text and registry.url in text, text


if __name__ == "__main__":
    main(a_fleet_writes_the_registrys_ids_and_reads_those_of_strangers, submissions_wait_while_the_registry_is_down_and_none_is_lost,
         no_registry_at_start_and_an_emptied_one_are_errors_that_say_so)
