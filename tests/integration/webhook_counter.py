"""A receiver of webhooks in a process of its own, to be killed: it writes down every delivery before it answers, so that what was
answered is on record whenever it dies. One line each: path, webhook-id, event, job id. One thread, kept connections.

    webhook_counter.py PORT FILE        READY=1 is said on HF_READY_FD
"""
import os, re, selectors, socket, sys

ID = re.compile(rb"\r\nwebhook-id: *(\S+)", re.I)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
WHAT = re.compile(rb'"event": ?"([a-z.]+)".*?"job_id": ?"([^"]+)"', re.S)
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def whole(data):
    """(line to write down, bytes it took); (None, 0): more has to come."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None, 0
    end = head + 4 + int(LENGTH.search(data, 0, head + 2).group(1))
    if len(data) < end:
        return None, 0
    event, job = WHAT.search(data, head, end).groups()
    return b" ".join((data[:head].split(b" ", 2)[1], ID.search(data, 0, head + 2).group(1), event, job)) + b"\n", end


def serve(connection, left, out):
    """False: it is closed."""
    try:
        more = connection.recv(1 << 16)
    except BlockingIOError:
        return True
    except OSError:
        return False
    left += more
    answers = 0
    while more:
        line, took = whole(left)
        if not took:
            break
        os.write(out, line)
        del left[:took]
        answers += 1
    try:
        connection.sendall(ANSWER * answers)
    except OSError:
        return False
    return bool(more)


def main(port, path):
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=256)
    listener.setblocking(False)
    known = selectors.DefaultSelector()
    known.register(listener, selectors.EVENT_READ)
    os.write(int(os.environ["HF_READY_FD"]), b"READY=1\n")
    while True:
        for key, _ in known.select():
            if key.data is None:
                connection, _ = listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                known.register(connection, selectors.EVENT_READ, bytearray())
            elif not serve(key.fileobj, key.data, out):
                known.unregister(key.fileobj)
                key.fileobj.close()


main(*sys.argv[1:])
