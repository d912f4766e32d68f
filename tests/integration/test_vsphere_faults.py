"""Exports from a vCenter and hosts that fail: each fault ends in the whole result or in a clear error, never in a torn file, and never
leaves a lease, a session or a snapshot behind."""
# FIXTURE: vsphere_sim
# NO KAFKA
import os, random, signal, threading, time

from fleet import main, wait_for
from vsphere import VSphere, check_export, kill_tree

TRANSIENT = ("unreachable", "timeout", "export-lease-lost", "busy", "provider-fault", "protocol", "verify-failed", "io")


def goes_well(vs, format="ova", **more):
    vs.empty()
    outcome = vs.run(vs.job(format=format, **more))
    check_export(vs, outcome, format)
    vs.clean()
    return outcome


def fails(vs, *codes, format="ova", **more):
    vs.empty()
    outcome = vs.run(vs.job(format=format, **more)).bad(*codes)
    vs.reset()
    vs.clean()
    assert vs.private() == [], vs.private()
    return outcome


def both(vs, format="ova", **more):
    """Either way, as long as it is whole or an error worth another try."""
    vs.empty()
    outcome = vs.run(vs.job(format=format, **more))
    if outcome.status == 0:
        check_export(vs, outcome, format)
    else:
        outcome.bad(*TRANSIENT)
    vs.reset()
    vs.clean()
    return outcome


# ---- downloads

def a_connection_that_is_reset_is_made_again():
    with VSphere(disks=2) as vs:
        for after in (1, 100000, 600000):
            for format in ("ova", "ovf", "qcow2"):
                vs.reset()
                vs.fault(drop_after=after, drop_times=1)
                outcome = goes_well(vs, format)
                assert "again" in outcome.err, outcome.err
        assert vs.stats()["range_requests"] == 0, "hosts do not know ranges"
        vs.fault(drop_after=100000, drop_times=-1)
        outcome = fails(vs, *TRANSIENT)
        assert "disk" in outcome.message, outcome.message


