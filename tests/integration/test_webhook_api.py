"""Webhooks over the API: the older routes, /api/v1, where secrets go, trials, deliveries and replay."""
import base64, http.server, json, os, stat, subprocess, threading

from fleet import Fleet, main, wait_for

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OTHER = "whsec_" + base64.b64encode(b"another-secret-of-24-byt").decode()
HIDDEN = ("hunter2", "TOKENPATH", SECRET, OTHER, "sesame")


class Receiver:
    """Answers with `status` and remembers what came."""
    def __init__(self, status=200):
        receiver, self.status, self.got = self, status, []
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/hook" % self.server.server_port
    def __enter__(self):
        return self
    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()


def secrets_of(f):
    return os.path.join(f.dir, "webhook-secrets.json")


def begin(f, **more):
    return f.journal(**{"webhook.secrets_file": secrets_of(f), "webhook.allow_private": "true", **more})


def nothing_hidden(text):
    text = text if isinstance(text, str) else json.dumps(text)
    for word in HIDDEN:
        assert word not in text, (word, text)


def logs_hide(f):
    for folder, _, files in os.walk(f.dir):
        for name in files:
            if name.endswith(".log"):
                nothing_hidden(open(os.path.join(folder, name), errors="replace").read())


# ---- the older routes ---------------------------------------------------------------------------------------------------
def the_older_routes_answer_as_they_did():
    with Fleet() as f:
        begin(f)
        call = f.request
        assert call("GET", "/webhooks")[1]["webhooks"] == []
        status, made = call("POST", "/webhooks", {"url": "https://hooks.example/a", "events": ["job.completed"], "timeout": 10000000000, "retry": 5,
                                                 "headers": {"Authorization": "Bearer hunter2"}, "enabled": True})
        assert status == 201 and made["webhook"]["timeout"] == "10s" and made["webhook"]["retry"] == 5, made
        assert made["webhook"]["headers"] == {"Authorization": "***"}
        assert call("POST", "/webhooks", {"url": "https://hooks.example/b", "id": "b"})[0] == 201
        listed = call("GET", "/webhooks")[1]
        assert set(listed) == {"webhooks", "total", "timestamp"} and listed["total"] == 2
        nothing_hidden(listed)
        for body, said in (({}, "url: required"), ({"url": "ftp://x"}, "http"), ({"url": "https://x", "events": ["nope"]}, "events[0]"),
                           ({"url": "https://me:hunter2@x/"}, "header"), ({"url": "https://x", "headers": {"Host": "hunter2"}}, "headers[0]"),
                           ({"url": "https://x", "secret": "hunter2"}, "whsec_")):
            status, answer = call("POST", "/webhooks", body)
            assert status == 400 and said in answer["error"], (body, answer)
            nothing_hidden(answer)
        where = [w["id"] for w in listed["webhooks"]].index("b")
        assert call("DELETE", "/webhooks/%d" % where)[0] == 200
        status, answer = call("DELETE", "/webhooks/7")
        assert status == 404 and answer["error"] == "webhook not found: 7"
        assert call("DELETE", "/webhooks/" + made["webhook"]["id"]) == (200, {"message": "webhook deleted successfully"})
        assert call("GET", "/webhooks")[1]["total"] == 0
        assert "hunter2" not in open(secrets_of(f)).read()  # it goes with the webhook
        logs_hide(f)


