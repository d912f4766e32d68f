"""Receivers of webhooks that do what a path asks for, good and bad, and what drives the sender (sender_batch.c) at them."""
import json, os, socket, ssl, subprocess, threading, time
from email.utils import formatdate

from fleet import BIN

BATCH = os.path.join(BIN, "../tests/sender_batch")


class Request:
    def __init__(self, connection, path, headers, body):
        self.connection, self.path, self.headers, self.body = connection, path, headers, body


class Receiver:
    """Listens on a free port of `address`; one thread a connection. `requests`: what came, in order."""

    def __init__(self, address="127.0.0.1", context=None):
        self.socket = socket.create_server((address, 0), backlog=512)
        self.address, self.port, self.context = address, self.socket.getsockname()[1], context
        self.url = "%s://%s:%d" % ("https" if context else "http", address, self.port)
        self.requests, self.connections, self.sent, self.now, self.most = [], 0, 0, 0, 0
        self.lock, self.closing = threading.Lock(), threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.closing.set()
        self.socket.close()

    def accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(s, self.connections), daemon=True).start()

    def serve(self, s, number):
        try:
            with s:
                if self.context:
                    s = self.context.wrap_socket(s, server_side=True)
                with s:
                    while self.one(s, number):
                        pass
        except (OSError, ValueError):
            pass

    def read(self, s):
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(65536)
            if not more:
                return None
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = dict((name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines[1:]))
        while len(body) < int(headers.get("content-length", 0)):
            more = s.recv(1 << 20)
            if not more:
                return None
            body += more
        return lines[0].split(" ")[1], headers, body

    def one(self, s, number):
        came = self.read(s)
        if not came:
            return False
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.requests.append(Request(number, *came))
        try:
            what, _, how = came[0].partition("?")[0].strip("/").partition("/")
            return getattr(self, "do_" + what, self.do_status)(s, how, self.requests[-1])
        finally:
            with self.lock:
                self.now -= 1

    def answer(self, s, status, headers="", body=b""):
        s.sendall(("HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), headers)).encode() + body)
        return True

    # ---- what a path asks for
    def do_status(self, s, how, request):
        how = how if how[:1].isdigit() else "404"
        return self.answer(s, int(how.split("/")[0]), body=b"" if how.startswith("204") else b"as you asked")

    def do_slowly(self, s, how, request):
        time.sleep(float(how))
        return self.answer(s, 200)

    def do_cookie(self, s, how, request):
        return self.answer(s, 200, "Set-Cookie: a=b; Path=/\r\nStrict-Transport-Security: max-age=9999\r\n")

    def do_once(self, s, how, request):
        self.answer(s, 200, "Connection: close\r\n")
        return False

    def do_drop(self, s, how, request):  # says it keeps the connection, and does not
        self.answer(s, 200)
        return False

    def do_interim(self, s, how, request):
        s.sendall(b"HTTP/1.1 103 Early Hints\r\nRetry-After: 99\r\n\r\n")
        return self.answer(s, 503)

    def do_retry(self, s, how, request):
        status, kind = how.split("/")
        after = {"seconds": "17", "date": formatdate(time.time() + 60, usegmt=True), "none": None, "odd": "a while"}[kind]
        return self.answer(s, int(status), "retry-AFTER: %s\r\n" % after if after else "")

    def do_to(self, s, how, request):
        return self.answer(s, int(how.split("/")[0]), "Location: http://127.0.0.1:%s/status/200\r\n" % how.split("/")[1])

    def do_echo(self, s, how, request):
        shown = "you sent %s with %s to %s\0\x1b[31m\nagain" % (request.body.decode(), request.headers, request.path)
        return self.answer(s, 500, body=shown.encode())

    def do_hang(self, s, how, request):
        s.sendall({"before": b"", "status": b"HTTP/1.1 2", "head": b"HTTP/1.1 200 OK\r\nContent-Le",
                   "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun", "error": b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nbegun"}[how])
        self.closing.wait(20)
        return False

    def do_trickle(self, s, how, request):
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" if how == "body" else b"HTTP/1.1 200 OK\r\n")
        while not self.closing.wait(0.05):
            s.sendall(b"x" if how == "body" else b"X: y\r\n")
        return False

    def do_close(self, s, how, request):
        s.sendall({"before": b"", "head": b"HTTP/1.1 200 OK\r\nContent-Le", "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbe",
                   "body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun", "garbage": b"\0\1\2\3 what is this\r\n\r\n",
                   "old": b"a page of 1991, without a head\r\n", "lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                   "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"}[how])
        return False

    def do_reset(self, s, how, request):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False

    def do_flood(self, s, how, request):  # a gibibyte of body, or of headers, as far as it is read
        begin = {"200": b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", "500": b"HTTP/1.1 500 X\r\nContent-Length: 1073741824\r\n\r\n",
                 "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n", "head": b"HTTP/1.1 200 OK\r\n", "line": b"HTTP/1.1 200 OK\r\nX: "}[how]
        s.sendall(begin)
        piece = b"X-Header: " + b"y" * 1000 + b"\r\n" if how == "head" else b"z" * 65536
        for _ in range((1 << 30) // len(piece)):
            s.sendall(piece)
            self.sent += len(piece)
        return False

    def do_secret(self, s, how, request):
        return self.answer(s, 200)


def batch(lines, *options, env=None, seconds=30):
    """The outcomes by tag (lines are counted from 1), and the order they came in."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    run = subprocess.run([BATCH, *options], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds,
                         env=dict(os.environ, **(env or {})))
    assert run.returncode == 0, run.stderr
    outcomes = [json.loads(line) for line in run.stdout.splitlines()]
    by_tag = {o["tag"]: o for o in outcomes if "tag" in o}
    assert len(by_tag) == sum("url" in line for line in lines), "one outcome for each post"
    return by_tag, outcomes


def post(url, *options, **more):
    return batch([dict(more, url=url)], *options)[0][1]


def trial(webhook, *options):
    """`hyperhook test`: its exit status, the outcome (None without one), what it said on stderr."""
    text = webhook if isinstance(webhook, str) else json.dumps(webhook)
    run = subprocess.run([os.path.join(BIN, "hyperhook"), "test", *options], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         timeout=30)
    return run.returncode, json.loads(run.stdout) if run.stdout else None, run.stderr
