# FIXTURE: guests
# LABELS: guest-more
# SECONDS: 3600
"""A file system that stops the kernel that mounts it; Windows; jobs killed at any moment; guests that mean harm."""
import fcntl, glob, hashlib, json, os, re, signal, struct, subprocess, time

import guests
from fleet import Fleet, main, wait_for
from hive import hive
from test_guest_boot import ROOT, change_text, debugfs, must_boot, must_not_boot, result_of, sha256, worker
from test_guest_more import MIB, PATIENCE, SUPERBLOCK, errors_of, report_of, run, start, submit, zero


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
        assert report["changed"] == 0 and "virt-v2v" in str(report), report
        id = submit(f, "export", source, "ova", inspect_guest=True)
        answer = f.wait_job(id, seconds=PATIENCE)
        assert answer["result"]["os_type"] == "windows9Server64Guest", answer["result"]
        assert sha256(source) == before


# ---- kills ----------------------------------------------------------------------------------------------------------------
def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def machines(f):
    """Appliances on overlays of this fleet's jobs, and what makes those: QEMU's programs that were started with a name below its output."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as file:
                words = file.read().split(b"\0") if name.isdigit() else [b""]
        except OSError:
            continue
        if b"qemu" in os.path.basename(words[0]) and any(f.out.encode() in w for w in words):
            found.append(int(name))
    return found


def _left_aside():
    """Private directories of sessions that are dead: their locks are free."""
    found = set()
    for lock in glob.glob("/var/tmp/hf-guest-*/.lock"):
        try:
            with open(lock, "r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.add(os.path.dirname(lock))
        except OSError:
            pass
    return found


PHASES = ("prepare", "appliance", "look", "check", "repair", "verify", "export")


def killed_at_five_moments_nothing_is_left_and_the_sixth_attempt_repairs():
    with Fleet(partitions=1) as f:
        source = guests.copy(guests.image("bios"), os.path.join(f.images, "web.raw"))
        zero(source, SUPERBLOCK, 1024)
        before, out = sha256(source), os.path.join(f.out, "repaired")
        w = start(f)
        aside, seen = _left_aside(), 0
        id = submit(f, "fs_repair", source, "repaired", retries=5, options={"bandwidth_limit": 64 * MIB})
        for attempt, phase in enumerate(("appliance", "look", "check", "repair", "export"), 1):
            def is_there():
                job = f.job(id)
                assert job["state"] not in ("completed", "failed", "cancelled"), job
                at = (job.get("progress") or {}).get("phase") or ""
                return job["attempt"] == attempt and at in PHASES and PHASES.index(at) >= PHASES.index(phase)
            wait_for("attempt %d to be at %s" % (attempt, phase), is_there, PATIENCE, every=0.02)
            runners, seen = children(w.process.pid), seen + len(machines(f))
            assert runners
            if phase == "repair":
                w.kill()
            for pid in runners:
                if phase != "repair":
                    os.kill(pid, signal.SIGKILL)
            wait_for("the runners to end", lambda: not [p for p in runners if os.path.exists("/proc/%d" % p)], 60)
            wait_for("their appliance to end", lambda: not machines(f) or f.job(id)["attempt"] > attempt, 60)
            if phase == "repair":
                w = worker(f)
        assert seen >= 3, "no appliance was seen before it was killed"
        f.wait_job(id, seconds=PATIENCE)
        accepted = f.accepted(id)
        assert accepted.count("Assigned") == 6, accepted
        assert len(os.listdir(out)) == 1, os.listdir(out)
        assert not machines(f) and not _left_aside() - aside, (machines(f), _left_aside() - aside)
        repaired = result_of(f, "repaired")
        check = subprocess.run(["e2fsck", "-f", "-n", repaired + ROOT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert check.returncode == 0, check.stdout
        assert sha256(source) == before
        assert os.listdir(f.images) == ["web.raw"], os.listdir(f.images)


# ---- guests that mean harm ----------------------------------------------------------------------------------------------------
def link_out_of_the_root(image):
    """fstab leads out of the root, and /boot/grub nowhere. (/etc/hosts: by which the system is known all the same.)"""
    debugfs(image, "write /etc/hosts /etc/hosts", "rm /etc/fstab", "symlink /etc/fstab /../../../../etc/shadow", "ln /boot/grub /boot/grub.was", "unlink /boot/grub",
            "symlink /boot/grub /boot/grub2", "symlink /boot/grub2 /boot/grub", write=True)


def fstab_of_100_mib(image):
    with open(image + ".text", "wb") as f:
        f.write(b"# a long one\n")
        f.truncate(100 * MIB)
    debugfs(image, "rm /etc/fstab", "write %s /etc/fstab" % (image + ".text"), write=True)
    os.unlink(image + ".text")


def fstab_in_circles(image):
    """Mounts in circles, over the appliance's own libraries where ".." leads out, and more of them than anybody has."""
    def change(text):
        root = text.split()[0]
        lines = ["%s /mnt ext4 defaults 0 2" % root, "/mnt /mnt/mnt none bind 0 0", "/ /mnt none rbind 0 0", "/mnt/../mnt/mnt /mnt auto bind 0 0",
                 "/vmlinuz /srv/.. ext4 loop 0 0", "%s /../../../mnt ext4 defaults 0 2" % root, "%s /../usr/lib ext4 defaults 0 2" % root,
                 "/dev/sda1 /proc/self/root ext4 defaults 0 2"]
        lines += ["%s /mnt/mnt ext4 defaults 0 2\n%s /mnt ext4 defaults 0 2" % (root, root)] * 200 + ["%s /mnt/d%d ext4 defaults 0 2" % (root, i) for i in range(100)]
        return text + "\n".join(lines) + "\n"
    change_text(image, "/etc/fstab", change)


