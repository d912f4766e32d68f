"""Exports from vSphere: what comes out is byte for byte what was served, and nothing is left behind on the server."""
# FIXTURE: vsphere_sim
# NO KAFKA
import os, re, signal, time

from fleet import main, wait_for
from vsphere import VSphere, check_export, sha256

FORMATS = ("ova", "ovf", "vmdk", "qcow2", "raw")


def export(vs, format, disks, **more):
    vs.empty()
    before = vs.stats()
    outcome = vs.run(vs.job(format=format, **more))
    paths = check_export(vs, outcome, format, disks)
    if format in ("ova", "ovf", "vmdk"):  # streams are kept as they come
        assert [sha256(p) for p in paths] == [sha256(vmdk) for _, vmdk in vs.disks[:disks]], "a stream was changed on its way"
    after = vs.clean()
    assert after["leases_completed"] == before["leases_completed"] + 1 and after["leases_aborted"] == before["leases_aborted"]
    assert after["descriptors_created"] >= before["descriptors_created"]
    assert vs.private() == [], vs.private()
    return outcome


def a_vm_that_is_off_is_exported_in_every_format_with_1_and_4_disks():
    with VSphere(disks=4, mib=4) as vs:
        for disks in (1, 4):
            vs.vm(disks=disks)
            for format in FORMATS:
                export(vs, format, disks)
        stats = vs.stats()
        assert stats["snapshots_created"] == 0 and stats["calls"]["ExportVm"] == 2 * len(FORMATS), stats["calls"]
        assert stats["downloads_started"] == stats["downloads_finished"] == 5 * len(FORMATS), "something was fetched twice"


def a_running_vm_is_exported_through_a_snapshot_in_every_format_with_1_and_4_disks():
    with VSphere("-on", disks=4, mib=4) as vs:
        for disks in (1, 4):
            vs.vm(disks=disks)
            for format in FORMATS:
                outcome = export(vs, format, disks)
                assert "hyperfleet-" in outcome.err, "the snapshot's name was not announced"
        stats = vs.stats()
        assert stats["snapshots_created"] == stats["snapshots_removed"] == 2 * len(FORMATS), stats
        assert "ExportVm" not in stats["calls"], stats["calls"]


def a_suspended_vm_is_exported_too():
    with VSphere(mib=4) as vs:
        vs.vm(power="suspended")
        export(vs, "ova", 1)


def a_vm_is_found_by_path_by_name_and_by_moref():
    with VSphere("-folders", "3", vms=8, mib=2) as vs:
        for vm in vs.get("/vm")[:3]:
            for what in (vm["path"], vm["name"], vm["moref"], "moref:" + vm["moref"]):
                export(vs, "ova", 1, vm_path=what)
        for what in ("/DC0/vm/nobody", "nobody", "vm-99999"):
            vs.empty()
            outcome = vs.run(vs.job(vm_path=what)).bad("not-found", status=66)
            assert what in outcome.message, outcome.message
        vs.clean()


def vms_of_all_kinds_are_exported_and_described():
    with VSphere("-varied", vms=12, disks=2, mib=2) as vs:
        left = vs.stats()["snapshots_left"]
        for vm in vs.get("/vm"):
            vs.empty()
            outcome = vs.run(vs.job(format="ovf", vm_path=vm["moref"]))
            check_export(vs, outcome, "ovf", 2)
            ovf = open(os.path.join(vs.out, next(n for n in vs.published() if n.endswith(".ovf"))), encoding="utf-8").read()
            assert len(re.findall(r"<(?:\w+:)?ResourceType>17<", ovf)) == 2, ovf
            assert re.search(r"<(?:\w+:)?VirtualQuantity>%d<" % vm["cpus"], ovf) and re.search(r"<(?:\w+:)?VirtualQuantity>%d<" % vm["memory_mb"], ovf), ovf
            assert ("efi" in ovf) == (vm["firmware"] == "efi"), ovf
        vs.clean(snapshots=left)


def snapshots_that_were_there_before_are_left_alone():
    with VSphere("-on", mib=2) as vs:
        for name in ("before update", "hyperfleet-somebody-else-1"):
            vs.vm(snapshot=name)
        vs.run(vs.job(format="ova")).good()
        assert sorted(s["Name"] for s in vs.clean(snapshots=2)["snapshots"]) == ["before update", "hyperfleet-somebody-else-1"]


def what_the_server_is_told_changes_nothing_of_the_vm():
    with VSphere("-on", mib=2) as vs:
        before = vs.vm()
        vs.run(vs.job(format="ovf", options={"remove_cdrom": True})).good()
        assert vs.vm() == before
        changing = {"ReconfigVM_Task", "PowerOffVM_Task", "PowerOnVM_Task", "SuspendVM_Task", "RevertToSnapshot_Task", "RemoveAllSnapshots_Task",
                    "ShutdownGuest", "Destroy_Task"}
        assert not changing & set(vs.stats()["calls"]), vs.stats()["calls"]
        ovf = open(os.path.join(vs.out, next(n for n in vs.published() if n.endswith(".ovf")))).read()
        assert not re.search(r"ResourceType>1[56]<", ovf), "a CD drive is left in the descriptor"


# ---- what leases look like

def leases_of_all_kinds_are_understood():
    for args, faults in ((("-star",), {}), (("-hosts", "2"), {}), (("-nvram", "8684"), {}), ((), {"zero_size": True}), ((), {"wrong_size": True}),
                         ((), {"chunked": True, "zero_size": True}), (("-lease-delay", "1500ms"), {}), (("-star", "-hosts", "1"), {"chunked": True}),
                         ((), {"manifest": "none"}), ((), {"manifest": "sha1"}), ((), {"manifest": "empty"}), ((), {"manifest": "moot"}),
                         ((), {"fail": "CreateDescriptor:NotSupported"}), ((), {"no_thumbprint": True})):
        with VSphere(*args, disks=2, mib=2) as vs:
            vs.fault(**faults)
            try:
                export(vs, "ova", 2)
            except AssertionError as e:
                raise AssertionError("with %s %s: %s" % (args, faults, e)) from e


