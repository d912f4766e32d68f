# NO KAFKA
"""The sending side of webhooks against receivers of every kind: what arrives is what the standards' own libraries accept; what a receiver
does wrong costs bounded time and memory; and no address is called that may not be."""
import base64, json, os, shutil, socket, ssl, struct, subprocess, sys, tempfile, threading, time, warnings

from fleet import SOURCE, main, skip
from webhook_receiver import Receiver, batch, post, trial

warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1, which must be refused
SECRET, NEWER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + base64.b64encode(bytes(range(64))).decode()
FACTS = dict(at=1768645800000, job_id="job-1", job_name="wëb-01 \U0001f600 \"<&>\"", vm_path="/dc/vm/web-01", output_path="/out", duration_seconds=12.5,
             ovf_path="/out/web-01.ovf", exported_files=["/out/web-01.ovf", "/out/disk.vmdk"], error="no \\ space\nleft", phase="exporting",
             percent_complete=50, files_done=1, files_total=2, bytes_done=5, bytes_total=10, provider="vsphere", vms='[{"name": "a"}]')
EVENTS = ["job.created", "job.started", "job.progress", "job.completed", "job.failed", "job.cancelled", "vm.discovered", "webhook.test"]


def every_event(receiver, **more):
    return [dict(FACTS, event=event, url=receiver.url + "/status/200", id="msg_%d" % i, **more) for i, event in enumerate(EVENTS)]


def test_signatures_verify_with_the_python_package():
    from standardwebhooks import Webhook, WebhookVerificationError
    receiver = Receiver()
    outcomes, _ = batch(every_event(receiver, secrets=[NEWER, SECRET]), "--allow-private")
    assert all(o["class"] == "delivered" for o in outcomes.values()), outcomes
    assert len(receiver.requests) == len(EVENTS)
    for r in receiver.requests:
        for secret in (SECRET, NEWER):
            said = Webhook(secret).verify(r.body, r.headers)
            assert said["type"] == said["event"] == EVENTS[int(r.headers["webhook-id"][4:])]
        refused = 0
        for secret, body in ((SECRET, r.body + b" "), ("whsec_" + base64.b64encode(b"x" * 24).decode(), r.body)):
            try:
                Webhook(secret).verify(body, r.headers)
            except WebhookVerificationError:
                refused += 1
        assert refused == 2
        assert abs(int(r.headers["webhook-timestamp"]) - time.time()) < 10


def test_signatures_verify_with_the_npm_package():
    run = subprocess.run([os.path.join(SOURCE, "ops/build/node-modules")], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=200)
    assert run.returncode == 0, "ops/build/node-modules failed"
    receiver = Receiver()
    batch(every_event(receiver, secrets=[NEWER, SECRET]), "--allow-private")
    seen = [dict(body=r.body.decode(), headers=r.headers) for r in receiver.requests]
    assert len(seen) == len(EVENTS)
    script = os.path.join(SOURCE, "tests/integration/web/webhooks.mjs")
    run = subprocess.run(["node", script, SECRET, NEWER], input=json.dumps(seen), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env=dict(os.environ, HF_NODE_DIR=run.stdout.strip()), timeout=60)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"verified": 2 * len(EVENTS), "refused": 2 * len(EVENTS)}, run.stdout


def test_cloud_events_are_read_by_their_sdk():
    from cloudevents.core.bindings.http import HTTPMessage, from_http_event
    from cloudevents.v1.http import from_http
    receiver = Receiver()
    batch(every_event(receiver, format="cloudevents"), "--allow-private")
    assert len(receiver.requests) == len(EVENTS)
    for r in receiver.requests:
        name = EVENTS[int(r.headers["webhook-id"][4:])]
        event = from_http_event(HTTPMessage(headers=r.headers, body=r.body))
        assert (event.get_id(), event.get_source(), event.get_type()) == (r.headers["webhook-id"], "/hyperfleet/test", "io.hyperfleet." + name)
        assert event.get_specversion() == "1.0" and event.get_time().timestamp() == 1768645800
        assert event.get_subject() == ("vsphere" if name == "vm.discovered" else "job-1")
        data = event.get_data()
        older = from_http(r.headers, r.body)  # the SDK's first generation reads it too
        assert older.data == data and older["type"] == "io.hyperfleet." + name
        if name == "job.completed":
            assert list(data) == ["job_id", "job_name", "vm_path", "duration_seconds", "ovf_path", "exported_files"]
            assert data["job_name"] == FACTS["job_name"] and data["exported_files"] == FACTS["exported_files"]