# ---- where secrets go --------------------------------------------------------------------------------------------------
def secrets_stay_on_this_machine():
    with Fleet() as f:
        begin(f)
        call = f.request
        status, one = call("POST", "/api/v1/webhooks", {"id": "ops", "url": "https://hooks.slack.com/services/TOKENPATH", "format": "slack",
                                                        "headers": {"X-Key": "hunter2"}, "secret": SECRET})
        assert status == 201 and one["url"] == "https://hooks.slack.com/***" and one["signed"] == 1 and one["state"] == "ok", one
        assert stat.S_IMODE(os.stat(secrets_of(f)).st_mode) == 0o600
        kept = json.load(open(secrets_of(f)))["webhooks"]["ops"]
        assert kept == {"secrets": [SECRET], "headers": {"X-Key": "hunter2"}, "url": "https://hooks.slack.com/services/TOKENPATH"}

        # sent back as it came, it is as it was; rotated, it has both; retired, the newest alone
        put = call("PUT", "/api/v1/webhooks/ops", one)
        assert put[0] == 200, put
        assert json.load(open(secrets_of(f)))["webhooks"]["ops"] == kept, open(secrets_of(f)).read()
        status, two = call("POST", "/api/v1/webhooks/ops/rotate", {"secret": OTHER})
        assert status == 200 and two["signed"] == 2, two
        assert json.load(open(secrets_of(f)))["webhooks"]["ops"]["secrets"] == [OTHER, SECRET]
        assert call("POST", "/api/v1/webhooks/ops/rotate", {"secret": "hunter2"})[0] == 400
        assert call("POST", "/api/v1/webhooks/ops/retire")[1]["signed"] == 1
        assert json.load(open(secrets_of(f)))["webhooks"]["ops"]["secrets"] == [OTHER]
        assert call("PATCH", "/api/v1/webhooks/ops", {"headers": None})[1]["headers"] == {}
        for path in ("/webhooks", "/api/v1/webhooks", "/api/v1/webhooks/ops", "/api/v1/audit/records?topic=webhooks"):
            nothing_hidden(call("GET", path)[1])
        records = call("GET", "/api/v1/audit/records?topic=webhooks")[1]["items"]
        assert len(records) >= 5 and all(r["by"] for r in records), records
        found = subprocess.run(["grep", "-arlE", "hunter2|TOKENPATH|" + SECRET[6:], f.dir + "/state", f.dir + "/kafka"], capture_output=True, text=True)
        assert found.stdout == "", found.stdout  # neither in the journal nor in the log
        logs_hide(f)


def without_a_store_a_secret_is_refused():
    with Fleet() as f:
        f.journal()
        for more in ({"headers": {"X-Key": "hunter2"}}, {"secret": SECRET}, {"url": "https://h/?token=hunter2"}):
            status, answer = f.request("POST", "/api/v1/webhooks", {"id": "a", "url": "https://h/x", **more})
            assert status == 422 and "webhook.secrets_file" in answer["detail"], answer
            nothing_hidden(answer)
        assert f.request("POST", "/api/v1/webhooks", {"id": "a", "url": "https://h/x"})[0] == 201


# ---- /api/v1 ------------------------------------------------------------------------------------------------------------
def v1_changes_and_shows():
    with Fleet() as f:
        begin(f)
        call = f.request
        f.submit({"id": "early", "operation": "sleep", "parameters": {"ms": 0}, "vm_path": "/i/a.raw", "output_dir": "/e"})
        status, one = call("POST", "/api/v1/webhooks", {"id": "a", "url": "https://h/x", "events": ["job.failed"]})
        assert status == 201 and one["failed_waiting"] == 0 and one["deliveries"]["failed"] == 0
        record = call("GET", "/api/v1/audit/records?topic=webhooks")[1]["items"][0]["record"]
        assert sum(p["offset"] for p in record["from"] if "offset" in p) >= 1, record  # what was before is not its business
        assert call("POST", "/api/v1/webhooks", {"id": "a", "url": "https://h/x"})[0] == 409
        status, answer = call("POST", "/api/v1/webhooks", {"id": "a.b", "url": "gopher://x", "retry": 99, "colour": 1})
        assert status == 400 and len(answer["errors"]) == 4, answer
        assert call("PATCH", "/api/v1/webhooks/a", {"retry": 1, "timeout": "3s"})[1]["timeout"] == "3s"
        assert call("PUT", "/api/v1/webhooks/a", {"url": "https://h/y"})[1]["timeout"] == "10s"
        assert call("PUT", "/api/v1/webhooks/a", {"id": "b", "url": "https://h/y"})[0] == 400
        assert call("POST", "/api/v1/webhooks/a/disable")[1]["state"] == "disabled"
        assert call("POST", "/api/v1/webhooks/a/disable")[1]["enabled"] is False
        assert call("POST", "/api/v1/webhooks/a/enable")[1]["state"] == "ok"
        for method, path, body in (("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/enable", None), ("POST", "/test", None),
                                   ("POST", "/rotate", {"secret": SECRET}), ("GET", "/deliveries", None), ("POST", "/replay", {})):
            status, answer = call(method, "/api/v1/webhooks/nobody" + path, body)
            assert status == 404 and answer["detail"] == "webhook not found: nobody", (method, path, answer)
        assert call("DELETE", "/api/v1/webhooks/a") == (200, {"id": "a", "deleted": True})
        assert call("GET", "/api/v1/webhooks")[1]["items"] == []