def a_host_is_known_by_the_thumbprint_of_the_lease_and_by_no_other():
    with VSphere("-hosts", "1", disks=1, mib=2) as vs:
        vs.fault(wrong_thumbprint=True)
        vs.run(vs.job()).bad("certificate", status=76)
        vs.clean()
        vs.reset()
        vs.fault(no_thumbprint=True)  # the host's certificate is signed by nobody
        vs.run(vs.job()).bad("certificate", status=76)
        assert vs.clean()["downloads_started"] == 0, "bytes were asked of a host that is not trusted"


# ---- limits

def no_more_disks_at_a_time_than_the_endpoint_allows():
    with VSphere(disks=4, mib=4) as vs:
        for limit in (1, 2, 3):
            vs.configure(max_disks=limit)
            vs.fault(slow=2000000)
            vs.empty()
            check_export(vs, vs.run(vs.job(format="ovf", options={"parallel_downloads": 8})), "ovf", 4)
            assert vs.stats()["downloads_at_once"] <= limit, vs.stats()["downloads_at_once"]
        assert vs.stats()["downloads_at_once"] > 1, "disks are never fetched at the same time"
        vs.clean()


def the_bandwidth_limit_holds_for_all_disks_together():
    with VSphere(disks=3, mib=8) as vs:
        total = sum(os.path.getsize(vmdk) for _, vmdk in vs.disks)
        begun = time.monotonic()
        check_export(vs, vs.run(vs.job(format="ovf", options={"bandwidth_limit": total // 4, "parallel_downloads": 3})), "ovf", 3)
        took = time.monotonic() - begun
        assert took > 2.5, "%d bytes at %d/s in %.1f s" % (total, total // 4, took)
        vs.clean()


def a_slow_export_keeps_its_lease_alive():
    with VSphere(mib=8) as vs:
        vs.fault(expire_lease_after=5, slow=os.path.getsize(vs.disks[0][1]) // 12)
        check_export(vs, vs.run(vs.job(format="ova")), "ova", 1)
        stats = vs.clean()
        assert stats["leases_expired"] == 0 and stats["progress_calls"] >= 6 and stats["last_progress"] > 50, stats


def a_cancel_is_heard_within_a_second_and_cleans_up():
    for power, fault in (("off", {"slow": 100000}), ("on", {"stall_after": 100000}), ("off", {"stall_after": 1})):
        with VSphere(disks=2, mib=8) as vs:
            vs.vm(power=power)
            vs.configure(stall_timeout="60s")
            vs.fault(**fault)
            process, text = vs.start(vs.job(format="ova"))
            process.stdin.write(text)
            process.stdin.close()
            process.stdin = None
            wait_for("the download to begin", lambda: vs.stats()["downloads_open"], 20)
            time.sleep(0.3)
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            outcome = vs.finish((process, None), 30).bad("cancelled")
            took = time.monotonic() - begun
            assert took < 20, "%.1f s (%s)" % (took, outcome.message)  # who waited for more bytes would wait for 60
            stats = vs.clean()
            assert stats["leases_aborted"] == 1 and stats["leases_completed"] == 0, stats
            assert vs.private() == []


# ---- snapshots

def a_quiesced_snapshot_that_fails_is_followed_by_a_plain_one_where_that_is_allowed():
    for fault in ("ApplicationQuiesceFault", "FilesystemQuiesceFault"):
        with VSphere("-on", mib=2) as vs:
            vs.fault(quiesce=fault)
            outcome = vs.run(vs.job(format="ova"))
            check_export(vs, outcome, "ova", 1)
            assert "crash-consistent" in outcome.err + outcome.out, outcome.err
            assert vs.stats()["quiesce_refused"] >= 1
            vs.clean()
            vs.empty()
            vs.configure(quiesce="required")
            outcome = vs.run(vs.job(format="ova")).bad()
            assert fault in outcome.message, outcome.message
            vs.clean()
            vs.configure()
            outcome = vs.run(vs.job(format="ova", parameters={"allow_crash_consistent": False})).bad()
            assert fault in outcome.message, outcome.message
            vs.clean()
            refused = vs.stats()["quiesce_refused"]
            vs.configure(quiesce="never")
            check_export(vs, vs.run(vs.job(format="ova")), "ova", 1)
            assert vs.clean()["quiesce_refused"] == refused


main(a_vm_that_is_off_is_exported_in_every_format_with_1_and_4_disks,
     a_running_vm_is_exported_through_a_snapshot_in_every_format_with_1_and_4_disks, a_suspended_vm_is_exported_too,
     a_vm_is_found_by_path_by_name_and_by_moref, vms_of_all_kinds_are_exported_and_described,
     snapshots_that_were_there_before_are_left_alone, what_the_server_is_told_changes_nothing_of_the_vm,
     leases_of_all_kinds_are_understood, a_host_is_known_by_the_thumbprint_of_the_lease_and_by_no_other,
     no_more_disks_at_a_time_than_the_endpoint_allows, the_bandwidth_limit_holds_for_all_disks_together,
     a_slow_export_keeps_its_lease_alive, a_cancel_is_heard_within_a_second_and_cleans_up,
     a_quiesced_snapshot_that_fails_is_followed_by_a_plain_one_where_that_is_allowed)