def test_the_bodies_are_the_older_api_s():
    wanted = {"job.created": ["job_id", "job_name", "vm_path", "output_path"], "job.started": ["job_id", "job_name", "vm_path"],
              "job.cancelled": ["job_id", "job_name", "vm_path"], "job.failed": ["job_id", "job_name", "vm_path", "error"],
              "job.completed": ["job_id", "job_name", "vm_path", "duration_seconds", "ovf_path", "exported_files"],
              "job.progress": ["job_id", "job_name", "phase", "percent_complete", "files_done", "files_total", "bytes_done", "bytes_total"],
              "vm.discovered": ["provider", "vms"], "webhook.test": ["test", "message"]}
    receiver = Receiver()
    batch(every_event(receiver), "--allow-private")
    for r in receiver.requests:
        body = json.loads(r.body)
        assert list(body) == ["event", "type", "timestamp", "data"] and body["timestamp"] == "2026-01-17T10:30:00.000Z"
        assert list(body["data"]) == wanted.pop(body["event"])
        assert all(value == FACTS[name] for name, value in body["data"].items() if name in FACTS and name != "vms")
        assert r.headers["content-type"] == "application/json" and "webhook-signature" not in r.headers
    assert not wanted


def test_what_an_answer_means():
    receiver = Receiver()
    wanted = {"/status/200": ("delivered", 200), "/status/204": ("delivered", 204), "/status/299": ("delivered", 299), "/status/500": ("retry", 500),
              "/status/404": ("retry", 404), "/status/400": ("retry", 400), "/status/410": ("gone", 410), "/status/304": ("retry", 304),
              "/retry/429/seconds": ("retry", 429, 17000), "/retry/503/seconds": ("retry", 503, 17000), "/retry/429/date": ("retry", 429, 60000),
              "/retry/503/date": ("retry", 503, 60000), "/retry/429/none": ("retry", 429), "/retry/429/odd": ("retry", 429),
              "/retry/500/seconds": ("retry", 500), "/retry/200/seconds": ("delivered", 200), "/interim": ("retry", 503)}
    outcomes, _ = batch([dict(url=receiver.url + path) for path in wanted], "--allow-private", "--per-endpoint", "64")
    for i, (path, (kind, status, *after)) in enumerate(wanted.items()):
        o = outcomes[i + 1]
        assert (o["class"], o["status"]) == (kind, status), (path, o)
        assert abs(o["retry_after_ms"] - after[0]) < 5000 if after else o["retry_after_ms"] == -1, (path, o)
        assert bool(o["error"]) == (kind != "delivered"), (path, o)
    assert outcomes[4]["error"] == "127.0.0.1:%d answered 500: as you asked" % receiver.port


def test_redirects_are_failures_and_are_not_followed():
    receiver, inside = Receiver(), Receiver()
    for status in (300, 301, 302, 303, 307, 308):
        o = post("%s/to/%d/%d" % (receiver.url, status, inside.port), "--allow-private")
        assert (o["class"], o["status"]) == ("retry", status) and "redirects are not followed" in o["error"], o
    assert inside.connections == 0


