"""/metrics of a real fleet: what the tables promise, in both formats, judged by readers that nobody here wrote."""
import http.server, json, os, re, subprocess, threading, time, urllib.request

from fleet import SOURCE, Fleet, main, skip, sleep_job, wait_for

OPEN = "application/openmetrics-text; version=1.0.0"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def table(path, macro):
    """Rows of a .def: the arguments of each MACRO(...) that stands at the beginning of a line."""
    rows = []
    with open(os.path.join(SOURCE, path)) as f:
        for line in f:
            if line.startswith(macro + "("):
                rows.append([a.strip('"') for a in re.findall(r'"(?:[^"\\]|\\.)*"|[A-Za-z_0-9]+', line[len(macro) + 1:])])
    return rows


def _promised():
    """Family -> (kind, label names) as metrics.def and counters.def say."""
    labels = {row[0]: row[5] for row in table("journal/replica/counters.def", "HF_COUNTER")}
    split = lambda names: frozenset(names.split(",")) - {""}
    families = {row[1]: (row[2], split(labels[row[0]])) for row in table("journal/http/metrics.def", "HF_METRIC_COUNTER")}
    families.update({row[1]: (row[2], split(row[3])) for row in table("journal/http/metrics.def", "HF_METRIC_VALUE")})
    assert len(families) > 45, families
    return families


def scrape(f, accept=None):
    request = urllib.request.Request(f.http + "/metrics", headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples(text):
    """Of text 0.0.4: (name, labels) -> value."""
    out = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = re.fullmatch(r'([a-z0-9_]+)(?:\{(.*)\})? (\S+)', line).groups()
            key = (name, tuple(sorted(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or ""))))
            assert key not in out, line
            out[key] = float(value)
    return out


def value(found, name, **labels):
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def settled(f):
    """What the metrics say of webhooks, once a second has changed nothing; else None."""
    first = samples(scrape(f)[1])
    time.sleep(1)
    then = samples(scrape(f)[1])
    return then if all(first.get(k) == v for k, v in then.items() if "webhook" in k[0]) else None


def folded(found):
    """Records of job-events, as the partitions say; 0 while that is not what the counter says."""
    n = sum(v for (name, labels), v in found.items() if name == "hyperfleet_partition_next_offset" and ("topic", "job-events") in labels)
    return n if n == value(found, "hyperfleet_records_total", topic="job-events") else 0


def family_of(name, families):
    for suffix in ("", "_bucket", "_sum", "_count"):
        if name.endswith(suffix) and name[:len(name) - len(suffix)] in families:
            return name[:len(name) - len(suffix)]
    raise AssertionError("no family of the table: " + name)


def check_text(text):
    families = _promised()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert types == {name: kind for name, (kind, _) in families.items()}, set(types) ^ set(families)
    for name, labels in samples(text):
        kind, wanted = families[family_of(name, families)]
        got = {label for label, _ in labels} - ({"le"} if kind == "histogram" and name.endswith("_bucket") else set())
        assert got == wanted, (name, labels, wanted)
    tool = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert tool.returncode == 0, tool.stdout + tool.stderr


def check_open(text):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    families = _promised()
    bare = {name[:-len("_total")] if kind == "counter" else name: (kind, labels) for name, (kind, labels) in families.items()}
    read = {m.name: m for m in text_string_to_metric_families(text)}
    assert {n: m.type for n, m in read.items()} == {n: kind for n, (kind, _) in bare.items()}, set(read) ^ set(bare)
    for name, metric in read.items():
        unit = next((u for u in ("bytes_per_second", "seconds", "bytes") if name.endswith("_" + u)), "")
        assert metric.unit == unit, (name, metric.unit)
        for sample in metric.samples:
            got = set(sample.labels) - ({"le"} if bare[name][0] == "histogram" and sample.name.endswith("_bucket") else set())
            assert got == bare[name][1], sample
            assert sample.exemplar is None or name == "hypersdk_job_duration_seconds", sample
    assert text.endswith("\n# EOF\n")
    return [s.exemplar for s in read["hypersdk_job_duration_seconds"].samples if s.exemplar]


