"""Webhooks by chance: hooks and receivers are killed at random while a fleet works; one endpoint is dead for ever. What the journal has
accepted is told to every living endpoint, nothing else is, an ordered one hears of each job in order, and the repeats are those
that were under way when something died.

Environment: HF_CHAOS_JOBS (1000), HF_CHAOS_KILLS (8), HF_CHAOS_SEED (7). 10,000 jobs and 40 kills are for a quiet hour."""
import collections, hashlib, http.client, json, os, random, re, socket, struct, sys, time, uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fleet
from fleet import Fleet, Program, sleep_job, wait_for
from test_webhooks import hook

JOBS, KILLS, SEED = (int(os.environ.get("HF_CHAOS_" + name, value)) for name, value in (("JOBS", 1000), ("KILLS", 8), ("SEED", 7)))
IN_FLIGHT = 8  # webhook.endpoint_in_flight
ENDS = {"job.completed", "job.failed", "job.cancelled"}
TOLD = {"Created": "job.created", "Started": "job.started", "Completed": "job.completed", "Cancelled": "job.cancelled",
        "Failed": "job.failed", "Rejected": "job.failed"}
PATIENCE = 100  # seconds without any news, on a machine as slow as they come


def free_port(rng):
    """Outside the range that outgoing connections take theirs from: while the receiver is dead, nobody else is to be there."""
    while True:
        s, port = socket.socket(), rng.randrange(10000, 15000)
        try:
            s.bind(("127.0.0.1", port))
            return s, port
        except OSError:
            s.close()


class Counter(Program):
    def __init__(self, f, name, rng):
        held, self.port = free_port(rng)
        held.close()
        self.path, self.read, self.lines = os.path.join(f.dir, name + ".told"), 0, []
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "webhook_counter.py")
        super().__init__(f, name, [sys.executable, script, str(self.port), self.path])
        f.programs.append(self)

    def news(self):
        """All lines so far: [path, webhook-id, event, job]."""
        with open(self.path, "rb") as file:
            file.seek(self.read)
            text = file.read()
        self.read += len(text)
        self.lines += [tuple(line.split(" ")) for line in text.decode().splitlines()]
        return self.lines


def webhook_id(endpoint, partition, nth, offset):
    """As every hook makes it, for ever."""
    return "msg_" + hashlib.sha256(b"hyperfleet webhook\0" + endpoint.encode() + struct.pack(">iq", partition + (nth << 16), offset)).hexdigest()[:32]


def accepted(f, ids):
    """What the journal has accepted and webhooks tell: [(job, event, partition, nth, offset)], by job in the order of the log."""
    connection, out = http.client.HTTPConnection(f.http[len("http://"):], timeout=60), []
    for id in ids:
        connection.request("GET", "/jobs/%s/events" % id)
        answer = json.loads(connection.getresponse().read())
        for record in (record for record in answer["events"] if record["verdict"] == "accepted"):
            names = [TOLD[name] for name in record["events"] if name in TOLD]
            out += [(id, name, record["partition"], nth, record["offset"]) for nth, name in enumerate(names)]
    connection.close()
    return out


def submit(f, rng, n):
    """Most do nothing; some fail and are tried again, some are cancelled at once, wherever that meets them."""
    made = []
    for _ in range(n):
        id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        fails = rng.random() < 0.05
        made.append(sleep_job(id=id, retry_count=1, **({"parameters": {"ms": 0, "fail": "as asked"}} if fails else {})))
    for i in range(0, n, 500):
        f.submit(*made[i:i + 500])
    ids = [job["job_id"] for job in made]
    unwanted = [id for id in ids if rng.random() < 0.05]
    if unwanted:
        status, answer = f.request("POST", "/jobs/cancel", {"job_ids": unwanted})
        assert status == 200, (status, answer)
    return ids


def over(f, n):
    status, answer = f.request("GET", "/status", seconds=60)
    return status == 200 and answer["completed_jobs"] + answer["failed_jobs"] + answer["cancelled_jobs"] >= n and answer


class Chaos:
    """Kills by chance, each when a share of the expected deliveries has come since the one before: in the midst of traffic, however fast
    the machine is."""

    def __init__(self, rng, hooks, counters, share):
        self.rng, self.hooks, self.counters, self.share = rng, hooks, counters, share
        self.victims = ((hooks + counters) * KILLS)[:KILLS]
        rng.shuffle(self.victims)
        self.kills = collections.Counter()
        self.dead = []  # (when it starts again, program)
        self.at = share

    def told(self):
        return sum(len(c.news()) for c in self.counters)

    def step(self):
        now = time.monotonic()
        for back in [d for d in self.dead if d[0] <= now]:
            self.dead.remove(back)
            back[1].start(wait=False)
        victim = next((p for p in self.victims if p not in [d[1] for d in self.dead]), None)
        if victim and self.told() >= self.at:
            self.victims.remove(victim)
            self.kills[victim.name] += 1
            victim.kill()
            self.dead.append((time.monotonic() + self.rng.uniform(0.1, 2), victim))
            self.at += self.share
        for p in self.hooks + self.counters:
            assert p.alive() or p in [d[1] for d in self.dead], "%s ended by itself:\n%s" % (p.name, p.tail())