def test_receivers_that_hang_cost_their_time_out_and_hold_up_nobody():
    receiver, fast = Receiver(), Receiver()
    hangs = ["/hang/before", "/hang/status", "/hang/head", "/hang/body", "/trickle/body", "/trickle/head"]
    lines = [dict(url=receiver.url + path, endpoint=path, timeout_ms=1500) for path in hangs]
    lines += [dict(url=fast.url + "/status/200", endpoint="fast") for _ in range(50)]
    lines += [dict(url=receiver.url + "/hang/error", endpoint="error", timeout_ms=1500)]
    begun = time.monotonic()
    outcomes, order = batch(lines, "--allow-private", "--step-max")
    assert time.monotonic() - begun < 8
    for i, path in enumerate(hangs):
        o = outcomes[i + 1]
        assert (o["class"], o["code"]) == ("retry", "timeout") and 1400 <= o["duration_ms"] < 4000, (path, o)
    assert all(outcomes[i]["class"] == "delivered" and outcomes[i]["duration_ms"] < 1400 for i in range(7, 57))
    assert [o["tag"] for o in order[:50]] and all(7 <= o["tag"] < 57 for o in order[:50]), "the fast one's came first"
    assert (outcomes[57]["class"], outcomes[57]["status"]) == ("retry", 500)
    assert order[-1]["longest_step_ms"] < 1400  # no step waits for one that hangs
    receiver.close()


def test_a_gibibyte_of_answer_is_not_read():
    receiver = Receiver()
    for how, kind in (("200", "delivered"), ("500", "retry"), ("chunked", "delivered"), ("head", "retry"), ("line", "retry")):
        receiver.sent = 0
        begun = time.monotonic()
        o = post(receiver.url + "/flood/" + how, "--allow-private")
        assert o["class"] == kind and o["duration_ms"] < 3000 and time.monotonic() - begun < 5, (how, o)
        assert receiver.sent < 16 << 20, "%s: %d bytes went out" % (how, receiver.sent)  # what the kernel's buffers hold
        assert len(o["error"]) < 400


def test_receivers_that_break_off():
    receiver = Receiver()
    for how in ("before", "head", "body", "chunked", "garbage", "old", "lengths", "negative"):
        o = post(receiver.url + "/close/" + how, "--allow-private")
        assert o["class"] == "retry" and o["error"] and o["code"] in ("protocol", "unreachable"), (how, o)
    assert post(receiver.url + "/reset", "--allow-private")["class"] == "retry"
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    o = post("http://127.0.0.1:%d/status/200" % port, "--allow-private")
    assert (o["class"], o["code"], o["status"]) == ("retry", "unreachable", 0), o
    o = post("http://no-such-name.invalid/", "--allow-private")
    assert (o["class"], o["code"]) == ("retry", "unreachable"), o


def test_connections_are_kept_and_one_that_died_meanwhile_costs_nothing():
    receiver = Receiver()
    lines = [dict(url=receiver.url + "/status/200", wait=True) for _ in range(100)]
    outcomes, _ = batch(lines, "--allow-private")
    assert all(o["class"] == "delivered" for o in outcomes.values())
    assert receiver.connections == 1, receiver.connections
    died = Receiver()
    lines = [dict(url=died.url + "/drop"), dict(sleep_ms=200), dict(url=died.url + "/status/200"), dict(url=died.url + "/status/200", wait=True)]
    outcomes, _ = batch(lines, "--allow-private")
    assert [outcomes[i]["class"] for i in (1, 3, 4)] == ["delivered"] * 3, outcomes
    assert died.connections == 2


def test_what_is_under_way_is_bounded():
    receiver = Receiver()
    batch([dict(url=receiver.url + "/slowly/0.05", endpoint="one") for _ in range(30)], "--allow-private", "--per-endpoint", "3")
    assert receiver.most == 3 and len(receiver.requests) == 30, receiver.most
    receiver = Receiver()
    batch([dict(url=receiver.url + "/slowly/0.05", endpoint="e%d" % i) for i in range(40)], "--allow-private", "--in-flight", "5")
    assert receiver.most == 5 and len(receiver.requests) == 40, receiver.most


