"""The fleet on a real Kafka: the main path, races, and processes killed at named points."""
import hashlib, json, os, subprocess, tarfile, time

from fleet import Fleet, main, sleep_job, wait_for


def the_main_path_exports_a_disk_that_equals_its_source():
    with Fleet() as f:
        image = f.raw_image()
        f.journal(), f.dispatch(), f.worker()
        answer = f.submit({"name": "web-01", "vm_path": image, "output_dir": f.out, "format": "ova"})
        assert answer["accepted"] == 1, answer
        id = answer["job_ids"][0]
        job = f.wait_job(id)
        accepted = f.accepted(id)
        assert accepted[:5] == ["Created", "Validated", "Queued", "Assigned", "Started"] and accepted[-1] == "Completed", accepted
        ova = next(a["path"] for a in job["result"]["artifacts"] if a["path"].endswith(".ova"))
        listed = subprocess.check_output(["tar", "tf", ova], text=True).split()
        assert listed[0].endswith(".ovf"), listed
        unpacked = os.path.join(f.dir, "unpacked")
        os.mkdir(unpacked)
        subprocess.check_call(["tar", "xf", ova, "-C", unpacked])
        manifest = next(n for n in listed if n.endswith(".mf"))
        sums = [line.split("(", 1)[1].split(")= ") for line in open(os.path.join(unpacked, manifest)) if line.startswith("SHA256(")]
        assert len(sums) == 2, sums
        for name, digest in sums:
            assert hashlib.sha256(open(os.path.join(unpacked, name), "rb").read()).hexdigest() == digest.strip(), name
        vmdk = os.path.join(unpacked, next(n for n in listed if n.endswith(".vmdk")))
        back = os.path.join(f.dir, "back.raw")
        subprocess.check_call(["qemu-img", "convert", "-f", "vmdk", "-O", "raw", vmdk, back])
        assert open(back, "rb").read() == open(image, "rb").read(), "the exported disk differs from its source"
        verify = subprocess.run([os.path.join(os.environ["HF_BIN_DIR"], "hyperjournal"), "verify", f.dir + "/state"], capture_output=True, text=True)
        assert verify.returncode == 0, verify.stdout + verify.stderr


def two_workers_race_for_1000_jobs_and_each_runs_once():
    with Fleet() as f:
        marks = os.path.join(f.out, "marks")
        f.journal(), f.dispatch()
        f.worker("w1"), f.worker("w2")
        jobs = [sleep_job(0, "race-%d" % i) for i in range(1000)]
        for i in range(0, 1000, 250):
            assert f.submit(*jobs[i:i + 250])["accepted"] == 250
        def done():
            status, s = f.request("GET", "/status")
            return status == 200 and s["completed_jobs"] == 1000
        wait_for("1,000 jobs to complete", done, 120, 0.25)
        for i in range(0, 1000, 37):
            accepted = f.accepted("race-%d" % i)
            assert accepted.count("Assigned") == accepted.count("Completed") == 1, accepted


def a_worker_killed_after_its_claim_loses_the_job_to_another():
    with Fleet() as f:
        f.journal(), f.dispatch()
        doomed = f.worker("w1", env={"HF_KILL_AT": "worker-after-claim"})
        id = f.submit(sleep_job(10))["job_ids"][0]
        wait_for("the worker to be killed", lambda: not doomed.alive(), 30)
        f.worker("w2")
        f.wait_job(id, seconds=60)
        assert "LeaseExpired" in f.accepted(id), f.accepted(id)


def a_killed_worker_that_comes_back_does_not_wait_for_its_lease():
    with Fleet() as f:
        f.journal(), f.dispatch(worker__lease="60s")
        w = f.worker("w1", worker__lease="60s")
        id = f.submit(sleep_job(60000, retry_count=2))["job_ids"][0]
        f.wait_job(id, ("running", "progressing"))
        w.kill()
        begun = time.monotonic()
        f.worker("w1", worker__lease="60s")
        wait_for("a second attempt", lambda: (f.job(id) or {}).get("attempt") == 2)
        assert time.monotonic() - begun < 50  # the lease has 60


def a_dispatcher_killed_after_it_proposed_loses_nothing():
    with Fleet() as f:
        f.journal()
        doomed = f.dispatch("d1", env={"HF_KILL_AT": "intake-after-produce:5"})
        f.worker()
        lines = "".join(json.dumps(sleep_job(0, "kill-%d" % i)) + "\n" for i in range(50))
        subprocess.run(["kcat", "-P", "-b", f.bootstrap, "-t", f.topic("submissions")], input=lines, text=True, check=True)
        wait_for("the dispatcher to be killed", lambda: not doomed.alive(), 30)
        f.dispatch("d1")
        for i in range(50):
            f.wait_job("kill-%d" % i, seconds=60)
            assert f.accepted("kill-%d" % i).count("Created") == 1


