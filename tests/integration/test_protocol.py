"""Worker protocol v1 over HTTP: what its clients send, and what they expect back."""
import time

from fleet import Fleet, main, wait_for

SPEC = {"version": "1.0", "job_id": "v1-job", "created_at": "2026-01-30T10:00:00", "operation": "inspect",
        "image": {"path": None, "format": "raw"}, "requested_actions": ["inspect"],
        "capability_requirements": {"needs_nbd": False, "needs_lvm": False, "needs_mount": False, "needs_selinux_tools": False},
        "execution_policy": {"retry_count": 1, "timeout_seconds": 600, "idempotent": True, "priority": 3},
        "artifacts": {"log_upload": False, "store_fixed_image": False, "output_path": None, "keep_intermediates": False},
        "audit": {"requested_by": "ana", "ticket": "CH-1", "tags": ["wave-1"]}}
WORKER = {"worker_id": "py-1", "hostname": "pyhost", "capabilities": {"nbd": True, "lvm": False, "mount": True, "selinux": False, "qemu_img": True},
          "max_disk_size_tb": 2, "max_concurrent_jobs": 3, "memory_gb": 16.5, "disk_space_gb": 200, "os_info": "Fedora 40", "kernel_version": "6.8",
          "last_heartbeat": "2026-01-30T10:00:00"}


def a_job_spec_is_taken_in_and_done():
    with Fleet() as f:
        f.journal(), f.dispatch()
        image = f.raw_image(mib=4)
        spec = dict(SPEC, image={"path": image, "format": "raw"}, artifacts=dict(SPEC["artifacts"], output_path=f.out))
        status, answer = f.request("POST", "/jobs", spec)
        assert status == 201, (status, answer)
        assert answer["job_id"] == "v1-job" and answer["state"] == "queued" and answer["message"] == "Job queued successfully", answer
        assert answer["queue_position"] == 1, answer
        assert f.job("v1-job")["state"] == "queued"  # it is there as soon as it is answered
        status, answer = f.request("POST", "/jobs", spec)
        assert status == 409 and answer["error"] == "job with ID v1-job already exists", (status, answer)
        for wrong, told in (([spec], "one job"), ({"jobs": [spec]}, "one job"), (dict(spec, version="2.0", job_id="x"), "version"),
                            (dict(spec, job_id="no id!"), "job_id"), (dict(spec, job_id="y", execution_policy={"priority": 11}), "priority"),
                            (dict(spec, job_id="z", image={"path": ""}), "")):
            status, answer = f.request("POST", "/jobs", wrong)
            assert 400 <= status < 500 and told in answer["error"] and "timestamp" in answer, (wrong, status, answer)
        status, answer = f.request("POST", "/jobs", dict({k: v for k, v in spec.items() if k != "job_id"}, artifacts={"output_path": f.out + "/other"}))
        assert status == 201 and len(answer["job_id"]) == 36 and answer["queue_position"] == 2, answer
        f.worker()
        f.wait_job("v1-job")
        job = f.request("GET", "/api/v1/jobs/v1-job")[1]
        assert job["spec"]["audit"]["ticket"] == "CH-1" and job["spec"]["execution_policy"]["priority"] == 3, job


def workers(f):
    answer = f.request("GET", "/workers")[1]
    assert answer["total"] == len(answer["workers"]) and answer["active"] == answer["alive"] == sum(w["alive"] for w in answer["workers"]), answer
    return {w["worker_id"]: w for w in answer["workers"]}


