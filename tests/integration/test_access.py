"""The sidecar's doors: tokens and scopes, TLS and client certificates, rotation without a restart, and what HTTP asks of a good server."""
import gzip, json, os, re, socket, ssl, subprocess, time, urllib.error, urllib.request

from fleet import BIN, Fleet, main, sleep_job, wait_for
from openapi_spec_validator import validate


def new_token(name, *scopes):
    text = subprocess.run([os.path.join(BIN, "hyperjournal"), "token", name, *scopes], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r"# (hft_\S+)", text).group(1), text[text.index("  - {"):]


def ask(url, method="GET", body=None, context=None, **headers):
    """Status, headers and bytes of an answer, whatever the status."""
    names = {k.replace("_", "-"): v for k, v in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=names)
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def certificate(directory, name, subject, ca=None, extra=()):
    key, pem = os.path.join(directory, name + ".key"), os.path.join(directory, name + ".pem")
    signed = ["-CA", ca + ".pem", "-CAkey", ca + ".key"] if ca else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", key, "-out", pem, "-subj", subject, *signed, *extra], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)
    return os.path.join(directory, name)


def only_known_tokens_may_and_only_what_their_scopes_say():
    with Fleet() as f:
        reader, reader_line = new_token("reader", "read")
        sender, sender_line = new_token("sender", "submit", "read")
        tokens = os.path.join(f.dir, "tokens.yaml")
        with open(tokens, "w") as out:
            out.write("tokens:\n" + reader_line + sender_line)
        os.chmod(tokens, 0o600)
        f.journal(access__tokens_file=tokens), f.dispatch()
        job = json.dumps(sleep_job(60000, "door-1")).encode()
        assert ask(f.http + "/health")[0] == 200  # open to all
        status, headers, body = ask(f.http + "/jobs/query")
        assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer"), (status, headers)
        assert ask(f.http + "/jobs/query", Authorization="Bearer hft_" + "A" * 43)[0] == 401
        assert ask(f.http + "/jobs/query", Authorization="Bearer " + reader)[0] == 200
        status, _, body = ask(f.http + "/jobs/submit", "POST", job, Authorization="Bearer " + reader)
        assert status == 403 and b"submit" in body, (status, body)
        status, _, body = ask(f.http + "/jobs/submit", "POST", job, Authorization="Bearer " + sender)
        assert status == 200 and json.loads(body)["accepted"] == 1, (status, body)
        events = json.loads(ask(f.http + "/jobs/door-1/events", Authorization="Bearer " + reader)[2])["events"]
        assert events[0]["by"].startswith("sender via hyperjournal@"), events[0]
        definition = json.loads(ask(f.http + "/jobs/door-1", Authorization="Bearer " + reader)[2])["definition"]
        assert definition["requested_by"] == "sender", definition
        cancel = json.dumps({"job_ids": ["door-1"]}).encode()
        assert ask(f.http + "/jobs/cancel", "POST", cancel, Authorization="Bearer " + sender)[0] == 403
        who = json.loads(ask(f.http + "/api/v1/whoami", Authorization="Bearer " + sender)[2])
        assert who["name"] == "sender" and who["scopes"] == ["read", "submit"] and who["access_control"] is True, who
        # rotation: the old token ends, the new one begins, the journal goes on
        fresh, fresh_line = new_token("reader", "read")
        with open(tokens + ".new", "w") as out:
            out.write("tokens:\n" + fresh_line)
        os.chmod(tokens + ".new", 0o600)
        os.rename(tokens + ".new", tokens)
        wait_for("the new token", lambda: ask(f.http + "/status", Authorization="Bearer " + fresh)[0] == 200, 10)
        assert ask(f.http + "/status", Authorization="Bearer " + reader)[0] == 401
        with open(f.j.log_path) as log:
            text = log.read()
        for token in (reader, sender, fresh):
            assert token not in text
        # nobody is served on an address that others reach unless tokens are asked for
        bare = f.program("hyperjournal", ["hyperjournal"] + f.sets(http__listen="0.0.0.0:0", state_dir=f.dir + "/other"), log="bare")
        bare.start(wait=False)
        wait_for("the refusal", lambda: not bare.alive())
        assert bare.process.returncode == 78 and "access.tokens_file" in bare.tail(), bare.tail()