def a_scrape_is_what_the_table_says_in_both_formats():
    """What waits, then what was done; and after a restart the same."""
    with Fleet() as f:
        f.journal(), f.dispatch()
        traced = [sleep_job(0, "traced", execution_policy={"priority": 2})]
        status, _ = f.request("POST", "/jobs/submit", traced, headers={"traceparent": "00-%s-00f067aa0ba902b7-01" % TRACE})
        assert status == 200
        f.submit(sleep_job(0, "waits-1"), sleep_job(0, "waits-2"), {"name": "x", "operation": "no-such-operation", "provider": "local", "vm_path": "/x", "job_id": "waits-3"})
        time.sleep(0.2)
        found = samples(scrape(f)[1])
        assert value(found, "hyperfleet_queue_depth", operation="sleep", priority="5") == 2, {k: v for k, v in found.items() if "queue" in k[0]}
        assert value(found, "hyperfleet_queue_depth", operation="sleep", priority="2") == 1
        waited = value(found, "hyperfleet_queue_oldest_wait_seconds", operation="sleep", priority="2")
        assert 0.2 <= waited < 60, waited
        assert value(found, "hyperfleet_queue_needing", requirement="provider:local") == 1, {k: v for k, v in found.items() if "queue" in k[0]}
        assert value(found, "hyperfleet_workers_offering", operation="sleep") == 0
        assert value(found, "hypersdk_queued_jobs") == value(found, "hyperfleet_jobs", state="queued") >= 3
        assert value(found, "hyperfleet_log_up") == 1 and value(found, "hyperfleet_store_commits_total") > 0

        worker = f.worker()
        f.wait_job("traced"), f.wait_job("waits-1"), f.wait_job("waits-2")
        wait_for("the worker's heartbeat", lambda: value(samples(scrape(f)[1]), "hyperfleet_worker_jobs_total", worker="w1") >= 3)
        kind, text = scrape(f)
        assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
        check_text(text)
        found = samples(text)
        assert value(found, "hypersdk_jobs_total", status="completed", provider="other") == 3, text
        assert value(found, "hypersdk_job_duration_seconds_count", status="completed", provider="other") == 3
        assert value(found, "hypersdk_job_duration_seconds_bucket", status="completed", provider="other", le="2048") == 3
        assert 'le="1.048576e+06"' in text or "hypersdk_export_speed_bytes_per_second_bucket" not in text
        assert value(found, "hyperfleet_queue_depth", operation="sleep", priority="5") == 0
        assert not any(n == "hyperfleet_queue_oldest_wait_seconds" and ("operation", "sleep") in l for n, l in found), text
        assert value(found, "hyperfleet_workers", state="active") == 1 and value(found, "hyperfleet_workers_offering", operation="sleep") == 1
        assert value(found, "hyperfleet_workers_with", requirement="provider:local") == 1
        assert value(found, "hyperfleet_worker_slots", state="free") > 0
        wait_for("the second's look at the partitions", lambda: folded(samples(scrape(f)[1])) >= 10)
        assert value(found, "process_open_fds") > 10 and value(found, "process_cpu_seconds_total") > 0
        for job in ("traced", "waits"):
            assert job not in text, "a label takes a job's id"

        kind, text = scrape(f, OPEN)
        assert kind == OPEN + "; charset=utf-8", kind
        exemplars = check_open(text)
        assert all(set(e.labels) in ({"trace_id"}, {"job_id"}) and float(e.timestamp) > 1e9 for e in exemplars) and exemplars, exemplars
        begun = time.time()
        f.request("POST", "/jobs/submit", [sleep_job(0, "traced-2")], headers={"traceparent": "00-%s-00f067aa0ba902b7-01" % TRACE})
        f.wait_job("traced-2")
        latest = [e.labels for e in check_open(scrape(f, OPEN)[1]) if float(e.timestamp) > begun]
        assert latest == [{"trace_id": TRACE}], latest
        assert scrape(f, "text/plain;version=0.0.4;q=0.9," + OPEN + ";q=0.1")[0].startswith("text/plain")

        worker.stop()
        wait_for("the worker to be gone", lambda: value(samples(scrape(f)[1]), "hyperfleet_workers", state="stopped") == 1)
        before = samples(scrape(f)[1])
        f.j.stop()
        f.journal()
        after = samples(scrape(f)[1])
        lasting = {k: v for k, v in before.items() if k[0].startswith("hypersdk_job") or k[0].startswith(("hyperfleet_jobs", "hyperfleet_proposals", "hyperfleet_events", "hyperfleet_queue_depth"))}
        assert len(lasting) > 30 and all(after.get(k) == v for k, v in lasting.items()), [(k, v, after.get(k)) for k, v in lasting.items() if after.get(k) != v]