def a_worker_of_another_kind_announces_itself_and_expires():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker(id="own")
        wait_for("our own worker", lambda: "own" in workers(f))
        status, answer = f.request("POST", "/workers/register", WORKER)
        assert status == 201 and answer["worker_id"] == "py-1" and answer["capabilities"] == WORKER["capabilities"] and answer["registered_at"], (status, answer)
        there = wait_for("it to be listed", lambda: workers(f).get("py-1"))
        assert there["alive"] and there["registered"] and there["state"] == "quiet" and there["hostname"] == "pyhost", there
        for name in ("max_disk_size_tb", "max_concurrent_jobs", "memory_gb", "disk_space_gb", "os_info", "kernel_version"):
            assert there[name] == WORKER[name], (name, there)
        assert there["capabilities"]["nbd"] and there["capabilities"]["mount"] and not there["capabilities"].get("lvm"), there
        assert not workers(f)["own"]["registered"]
        assert f.request("GET", "/capabilities")[1]["workers"] == 1  # no job goes there
        status, answer = f.request("POST", "/workers/register", dict(WORKER, worker_id="own"))
        assert status == 409 and "own" in answer["error"], (status, answer)
        assert f.request("POST", "/workers/own/heartbeat")[0] == 409 and f.request("DELETE", "/workers/own")[0] == 409
        status, answer = f.request("POST", "/workers/nobody/heartbeat")
        assert status == 404 and answer["error"] == "Worker nobody not found", (status, answer)
        for wrong in ({}, dict(WORKER, worker_id="no id!"), dict(WORKER, capabilities=[]), dict(WORKER, capabilities={"nbd": "yes"}), dict(WORKER, max_concurrent_jobs=0),
                      dict(WORKER, lease_seconds=0), dict(WORKER, hostname="h" * 300), dict(WORKER, memory_gb="much"), [],
                      dict(WORKER, hostname=7), dict(WORKER, kernel_version=6.8), dict(WORKER, os_info=[]), dict(WORKER, memory_gb=-1), dict(WORKER, disk_space_gb=2e9),
                      dict(WORKER, max_concurrent_jobs=1.5), dict(WORKER, max_concurrent_jobs="3"), dict(WORKER, lease_seconds=86401), dict(WORKER, worker_id=None)):
            status, answer = f.request("POST", "/workers/register", wrong)
            assert 400 <= status < 500 and answer["error"], (wrong, status, answer)
        # 3.0 is a whole number, and null was left out: that is how some clients write what they do not know.
        nulls = dict.fromkeys(("hostname", "max_disk_size_tb", "max_concurrent_jobs", "memory_gb", "disk_space_gb", "os_info", "kernel_version", "lease_seconds"))
        assert f.request("POST", "/workers/register", dict(WORKER, worker_id="py-2", **nulls))[0] == 201
        assert f.request("POST", "/workers/register", dict(WORKER, max_concurrent_jobs=4.0))[0] == 201
        wait_for("both to be listed", lambda: workers(f)["py-1"]["max_concurrent_jobs"] == 4 and "py-2" in workers(f))
        assert workers(f)["py-2"]["max_concurrent_jobs"] == 1 and f.request("DELETE", "/workers/py-2")[0] == 200
        # A short lease: it expires as others do, and is back with a heartbeat.
        assert f.request("POST", "/workers/register", dict(WORKER, lease_seconds=2))[0] == 201
        wait_for("it to expire", lambda: not workers(f)["py-1"]["alive"], 10)
        status, answer = f.request("POST", "/workers/py-1/heartbeat")
        assert status == 200 and answer["worker_id"] == "py-1" and answer["message"] == "Heartbeat received", (status, answer)
        wait_for("it to be alive", lambda: workers(f)["py-1"]["alive"], 10)
        # Jobs go to our own worker at once: nobody waits for the other one.
        begun = time.monotonic()
        f.submit({"job_id": "job", "operation": "sleep", "name": "n", "parameters": {"ms": 0}})
        f.wait_job("job")
        assert time.monotonic() - begun < 30
        status, answer = f.request("DELETE", "/workers/py-1")
        assert status == 200 and answer["message"] == "Worker unregistered successfully", (status, answer)
        wait_for("it to be gone", lambda: "py-1" not in workers(f))
        assert f.request("DELETE", "/workers/py-1")[0] == 404


if __name__ == "__main__":
    main(a_job_spec_is_taken_in_and_done, a_worker_of_another_kind_announces_itself_and_expires)