def shares_lost(hooks):
    """How often a hook, alive, gave partitions up: what it had under way may be told by their next owner too."""
    text = "".join(open(h.log_path, errors="replace").read() for h in hooks)
    return sum(int(n) > 0 for n in re.findall(r"event=shares .*?lost=(\d+)", text))


def check(name, lines, events, ordered, bound):
    """`events`: what this endpoint wanted, in order by job. Returns its repeats."""
    times, first = collections.Counter(), {}
    for i, (_, id, event, job) in enumerate(lines):
        times[(job, event, id)] += 1
        first.setdefault((job, event, id), i)
    due = [(job, event, webhook_id(name, partition, nth, offset)) for job, event, partition, nth, offset in events]
    missing, more = set(due) - set(times), sorted(set(times) - set(due))
    assert not missing, "%s: %d of %d were not told, as %r" % (name, len(missing), len(due), sorted(missing)[:3])
    assert not more, "%s: %d were told that nobody accepted, as %r" % (name, len(more), more[:3])
    if ordered:
        last = {}
        for event in due:
            assert last.get(event[0], -1) < first[event], "%s: out of order: %r" % (name, [d for d in due if d[0] == event[0]])
            last[event[0]] = first[event]
    repeats = sum(times.values()) - len(times)
    print("%-8s %6d events, told %6d times: %d repeats, %d could have been" % (name, len(due), len(lines), repeats, bound), flush=True)
    assert repeats <= bound, "%s was told %d again, %d may have been under way" % (name, repeats, bound)
    return repeats


def test_killed_at_random():
    rng = random.Random(SEED)
    with Fleet() as f:
        begun = time.monotonic()
        nobody, nowhere = free_port(rng)  # bound, never listening: whoever calls is refused
        f.journal(log__level="warn"), f.dispatch(log__level="warn"), f.worker(worker__slots=16, log__level="warn")
        c1, c2 = Counter(f, "receiver-1", rng).start(), Counter(f, "receiver-2", rng).start()
        more = {"retry": 20, "timeout": 60}
        wants = {"ordered": (c1, "/ordered", set(TOLD.values())), "loose": (c2, "/loose", set(TOLD.values())), "ends": (c2, "/ends", ENDS)}
        webhooks = [dict(more, id=id, url="http://127.0.0.1:%d%s" % (c.port, path), events=sorted(events), ordered=id == "ordered")
                    for id, (c, path, events) in wants.items()]
        webhooks.append({"id": "dead", "url": "http://127.0.0.1:%d/" % nowhere, "events": sorted(TOLD.values())})
        brisk = {"webhook__backoff_max": "1s", "webhook__breaker_max": "1s", "webhook__endpoint_in_flight": IN_FLIGHT}
        hooks = [hook(f, id, webhooks, wait=False, **brisk) for id in ("a", "b")]
        for h in hooks:
            h.wait_ready(120)
        chaos = Chaos(rng, hooks, [c1, c2], 6 * JOBS // (KILLS + 1))
        ids = []
        for _ in range(5):  # in waves, so that something new comes at all times
            ids += submit(f, rng, JOBS // 5)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                chaos.step()
                time.sleep(0.02)
        last, at = -1, time.monotonic()

        def quiet(what, done):
            """Goes on until it is done; fails when nothing was told for a long time."""
            nonlocal last, at
            while not done():
                chaos.step()
                time.sleep(0.05)
                if chaos.told() > last:
                    last, at = chaos.told(), time.monotonic()
                assert time.monotonic() - at < PATIENCE, "%s: no news for %d s" % (what, PATIENCE)

        status = [0.0, None]
        def jobs_over():
            if time.monotonic() - status[0] > 1:
                status[:] = time.monotonic(), over(f, len(ids))
            return status[1]
        quiet("jobs", jobs_over)
        jobs_seconds = time.monotonic() - begun
        events = accepted(f, ids)
        due = {name: [e for e in events if e[1] in wanted] for name, (_, _, wanted) in wants.items()}

        def distinct(name):
            c, path, _ = wants[name]
            return len({line[1] for line in c.news() if line[0] == path})
        quiet("deliveries", lambda: all(distinct(name) >= len(due[name]) for name in wants))
        told_seconds = time.monotonic() - begun
        # What was told after the last kill and not heard of: no repeat is still to come once every hook has said what it did.
        for h in hooks:
            if h.alive():
                h.stop(60)
        killed_hooks, lost = sum(chaos.kills[h.name] for h in hooks), shares_lost(hooks)
        print("seed %d: %d jobs (%d accepted events) over after %.0f s, all told after %.0f s; killed: %s; %d times a hook gave up a share" % (
            SEED, len(ids), len(events), jobs_seconds, told_seconds, dict(chaos.kills), lost))
        kinds = collections.Counter(e[1] for e in events)
        assert min(kinds[kind] for kind in ("job.created", "job.started", "job.completed", "job.failed", "job.cancelled")) > 0, kinds
        for name, (c, path, _) in wants.items():
            # a hook that dies, or gives up a share: what it had under way; a receiver that dies: what both hooks had under way to it
            bound = IN_FLIGHT * (killed_hooks + lost + len(hooks) * chaos.kills[c.name])
            check(name, [line for line in c.news() if line[0] == path], due[name], name == "ordered", bound)
        assert killed_hooks and sum(chaos.kills.values()) > killed_hooks, chaos.kills
        nobody.close()


if __name__ == "__main__":
    fleet.main(test_killed_at_random)
