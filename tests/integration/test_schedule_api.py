"""Stored schedules over the API: the older routes as they were, /api/v1, what both refuse, and who changed what."""
import datetime, json, os, subprocess, threading, time

from fleet import BIN, Fleet, main, sleep_job


def template(**more):
    return dict({"vm_path": "/images/web.raw", "output_dir": "/exports", "operation": "sleep", "parameters": {"ms": 0}}, **more)


def schedule(id, **more):
    return dict({"id": id, "schedule": "30 2 * * *", "job_template": template()}, **more)


def nothing_else(answer, *names):
    assert set(answer) == set(names), answer


# ---- the older routes --------------------------------------------------------------------------------------------------------
def the_older_routes_answer_as_they_did():
    with Fleet() as f:
        f.journal()
        call = f.request
        status, made = call("POST", "/schedules", schedule("daily", name="Daily", description="of web", enabled=True, tags=["prod"]))
        assert status == 201, made
        nothing_else(made, "message", "schedule")
        assert made["message"] == "schedule created successfully"
        one = made["schedule"]
        assert one["id"] == "daily" and one["job_template"]["vm_path"] == "/images/web.raw" and one["job_template"]["output_path"] == "/exports"
        assert one["run_count"] == 0 and "last_run" not in one and one["tags"] == ["prod"] and one["enabled"] is True
        assert one["next_run"].endswith("T02:30:00.000Z") and one["created_at"] == one["updated_at"], one
        assert call("GET", "/schedules/daily") == (200, one)  # it is there at once
        assert call("POST", "/schedules", schedule("daily"))[0] == 409

        listed = call("GET", "/schedules")[1]
        nothing_else(listed, "schedules", "total", "timestamp")
        assert listed["total"] == 1 and listed["schedules"] == [one]
        assert call("GET", "/schedules/stats")[1] == {"total_schedules": 1, "enabled_schedules": 1, "total_runs": 0, "next_running": one["next_run"]}

        # PUT merges what is given, and "" is as good as absent
        assert call("PUT", "/schedules/daily", {"schedule": "@hourly", "name": "", "no_such": 1}) == (200, {"message": "schedule updated successfully"})
        now = call("GET", "/schedules/daily")[1]
        assert now["schedule"] == "@hourly" and now["name"] == "Daily" and now["tags"] == ["prod"] and now["created_at"] == one["created_at"]
        assert call("PUT", "/schedules/daily", {"schedule": "61 * * * *"})[0] == 400
        assert call("GET", "/schedules/daily")[1]["schedule"] == "@hourly"

        assert call("POST", "/schedules/daily/disable") == (200, {"message": "schedule disabled successfully"})
        now = call("GET", "/schedules/daily")[1]
        assert now["enabled"] is False and now["next_run"] == "0001-01-01T00:00:00Z"
        assert "next_running" not in call("GET", "/schedules/stats")[1]
        for _ in range(2):
            assert call("POST", "/schedules/daily/enable") == (200, {"message": "schedule enabled successfully"})
        status, run = call("POST", "/schedules/daily/trigger")
        assert status == 200 and run["message"] == "schedule triggered successfully"
        job = f.job(run["job_id"])
        assert job["definition"]["name"] == "web (scheduled)" and "prod" in job["definition"]["tags"]
        now = call("GET", "/schedules/daily")[1]
        assert now["run_count"] == 1 and now["last_run"], now

        assert call("DELETE", "/schedules/daily") == (200, {"message": "schedule deleted successfully"})
        for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/disable"), ("POST", "/trigger")):
            status, answer = call(method, "/schedules/daily" + path, {} if method == "PUT" else None)
            assert status == 404 and answer["error"] == "schedule not found: daily", (method, path, answer)
            nothing_else(answer, "error", "timestamp")
        assert call("GET", "/schedules")[1]["total"] == 0