def webhooks_are_counted_by_state_and_the_first_hundred_by_name():
    """One that is well, one that nobody answers, and a hundred and ten that are switched off; the numbers outlive the journal's process."""
    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hooks = [{"id": "a-dead", "url": "http://127.0.0.1:1/", "events": ["job.created"], "retry": 1},
             {"id": "a-well", "url": "http://127.0.0.1:%d/" % server.server_port, "events": ["job.created"]}]
    hooks += [{"id": "off-%03d" % i, "url": "http://127.0.0.1:1/", "enabled": False} for i in range(110)]
    deliveries, states = "hyperfleet_webhook_endpoint_deliveries_total", "hyperfleet_webhooks"
    with Fleet() as f:
        f.journal(webhook__breaker_failures=2), f.dispatch()
        found = samples(scrape(f)[1])
        assert value(found, states, state="enabled") == 0 and (states, (("state", "circuit_open"),)) in found
        f.program("hyperhook-h1", ["hyperhook", "--id", "h1"] + f.sets(webhook__allow_private="true", webhook__breaker_failures=2, webhooks=json.dumps(hooks))).start()
        wait_for("the webhooks", lambda: value(samples(scrape(f)[1]), states, state="disabled") == 110, 60)
        assert value(samples(scrape(f)[1]), states, state="enabled") == 2
        f.submit(*[sleep_job(60000) for _ in range(3)])

        def told():
            found = samples(scrape(f)[1])
            return value(found, deliveries, webhook="a-well", outcome="delivered") == 3 and value(found, deliveries, webhook="a-dead", outcome="failed") >= 2 and found
        found = wait_for("what came of it", told, 120)
        text = scrape(f)[1]
        check_text(text), check_open(scrape(f, OPEN)[1])
        assert value(found, states, state="enabled") == 1 and value(found, states, state="circuit_open") == 1 and value(found, states, state="disabled") == 110
        assert value(found, "hyperfleet_webhook_failed_in_row", webhook="a-dead") >= 2 and value(found, "hyperfleet_webhook_failed_in_row", webhook="a-well") == 0
        named = {dict(labels)["webhook"] for name, labels in found if name == deliveries}
        assert len(named) == 101 and {"a-dead", "a-well", "off-000", "off-097", "other"} <= named and "off-098" not in named, sorted(named)
        sums = {o: sum(v for (n, l), v in found.items() if n == deliveries and ("outcome", o) in l) for o in ("delivered", "failed")}
        assert sums == {o: value(found, "hyperfleet_webhook_deliveries_total", outcome=o) for o in sums}, sums
        f.programs[-1].stop()
        before = wait_for("the journal to have read what it said last", lambda: settled(f))
        f.j.stop()
        f.journal(webhook__breaker_failures=2)
        after = samples(scrape(f)[1])
        assert {k: v for k, v in after.items() if "webhook" in k[0] and k[0] != "hyperfleet_records_total"} == {k: v for k, v in before.items() if "webhook" in k[0]}
    server.shutdown(), server.server_close()


if __name__ == "__main__":
    main(a_scrape_is_what_the_table_says_in_both_formats, webhooks_are_counted_by_state_and_the_first_hundred_by_name)