def tls_is_spoken_renewed_and_knows_clients_by_certificate():
    with Fleet() as f:
        ca = certificate(f.dir, "ca", "/CN=test authority")
        alt = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")
        server = certificate(f.dir, "server", "/CN=journal", ca, alt)
        client = certificate(f.dir, "client", "/CN=ops", ca, alt)
        stranger_ca = certificate(f.dir, "other-ca", "/CN=other authority")
        stranger = certificate(f.dir, "stranger", "/CN=ops", stranger_ca, alt)
        tokens = os.path.join(f.dir, "tokens.yaml")
        with open(tokens, "w") as out:
            out.write('certificates:\n  - {subject: "CN=ops", name: ops, scopes: [admin]}\n')
        os.chmod(tokens, 0o600)
        f.journal(access__tokens_file=tokens, http__tls__certificate=server + ".pem", http__tls__key=server + ".key",
                  http__tls__client_ca=ca + ".pem")
        url = f.http.replace("http://", "https://")
        host, port = url[len("https://"):].split(":")
        slow = socket.create_connection((host, int(port)))
        slow.sendall(b"\x16")  # of a handshake that never comes
        def context(own=None):
            c = ssl.create_default_context(cafile=ca + ".pem")
            if own:
                c.load_cert_chain(own + ".pem", own + ".key")
            return c
        assert ask(url + "/health", context=context())[0] == 200
        assert ask(url + "/status", context=context())[0] == 401
        status, _, body = ask(url + "/api/v1/whoami", context=context(client))
        assert status == 200 and json.loads(body)["name"] == "ops", body
        assert ask(url + "/status", context=context(client))[0] == 200
        assert ask(url + "/status", context=context(stranger))[0] == 401
        old = context()
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        try:
            ask(url + "/health", context=old)
            raise AssertionError("TLS 1.1 was spoken")
        except (urllib.error.URLError, ssl.SSLError, ConnectionError):
            pass
        def serial():
            return ssl.get_server_certificate((host, int(port)))
        before = serial()
        renewed = certificate(f.dir, "renewed", "/CN=journal", ca, alt)
        os.rename(renewed + ".key", server + ".key")
        os.rename(renewed + ".pem", server + ".pem")
        wait_for("the renewed certificate", lambda: serial() != before, 10, every=0.5)
        assert ask(url + "/status", context=context(client))[0] == 200
        slow.settimeout(60)
        assert slow.recv(100) == b""  # cut off after http.head_timeout; a 408 in clear would be no TLS


def http_is_spoken_as_its_standards_have_it():
    with Fleet() as f:
        f.journal(http__cors_origins='["https://page.example"]'), f.dispatch()
        f.submit(*[sleep_job(60000, "std-%d" % i) for i in range(30)])
        status, headers, body = ask(f.http + "/api/v1/openapi.json")
        assert status == 200 and headers["ETag"] and headers["Cache-Control"] == "no-cache", headers
        document = json.loads(body)
        validate(document)
        with open(os.path.join(os.environ["HF_SOURCE_DIR"], "docs/openapi.json"), "rb") as checked_in:
            assert body == checked_in.read()
        assert ask(f.http + "/api/v1/openapi.json", If_None_Match=headers["ETag"])[0] == 304
        status, headers, squeezed = ask(f.http + "/api/v1/openapi.json", Accept_Encoding="gzip")
        assert headers["Content-Encoding"] == "gzip" and gzip.decompress(squeezed) == body and len(squeezed) < len(body) / 2
        assert "Content-Encoding" not in ask(f.http + "/api/v1/openapi.json", Accept_Encoding="gzip;q=0")[1]
        status, headers, body = ask(f.http + "/api/v1/openapi.json", "HEAD")
        assert status == 200 and body == b"" and int(headers["Content-Length"]) > 1000
        status, headers, body = ask(f.http + "/api/v1/nothing")
        problem = json.loads(body)
        assert status == 404 and headers["Content-Type"] == "application/problem+json" and problem["code"] == "not-found", problem
        status, headers, body = ask(f.http + "/api/v1/whoami", "DELETE")
        assert status == 405 and "GET" in headers["Allow"], (status, headers)
        assert ask(f.http + "/api/v1/whoami", Accept="text/csv")[0] == 406
        assert ask(f.http + "/api/v1/whoami?colour=blue")[0] == 400
        assert ask(f.http + "/jobs/query?colour=blue")[0] == 200  # as it always was
        # a page elsewhere may call only when its origin is listed
        status, headers, _ = ask(f.http + "/jobs/submit", "OPTIONS", Origin="https://page.example", Access_Control_Request_Method="POST")
        assert status == 204 and headers["Access-Control-Allow-Origin"] == "https://page.example", headers
        assert "POST" in headers["Access-Control-Allow-Methods"] and "Authorization" in headers["Access-Control-Allow-Headers"]
        assert ask(f.http + "/status", Origin="https://evil.example")[1]["Access-Control-Allow-Origin"] is None


def a_client_that_asks_too_often_is_told_when_to_come_again():
    with Fleet() as f:
        f.journal(access__rate=1, access__burst=10)
        answers = [ask(f.http + "/status") for _ in range(40)]
        late = [headers for status, headers, _ in answers if status == 429]
        assert late and all(int(h["Retry-After"]) >= 1 for h in late), [a[0] for a in answers]
        wait_for("it to be let in again", lambda: ask(f.http + "/status")[0] == 200, 30, max(int(h["Retry-After"]) for h in late))


if __name__ == "__main__":
    main(only_known_tokens_may_and_only_what_their_scopes_say, tls_is_spoken_renewed_and_knows_clients_by_certificate,
         http_is_spoken_as_its_standards_have_it, a_client_that_asks_too_often_is_told_when_to_come_again)