def what_is_wrong_is_told_by_name():
    with Fleet() as f:
        f.journal()
        for path in ("/schedules", "/api/v1/schedules"):
            for body, said in ((dict(schedule("a"), id=""), "id: required"), (dict(schedule("a"), schedule=""), "schedule: required"),
                               (dict(schedule("a"), job_template={"output_dir": "/e"}), "job_template.vm_path: required"),
                               (dict(schedule("a"), schedule="30 25 * * *"), "column"), (dict(schedule("stats")), "stats"),
                               (dict(schedule("a"), time_zone="Europe/Atlantis"), "time_zone"), (dict(schedule("a"), jitter="soon"), "jitter"),
                               (dict(schedule("a"), job_template=template(parameters={"password": "hunter2"})), "password")):
                status, answer = f.request("POST", path, body)
                text = answer.get("detail") or answer.get("error")
                assert status == 400 and said in text and "hunter2" not in text, (body, answer)
            assert f.request("POST", path, [1])[0] == 400
        # all of it at once
        status, answer = f.request("POST", "/api/v1/schedules", {"id": "-", "schedule": "@never", "max_runs": -1, "overlaps": True, "job_template": {}})
        assert status == 400 and len(answer["errors"]) >= 5 and answer["code"] == "invalid", answer
        assert f.request("GET", "/schedules")[1]["total"] == 0
        assert f.request("PATCH", "/schedules/a", {})[0] == 405 and f.request("PUT", "/api/v1/schedules", {})[0] == 405