def test_no_secret_comes_back_out_of_an_answer():
    receiver = Receiver()
    token = "zq8-secret-token"
    o = post(receiver.url + "/echo/T0AAAAAA/B0BBBBB/hunter2hunter2?sig=abcd1234", "--allow-private", secrets=[SECRET], body="some body",
             headers={"Authorization": "Bearer " + token, "X-Key": "key-of-mine"})
    assert (o["class"], o["status"]) == ("retry", 500)
    sent = receiver.requests[0].headers
    assert sent["authorization"] == "Bearer " + token and sent["x-key"] == "key-of-mine"
    for secret in (token, "key-of-mine", "hunter2hunter2", "abcd1234", sent["webhook-signature"], sent["webhook-signature"][3:13]):
        assert secret not in o["error"], o
    assert "you sent some body" in o["error"] and all(" " <= c <= "~" for c in o["error"]), o
    # what is no secret stays readable
    o = post(receiver.url + "/echo", "--allow-private", id="msg_42")
    assert "'content-type': 'application/json'" in o["error"] and "msg_42" in o["error"], o
    # refused before anything is sent: no value in the words
    for name, value in (("X-Key", "hunter2\r\nEvil: 1"), ("Host", "hunter2"), ("webhook-id", "hunter2")):
        o = post(receiver.url + "/status/200", "--allow-private", headers={name: value})
        assert o["class"] == "not-taken" and "hunter2" not in o["error"], o
    o = post("http://me:hunter2@127.0.0.1/", "--allow-private")
    assert o["class"] == "not-taken" and "hunter2" not in o["error"], o


def test_cookies_netrc_and_the_environment_s_proxies_are_not_used():
    receiver, proxy = Receiver(), Receiver()
    home = tempfile.mkdtemp(prefix="hf-test-")
    with open(home + "/.netrc", "w") as f:
        f.write("default login me password hunter2\n")
    os.chmod(home + "/.netrc", 0o600)
    env = dict(HOME=home, http_proxy=proxy.url, HTTPS_PROXY=proxy.url, ALL_PROXY=proxy.url)
    outcomes, _ = batch([dict(url=receiver.url + "/cookie"), dict(url=receiver.url + "/cookie", wait=True)], "--allow-private", env=env)
    assert all(o["class"] == "delivered" for o in outcomes.values()), outcomes
    assert proxy.connections == 0 and len(receiver.requests) == 2
    assert all("cookie" not in r.headers and "authorization" not in r.headers for r in receiver.requests)
    shutil.rmtree(home)
    # and one that is configured is used, whatever no_proxy says; what it answers is the answer
    o, _ = batch([dict(url="http://receiver.example/status/200")], "--proxy", proxy.url, env=dict(no_proxy="*"))
    assert proxy.requests[-1].path == "http://receiver.example/status/200" and o[1]["class"] == "retry", o
    # behind a proxy too, an address that is written out is refused
    assert post("http://169.254.169.254/latest/", "--proxy", proxy.url)["class"] == "not-taken"


# ---- TLS
def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def tls(folder, name, subject="127.0.0.1", names="IP:127.0.0.1", days="2"):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".pem",
            "-days", days, "-subj", "/CN=" + subject, "-addext", "subjectAltName=" + names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/%s.pem" % name, folder + "/%s.key" % name)
    return context


