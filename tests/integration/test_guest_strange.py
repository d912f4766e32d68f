# FIXTURE: guests
# LABELS: guest-more
# SECONDS: 3600
"""Guests that are no healthy Linux: a file system that stops the kernel that mounts it, and Windows."""
import os, re, struct, subprocess

import guests
from fleet import Fleet, main
from hive import hive
from test_guest_boot import ROOT, debugfs, must_boot, must_not_boot, result_of, sha256
from test_guest_more import MIB, PATIENCE, errors_of, report_of, run, start, submit


# ---- a file system that stops the kernel ------------------------------------------------------------------------------------
def spoil_inode(image, path):
    """Another byte in the inode's check sum: the kernel refuses the inode, and e2fsck puts it right."""
    said = subprocess.run(["debugfs", "-R", "imap " + path, image + ROOT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    block, offset = (int(n, 0) for n in re.search(r"located at block (\d+), offset (0x[0-9a-f]+)", said).groups())
    with open(image, "r+b") as f:
        f.seek(MIB + block * 4096 + offset + 0x7C)  # osd2's l_i_checksum_lo
        old = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([old ^ 0xFF]))


def a_file_system_that_stops_the_kernel_is_told_and_boots_after_fs_repair():
    with Fleet(partitions=1) as f:
        source = guests.copy(guests.image("bios"), os.path.join(f.images, "web.raw"))
        debugfs(source, "set_super_value errors 3", write=True)  # panic
        spoil_inode(source, "/etc/fstab")
        before = sha256(source)
        assert "panic forced after error" in must_not_boot(source)
        start(f)
        answer = f.wait_job(submit(f, "boot_repair", source, "first", retries=2), ("completed", "failed"), seconds=PATIENCE)
        said = str(answer["error"])
        assert answer["state"] == "failed" and "panic forced after error" in said and "fs_repair" in said, answer
        assert answer["attempt"] == 1, answer  # the same disk would do the same
        assert not os.path.isdir(os.path.join(f.out, "first")) or os.listdir(os.path.join(f.out, "first")) == []
        report = run(f, "fs_repair", source, "repaired")
        assert report["changed"] == 1 and not errors_of(report), report
        must_boot(result_of(f, "repaired"))
        assert sha256(source) == before


# ---- Windows ------------------------------------------------------------------------------------------------------------------
def program(machine=0x8664):
    """The head of a program for Windows: MZ, PE, its machine."""
    stub = bytearray(b"MZ".ljust(64, b"\0"))
    struct.pack_into("<I", stub, 0x3C, 64)
    optional = struct.pack("<H", 0x20B).ljust(68, b"\0") + struct.pack("<H", 3)  # PE32+, of the console
    return (bytes(stub) + b"PE\0\0" + struct.pack("<HHIIIHH", machine, 0, 0, 0, 0, 240, 0x22) + optional.ljust(240, b"\0")).ljust(1024, b"\0")


SOFTWARE = {"Microsoft": {"Windows NT": {"CurrentVersion": {
    "ProductName": "Windows Server 2019 Standard", "CurrentVersion": "6.3", "CurrentMajorVersionNumber": 10, "CurrentMinorVersionNumber": 0, "CurrentBuildNumber": "17763",
    "InstallationType": "Server", "SystemRoot": "C:\\Windows"}}}}
SYSTEM = {"Select": {"Current": 1, "Default": 1}, "MountedDevices": {},
          "ControlSet001": {"Control": {"ComputerName": {"ComputerName": {"ComputerName": "WINWEB"}}, "Session Manager": {"Environment": {"PROCESSOR_ARCHITECTURE": "AMD64"}}},
                            "Services": {"Tcpip": {"Parameters": {"Hostname": "winweb"}}}}}


def windows(path):
    """NTFS with what Windows is told by; VMware's tools are on it."""
    with open(path, "wb") as f:
        f.truncate(64 * MIB)
    for name, content in (("software", hive(SOFTWARE)), ("system", hive(SYSTEM)), ("program", program())):
        with open(path + "." + name, "wb") as f:
            f.write(content)
    guests.shell(path, "part-disk /dev/sda mbr", "mkfs ntfs /dev/sda1", "part-set-mbr-id /dev/sda 1 0x07", "mount /dev/sda1 /",
                 "mkdir-p /Windows/System32/config", "mkdir-p /Windows/System32/drivers", "mkdir-p '/Program Files/VMware/VMware Tools'",
                 "upload %s.software /Windows/System32/config/SOFTWARE" % path, "upload %s.system /Windows/System32/config/SYSTEM" % path,
                 "upload %s.program /Windows/System32/cmd.exe" % path, "upload %s.program '/Program Files/VMware/VMware Tools/vmtoolsd.exe'" % path, "touch /autoexec.bat")
    for name in ("software", "system", "program"):
        os.unlink(path + "." + name)


def a_windows_guest_is_told_and_left_alone():
    with Fleet(partitions=1) as f:
        source = os.path.join(f.images, "windows.raw")
        windows(source)
        before = sha256(source)
        start(f)
        answer = f.wait_job(submit(f, "inspect", source, guest=True), seconds=PATIENCE)
        guest = report_of(answer)["guest"]
        assert {k: guest[k] for k in ("type", "product", "version", "architecture", "vmware_tools")} == {
            "type": "windows", "product": "Windows Server 2019 Standard", "version": {"major": 10, "minor": 0}, "architecture": "x86_64", "vmware_tools": "VMware Tools"}, guest
        assert guest["host_name"].lower() == "winweb", guest
        assert guest["kvm"]["verdict"] == "not possible" and "virt-v2v" in guest["kvm"]["reasons"][0], guest["kvm"]
        report = run(f, "offline_fix", source, dry_run=True)
        print(report, flush=True)
        assert report["changed"] == 0 and "virt-v2v" in str(report), report
        id = submit(f, "export", source, "ova", inspect_guest=True)
        answer = f.wait_job(id, seconds=PATIENCE)
        assert answer["result"]["os_type"] == "windows2019srv_64Guest", answer["result"]
        assert sha256(source) == before


if __name__ == "__main__":
    main(a_file_system_that_stops_the_kernel_is_told_and_boots_after_fs_repair, a_windows_guest_is_told_and_left_alone)
