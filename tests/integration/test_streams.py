"""Many who follow the fleet's stream at once: each sees each event once, whether it reads at once, late, or from the beginning."""
import re, selectors, socket, time, urllib.request

from fleet import Fleet, main, sleep_job, wait_for

EVENT = re.compile(rb'id: (\S+)\ndata: \{"partition":(\d+),"offset":(\d+)')


class Readers:
    """Sockets on /api/v1/events, read by one thread: HTTP/1.0, so that nothing is in chunks, and no JSON is parsed, or the reading would be what is measured."""

    def __init__(self, fleet):
        self.fleet, self.select, self.of = fleet, selectors.DefaultSelector(), {}

    def add(self, count, last_id=None, reads=True, buffer=None):
        host, port = self.fleet.http[7:].rsplit(":", 1)
        added = []
        for _ in range(count):
            s = socket.socket()
            if buffer:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            s.connect((host, int(port)))
            s.sendall(b"GET /api/v1/events HTTP/1.0\r\nAccept: text/event-stream\r\n" + (b"Last-Event-ID: %s\r\n" % last_id if last_id else b"") + b"\r\n")
            s.setblocking(False)
            self.of[s] = {"rest": b"", "seen": [], "ids": []}
            added.append(s)
            if reads:
                self.select.register(s, selectors.EVENT_READ)
        return added

    def begin_to_read(self, sockets):
        for s in sockets:
            self.select.register(s, selectors.EVENT_READ)

    def step(self, seconds=0.05):
        for key, _ in self.select.select(seconds):
            reader, data = self.of[key.fileobj], key.fileobj.recv(1 << 20)
            assert data, "a stream ended"
            text = reader["rest"] + data
            end = text.rfind(b"\n\n") + 2
            if end >= 2:
                for id, partition, offset in EVENT.findall(text[:end]):
                    reader["seen"].append((int(partition), int(offset)))
                    reader["ids"].append(id)
                text = text[end:]
            reader["rest"] = text

    def until(self, what, predicate, seconds=30):
        """Fails when nobody saw anything new for so long."""
        total, since = -1, time.monotonic()
        while not predicate():
            seen = [len(x["seen"]) for x in self.of.values()]
            if sum(seen) != total:
                total, since = sum(seen), time.monotonic()
            assert time.monotonic() < since + seconds, "timed out waiting for %s; seen: %s" % (what, seen)
            self.step()

    def seen(self, s):
        return self.of[s]["seen"]


def offsets(fleet):
    return {p["partition"]: p["tree_size"] for p in fleet.request("GET", "/api/v1/audit/tree")[1]["items"]}


def connected(fleet):
    with urllib.request.urlopen(fleet.http + "/metrics", timeout=30) as answer:
        return int(re.search(r"^hyperfleet_http_streams (\d+)", answer.read().decode(), re.M).group(1))


def many_see_each_event_once_however_they_read():
    with Fleet() as f:
        f.journal(http__idle_timeout="10m", http__answer_timeout="10m")  # those that read late are not to be cut off, however slow the machine
        f.dispatch()
        f.submit(*[sleep_job(60000, "before-%d" % i) for i in range(50)])
        r, begin = Readers(f), offsets(f)
        live = r.add(40)
        late = r.add(5, reads=False, buffer=4096)
        whole = r.add(3, b"0--1")
        r.until("all that was before", lambda: all(len(r.seen(s)) >= sum(begin.values()) for s in whole))
        r.until("all to be connected", lambda: connected(f) == 48)
        begun = time.monotonic()
        for n in range(4):
            ids = f.submit(*[sleep_job(60000, "w%d-%d" % (n, i)) for i in range(250)])["job_ids"]
            r.step()
            assert len(f.request("POST", "/jobs/cancel", {"job_ids": ids, "reason": "r" * 1000})[1]["cancelled"]) == 250
            r.step()
        print("1,000 jobs submitted and cancelled in %.1f s beside 48 readers" % (time.monotonic() - begun))
        wait_for("all to be settled", lambda: f.request("GET", "/status")[1]["cancelled_jobs"] == 1000)
        end = offsets(f)
        wanted = sorted((p, o) for p in end for o in range(begin[p], end[p]))
        r.until("the live ones to see all", lambda: all(len(r.seen(s)) >= len(wanted) for s in live))
        r.begin_to_read(late)  # by now the shared events have gone past them
        r.until("the late ones to see all", lambda: all(len(r.seen(s)) >= len(wanted) for s in late))
        r.until("the whole ones to see all", lambda: all(len(r.seen(s)) >= sum(end.values()) for s in whole))
        f.submit(sleep_job(60000, "last"))
        r.until("all to be told the last", lambda: all(len(r.seen(s)) > len(wanted) for s in live + late))
        end = offsets(f)
        wanted = sorted((p, o) for p in end for o in range(begin[p], end[p]))
        everything = sorted((p, o) for p in end for o in range(end[p]))
        for s in live + late:
            assert sorted(r.seen(s)) == wanted, (len(r.seen(s)), len(wanted), sorted(set(wanted) - set(r.seen(s)))[:5])
        r.until("the whole ones to be told the last", lambda: all(len(r.seen(s)) >= len(everything) for s in whole))
        for s in whole:
            assert sorted(r.seen(s)) == everything
        # From any id on the rest comes, once: whoever sent the id, the ring or the log.
        for s in (live[0], late[0], whole[0]):
            at = len(r.seen(s)) // 2
            again = r.add(1, r.of[s]["ids"][at])[0]
            rest = set(everything) - set(begin_of(r.of[s]["ids"][at]))
            r.until("the rest", lambda: len(r.seen(again)) >= len(rest))
            assert sorted(r.seen(again)) == sorted(rest), (len(r.seen(again)), len(rest))


def begin_of(id):
    """What an id says was sent."""
    return [(int(p), o) for p, last in (place.split(b"-", 1) for place in id.split(b",")) for o in range(int(last) + 1)]


if __name__ == "__main__":
    main(many_see_each_event_once_however_they_read)
