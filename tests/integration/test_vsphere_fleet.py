"""Exports from vSphere by a whole fleet: what is on record before it is done, and what is left when programs are killed: nothing."""
# FIXTURE: vsphere_sim
import json, os, re, time, urllib.request

from fleet import Fleet, main, wait_for
from vsphere import PASSWORD, VSphere, check_export, kill_tree

RUNNING, OFF = "/DC0/vm/DC0_C0_RP0_VM0", "/DC0/vm/DC0_C0_RP0_VM1"


class Both:
    """A fleet, and a vCenter with a running VM and one that is off."""

    def __init__(self, disks=2, mib=6, **endpoint):
        self.vs, self.f = VSphere(disks=disks, mib=mib), Fleet()
        self.vs.vm(power="on")
        self.vs.out = self.f.out
        self.settings = {"endpoints": json.dumps({"vc": self.vs.endpoint(**endpoint)})}

    def __enter__(self):
        self.vs.__enter__(), self.f.__enter__()
        self.f.journal(), self.f.dispatch()
        return self

    def __exit__(self, *how):
        try:
            written = self.written()
            self.f.__exit__(*how)
        finally:
            self.vs.__exit__(*how)
        assert len(written) > 5, "there are no logs to look at"
        assert not any(written.values()), "the password stands in %s" % [path for path, found in written.items() if found]

    def written(self):
        """Every file of the fleet, with whether the password stands in it: logs, journals, the workers' stores, Kafka's own."""
        found = {}
        for at, _, names in os.walk(self.f.dir):
            for path in (os.path.join(at, name) for name in names):
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as f:
                        text = f.read()
                    found[path] = PASSWORD.encode() in text or b"corr3ct-horse" in text
        return found

    def worker(self, id="w1", **more):
        return self.f.worker(id, **self.settings, **more)

    def submit(self, vm, format="ova", **more):
        job = {"name": "web", "vm_path": vm, "provider": "vsphere", "endpoint": "vc", "output_dir": self.f.out, "format": format}
        return self.f.submit(dict(job, **more))["job_ids"][0]

    def downloading(self):
        wait_for("a download to be under way", lambda: self.vs.stats()["downloads_open"], 30)

    def snapshots(self):
        return [s["Name"] for s in self.vs.stats()["snapshots"] or []]

    def phases(self, id):
        return [t["phase"] for e in self.f.events(id) if e["verdict"] == "accepted" for t in e["transitions"] if t["type"] == "Progressing"]

    def whole(self, id, format="ova"):
        """The job completed, and what it made is what was served."""
        job = self.f.wait_job(id, seconds=90)
        outcome = type("Done", (), {"artifacts": {os.path.basename(a["path"]): a for a in job["result"]["artifacts"]}, "good": lambda self: self})()
        check_export(self.vs, outcome, format)
        return job


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def metrics(f):
    with urllib.request.urlopen(f.http + "/metrics", timeout=30) as answer:
        return answer.read().decode()


def a_snapshot_is_on_record_before_it_exists_and_gone_afterwards():
    with Both() as b:
        b.vs.fault(slow_snapshot=5000)
        b.worker()
        id = b.submit(RUNNING)
        name = "hyperfleet-%s-1" % id
        moref = b.vs.vm()["moref"]
        said = "snapshot %s of %s" % (name, moref)
        wait_for("the announcement", lambda: said in b.phases(id), 30, 0.02)
        assert b.snapshots() == [], "the snapshot was there before it was on record"
        job = b.whole(id)
        assert "quiesced" in json.dumps(job["result"]), job["result"]
        stats = b.vs.clean()
        assert stats["snapshots_created"] == stats["snapshots_removed"] == 1 and stats["leases_completed"] == 1, stats
        text = metrics(b.f)
        assert re.search(r'hypersdk_jobs_total\{[^}]*provider="vsphere"[^}]*\} 1\b', text), text[:3000]
        assert re.search(r'hypersdk_vms_exported_total\{[^}]*provider="vsphere"[^}]*\} 1\b', text)
        assert re.search(r'hypersdk_disk_download_duration_seconds_count\{[^}]*provider="vsphere"[^}]*\} 2\b', text), [l for l in text.splitlines() if "disk_download" in l]
        assert re.search(r'hypersdk_ovf_generation_duration_seconds_count(\{[^}]*\})? 1\b', text), [l for l in text.splitlines() if "ovf_gen" in l]


def a_runner_killed_in_the_middle_of_a_download_is_followed_by_an_attempt_that_cleans_up():
    for vm in (RUNNING, OFF):
        with Both() as b:
            worker = b.worker()
            b.vs.fault(slow=300000, expire_lease_after=3)
            id = b.submit(vm)
            b.downloading()
            runners = children(worker.process.pid)
            assert runners
            for pid in runners:
                os.kill(pid, 9)
            b.vs.fault(slow=0)
            job = b.whole(id)
            assert job["attempt"] >= 2, job
            stats = b.vs.clean(sessions=1)  # nobody logged the killed one's session out: the server's time-out does
            assert stats["snapshots_created"] == stats["snapshots_removed"] == (2 if vm == RUNNING else 0), stats
            assert stats["leases_expired"] + stats["leases_aborted"] + stats["leases_orphaned"] == 1, stats


