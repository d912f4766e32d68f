"""Clients that mean harm, or are many: each gets a refusal or nothing, memory stays bounded, and whoever else asks is served."""
import json, os, re, resource, socket, threading, time, urllib.request

from fleet import Fleet, main, skip, sleep_job, wait_for

MIB = 1 << 20
# A sanitizer keeps what was freed for a while: not what is measured here.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def connect(fleet, buffer=None, seconds=3, source=None):
    host, port = fleet.http[len("http://"):].rsplit(":", 1)
    s = socket.socket()
    s.settimeout(seconds)
    if source:
        s.bind((source, 0))
    if buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.connect((host, int(port)))
    return s


def tell(fleet, data, seconds=3):
    """Everything that comes back until the server closes or says nothing for a while."""
    out = b""
    with connect(fleet, seconds=seconds) as s:
        try:
            s.sendall(data)
            while True:
                more = s.recv(65536)
                if not more:
                    break
                out += more
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return out


def memory(fleet):
    with open("/proc/%d/status" % fleet.j.process.pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


def others_are_served(fleet):
    begun = time.monotonic()
    assert fleet.request("GET", "/health")[0] == 200 and fleet.request("GET", "/api/v1/jobs?limit=5")[0] == 200
    # Nobody else's connection is waited for: those here hang for 15 s and more, and a loaded machine takes 4 s for 40 readers of all there is.
    assert time.monotonic() - begun < 10, "others waited %.1f s" % (time.monotonic() - begun)


def post(body, *headers, path="/jobs/submit"):
    return ("POST %s HTTP/1.1\r\nHost: h\r\n" % path).encode() + b"".join(h.encode() + b"\r\n" for h in headers) + b"\r\n" + body


def no_second_request_is_smuggled_in():
    smuggled = b"GET /api/v1/whoami HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    forms = {
        "length, and chunked": post(b"0\r\n\r\n" + smuggled, "Content-Length: 5", "Transfer-Encoding: chunked"),
        "chunked, and length": post(b"0\r\n\r\n" + smuggled, "Transfer-Encoding: chunked", "Content-Length: 5"),
        "chunked twice": post(b"0\r\n\r\n" + smuggled, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        "chunked, disguised": post(b"0\r\n\r\n" + smuggled, "Transfer-Encoding: xchunked"),
        "chunked behind a tab": post(b"0\r\n\r\n" + smuggled, "Transfer-Encoding:\x0bchunked"),
        "two lengths": post(b"{}" + smuggled, "Content-Length: 2", "Content-Length: 200"),
        "a list of lengths": post(b"{}" + smuggled, "Content-Length: 2, 2"),
        "a signed length": post(b"{}" + smuggled, "Content-Length: +2"),
        "a negative length": post(b"{}" + smuggled, "Content-Length: -2"),
        "a length in hex": post(b"{}" + smuggled, "Content-Length: 0x2"),
        "a length beyond 64 bits": post(b"{}" + smuggled, "Content-Length: 18446744073709551618"),
        "space before the colon": post(b"{}" + smuggled, "Content-Length : 2"),
        "a folded header": post(b"{}" + smuggled, "X: a", " Content-Length: 2"),
        "no chunk size": post(b"zz\r\n" + smuggled, "Transfer-Encoding: chunked"),
        "a chunk size beyond 64 bits": post(b"ffffffffffffffffff\r\n" + smuggled, "Transfer-Encoding: chunked"),
        "a lone CR in a header": post(b"{}" + smuggled, "X: a\rContent-Length: 2"),
    }
    with Fleet() as f:
        f.journal()
        answers = {}
        threads = [threading.Thread(target=lambda n=n, t=t: answers.update({n: tell(f, t)})) for n, t in forms.items()]
        [t.start() for t in threads], [t.join() for t in threads]
        for name, answer in sorted(answers.items()):
            assert b"access_control" not in answer, "%s: a second request was answered: %r" % (name, answer[:600])
            assert answer == b"" or re.match(rb"HTTP/1\.1 (400|413|501) ", answer), (name, answer[:300])
        for path in ("/jobs/a%00b", "/jobs/a%2fb", "/jobs/..%2f..%2fetc", "/jobs/%", "/jobs/%zz", "/ui/%2e%2e%2fmain.js", "/jobs/%0d%0aX:1"):
            answer = tell(f, ("GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path).encode())
            assert answer.startswith(b"HTTP/1.1 400 "), (path, answer[:200])
        for path in (b"/../../etc/passwd", b"/ui/../../etc/passwd", b"/ui/..", b"/jobs/\xff\xfe", b"/jobs/%ff%fe", b"/api/v1/jobs/%c0%ae", b"//jobs//query"):
            answer = tell(f, b"GET " + path + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert re.match(rb"HTTP/1\.1 (400|404) ", answer) and b"root:" not in answer, (path, answer[:200])
        others_are_served(f)


def heads_that_two_could_read_differently_are_refused():
    get = b"GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    refused = {
        "NUL in a value": get + b"A: b\0c\r\n\r\n", "NUL at a value's end": get + b"A: b\0\r\n\r\n", "NUL alone": get + b"A: \0\r\n\r\n",
        "NUL at a line's begin": get + b"\0A: b\r\n\r\nGET /health HTTP/1.1\r\nHost: h\r\n\r\n", "NUL in a name": get + b"A\0: b\r\n\r\n",
        "NUL in the request's line": b"GET /status\0 HTTP/1.1\r\nHost: h\r\n\r\n", "NUL behind the version": b"GET /status HTTP/1.1\0\r\nHost: h\r\n\r\n",
        "LF alone": get + b"A: b\nB: c\r\n\r\n", "LF alone behind the request's line": b"GET /status HTTP/1.1\nHost: h\r\n\r\n", "LF alone at the end": get + b"A: b\r\n\n",
        "CR alone in a value": get + b"A: b\rc\r\n\r\n", "CR alone before a name": get + b"\rA: b\r\n\r\n", "a folded line": get + b"A: b\r\n c\r\n\r\n",
        "a folded line, by a tab": get + b"A: b\r\n\tc\r\n\r\n", "a folded first line": b"GET /status HTTP/1.1\r\n Host: h\r\n\r\n", "DEL": get + b"A: b\x7f\r\n\r\n",
        "a name with a space": get + b"A b: c\r\n\r\n", "no name": get + b": c\r\n\r\n", "no colon": get + b"Abc\r\n\r\n", "no version": b"GET /status\r\n\r\n",
        "no Host": b"GET /status HTTP/1.1\r\n\r\n", "two Hosts": get + b"Host: i\r\n\r\n",
    }
    refused.update({"control character %d" % c: get + b"A: b%cc\r\n\r\n" % c for c in range(1, 32) if c not in b"\t\r\n"})
    sound = {
        "white space around values": get + b"A: \t b \t \r\nB:\r\nC:d\r\n\r\n", "cookies": get + b"Cookie: a=b; c=d\r\nCookie: e\r\n\r\n", "the same twice": get + b"A: b\r\nA: b\r\n\r\n",
        "HTTP/1.0": b"GET /status HTTP/1.0\r\n\r\n", "arguments": b"GET /jobs/query?all=true&limit=3&x=%41&&=&y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "as many as are allowed": get + b"".join(b"A%d: b\r\n" % i for i in range(98)) + b"\r\n",
    }
    with Fleet() as f:
        f.journal()
        for name, text in refused.items():
            answer = tell(f, text, 2)
            assert answer == b"" or re.match(rb"HTTP/1\.1 400 ", answer), (name, answer[:300])
            assert b" 200 OK" not in answer, (name, answer)
        for name, text in sound.items():
            assert re.match(rb"HTTP/1\.[01] 200 ", tell(f, text)), name
        twice = tell(f, b"GET /status HTTP/1.1\r\nHost: h\r\n\r\n" + get + b"A: b\r\n\r\n")
        assert twice.count(b"HTTP/1.1 200 ") == 2, twice
        for name, text in {"one more": get + b"".join(b"A%d: b\r\n" % i for i in range(99)), "larger than is read": get + b"".join(b"A%d: %s\r\n" % (i, b"b" * 1000) for i in range(30))}.items():
            answer = tell(f, text + b"\r\n")
            assert re.match(rb"HTTP/1\.1 431 ", answer), (name, answer[:200])
        others_are_served(f)


def bombs_are_refused_in_bounded_memory():
    deep, n = 200000, 1000000
    bombs = {
        "deep lists": b"[" * deep, "deep objects": b'{"a":' * deep, "closed deep lists": b"[" * deep + b"]" * deep,
        "a huge integer": b'{"vm_path": ' + b"9" * n + b"}", "a huge exponent": b'{"vm_path": 1e' + b"9" * 400 + b"}",
        "a long text": b'{"vm_path": "' + b"a" * n + b'"}', "many names": b"{" + b",".join(b'"%d":1' % i for i in range(100000)) + b"}",
        "the same name": b"{" + b",".join(b'"vm_path":1' for _ in range(100000)) + b"}", "half a surrogate": b'{"vm_path": "\\ud800"}',
        "bytes that are not UTF-8": b'{"vm_path": "\xff\xfe"}', "NUL": b'{"vm_path": "/a\\u0000b"}',
    }
    laughs = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("k")))
    with Fleet() as f:
        f.journal()
        others_are_served(f)
        before = memory(f)
        for _ in range(3):
            for name, bomb in bombs.items():
                for path in ("/api/v1/jobs", "/jobs/submit"):
                    answer = tell(f, post(bomb, "Content-Type: application/json", "Content-Length: %d" % len(bomb), "Connection: close", path=path), 20)
                    ok = answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")) or (path == "/jobs/submit" and b'"accepted":0' in answer)
                    assert ok, (name, path, answer[:400])
            answer = tell(f, post(laughs, "Content-Type: application/yaml", "Content-Length: %d" % len(laughs), "Connection: close", path="/api/v1/jobs"), 20)
            assert re.match(rb"HTTP/1\.1 4", answer), answer[:400]
        head = b"GET /status HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(200)) + b"\r\n"
        assert re.match(rb"HTTP/1\.1 (400|413|431) ", tell(f, head) or b"HTTP/1.1 431 "), "huge headers"
        others_are_served(f)
        grown = memory(f) - before
        assert grown < 120 * MIB, "%d MiB more" % (grown // MIB)


def thousands_of_idle_connections_leave_room_for_others():
    with Fleet() as f:
        f.journal()
        others_are_served(f)
        before, held = memory(f), []
        starts = [b"", b"GET /status HTTP/1.1\r\nHo", b"POST /jobs/submit HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n[",
                  b"POST /jobs/submit HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[", b"GET /status HTTP/1.1\r\nHost: h\r\n\r\n"]
        for i in range(3000):
            s = connect(f)
            s.sendall(starts[i % len(starts)])
            held.append(s)
        for round in range(3):
            for s in held[1::5] + held[2::5]:  # they go on, a byte at a time
                try:
                    s.sendall(b"a")
                except OSError:
                    pass
            others_are_served(f)
        grown = memory(f) - before
        print("%d connections: %d MiB more" % (len(held), grown // MIB))
        assert grown < 3000 * 64 * 1024, "%d MiB more" % (grown // MIB)
        [s.close() for s in held]
        others_are_served(f)


def descriptors(fleet):
    return len(os.listdir("/proc/%d/fd" % fleet.j.process.pid))


def ten_thousand_idle_connections_and_no_more():
    held, many, share = [], 10000, 4000  # an address may have 8,192
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < many + 1000:
        skip("this process may open %d files only; 10,000 connections need more (ulimit -Hn)" % resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    with Fleet() as f:
        f.journal(http__connections=many, http__idle_timeout="300s")
        others_are_served(f)
        before, idle = memory(f), descriptors(f)
        for i in range(many - 8):
            held.append(connect(f, source="127.0.0.%d" % (2 + i // share)))
        wait_for("all to be taken", lambda: descriptors(f) >= idle + many - 8)
        others_are_served(f)
        grown = memory(f) - before
        print("%d idle connections: %.1f MiB more, %.1f kB each" % (len(held), grown / MIB, grown / len(held) / 1000))
        assert grown < many * 32 * 1024, "%d MiB more" % (grown // MIB)
        held += [connect(f, source="127.0.0.9") for _ in range(8)]  # now it is full
        wait_for("it to be full", lambda: b" 503 " in tell(f, b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")[:20])
        answer = tell(f, b"GET /api/v1/jobs HTTP/1.1\r\nHost: h\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: " in answer and b"http.connections" in answer, answer
        silent = [connect(f, source="127.0.0.10") for _ in range(50)]  # nor do they stay who come then and say nothing
        wait_for("the silent ones to be closed", lambda: descriptors(f) <= idle + many + 5, 10)
        [s.close() for s in silent]
        [s.close() for s in held[:100]]
        wait_for("room", lambda: b" 200 " in tell(f, b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")[:20])
        others_are_served(f)
        [s.close() for s in held[100:]]
        wait_for("all to be gone", lambda: descriptors(f) <= idle + 5)


def journal_bytes(fleet):
    return sum(os.stat(os.path.join(d, n)).st_blocks * 512 for d, _, names in os.walk(os.path.join(fleet.dir, "state")) for n in names if n.endswith("data.mdb"))


def listen(fleet, path, buffer=None):
    s = connect(fleet, buffer, 20)
    s.sendall(("GET %s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n" % path).encode())
    return s


def idle_streams_hold_no_snapshot():
    with Fleet() as f:
        f.journal(), f.dispatch()
        f.submit(sleep_job(60000, "quiet"))

        def flow(tag):
            before = journal_bytes(f)
            for i in range(120):
                f.submit(sleep_job(60000, "%s-%d" % (tag, i)))
            return journal_bytes(f) - before
        flow("warm")
        alone = flow("alone")
        clients = [listen(f, "/api/v1/jobs/quiet/events") for _ in range(1000)]
        for s in clients:
            assert s.recv(15).startswith(b"HTTP/1.1 200"), "a stream was refused"
        crowded = flow("crowded")
        print("the journal grew by %d KiB without, %d KiB with 1,000 streams" % (alone >> 10, crowded >> 10))
        assert crowded <= 2 * alone + 2 * MIB, (alone, crowded)
        others_are_served(f)
        [s.close() for s in clients]


def who_never_reads_is_not_buffered_for():
    with Fleet(partitions=1) as f:
        f.journal(), f.dispatch()
        for n in range(8):
            ids = f.submit(*[sleep_job(60000) for _ in range(500)])["job_ids"]
            status, answer = f.request("POST", "/jobs/cancel", {"job_ids": ids, "reason": "r" * 1000})
            assert status == 200 and len(answer["cancelled"]) == 500, str(answer)[:300]
        others_are_served(f)
        before = memory(f)
        clients = [listen(f, "/api/v1/events?last_event_id=0--1", 4096) for _ in range(40)]  # all that ever happened, please
        time.sleep(3)
        others_are_served(f)
        grown = memory(f) - before
        # One that reads gets all of it, so there was that much to keep for each of the others.
        total = 0
        with listen(f, "/api/v1/events?last_event_id=0--1") as s:
            s.settimeout(3)
            try:
                while more := s.recv(1 << 20):
                    total += len(more)
            except TimeoutError:
                pass
        print("40 readers that never read %.1f MiB: %d MiB more" % (total / MIB, grown // MIB))
        assert total > 6 * MIB, total
        assert grown < 40 * total / 3, "%d MiB more" % (grown // MIB)
        [s.close() for s in clients]
        others_are_served(f)


def who_does_not_read_is_cut_off():
    with Fleet(partitions=1) as f:
        f.journal(http__idle_timeout="4s"), f.dispatch()
        for n in range(8):
            ids = f.submit(*[sleep_job(60000) for _ in range(500)])["job_ids"]
            f.request("POST", "/jobs/cancel", {"job_ids": ids, "reason": "r" * 1000})
        others_are_served(f)
        time.sleep(5)  # what served them is closed
        before, idle, path = memory(f), descriptors(f), "/api/v1/events?last_event_id=0--1"
        clients = [listen(f, path, 4096) for _ in range(40)] + [listen(f, "/api/v1/download/log.avro", 4096) for _ in range(20)]
        wait_for("them to be served", lambda: descriptors(f) >= idle + 60, 5)
        most, begun = 0, time.monotonic()
        while descriptors(f) > idle + 4:
            most = max(most, memory(f) - before)
            others_are_served(f)
            assert time.monotonic() - begun < 40, "%d are still open after 40 s" % (descriptors(f) - idle)
        print("60 that did not read were closed after %.1f s; %d MiB more meanwhile" % (time.monotonic() - begun, most // MIB))
        assert most < 60 * MIB, most  # a quarter of what there is to keep for the 40 alone
        for s in clients:  # what was in the sockets' buffers, and then the end
            s.settimeout(5)
            total = 0
            try:
                while more := s.recv(1 << 20):
                    total += len(more)
            except ConnectionResetError:
                pass
            assert total < 2 * MIB, total
            s.close()
        with listen(f, path) as s:  # one that reads stays on, though it is idle for longer: a stream is not an idle connection
            s.settimeout(1)
            end, total = time.monotonic() + 8, 0
            while time.monotonic() < end:
                try:
                    more = s.recv(1 << 20)
                    assert more, "a stream that was read was closed"
                    total += len(more)
                except TimeoutError:
                    pass
            assert total > 6 * MIB, total
            f.submit(sleep_job(60000, "late"))
            s.settimeout(5)
            assert b"late" in s.recv(1 << 20)


def until_closed(s, seconds, step):
    """step() again and again until the server has closed; how long that took, and what it said."""
    begun, said = time.monotonic(), b""
    while time.monotonic() - begun < seconds:
        try:
            step(s)
            s.settimeout(0.05)
            try:
                more = s.recv(65536)
                said += more
                if not more:
                    return time.monotonic() - begun, said
            except TimeoutError:
                pass
        except (ConnectionResetError, BrokenPipeError):
            took = time.monotonic() - begun
            try:  # what came before the reset
                while more := s.recv(65536):
                    said += more
            except OSError:
                pass
            return took, said
        time.sleep(0.1)
    raise AssertionError("still open after %g s" % seconds)


def cut_off(fleet):
    """What /metrics says of connections cut off, by phase."""
    with urllib.request.urlopen(fleet.http + "/metrics", timeout=30) as answer:
        return {p: int(n) for p, n in re.findall(r'^hyperfleet_http_cut_total\{phase="(\w+)"\} (\d+)$', answer.read().decode(), re.M)}


def heads_and_bodies_that_trickle_are_cut_off():
    """A byte at a time is never silent for long, so only an absolute bound ends it."""
    body = b"POST /jobs/submit HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
    chunked = b"POST /jobs/submit HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"
    starts = {"the request's line": (b"", b"G"), "a head": (b"GET /status HTTP/1.1\r\nHost: h\r\nX: ", b"a"), "a body": (body, b" "), "a chunk": (chunked, b" "),
              "the second head": (b"GET /status HTTP/1.1\r\nHost: h\r\n\r\n", b"a")}
    with Fleet() as f:
        f.journal(http__head_timeout="2s", http__body_timeout="4s")
        others_are_served(f)
        took = {}

        def trickle(name, start, byte):
            try:
                with connect(f) as s:
                    s.sendall(start)
                    if name == "the second head":
                        assert s.recv(65536).startswith(b"HTTP/1.1 200")
                    took[name] = until_closed(s, 60, lambda s: s.sendall(byte))
            except AssertionError as e:
                took[name] = e
        threads = [threading.Thread(target=trickle, args=(n,) + how) for n, how in starts.items()]
        quiet = connect(f)  # says nothing: http.idle_timeout is its bound, not these
        quiet.sendall(b"GET /status HTTP/1.1\r\nHost: h\r\n\r\n")
        assert quiet.recv(65536).startswith(b"HTTP/1.1 200")
        [t.start() for t in threads]
        while any(t.is_alive() for t in threads):
            others_are_served(f)
            time.sleep(0.3)
        print({n: round(t[0], 1) if isinstance(t, tuple) else str(t) for n, t in took.items()})
        for name, t in took.items():
            what, least = ("body", 3.5) if name in ("a body", "a chunk") else ("head", 1.5)
            assert isinstance(t, tuple) and t[0] >= least, "%s: %s" % (name, t)
            head, _, body = t[1].partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 ") and b"\r\nConnection: close\r\n" in head and b"\r\nContent-Type: application/problem+json\r\n" in head, (name, t)
            o = json.loads(body)
            assert o["status"] == 408 and o["code"] == "timeout" and "http.%s_timeout" % what in o["detail"], (name, o)
            assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n", (name, t)
        assert cut_off(f) == {"head": 3, "body": 2, "answer": 0}, cut_off(f)
        quiet.sendall(b"GET /status HTTP/1.1\r\nHost: h\r\n\r\n")
        assert quiet.recv(65536).startswith(b"HTTP/1.1 200"), "one that was idle between two requests was closed"
        quiet.close()
        with connect(f, seconds=20) as s:  # slow, but in time
            text = b"GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            for i in range(0, len(text), 8):
                s.sendall(text[i:i + 8])
                time.sleep(0.02)
            assert s.recv(65536).startswith(b"HTTP/1.1 200")


def answers_must_be_taken():
    with Fleet(partitions=1) as f:
        f.journal(http__answer_timeout="3s"), f.dispatch()
        for n in range(3):
            ids = f.submit(*[sleep_job(60000) for _ in range(500)])["job_ids"]
            f.request("POST", "/jobs/cancel", {"job_ids": ids, "reason": "r" * 1000})
        paths = ("/api/v1/events?last_event_id=0--1", "/api/v1/download/log.avro", "/jobs/query?all=true&limit=10000")
        others_are_served(f)
        took = {}

        def sip(path):
            try:
                with connect(f, 4096) as s:
                    s.sendall(("GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (path, "Accept: text/event-stream\r\n" if "events" in path else "")).encode())
                    s.settimeout(5)
                    begun = time.monotonic()
                    while time.monotonic() - begun < 60:
                        if not s.recv(100):
                            break
                        time.sleep(0.2)
                    took[path] = time.monotonic() - begun
            except (ConnectionResetError, TimeoutError):
                took[path] = time.monotonic() - begun
        with listen(f, paths[0]) as reads:  # a stream that is read stays, however long
            threads = [threading.Thread(target=sip, args=(p,)) for p in paths]
            [t.start() for t in threads]
            reads.settimeout(0.3)
            while any(t.is_alive() for t in threads):
                others_are_served(f)
                try:
                    assert reads.recv(1 << 20), "a stream that was read was closed"
                except TimeoutError:
                    pass
            print({p: round(t, 1) for p, t in took.items()})
            for path in paths:
                assert 2 < took[path] < 60, (path, took)
            assert cut_off(f)["answer"] == len(paths), cut_off(f)
            f.submit(sleep_job(60000, "late"))
            reads.settimeout(5)
            assert b"late" in reads.recv(1 << 20)


if __name__ == "__main__":
    main(no_second_request_is_smuggled_in, heads_that_two_could_read_differently_are_refused, bombs_are_refused_in_bounded_memory, thousands_of_idle_connections_leave_room_for_others,
         ten_thousand_idle_connections_and_no_more, idle_streams_hold_no_snapshot, who_never_reads_is_not_buffered_for, who_does_not_read_is_cut_off,
         heads_and_bodies_that_trickle_are_cut_off, answers_must_be_taken)