# ---- trials -------------------------------------------------------------------------------------------------------------
def a_trial_tells_the_real_outcome():
    with Fleet() as f, Receiver() as good, Receiver(503) as bad:
        begin(f)
        call = f.request
        call("POST", "/api/v1/webhooks", {"id": "good", "url": good.url, "headers": {"X-Key": "hunter2"}, "secret": SECRET})
        status, answer = call("POST", "/api/v1/webhooks/good/test")
        assert status == 200 and answer["delivered"] is True and answer["status_code"] == 200, answer
        headers, body = good.got[0]
        assert headers["X-Key"] == "hunter2" and headers["webhook-signature"].startswith("v1,") and json.loads(body)["data"]["test"] is True
        assert call("POST", "/webhooks/test", {"id": "good"})[1]["delivered"] is True
        status, answer = call("POST", "/webhooks/test", {"url": bad.url})
        assert status == 200 and answer["delivered"] is False and answer["status_code"] == 503, answer
        status, answer = call("POST", "/webhooks/test", {"url": "http://127.0.0.1:1/x"})
        assert status == 200 and answer["delivered"] is False and answer["error"], answer
        assert call("POST", "/webhooks/test", {"id": "nobody"})[0] == 404
        assert call("POST", "/webhooks/test", {"url": "x"})[0] == 400
        # nothing is left behind
        pid = f.programs[0].process.pid if hasattr(f, "programs") else None
        if pid:
            assert not open("/proc/%d/task/%d/children" % (pid, pid)).read().strip()
        logs_hide(f)


def a_private_address_is_not_tried_unless_allowed():
    with Fleet() as f, Receiver() as good:
        begin(f, **{"webhook.allow_private": "false"})
        status, answer = f.request("POST", "/webhooks/test", {"url": good.url})
        assert status == 200 and answer["delivered"] is False and good.got == [], answer


# ---- the command line ----------------------------------------------------------------------------------------------------
def the_command_line_manages_them():
    with Fleet() as f, Receiver() as good, Receiver(500) as bad:
        begin(f)
        def run(*args, status=0):
            r = f.ctl("webhook", *args, check=False)
            assert r.returncode == status, (args, r.returncode, r.stdout, r.stderr)
            nothing_hidden(r.stdout + r.stderr)
            return r.stdout if status == 0 else r.stderr
        def file(name, text):
            path = os.path.join(f.dir, name)
            open(path, "w").write(text)
            return path
        secret, headers = file("s", SECRET + "\n"), file("h", "X-Key: hunter2\n")
        assert run("list") == "no webhooks\n"
        assert run("add", good.url, "--id", "good", "--event", "job.failed", "--secret-file", secret, "--headers-file", headers, "--ordered") == "good\n"
        assert run("add", "-f", file("w.yaml", "webhooks:\n- {id: bad, url: '%s', retry: 0}\n" % bad.url)) == "bad\n"
        assert "good" in run("list") and "job.failed" in run("list")
        shown = json.loads(run("show", "good", "--output", "json"))
        assert shown["signed"] == 1 and shown["headers"] == {"X-Key": "***"} and shown["ordered"] is True
        assert "delivered: status 200" in run("test", "good")
        assert good.got[0][0]["X-Key"] == "hunter2"
        said = f.ctl("webhook", "test", "bad", check=False)
        assert said.returncode != 0 and "not delivered" in said.stderr and "500" in said.stderr, said.stderr
        assert "2 secrets" in run("rotate", "good", "--secret-file", file("s2", OTHER)) and "newest" in run("retire", "good")
        assert run("disable", "good", "bad") == "good: disabled\nbad: disabled\n" and run("enable", "good") == "good: enabled\n"
        assert run("deliveries", "good") == "no deliveries\n"
        assert run("replay", "good", "--all", "--dry-run") == "0 failed, 0 put back to be told again\n"
        # what is wrong
        assert "others can read the command line" in run("add", "https://hooks.slack.com/services/TOKENPATH", status=64)
        assert "url" in run("add", "gopher://x", status=65) and "give a URL" in run("add", status=64)
        assert "whsec_" in run("add", "https://h/", "--secret-file", file("s3", "hunter2"), status=65)
        assert "--secret-file" in run("rotate", "good", status=64) and "say what" in run("replay", "good", status=64)
        run("show", "nobody", status=66), run("add", good.url, "--id", "good", status=73), run("frobnicate", status=64), run("show", status=64)
        run("add", "https://h/", "--secret-file", f.dir + "/none", status=66), run("deliveries", "good", "--outcome", "nope", status=65)
        assert run("delete", "good", "bad") == "good: deleted\nbad: deleted\n" and run("list") == "no webhooks\n"


if __name__ == "__main__":
    main(the_older_routes_answer_as_they_did, secrets_stay_on_this_machine, without_a_store_a_secret_is_refused, v1_changes_and_shows,
         a_trial_tells_the_real_outcome, a_private_address_is_not_tried_unless_allowed, the_command_line_manages_them)
