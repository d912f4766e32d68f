"""Schedules on a real Kafka: dispatchers that are killed, two at once, and the configuration's list."""
import datetime, json, subprocess, os, time

from fleet import BIN, Fleet, main, wait_for


def schedule(id, text, ms=0, **more):
    return dict({"id": id, "schedule": text, "job_template": {"name": "tick", "operation": "sleep", "parameters": {"ms": ms}}}, **more)


def listed(*schedules):
    return {"schedules": json.dumps(list(schedules))}


def at(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def runs(f, id):
    """The jobs of a schedule, by nominal time; a trigger has none."""
    jobs, cursor = [], ""
    while True:
        status, page = f.request("GET", "/api/v1/jobs?limit=500&sort=created" + ("&cursor=" + cursor if cursor else ""))
        assert status == 200, page
        jobs += page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            break
    return sorted((j for j in jobs if j["spec"].get("origin") == "schedule:" + id), key=lambda j: at(j["spec"]["scheduled_for"]))


def nominal(jobs):
    return [at(j["spec"]["scheduled_for"]) for j in jobs]


def verified(f):
    verify = subprocess.run([os.path.join(BIN, "hyperjournal"), "verify", f.dir + "/state"], capture_output=True, text=True)
    assert verify.returncode == 0, verify.stdout + verify.stderr


def in_a_row(times):
    """The most nominal times of which each is a second after the one before."""
    times, most, now = sorted(times), 1, 1
    for before, after in zip(times, times[1:]):
        now = now + 1 if abs(after - before - 1) < 0.001 else 1
        most = max(most, now)
    return most


def an_every_second_schedule_makes_one_job_a_second_whoever_is_killed():
    with Fleet() as f:
        f.journal(), f.worker()
        kept = listed(schedule("second", "@every 1s", overlap="allow", tags=["often"]))
        first, second = f.dispatch("d1", **kept), f.dispatch("d2", **kept)
        wait_for("some runs", lambda: len(runs(f, "second")) >= 3, 60)
        wait_for("four runs a second apart", lambda: in_a_row(nominal(runs(f, "second"))) >= 4)
        for victim in (first, second):
            victim.kill()
            had = len(runs(f, "second"))
            wait_for("the other one to run it", lambda: len(runs(f, "second")) > had + 1, 60)
            victim.start()
        first.stop(), second.stop()
        wait_for("the last to end", lambda: all(j["state"] == "completed" for j in runs(f, "second")), 60)
        jobs = runs(f, "second")
        times = nominal(jobs)
        assert len(set(times)) == len(times), "two jobs of one nominal time: %r" % times
        assert len({round(t % 1, 3) for t in times}) == 1, "nominal times are not on one grid: %r" % times
        job = jobs[0]
        assert job["spec"]["name"] == "tick (scheduled)" and "often" in job["spec"]["audit"]["tags"], job["spec"]
        f.j.stop()
        verified(f)


def a_dispatcher_killed_right_after_it_proposed_makes_no_second_job():
    with Fleet() as f:
        f.journal(), f.worker()
        kept = listed(schedule("often", "@every 2s", ms=100))
        doomed = f.dispatch("d1", env={"HF_KILL_AT": "schedule-after-propose"}, **kept)
        wait_for("the dispatcher to be killed", lambda: not doomed.alive(), 60)
        again = f.dispatch("d2", **kept)
        wait_for("runs", lambda: len(runs(f, "often")) >= 3, 60)
        again.stop()
        times = nominal(runs(f, "often"))
        assert len(set(times)) == len(times), times


def runs_of_a_schedule_that_skips_never_overlap():
    with Fleet() as f:
        f.journal(), f.worker()
        d = f.dispatch("d1", **listed(schedule("slow", "@every 1s", ms=1500)))
        wait_for("runs", lambda: sum(j["state"] == "completed" for j in runs(f, "slow")) >= 3, 40)
        d.stop()
        jobs = [j for j in runs(f, "slow") if j["state"] == "completed"]
        for before, after in zip(jobs, jobs[1:]):
            assert at(after["created_at"]) >= at(before["finished_at"]) - 0.05, (before, after)


def the_configurations_list_is_what_runs():
    with Fleet() as f:
        f.journal(), f.worker()
        first = f.dispatch("d1", **listed(schedule("a", "@every 1s"), schedule("b", "@every 1s")))
        wait_for("runs of both", lambda: runs(f, "a") and runs(f, "b"), 60)
        first.stop()
        second = f.dispatch("d1", **listed(schedule("b", "@every 1s", enabled=False), schedule("c", "@every 1s", max_runs=2)))
        wait_for("runs of c", lambda: len(runs(f, "c")) == 2, 60)
        a, b = len(runs(f, "a")), len(runs(f, "b"))
        time.sleep(3)
        assert (len(runs(f, "a")), len(runs(f, "b")), len(runs(f, "c"))) == (a, b, 2)
        second.stop()
        bad = f.dispatch("d1", wait=False, **listed(schedule("b", "61 * * * *", overlap="never")))
        bad.process.wait(60)
        assert bad.process.returncode == 78 and "schedules[0]" in bad.tail(), bad.tail()


main(an_every_second_schedule_makes_one_job_a_second_whoever_is_killed,
     a_dispatcher_killed_right_after_it_proposed_makes_no_second_job,
     runs_of_a_schedule_that_skips_never_overlap,
     the_configurations_list_is_what_runs)