def a_stream_that_is_cut_short_or_damaged_never_passes_for_a_disk():
    with VSphere(disks=1) as vs:
        size = os.path.getsize(vs.disks[0][1])
        faults = ({"truncate_at": size - 512, "manifest": "none"}, {"truncate_at": size // 2, "chunked": True}, {"corrupt": True, "manifest": "none"},
                  {"truncate_at": size - 1}, {"truncate_at": 100}, {"truncate_at": size - 512, "chunked": True, "manifest": "none"}, {"corrupt": True})
        for format, some in (("ova", faults), ("qcow2", faults), ("ovf", faults[:3]), ("vmdk", faults[:3]), ("raw", faults[:3])):
            for fault in some:
                vs.fault(zero_size=True, **fault)
                fails(vs, "verify-failed", "source-invalid", "unreachable", "parse", format=format)


def a_manifest_that_says_otherwise_is_believed():
    with VSphere() as vs:
        for kind in ("wrong-hash", "wrong-size"):
            for format in ("ova", "raw"):
                vs.fault(manifest=kind)
                fails(vs, "verify-failed", "source-invalid", format=format)


def a_stall_ends_within_its_time_and_one_that_ends_is_waited_for():
    with VSphere() as vs:
        vs.fault(stall_after=300000)
        begun = time.monotonic()
        fails(vs, "timeout", "export-lease-lost")
        assert time.monotonic() - begun < 60
        vs.fault(stall_after=300000)
        threading.Timer(1.5, vs.reset).start()
        goes_well(vs)


def hosts_that_are_busy_or_forgetful_are_asked_again():
    with VSphere() as vs:
        for times in (1, 2):
            vs.fault(nfc_503=times)
            goes_well(vs)
        vs.fault(nfc_503=1000)
        assert "503" in fails(vs, *TRANSIENT).message
        vs.fault(nfc_404=1)
        both(vs)
        vs.fault(nfc_404=1000)
        fails(vs, "export-lease-lost", "not-found")


def connections_refused_for_a_while_are_waited_for():
    for power in ("off", "on"):
        with VSphere() as vs:
            vs.vm(power=power)
            vs.fault(slow=os.path.getsize(vs.disks[0][1]) // 3)
            threading.Timer(1.5, lambda: vs.fault(refuse=700)).start()
            both(vs)


def a_certificate_that_changes_midway_is_not_trusted():
    with VSphere() as vs:
        vs.fault(slow=os.path.getsize(vs.disks[0][1]) // 2, drop_after=500000)
        threading.Timer(1.0, lambda: vs.fault(other_cert=True, slow=0)).start()
        vs.empty()
        vs.run(vs.job()).bad("certificate", "unreachable")
        vs.reset()


# ---- the lease and the session

def reset_once_called(vs, method, times):
    """Ends the faults when the server has been asked so often, and a second after."""
    wait_for(method, lambda: vs.stats()["calls"].get(method, 0) >= times)
    time.sleep(1)
    vs.reset()


def a_lease_that_ends_early_is_told_so():
    with VSphere() as vs:
        vs.fault(expire_lease_after=1, slow=os.path.getsize(vs.disks[0][1]) // 5, fail="HttpNfcLeaseProgress:SystemError")
        fails(vs, "export-lease-lost", "provider-fault", "unreachable")
        vs.fault(lease_error="SystemError")
        fails(vs, *TRANSIENT)
        vs.fault(lease_error="FileLocked")
        threading.Thread(target=reset_once_called, args=(vs, "ExportVm", vs.stats()["calls"]["ExportVm"] + 1)).start()
        assert "FileLocked" in goes_well(vs).err, "it did not say what it waits for"
        vs.fault(fail="HttpNfcLeaseComplete:SystemError:1")
        both(vs)
        vs.fault(fail="HttpNfcLeaseAbort:SystemError:1,ExportVm:SystemError:1")
        both(vs)


def a_session_that_ends_midway_is_made_anew_or_the_attempt_is():
    for outlives in (False, True):
        for power, methods in (("off", ("FindByInventoryPath", "ExportVm", "WaitForUpdatesEx", "HttpNfcLeaseGetManifest", "HttpNfcLeaseProgress:2",
                                        "HttpNfcLeaseComplete", "Logout")),
                               ("on", ("CreateSnapshot_Task", "ExportSnapshot", "HttpNfcLeaseProgress:2", "HttpNfcLeaseComplete", "RemoveSnapshot_Task"))):
            with VSphere(mib=4) as vs:
                vs.vm(power=power)
                for method in methods:
                    vs.fault(expire_session_on=method, lease_outlives=outlives, slow=os.path.getsize(vs.disks[0][1]))
                    both(vs)
                assert vs.stats()["sessions_ended"] >= len(methods) - 1, vs.stats()


# ---- faults of calls

def final_faults_fail_at_once_by_name():
    with VSphere() as vs:
        for fault, code in (("ExportVm:NoPermission", "permission"), ("ExportVm:NotSupported", "unsupported"), ("ExportVm:FileNotFound", "source-invalid"),
                            ("FindByInventoryPath:NoPermission", "permission"), ("Login:InvalidLogin", "unauthorized")):
            vs.fault(fail=fault)
            calls = vs.stats()["calls"].get(fault.split(":")[0], 0)
            outcome = fails(vs, code)
            assert fault.split(":")[1] in outcome.message, outcome.message
            assert vs.stats()["calls"][fault.split(":")[0]] == calls + 1, "a final fault was tried again"
        vs.fault(fail_login=1)
        fails(vs, "unauthorized")


def passing_faults_are_waited_for():
    with VSphere(mib=2) as vs:
        vs.fault(fail="ExportVm:TaskInProgress:2")
        goes_well(vs)
        assert vs.stats()["calls"]["ExportVm"] == 3
        vs.fault(fail="HttpNfcLeaseProgress:SystemError:1")
        goes_well(vs)
        vs.vm(power="on")
        vs.fault(fail="CreateSnapshot_Task:TaskInProgress:1")
        goes_well(vs)
        vs.fault(fail="ExportSnapshot:TaskInProgress:1")
        goes_well(vs)


def http_errors_of_a_proxy_anywhere_leave_nothing_behind():
    for power in ("off", "on"):
        with VSphere(mib=2) as vs:
            vs.vm(power=power)
            for kind in ("sdk_503", "sdk_500"):
                for after in (0.2, 0.6):
                    vs.fault(slow=os.path.getsize(vs.disks[0][1]))
                    threading.Timer(after, lambda: vs.fault(**{kind: 1})).start()
                    both(vs)


def hostile_answers_anywhere_on_the_way_leave_nothing_behind():
    with VSphere("-on", mib=2) as vs:
        for method in ("FindByInventoryPath", "RetrievePropertiesEx", "CreateSnapshot_Task", "ExportSnapshot", "CreateFilter", "WaitForUpdatesEx",
                       "HttpNfcLeaseGetManifest", "HttpNfcLeaseProgress", "HttpNfcLeaseComplete"):
            for kind in ("bomb", "cut", "empty"):
                vs.fault(hostile=kind, hostile_method=method, hostile_times=1)
                vs.empty()
                outcome = vs.run(vs.job())
                if outcome.status:
                    outcome.bad(*TRANSIENT)
                else:
                    check_export(vs, outcome, "ova")
                vs.reset()
                for _ in range(vs.stats()["snapshots_left"]):  # a task that was begun and never heard of: its name says whose it is
                    left = [s["Name"] for s in vs.stats()["snapshots"]]
                    assert all(name.startswith("hyperfleet-") for name in left), left
        assert vs.stats()["entities_fetched"] == 0


# ---- snapshots

def a_snapshot_that_cannot_be_made_or_removed_is_told():
    with VSphere("-on", mib=2) as vs:
        vs.fault(fail_snapshot=1000)
        assert "GenericVmConfigFault" in fails(vs, *TRANSIENT).message
        vs.fault(fail_remove=1)
        goes_well(vs)
        vs.fault(fail_remove=1000)
        vs.empty()
        outcome = vs.run(vs.job())
        check_export(vs, outcome, "ova")  # the disks are there; what stays on the server is told with what to do
        assert "GenericVmConfigFault" in outcome.err and "operation sweep on endpoint vc" in outcome.err, outcome.err
        left = vs.stats()["snapshots"]
        assert len(left) == 1 and left[0]["Name"].startswith("hyperfleet-") and left[0]["Name"] in outcome.err, left


def a_snapshot_is_removed_when_the_export_fails():
    with VSphere("-on", mib=2) as vs:
        for fault in ({"fail": "ExportSnapshot:NoPermission"}, {"drop_after": 1000, "drop_times": -1}, {"corrupt": True}, {"lease_error": "SystemError"}):
            vs.fault(**fault)
            fails(vs)
        stats = vs.stats()
        assert stats["snapshots_created"] == stats["snapshots_removed"] == 4, stats


def a_cancel_while_the_snapshot_is_made_removes_it():
    with VSphere("-on", mib=2) as vs:
        vs.fault(slow_snapshot=1500)
        process, text = vs.start(vs.job())
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        wait_for("the snapshot to be begun", lambda: vs.stats()["calls"].get("CreateSnapshot_Task"), 20)
        process.send_signal(signal.SIGTERM)
        vs.finish((process, None), 30).bad("cancelled")
        time.sleep(2)
        vs.clean()


def what_a_killed_export_left_is_removed_by_the_next_attempt():
    with VSphere("-on") as vs:
        job = vs.job(job_id="killed-once")
        vs.fault(stall_after=300000)
        process, text = vs.start(job)
        process.stdin.write(text)
        process.stdin.close()
        wait_for("the download to begin", lambda: vs.stats()["downloads_open"], 20)
        kill_tree(process.pid)
        process.wait()
        process.stdout.close(), process.stderr.close()
        assert vs.stats()["snapshots_left"] == 1 and vs.published() == []
        vs.reset()
        vs.get("/logout")  # what a server does with a session nobody uses
        check_export(vs, vs.run(job), "ova")
        vs.clean()
        assert vs.stats()["snapshots_removed"] == 2


# ---- all at once

def any_faults_at_any_time_end_whole_or_clear_and_clean():
    seed = int(os.environ.get("HF_SEED", "20240"))
    rng = random.Random(seed)
    with VSphere(disks=2, mib=4) as vs:
        size = os.path.getsize(vs.disks[0][1])
        faults = [lambda: {"drop_after": rng.randrange(1, size), "drop_times": rng.choice((1, 2, -1))}, lambda: {"stall_after": rng.randrange(1, size)},
                  lambda: {"truncate_at": rng.randrange(1, size)}, lambda: {"slow": rng.randrange(size // 3, size)}, lambda: {"corrupt": True},
                  lambda: {"chunked": True}, lambda: {"wrong_size": True}, lambda: {"zero_size": True}, lambda: {"nfc_503": rng.randrange(1, 4)},
                  lambda: {"sdk_503": rng.randrange(1, 3)}, lambda: {"sdk_500": 1}, lambda: {"refuse": rng.randrange(100, 1500)},
                  lambda: {"expire_session_on": "*:%d" % rng.randrange(1, 20)}, lambda: {"expire_lease_after": 2}, lambda: {"quiesce": "FilesystemQuiesceFault"},
                  lambda: {"manifest": rng.choice(("none", "sha1", "empty", "wrong-hash", "wrong-size", "moot"))},
                  lambda: {"fail": rng.choice(("ExportVm", "CreateSnapshot_Task", "ExportSnapshot", "HttpNfcLeaseProgress", "WaitForUpdatesEx", "*")) + ":"
                           + rng.choice(("TaskInProgress", "SystemError", "NotAuthenticated", "ConcurrentAccess")) + ":%d" % rng.randrange(1, 4)}]
        well = 0
        for round in range(int(os.environ.get("HF_ROUNDS", "20"))):
            chosen, later = {}, {}
            for _ in range(rng.randrange(1, 3)):
                (chosen if rng.random() < 0.6 else later).update(rng.choice(faults)())
            power, format = rng.choice(("on", "off")), rng.choice(("ova", "ovf", "qcow2", "raw"))
            what = "seed %d, round %d: VM %s as %s, first %s, later %s" % (seed, round, power, format, chosen, later)
            vs.empty()
            vs.reset()
            vs.vm(power=power)
            vs.fault(**chosen)
            timer = threading.Timer(rng.random(), lambda: vs.fault(**later))
            timer.start()
            try:
                job = vs.job(format=format, job_id="round-%d" % round)
                outcome = vs.run(job, seconds=120)
                timer.join()
                vs.reset()
                if outcome.status == 0:
                    check_export(vs, outcome, format)
                    well += 1
                else:
                    outcome.bad(*TRANSIENT, "source-invalid", "not-found", "conflict", "tool-failed", "parse")
                assert vs.private() == [], vs.private()
                time.sleep(1.6 if "refuse" in later or "refuse" in chosen else 0)
                settle(vs, job, outcome)
            except AssertionError as e:
                raise AssertionError("%s: %s" % (what, e)) from e
        assert well > 3, well


def settle(vs, job, outcome):
    """What could not be told to a server that does not answer is over with the session, and the next attempt removes what is left."""
    vs.get("/logout")
    for left in vs.stats()["snapshots"] or []:
        assert left["Name"] == "hyperfleet-%s-1" % job["job_id"], left
        assert left["Name"] in outcome.err and (outcome.status or "sweep" in outcome.err), "nobody was told of %s: %s" % (left, outcome.err)
    if vs.stats()["snapshots_left"]:
        vs.empty()
        vs.run(job).good()
    vs.clean()


main(a_connection_that_is_reset_is_made_again, a_stream_that_is_cut_short_or_damaged_never_passes_for_a_disk,
     a_manifest_that_says_otherwise_is_believed, a_stall_ends_within_its_time_and_one_that_ends_is_waited_for,
     hosts_that_are_busy_or_forgetful_are_asked_again, connections_refused_for_a_while_are_waited_for,
     a_certificate_that_changes_midway_is_not_trusted, a_lease_that_ends_early_is_told_so,
     a_session_that_ends_midway_is_made_anew_or_the_attempt_is, final_faults_fail_at_once_by_name, passing_faults_are_waited_for,
     http_errors_of_a_proxy_anywhere_leave_nothing_behind, hostile_answers_anywhere_on_the_way_leave_nothing_behind,
     a_snapshot_that_cannot_be_made_or_removed_is_told, a_snapshot_is_removed_when_the_export_fails,
     a_cancel_while_the_snapshot_is_made_removes_it, what_a_killed_export_left_is_removed_by_the_next_attempt,
     any_faults_at_any_time_end_whole_or_clear_and_clean)