def test_certificates_are_verified():
    folder = tempfile.mkdtemp(prefix="hf-test-")
    good = Receiver(context=tls(folder, "good"))
    other = Receiver(context=tls(folder, "other", "elsewhere.example", "DNS:elsewhere.example"))
    old = Receiver(context=tls(folder, "old", days="-1") if expired_possible(folder) else tls(folder, "old2", "x", "DNS:x"))
    weak = tls(folder, "weak")
    weak.set_ciphers("ALL:@SECLEVEL=0")
    weak.minimum_version, weak.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    weak = Receiver(context=weak)
    url = good.url + "/status/200"
    o = post(url, "--allow-private")
    assert (o["class"], o["code"]) == ("retry", "certificate") and "certificate" in o["error"], o
    assert post(url, "--allow-private", "--ca", folder + "/good.pem")["class"] == "delivered"
    for receiver, ca in ((good, "other"), (other, "other"), (old, "old")):
        o = post(receiver.url + "/status/200", "--allow-private", "--ca", folder + "/%s.pem" % (ca if os.path.exists(folder + "/%s.pem" % ca) else "old2"))
        assert (o["class"], o["code"]) == ("retry", "certificate"), (ca, o)
        assert not receiver.requests or receiver is good
    o = post(weak.url + "/status/200", "--allow-private", "--ca", folder + "/weak.pem")
    assert o["class"] == "retry" and not weak.requests, o
    lines = [dict(url=url, wait=True) for _ in range(20)]
    before = good.connections
    outcomes, _ = batch(lines, "--allow-private", "--ca", folder + "/good.pem")
    assert all(o["class"] == "delivered" for o in outcomes.values()) and good.connections == before + 1
    shutil.rmtree(folder)


def expired_possible(folder):
    """Older openssl takes no negative days."""
    try:
        tls(folder, "old", days="-1")
        return True
    except subprocess.CalledProcessError:
        return False


# ---- addresses
def test_addresses_inside_are_not_called():
    receiver = Receiver()
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "10.0.0.1", "[fe80::1]"):
        o = post("http://%s:%d/status/200" % (host, receiver.port))
        assert (o["class"], o["code"]) == ("not-taken", "permission") and "webhook.allow_private" in o["error"], (host, o)
    assert receiver.connections == 0


# ---- hyperhook test
PRIVATE = ("--set", "webhook.allow_private=true")


def test_a_trial_tells_the_real_outcome():
    from standardwebhooks import Webhook
    receiver = Receiver()
    status, outcome, _ = trial({"url": receiver.url + "/status/200", "secrets": [NEWER, SECRET], "headers": {"X-Key": "key-of-mine"}}, *PRIVATE)
    assert status == 0 and outcome.pop("duration_ms") >= 0
    assert outcome == {"delivered": True, "status_code": 200, "error": "", "code": "ok", "attempts": 1}, outcome
    r = receiver.requests[0]
    said = Webhook(SECRET).verify(r.body, r.headers)
    assert said["type"] == "webhook.test" and said["data"]["test"] is True and r.headers["x-key"] == "key-of-mine" and "." not in r.headers["webhook-id"]
    for event in EVENTS[:-1]:
        assert trial({"url": receiver.url + "/status/200"}, *PRIVATE, "--event", event)[0] == 0
        body = json.loads(receiver.requests[-1].body)
        assert body["event"] == event and list(body["data"])[0] == "test" and body["data"]["test"] is True, body
    assert trial({"url": receiver.url + "/status/200", "format": "slack"}, *PRIVATE)[0] == 0
    assert json.loads(receiver.requests[-1].body)["text"].startswith("A trial delivery")
    for path, exit_status, code in (("/status/500", 76, "protocol"), ("/status/410", 76, "protocol"), ("/to/302/1", 76, "protocol"), ("/hang/before", 75, "timeout")):
        status, outcome, _ = trial({"url": receiver.url + path, "timeout": "500ms"}, *PRIVATE)
        assert (status, outcome["code"], outcome["delivered"], outcome["attempts"]) == (exit_status, code, False, 1) and outcome["error"], (path, outcome)
    count = len(receiver.requests)
    status, outcome, _ = trial({"url": receiver.url + "/status/200"})
    assert (status, outcome["code"], outcome["attempts"]) == (77, "permission", 0) and len(receiver.requests) == count
    receiver.close()


def test_a_trial_of_what_is_no_webhook_says_so():
    for text, words in (("", "JSON"), ("x", "JSON"), ("[]", "object"), ("{}", "url"), ('{"url": "ftp://a/"}', "http"), ('{"url": "http://u:hunter2@a/"}', "password"),
                        ('{"url": "http://a/", "secret": "hunter2"}', "whsec_"), (json.dumps({"url": "http://a/", "x": "y" * 300000}), "bytes")):
        status, outcome, said = trial(text)
        assert (status, outcome) == (65, None) and words in said and "hunter2" not in said, (text[:80], status, said)
    assert trial({"url": "http://a/"}, "--event", "job.eaten")[0] == 65