def shadow_of(image):
    return subprocess.run(["debugfs", "-R", "cat /etc/shadow", image + ROOT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout


def files_of(dir):
    """Everything there with its bytes' digest; of large files the size."""
    found = {}
    for folder, _, names in os.walk(dir):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[path] = hashlib.sha256(f.read()).hexdigest() if os.path.getsize(path) < MIB else sha256(path)
    return found


def guests_that_mean_harm_end_in_their_time_and_change_nothing_outside():
    with Fleet(partitions=1) as f:
        healthy = guests.image("bios")
        for name, harm in (("links", link_out_of_the_root), ("long", fstab_of_100_mib), ("circles", fstab_in_circles)):
            harm(guests.copy(healthy, os.path.join(f.images, name + ".raw")))
        with open(os.path.join(f.images, "shadow"), "w") as canary:
            canary.write("root:*:1:0:99999:7:::\n")
        before, host = files_of(f.images), os.stat("/etc/shadow")
        start(f)
        said, began = {}, time.monotonic()
        for name in ("links", "long", "circles"):
            id = submit(f, "boot_repair", os.path.join(f.images, name + ".raw"), name, retries=0, step_seconds=300)
            answer = f.wait_job(id, ("completed", "failed"), seconds=PATIENCE)
            said[name] = json.dumps(report_of(answer)["findings"] if answer["state"] == "completed" else answer["error"])[:1500]
            print("%s: %s after %.0f s: %s" % (name, answer["state"], time.monotonic() - began, said[name]), flush=True)
            left = os.listdir(os.path.join(f.out, name)) if os.path.isdir(os.path.join(f.out, name)) else []
            assert len(left) == (answer["state"] == "completed"), left
        assert "/boot/grub" in said["links"] and "/etc/fstab" in said["long"] and "too-many-mounts" in said["circles"], said
        assert f.job(id)["state"] == "completed", f.job(id)
        assert files_of(f.images) == before
        now = os.stat("/etc/shadow")
        assert (now.st_mtime_ns, now.st_size, now.st_ino) == (host.st_mtime_ns, host.st_size, host.st_ino)
        if os.listdir(os.path.join(f.out, "links")):
            assert shadow_of(result_of(f, "links")) == shadow_of(healthy)


if __name__ == "__main__":
    main(a_file_system_that_stops_the_kernel_is_told_and_boots_after_fs_repair, a_windows_guest_is_told_and_left_alone,
         killed_at_five_moments_nothing_is_left_and_the_sixth_attempt_repairs, guests_that_mean_harm_end_in_their_time_and_change_nothing_outside)