def a_journal_killed_between_folds_agrees_with_its_rebuild():
    with Fleet() as f:
        j = f.journal()
        f.dispatch(), f.worker()
        for round in range(3):
            f.submit(*[sleep_job(0) for _ in range(100)])
            j.kill()
            j = f.journal()
        wait_for("300 jobs", lambda: f.request("GET", "/status")[1]["completed_jobs"] == 300, 60)
        verify = subprocess.run([os.path.join(os.environ["HF_BIN_DIR"], "hyperjournal"), "verify", f.dir + "/state"], capture_output=True, text=True)
        assert verify.returncode == 0, verify.stdout + verify.stderr


def cancel_works_on_queued_and_on_running_jobs():
    with Fleet() as f:
        f.journal(), f.dispatch()
        queued = f.submit(sleep_job(60000))["job_ids"][0]
        status, answer = f.request("POST", "/jobs/cancel", {"job_ids": [queued, "nobody"]})
        assert answer["cancelled"] == [queued] and answer["errors"]["nobody"] == "job not found: nobody", answer
        f.wait_job(queued, ("cancelled",))
        f.worker()
        running = f.submit(sleep_job(60000))["job_ids"][0]
        f.wait_job(running, ("running", "progressing"))
        f.request("POST", "/jobs/cancel", {"job_ids": [running]})
        f.wait_job(running, ("cancelled",), 20)
        status, answer = f.request("POST", "/jobs/cancel", {"job_ids": [running]})
        assert answer["errors"][running] == "job %s cannot be cancelled (status: cancelled)" % running, answer


def a_drained_worker_gives_back_what_it_did_not_start():
    with Fleet() as f:
        f.journal(), f.dispatch()
        w = f.worker("w1", worker__slots=1, worker__drain_timeout="1s")
        ids = f.submit(*[sleep_job(3000) for _ in range(4)])["job_ids"]
        wait_for("one to run", lambda: any((f.job(i) or {})["state"] in ("running", "progressing") for i in ids))
        assert w.stop(20) == 0
        f.worker("w2", worker__slots=4)
        for i in ids:
            f.wait_job(i, seconds=60)


def a_restarted_broker_only_delays():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        first = f.submit(sleep_job(0))["job_ids"][0]
        f.wait_job(first)
        f.kafka_kill(1)
        time.sleep(1)
        f.kafka_restart(1)
        second = wait_for("a submit to be taken", lambda: (f.request("POST", "/jobs/submit", sleep_job(0))[1].get("job_ids") or [None])[0], 60, 0.5)
        f.wait_job(second, seconds=60)


def one_of_three_brokers_killed_while_submitting_loses_nothing_acknowledged():
    with Fleet(kafka_nodes=3) as f:
        f.journal(), f.dispatch(), f.worker()
        ids = []
        for batch in range(20):
            if batch == 5:
                f.kafka_kill(2)
            status, answer = f.request("POST", "/jobs/submit", [sleep_job(0) for _ in range(25)], 60)
            ids += answer.get("job_ids", [])
        assert len(ids) >= 250, len(ids)
        for id in ids:
            f.wait_job(id, seconds=90)


def a_poison_record_goes_to_dead_letters_and_the_fleet_goes_on():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        for topic in ("submissions", "job-events"):
            subprocess.run(["kcat", "-P", "-b", f.bootstrap, "-t", f.topic(topic), "-k", "k"], input="\x07not a record", text=True, check=True)
        id = f.submit(sleep_job(0))["job_ids"][0]
        f.wait_job(id)

        def letters():  # the poison may be of another partition than the job was
            return subprocess.run(["kcat", "-C", "-b", f.bootstrap, "-t", f.topic("dead-letters"), "-e", "-q", "-f", "%h|%s\n"],
                                  capture_output=True, text=True, timeout=60).stdout
        wait_for("the dead letter", lambda: all(word in letters() for word in ("\x07not a record", "frame-unknown", "submissions/")))


if __name__ == "__main__":
    main(the_main_path_exports_a_disk_that_equals_its_source, two_workers_race_for_1000_jobs_and_each_runs_once,
         a_worker_killed_after_its_claim_loses_the_job_to_another, a_killed_worker_that_comes_back_does_not_wait_for_its_lease,
         a_dispatcher_killed_after_it_proposed_loses_nothing, a_journal_killed_between_folds_agrees_with_its_rebuild,
         cancel_works_on_queued_and_on_running_jobs, a_drained_worker_gives_back_what_it_did_not_start,
         a_restarted_broker_only_delays, one_of_three_brokers_killed_while_submitting_loses_nothing_acknowledged,
         a_poison_record_goes_to_dead_letters_and_the_fleet_goes_on)
