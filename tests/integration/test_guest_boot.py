# FIXTURE: guests
# LABELS: guest
# SECONDS: 1500
"""A guest that does not boot is repaired as a job by the fleet, and boots. The one that was not repaired does not, by the same look at its console."""
import hashlib, json, os, re, subprocess

import guests
from fleet import Fleet, main

ROOT = "?offset=1048576"  # the bios guest's file system, for e2fsprogs
PATIENCE = 900  # emulated, beside other tests


def sha256(path):
    done = hashlib.sha256()
    with open(path, "rb") as f:
        while more := f.read(1 << 20):
            done.update(more)
    return done.hexdigest()


def debugfs(image, *commands, write=False):
    """What e2fsprogs does to the file system without mounting it."""
    command = ["debugfs", *(["-w"] if write else []), "-f", "/dev/stdin", image + ROOT]
    done = subprocess.run(command, input="\n".join(commands) + "\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def change_text(image, path, change):
    """Puts another text into a file of the bios guest."""
    old = subprocess.run(["debugfs", "-R", "cat " + path, image + ROOT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    new = change(old)
    assert new != old and old, (path, old)
    with open(image + ".text", "w") as f:
        f.write(new)
    debugfs(image, "rm " + path, "write %s %s" % (image + ".text", path), "sif %s mode 0100644" % path, write=True)
    os.unlink(image + ".text")


def add_file(image, path, text):
    with open(image + ".text", "w") as f:
        f.write(text)
    debugfs(image, "write %s %s" % (image + ".text", path), "sif %s mode 0100644" % path, write=True)
    os.unlink(image + ".text")


def as_vmware_had_it(image):
    """File systems and the kernel's root by the names that disks had behind VMware's controller, its modules, and the names of its cards."""
    change_text(image, "/etc/fstab", lambda t: re.sub(r"UUID=\S+", "/dev/sda1", t))
    change_text(image, "/boot/grub/grub.cfg", lambda t: re.sub(r"root=UUID=\S+", "root=/dev/sda1", t))
    change_text(image, "/etc/initramfs-tools/modules", lambda t: t + "vmw_pvscsi\n")
    add_file(image, "/etc/systemd/network/10-lan.network", "[Match]\nName=ens192\n\n[Network]\nDHCP=yes\n")
    add_file(image, "/etc/udev/rules.d/70-persistent-net.rules", 'SUBSYSTEM=="net", ATTR{address}=="00:50:56:01:02:03", NAME="eth0"\n')


def worker(f):
    # libguestfs hands strndup() buffers of just the bytes it asks for, which strict_string_checks takes for an overflow.
    return f.worker(env={"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1"}, worker__lease="60s")


def run(f, operation, source, output=None, **parameters):
    job = {"name": operation, "operation": operation, "vm_path": source, "parameters": parameters}
    if output:
        job["output_dir"] = os.path.join(f.out, output)
    id = f.submit(job)["job_ids"][0]
    answer = f.wait_job(id, seconds=PATIENCE)
    report = answer["result"]["report"]
    return answer, json.loads(report) if isinstance(report, str) else report


def result_of(f, output):
    names = [n for n in os.listdir(os.path.join(f.out, output)) if n.endswith((".raw", ".qcow2", ".img"))]
    assert len(names) == 1, os.listdir(os.path.join(f.out, output))
    return os.path.join(f.out, output, names[0])


def must_boot(path, **more):
    up, said = guests.boot(path, **more)
    assert up, "it did not come up:\n" + said[-4000:]
    return said


def must_not_boot(path, **more):
    up, said = guests.boot(path, **more)
    assert not up, "it came up unrepaired:\n" + said[-2000:]
    return said


def a_guest_that_left_vmware_boots_after_offline_fix_and_not_before():
    with Fleet(partitions=1) as f:
        source = guests.copy(guests.image("bios"), os.path.join(f.images, "web.raw"))
        as_vmware_had_it(source)
        before = sha256(source)
        said = must_not_boot(source, seconds=300)
        assert "/dev/sda1" in said, said[-2000:]
        f.journal(), f.dispatch(), worker(f)
        answer, report = run(f, "offline_fix", source, "repaired", skip=["selinux_prep"])
        assert not [x for x in report["findings"] if x["severity"] == "error"], report
        changed = {c["path"]: c for c in report["changes"]}
        assert {"/etc/fstab", "/etc/initramfs-tools/modules", "/etc/systemd/network/10-hyperfleet-ens192.link",
                "/etc/udev/rules.d/70-persistent-net.rules"} <= set(changed), report["changes"]
        assert "-/dev/sda1 " in changed["/etc/fstab"]["diff"] and "+UUID=" in changed["/etc/fstab"]["diff"], changed["/etc/fstab"]
        steps = {s["name"]: s["result"] for s in report["steps"]}
        assert steps["selinux_relabel"] == "skipped" and steps["fstab"] == "done" and steps["initramfs"] == "nothing to do", steps
        assert answer["result"]["os_type"] == "debian", answer["result"]
        must_boot(result_of(f, "repaired"))
        assert sha256(source) == before
        answer, exported = run(f, "export", result_of(f, "repaired"), "ova", inspect_guest=True)
        assert answer["result"]["os_type"] == "debian12_64Guest" and exported["guest"]["kvm"]["verdict"] == "ready", (answer["result"], exported)
        _, again = run(f, "offline_fix", result_of(f, "repaired"), dry_run=True)
        assert again["changed"] == 0, again["changes"]


if __name__ == "__main__":
    main(a_guest_that_left_vmware_boots_after_offline_fix_and_not_before)