def test_a_trial_takes_stored_secrets_only_when_told():
    from standardwebhooks import Webhook
    folder, receiver = tempfile.mkdtemp(prefix="hf-test-"), Receiver()
    store, url = folder + "/secrets.json", receiver.url + "/status/200?token="
    with open(store, "w") as f:
        json.dump({"version": 1, "webhooks": {"mine": {"secrets": [SECRET], "headers": {"X-Key": "key-of-mine"}, "url": url + "hunter2"}}}, f)
    os.chmod(store, 0o600)
    record = {"id": "mine", "url": url + "***", "headers": {"X-Key": "***"}}
    options = (*PRIVATE, "--set", "webhook.secrets_file=" + store)
    assert trial(record, *options)[0] == 65 and not receiver.requests
    status, outcome, said = trial(record, *options, "--stored")
    assert status == 0, (outcome, said)
    r = receiver.requests[0]
    assert r.path.endswith("token=hunter2") and r.headers["x-key"] == "key-of-mine"
    Webhook(SECRET).verify(r.body, r.headers)
    assert trial(dict(record, id="another"), *options, "--stored")[0] == 65
    os.chmod(store, 0o644)
    status, _, said = trial(record, *options, "--stored")
    assert status == 77 and "chmod" in said, said
    shutil.rmtree(folder)


class Names(threading.Thread):
    """A name server on 127.0.0.1:53: each name's answers in turn, the last for ever; None: no answer at all."""

    def __init__(self, names):
        super().__init__(daemon=True)
        self.names, self.asked = names, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += query[at] + 1
            name, kind = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
            self.asked.append((name, kind))
            answers = self.names.get(name, [[]])
            addresses = answers[0]
            if kind == 1 and len(answers) > 1:
                answers.pop(0)
            if addresses is None:
                continue
            wanted = [a for a in addresses if (":" in a) == (kind == 28) and kind in (1, 28)]
            reply = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(wanted), 0, 0) + query[12:at + 5]
            for a in wanted:
                raw = socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a)
                reply += struct.pack(">HHHLH", 0xc00c, kind, 1, 0, len(raw)) + raw
            self.socket.sendto(reply, peer)


def inside_own_network(test):
    """Runs `test` in a network of its own, with a public address that is ours and a name server that is ours."""
    if os.environ.get("HF_OWN_NETWORK") == test.__name__:
        test()
        return
    try:
        run = subprocess.run(["unshare", "-rmn", sys.executable, os.path.abspath(__file__), sys.argv[1] if len(sys.argv) > 1 else test.__name__],
                             env=dict(os.environ, HF_OWN_NETWORK=test.__name__), stdin=subprocess.DEVNULL, timeout=90) \
            if subprocess.run(["unshare", "-rmn", "ip", "link", "set", "lo", "up"], stderr=subprocess.DEVNULL).returncode == 0 else None
    except FileNotFoundError:
        run = None
    if run is None:
        skip("no network namespace may be made here")
    assert run.returncode == 0


def own_network(names):
    for command in ("ip link set lo up", "ip addr add 8.8.4.4/32 dev lo", "ip addr add 10.1.2.3/32 dev lo", "ip -6 addr add 2606:4700::44/128 dev lo nodad"):
        subprocess.run(command.split(), check=True)
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write("nameserver 127.0.0.1\noptions timeout:5 attempts:2\n")
    subprocess.run(["mount", "--bind", f.name, "/etc/resolv.conf"], check=True)
    server = Names(names)
    server.start()
    return server


