"""What of the whole fleet differs between two points: by time and by offset, page by page, and what it adds up to."""
import datetime, time

from fleet import Fleet, main, sleep_job, wait_for


def pages(f, path, **more):
    """All items of all pages, the counts added up, and how many pages."""
    items, totals, states, cursor, count = [], {}, {"from": {}, "to": {}}, None, 0
    while True:
        status, page = f.request("GET", path + "&limit=%d%s" % (more.get("limit", 50), "&cursor=" + cursor if cursor else ""))
        assert status == 200, (status, page)
        assert len(page["items"]) <= more.get("limit", 50)
        items += page["items"]
        count += 1
        for into, counts in ((totals, page["totals"]), (states["from"], page["states"]["from"]), (states["to"], page["states"]["to"])):
            for name, n in counts.items():
                into[name] = into.get(name, 0) + n
        cursor = page.get("next_cursor")
        if not cursor:
            return items, totals, {side: {k: v for k, v in s.items() if v} for side, s in states.items()}, count


def _now():
    time.sleep(0.05)
    text = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    time.sleep(0.05)
    return text


def the_fleet_differs_between_two_points():
    with Fleet() as f:
        f.journal(), f.dispatch()
        start = _now()
        f.submit(*[sleep_job(60000, "old-%03d" % i) for i in range(120)])
        first = _now()
        f.submit(*[sleep_job(60000, "new-%03d" % i) for i in range(30)])
        ended = ["old-%03d" % i for i in range(10)] + ["new-000"]
        assert len(f.request("POST", "/jobs/cancel", {"job_ids": ended})[1]["cancelled"]) == 11
        wait_for("the cancelled ones to be so", lambda: f.request("GET", "/status")[1]["cancelled_jobs"] == 11)
        assert f.request("DELETE", "/api/v1/jobs/old-000")[0] == 200 and f.request("DELETE", "/api/v1/jobs/new-000")[0] == 200
        second = _now()
        f.submit(sleep_job(60000, "later"))

        items, totals, states, count = pages(f, "/api/v1/audit/changes?from=%s&to=%s" % (first, second), limit=7)
        of = {i["job_id"]: i for i in items}
        assert len(of) == len(items) == 40 and count >= 6, (len(items), count)
        assert totals == {"created": 30, "ended": 11, "changed": 0, "deleted": 2}, totals
        assert states == {"from": {"queued": 120}, "to": {"queued": 139, "cancelled": 9}}, states
        assert of["old-001"]["what"] == ["ended"] and of["old-001"]["from"]["state"] == "queued" and of["old-001"]["to"]["state"] == "cancelled", of["old-001"]
        assert of["old-000"]["what"] == ["ended", "deleted"] and of["old-000"]["to"]["deleted"] and not of["old-000"]["from"]["deleted"], of["old-000"]
        assert of["new-000"]["what"] == ["created", "ended", "deleted"] and of["new-000"]["from"] is None, of["new-000"]
        assert of["new-001"]["what"] == ["created"] and of["new-001"]["to"]["state"] == "queued" and of["new-001"]["name"] == "trial", of["new-001"]
        assert "later" not in of and "old-020" not in of
        # Without `to` it is now; from before everything, all were created; from now to now, nothing.
        items, totals, states, count = pages(f, "/api/v1/audit/changes?from=" + start)
        assert totals["created"] == 151 and states == {"from": {}, "to": {"queued": 140, "cancelled": 9}}, (totals, states)
        items, totals, states, count = pages(f, "/api/v1/audit/changes?from=" + _now())
        assert items == [] and sum(totals.values()) == 0 and states["from"] == states["to"], (items, totals)
        # The counts at the end are those that the journal keeps.
        kept = {k: v for k, v in f.request("GET", "/status")[1]["jobs_by_state"].items() if v}
        assert states["to"] == kept, (states, kept)
        # By offset: what the log says of one partition, and of each.
        one = f.request("GET", "/jobs/new-001/events")[1]["events"][0]
        at = "%d/%d" % (one["partition"], one["offset"] - 1)
        items, totals, _, _ = pages(f, "/api/v1/audit/changes?from=%s&to=%d/%d" % (at, one["partition"], one["offset"]))
        assert [i["job_id"] for i in items] == ["new-001"] and totals["created"] == 1, (items, totals)
        items, totals, _, _ = pages(f, "/api/v1/audit/changes?from=0&to=1000000")
        assert totals["created"] == 147 and len(items) >= 147, totals  # the first of each of the four partitions was there
        # A job that goes on without ending is changed.
        middle = _now()
        f.worker(worker__slots=2)
        wait_for("two to run", lambda: f.request("GET", "/status")[1]["running_jobs"] == 2)
        items, totals, states, _ = pages(f, "/api/v1/audit/changes?from=" + middle)
        assert totals == {"created": 0, "ended": 0, "changed": 2, "deleted": 0} and all(i["to"]["worker"].startswith("w1") for i in items), (totals, items)
        for wrong, told in (("", "from is missing"), ("from=nonsense", "from"), ("from=%s&to=%s" % (second, first), "later"), ("from=9&to=3", "later"),
                            ("from=1&cursor=zz", "cursor"), ("from=1&limit=0", "limit"), ("from=1&state=queued", "state")):
            status, answer = f.request("GET", "/api/v1/audit/changes" + ("?" + wrong if wrong else ""))
            assert status == 400 and told in answer["detail"], (wrong, status, answer)


if __name__ == "__main__":
    main(the_fleet_differs_between_two_points)