# ---- /api/v1 --------------------------------------------------------------------------------------------------------------------
def v1_keeps_changes_apart():
    with Fleet() as f:
        f.journal()
        call = f.request
        status, one = call("POST", "/api/v1/schedules", schedule("nightly", time_zone="Europe/Berlin", jitter="90s", overlap="buffer_one", tags=["a"]))
        assert status == 201 and one["jitter"] == "1m30s" and one["catchup_window"] == "1h" and one["overlap"] == "buffer_one", one
        assert len(one["next_runs"]) == 5 and datetime.datetime.fromisoformat(one["next_runs"][0]) == datetime.datetime.fromisoformat(one["next_run"]).replace(microsecond=0)
        assert "provider" not in one["job_template"]  # as it was given, not as intake would fill it in
        status, answer = call("POST", "/api/v1/schedules", schedule("nightly"))
        assert status == 409 and answer["code"] == "exists"
        assert len(call("GET", "/api/v1/schedules/nightly?count=12")[1]["next_runs"]) == 12

        # whoever read an older version does not write over a newer one
        old = one["version"]
        status, two = call("PATCH", "/api/v1/schedules/nightly", {"max_runs": 7, "time_zone": None}, headers={"If-Match": '"%s"' % old})
        assert status == 200 and two["max_runs"] == 7 and "time_zone" not in two and two["jitter"] == "1m30s" and two["version"] != old
        for method, body in (("PATCH", {"max_runs": 8}), ("PUT", schedule("nightly")), ("DELETE", None)):
            status, answer = call(method, "/api/v1/schedules/nightly", body, headers={"If-Match": '"%s"' % old})
            assert status == 412 and two["version"] in answer["detail"], answer
        assert call("PUT", "/api/v1/schedules/nightly", schedule("nightly"), headers={"If-None-Match": "*"})[0] == 412
        assert call("PUT", "/api/v1/schedules/other", schedule("nightly"))[0] == 400

        # an answer can be sent back as it came; PUT replaces the whole, and makes what is not there
        assert call("PUT", "/api/v1/schedules/nightly", two, headers={"If-Match": two["version"]})[1]["jitter"] == "1m30s"
        body = schedule("nightly")
        del body["id"]
        status, three = call("PUT", "/api/v1/schedules/nightly", body)
        assert status == 200 and three["jitter"] == "0s" and three["created_at"] == one["created_at"]
        assert call("PUT", "/api/v1/schedules/new", body)[0] == 200
        assert call("POST", "/api/v1/schedules/new/disable")[1]["enabled"] is False

        # at once from many: each change is kept or refused, none is lost
        outcomes = []
        def add_tag(n):
            until = time.monotonic() + 60
            while time.monotonic() < until:
                got = call("GET", "/api/v1/schedules/nightly")[1]
                status, answer = call("PATCH", "/api/v1/schedules/nightly", {"tags": got.get("tags", []) + ["t%d" % n]}, headers={"If-Match": got["version"]})
                if status == 200:
                    return outcomes.append(n)
                assert status in (409, 412), answer
                time.sleep(0.01 * (n + 1))
        threads = [threading.Thread(target=add_tag, args=(n,)) for n in range(6)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert sorted(outcomes) == list(range(6))
        assert sorted(call("GET", "/api/v1/schedules/nightly")[1]["tags"]) == ["t%d" % n for n in range(6)]


def lists_by_pages_and_filters():
    with Fleet() as f:
        f.journal()
        for i in range(12):
            assert f.request("PUT", "/api/v1/schedules/s%02d" % i, schedule("s%02d" % i, enabled=i % 3 != 0, tags=["even" if i % 2 == 0 else "odd"]))[0] == 200
        seen, cursor = [], ""
        while True:
            page = f.request("GET", "/api/v1/schedules?limit=5" + cursor)[1]
            seen += [s["id"] for s in page["items"]]
            if "next_cursor" not in page:
                break
            cursor = "&cursor=" + page["next_cursor"]
        assert seen == ["s%02d" % i for i in range(12)]
        assert [s["id"] for s in f.request("GET", "/api/v1/schedules?enabled=false&tag=even")[1]["items"]] == ["s00", "s06"]
        assert f.request("GET", "/api/v1/schedules?cursor=%2e%2e")[0] == 400
        times = f.request("GET", "/api/v1/cron/next?expression=0%2012%20*%20*%20*&time_zone=Asia/Tokyo&count=3")[1]["items"]
        assert len(times) == 3 and all(t.endswith("T12:00:00+09:00") for t in times), times
        status, answer = f.request("GET", "/api/v1/cron/next?expression=0%2012%20*%20*")
        assert status == 400 and "5" in answer["detail"], answer


def a_trigger_is_one_run_however_often_it_is_asked_for():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        assert f.request("POST", "/api/v1/schedules", schedule("now", schedule="0 0 1 1 *", job_template=template(operation="inspect")))[0] == 201
        first = f.request("POST", "/api/v1/schedules/now/trigger", headers={"Idempotency-Key": "k1"})
        assert first[0] == 200 and f.request("POST", "/api/v1/schedules/now/trigger", headers={"Idempotency-Key": "k1"}) == first
        other = f.request("POST", "/api/v1/schedules/now/trigger", headers={"Idempotency-Key": "k2"})[1]["job_id"]
        assert other != first[1]["job_id"]
        job = f.request("GET", "/api/v1/jobs/" + other)[1]
        assert job["spec"]["origin"] == "schedule:now" and job["spec"]["name"] == "web (scheduled)", job
        for id in (first[1]["job_id"], other):
            f.wait_job(id, states=("failed",))  # there is no such image
        now = f.request("GET", "/api/v1/schedules/now")[1]
        assert now["run_count"] == 2 and now["running"] == 0 and now["last_outcome"] == "failed" and now["last_job_id"] == other, now
        assert [(r["job_id"], r["state"]) for r in now["recent_runs"]] == [(other, "failed"), (first[1]["job_id"], "failed")], now
        run = subprocess.run([os.path.join(BIN, "hyperjournal"), "print", f.dir + "/state", "schedule_runs", "--output", "json"], capture_output=True, text=True, timeout=60)
        row = json.loads(run.stdout or "{}")
        assert (row.get("schedule"), row.get("runs"), row.get("alive"), row.get("last_job")) == ("now", 2, 0, other), (row, run.stderr)


def who_changed_what_stays_on_record():
    with Fleet() as f:
        f.journal()
        f.request("POST", "/api/v1/schedules", schedule("kept"))
        f.request("POST", "/api/v1/schedules", schedule("gone"))
        f.request("POST", "/schedules/gone/disable")
        f.request("DELETE", "/schedules/gone")
        items = f.request("GET", "/api/v1/audit/records?topic=schedules")[1]["items"]
        assert [(i["key"], i["change"]) for i in items] == [("gone", "deleted"), ("gone", "set"), ("gone", "set"), ("kept", "set")], items
        assert all("hyperjournal" in i["by"] for i in items) and items[1]["record"]["enabled"] is False and items[2]["record"]["enabled"] is True
        page = f.request("GET", "/api/v1/audit/records?topic=schedules&key=gone&limit=2")[1]
        more = f.request("GET", "/api/v1/audit/records?topic=schedules&key=gone&limit=2&cursor=" + page["next_cursor"])[1]
        assert page["items"] + more["items"] == items[:3]
        assert f.request("GET", "/api/v1/audit/records?topic=job-events")[0] == 400
        assert f.request("GET", "/api/v1/audit/records?topic=controls")[1]["items"] == []


# ---- the command line ----------------------------------------------------------------------------------------------------------
def the_command_line_manages_them():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        def fails(status, *args):
            run = f.ctl("schedule", *args, check=False)
            assert run.returncode == status, (args, run.returncode, run.stdout, run.stderr)
            return run.stderr
        image = f.raw_image(mib=1)
        said = f.ctl("schedule", "add", image, "--id", "nightly", "--cron", "30 2 * * *", "--time-zone", "Asia/Tokyo", "--operation", "inspect",
                     "--tag", "prod", "--jitter", "0s", "--max-runs", "3", "--description", "every night").stdout
        assert said.startswith("nightly: next ") and said.endswith("T02:30:00+09:00\n"), said
        one = f.request("GET", "/api/v1/schedules/nightly")[1]
        assert one["tags"] == ["prod"] and one["max_runs"] == 3 and one["job_template"]["vm_path"] == image and "tags" not in one["job_template"]["audit"]

        assert "exists" in fails(73, "add", image, "--id", "nightly", "--cron", "@daily", "--operation", "inspect")
        f.ctl("schedule", "add", image, "--id", "nightly", "--cron", "0 12 * * *", "--time-zone", "Asia/Tokyo", "--operation", "inspect", "--tag", "prod", "--replace")
        times = f.ctl("schedule", "next", "nightly", "--from", "2026-01-01T00:00:00Z", "--count", "2").stdout
        assert times == "2026-01-01T12:00:00+09:00\n2026-01-02T12:00:00+09:00\n", times
        assert json.loads(f.ctl("schedule", "next", "nightly", "--count", "3", "--output", "json").stdout)[2].endswith("T12:00:00+09:00")

        row = f.ctl("schedule", "list").stdout.splitlines()[1].split()
        assert row[0] == "nightly" and "Asia/Tokyo" in row and "yes" in row, row
        assert f.ctl("schedule", "list", "--tag", "no such").stdout == "no schedules\n"
        assert [s["id"] for s in json.loads(f.ctl("schedule", "list", "--tag", "prod", "--output", "json").stdout)["items"]] == ["nightly"]
        assert f.ctl("schedule", "disable", "nightly").stdout == "nightly: disabled\n"
        assert "disabled" in f.ctl("schedule", "next", "nightly").stderr and "enabled         no" in f.ctl("schedule", "show", "nightly").stdout
        assert f.ctl("schedule", "enable", "nightly").stdout == "nightly: enabled\n"
        run = f.ctl("schedule", "trigger", "nightly", "--wait")
        job = f.job(run.stdout.split()[0])
        assert job["state"] == "completed" and job["definition"]["tags"] == ["prod"], job
        shown = f.ctl("schedule", "show", "nightly").stdout
        assert "last outcome    completed" in shown and '"vm_path"' in shown, shown

        # from a file: all or nothing
        path = f.dir + "/schedules.yaml"
        with open(path, "w") as out:
            out.write("schedules:\n" + "".join("- {id: %s, schedule: '%s', job_template: {operation: sleep}}\n" % s for s in (("a", "@daily"), ("b", "61 * * * *"))))
        assert "schedule 2: schedule: column 1" in fails(65, "add", "-f", path) and f.request("GET", "/schedules")[1]["total"] == 1
        with open(path, "w") as out:
            out.write("- {id: a, schedule: '@daily', job_template: {operation: sleep}}\n- {id: b, schedule: '@every 90m', job_template: {operation: sleep}, enabled: false}\n")
        assert f.ctl("schedule", "add", "-f", path).stdout.splitlines()[1] == "b: will not run"
        assert f.ctl("schedule", "delete", "a", "b").stdout == "a: deleted\nb: deleted\n"

        # what somebody types wrong
        assert "not found: gone" in fails(66, "show", "gone") and "not found" in fails(66, "next", "gone")
        for verb in ("enable", "disable", "trigger", "delete"):
            assert "gone" in fails(66, verb, "gone")
        fails(64, "show", "a/b"), fails(64, "show"), fails(64, "frobnicate"), fails(64, "list", "x"), fails(64, "add"), fails(64, "add", "--id", "x", "--cron", "@daily")
        fails(64, "add", "-f", path, "--id", "x"), fails(64, "add", image, "--id", "x", "--cron", "@daily", "--job-id", "j"), fails(66, "add", "-f", f.dir + "/none")
        fails(64, "add", image, "--id", "x", "--cron", "@daily", "--max-runs", "-1"), fails(65, "add", image, "--id", "x", "--cron", "@daily", "--overlap", "never")
        fails(65, "add", image, "--id", "x", "--cron", "@daily", "--operation", "inspect", "--param", "password=hunter2")


if __name__ == "__main__":
    main(the_older_routes_answer_as_they_did, what_is_wrong_is_told_by_name, v1_keeps_changes_apart, lists_by_pages_and_filters,
         a_trigger_is_one_run_however_often_it_is_asked_for, who_changed_what_stays_on_record, the_command_line_manages_them)