def on_port(port, *addresses):
    made = []
    for address in addresses:
        r = Receiver.__new__(Receiver)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        r.socket = socket.create_server((address, port), family=family, backlog=64)
        r.address, r.port, r.context = address, port, None
        r.requests, r.connections, r.sent, r.now, r.most = [], 0, 0, 0, 0
        r.lock, r.closing = threading.Lock(), threading.Event()
        threading.Thread(target=r.accept, daemon=True).start()
        made.append(r)
    return made


def _rebinding():
    names = own_network({"rebind.test": [["8.8.4.4"], ["127.0.0.1"]], "inside.test": [["10.1.2.3"]], "both.test": [["10.1.2.3", "8.8.4.4"]],
                         "six.test": [["::ffff:127.0.0.1", "fd00::1"]], "good.test": [["8.8.4.4"]], "six-good.test": [["2606:4700::44"]],
                         "link.test": [["169.254.169.254"]]})
    public, private, loop, six = on_port(8099, "8.8.4.4", "10.1.2.3", "127.0.0.1", "2606:4700::44")
    # a public address first, the loopback's at the second look-up: the first connection was closed, so the name is looked up again
    lines = [dict(url="http://rebind.test:8099/once"), dict(sleep_ms=50), dict(url="http://rebind.test:8099/once", wait=True)]
    outcomes, _ = batch(lines, "--no-dns-cache")
    assert outcomes[1]["class"] == "delivered", outcomes
    assert (outcomes[3]["class"], outcomes[3]["code"], outcomes[3]["status"]) == ("refused", "permission", 0), outcomes
    assert "loopback" in outcomes[3]["error"] and "127.0.0.1" not in outcomes[3]["error"], outcomes
    assert len(public.requests) == 1 and loop.connections == 0
    assert sum(asked == ("rebind.test", 1) for asked in names.asked) == 2, names.asked
    # on a kept connection the peer is looked at again, and is still the public one
    outcomes, _ = batch([dict(url="http://good.test:8099/status/200", wait=True) for _ in range(3)])
    assert all(o["class"] == "delivered" for o in outcomes.values()) and public.connections == 2
    for name in ("inside", "six", "link"):
        o = post("http://%s.test:8099/status/200" % name)
        assert (o["class"], o["code"]) == ("refused", "permission"), (name, o)
    # of several addresses the public one is called, and only that
    o = post("http://both.test:8099/status/200")
    assert o["class"] == "delivered", o
    o = post("http://six-good.test:8099/status/200")
    assert o["class"] == "delivered" and len(six.requests) == 1, o
    assert private.connections == 0 and loop.connections == 0
    assert post("http://inside.test:8099/status/200", "--allow-private")["class"] == "delivered"


def _dead_names():
    own_network({"good.test": [["8.8.4.4"]], "dead.test": [None]})
    on_port(8099, "8.8.4.4")
    lines = [dict(url="http://dead.test:8099/status/200", endpoint="dead%d" % i, timeout_ms=700) for i in range(5)]
    lines += [dict(url="http://good.test:8099/slowly/0.2", endpoint="good", wait=False) for _ in range(40)]
    begun = time.monotonic()
    outcomes, order = batch(lines, "--step-max")
    assert all(outcomes[i]["class"] == "retry" and outcomes[i]["code"] == "timeout" and outcomes[i]["duration_ms"] < 1500 for i in range(1, 6)), outcomes
    assert all(outcomes[i]["class"] == "delivered" and outcomes[i]["duration_ms"] < 1000 for i in range(6, 46)), outcomes
    assert order[-1]["longest_step_ms"] < 500, order[-1]
    assert time.monotonic() - begun < 8


def test_a_name_that_moves_inside_at_the_second_look_up_is_refused():
    inside_own_network(_rebinding)


def test_a_name_server_that_says_nothing_holds_up_nobody():
    inside_own_network(_dead_names)


if __name__ == "__main__":
    if os.environ.get("HF_OWN_NETWORK"):
        {"_rebinding": _rebinding, "_dead_names": _dead_names}[os.environ["HF_OWN_NETWORK"]]()
    else:
        main(*[f for name, f in list(globals().items()) if name.startswith("test_")])