def a_whole_worker_killed_while_its_snapshot_exists_is_followed_by_another():
    with Both() as b:
        first = b.worker("w1")
        b.vs.fault(slow=200000, expire_lease_after=3)
        id = b.submit(RUNNING)
        b.downloading()
        assert b.snapshots() == ["hyperfleet-%s-1" % id], b.snapshots()
        kill_tree(first.process.pid)
        first.process.wait()
        b.vs.fault(slow=0)
        b.worker("w2")
        job = b.whole(id)
        assert job["attempt"] == 2 and job["worker"].startswith("w2/"), job
        stats = b.vs.clean(sessions=1)
        assert stats["snapshots_created"] == stats["snapshots_removed"] == 2, stats


def a_sweep_removes_what_jobs_that_ended_left_and_nothing_else():
    with Both() as b:
        first = b.worker("w1")
        b.vs.fault(slow=200000, expire_lease_after=2)
        id = b.submit(RUNNING, retry_count=0)
        b.downloading()
        kill_tree(first.process.pid)
        first.process.wait()
        b.vs.fault(slow=0)
        b.f.wait_job(id, ("failed",))  # the dispatcher gave it up: there is no further attempt
        b.vs.vm(name="DC0_C0_RP0_VM1", snapshot="hyperfleet-of-another-fleet-1")
        b.vs.vm(name="DC0_C0_RP0_VM1", snapshot="before the update")
        left = ["hyperfleet-%s-1" % id, "hyperfleet-of-another-fleet-1", "before the update"]
        assert sorted(b.snapshots()) == sorted(left), b.snapshots()
        b.worker("w2")
        sweep = b.f.submit({"operation": "sweep", "provider": "vsphere", "endpoint": "vc"})["job_ids"][0]
        job = b.f.wait_job(sweep)
        report = job["result"]["report"]
        report = json.loads(report) if isinstance(report, str) else report
        assert (report["found"], report["removed"], report["kept"]) == (2, 1, 1), report
        assert sorted(b.snapshots()) == sorted(left[1:]), b.snapshots()


def a_worker_that_is_stopped_gives_back_what_it_holds():
    with Both() as b:
        worker = b.worker("w1", worker__drain_timeout="500ms", worker__kill_grace="5s")
        b.vs.fault(slow=100000)
        b.submit(RUNNING)
        b.downloading()
        worker.stop(30)
        stats = b.vs.clean()
        assert stats["leases_aborted"] == 1 and stats["snapshots_removed"] == 1, stats


def a_cancel_is_heard_within_a_second():
    with Both() as b:
        b.worker()
        for fault, vm in (({"slow": 100000}, RUNNING), ({"stall_after": 100000, "slow": 0}, OFF)):
            b.vs.fault(**fault)
            id = b.submit(vm)
            b.downloading()
            begun = time.monotonic()
            b.f.request("POST", "/jobs/cancel", {"job_ids": [id]})
            b.f.wait_job(id, ("cancelled",))
            took = time.monotonic() - begun
            assert took < 25, took  # within one, on a machine that is not busy; the download has a minute to go
            b.vs.clean()
        assert b.vs.published() == []


def a_worker_killed_while_its_snapshot_is_being_made_leaves_it_to_another_one_to_remove():
    with Both(disks=1) as b:
        first = b.worker("w1")
        b.vs.fault(slow_snapshot=1500)
        id = b.submit(RUNNING)
        wait_for("the snapshot to be begun", lambda: b.vs.stats()["calls"].get("CreateSnapshot_Task"), 30, 0.02)
        kill_tree(first.process.pid)
        first.process.wait()
        wait_for("the snapshot nobody waits for any more", lambda: b.snapshots() == ["hyperfleet-%s-1" % id], 60)
        b.vs.reset()
        b.worker("w2")
        b.whole(id)
        stats = b.vs.clean(sessions=1)
        assert stats["snapshots_created"] == stats["snapshots_removed"] == 2, stats


def final_faults_fail_a_job_at_its_first_attempt_and_passing_ones_do_not():
    with Both(disks=1, mib=2) as b:
        b.worker(worker__retry_base="1s")  # attempts left when the fault is over
        b.vs.fault(fail="ExportVm:NoPermission")
        job = b.f.wait_job(b.submit(OFF), ("failed",))
        assert job["attempt"] == 1 and "NoPermission" in json.dumps(job), job
        b.vs.reset()
        b.vs.fault(lease_error="SystemError")
        id = b.submit(OFF, "ovf", retry_count=5)
        wait_for("an attempt to fail", lambda: "RetryScheduled" in b.f.accepted(id), 30)
        b.vs.reset()
        b.whole(id, "ovf")
        b.vs.clean()
        found = b.f.wait_job(b.f.submit({"operation": "discover", "provider": "vsphere", "endpoint": "vc"})["job_ids"][0])
        assert found["result"]["report"]["total"] == 2, found
        assert re.search(r'hypersdk_vms_discovered\{[^}]*power_state="poweredOn"[^}]*\} 1\b', metrics(b.f))


main(a_snapshot_is_on_record_before_it_exists_and_gone_afterwards,
     a_runner_killed_in_the_middle_of_a_download_is_followed_by_an_attempt_that_cleans_up,
     a_whole_worker_killed_while_its_snapshot_exists_is_followed_by_another,
     a_sweep_removes_what_jobs_that_ended_left_and_nothing_else, a_worker_that_is_stopped_gives_back_what_it_holds,
     a_cancel_is_heard_within_a_second, a_worker_killed_while_its_snapshot_is_being_made_leaves_it_to_another_one_to_remove,
     final_faults_fail_a_job_at_its_first_attempt_and_passing_ones_do_not)
