"""Descriptors of exports, read by programs that are not ours, which must understand the machine that the job described: govmomi, with
which govc and its simulator read, strictly; and virt-v2v.
"""
# FIXTURE: vsphere_sim
import json, os, shutil, subprocess, tempfile

from fleet import BIN, SKIP, SOURCE, main, skip

READER = os.path.join(SOURCE, "tests/integration/go_ovf")


def _build_reader():
    run = subprocess.run([os.path.join(SOURCE, "tests/support/vsphere-sim/build"), READER], stdout=subprocess.PIPE, text=True)
    if run.returncode == SKIP:
        skip("go_ovf cannot be built here: see above")
    assert run.returncode == 0, "go_ovf could not be built"
    return run.stdout.strip()


def export(dir, name, parameters, disks=1, **options):
    """Exports sparse disks as a directory with a descriptor; the descriptor's path."""
    paths = []
    for i in range(disks):
        paths.append(os.path.join(dir, "%s-%d.raw" % (name, i)))
        with open(paths[-1], "wb") as f:
            f.write(os.urandom(70000))
            f.truncate((i + 1) << 20)
    job = {"job_id": name, "name": name, "operation": "export", "format": "ovf", "disks": paths, "options": options,
           "output_dir": os.path.join(dir, "out"), "parameters": parameters}
    run = subprocess.run([os.path.join(BIN, "hyperworker"), "run-job", "-", "--set", "worker.roots=[%s]" % dir], text=True,
                         input=json.dumps(job), capture_output=True, timeout=100)
    if run.returncode != 0:
        raise AssertionError(run.stdout + run.stderr)
    return os.path.join(dir, "out", name, name + ".ovf")


def read(program, descriptor):
    run = subprocess.run([program, descriptor], capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        raise AssertionError(run.stderr + open(descriptor).read())
    return json.loads(run.stdout)


def disks_of(said):
    return [(d["controller"], d["unit"], d["bytes"]) for d in said["devices"] if d["kind"] == "disk"]


def kinds(said):
    return sorted(d["kind"] for d in said["devices"])


def check_plain(dir, program):
    descriptor = export(dir, "plain", {}, disks=2)
    said = read(program, descriptor)
    assert (said["name"], said["guest"], said["cim_os"], said["hardware"]) == ("plain", "otherGuest64", 102, "vmx-10"), said
    assert (said["cpus"], said["memory_mb"], said["firmware"]) == (1, 1024, ""), said
    assert disks_of(said) == [("lsilogic", 0, 1 << 20), ("lsilogic", 1, 2 << 20)], said
    sizes = {f: os.path.getsize(os.path.join(os.path.dirname(descriptor), f)) for f in said["files"]}
    assert len(sizes) == 2 and said["files"] == sizes, (said, sizes)
    assert said["formats"] == ["http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"] * 2


def check_rich(dir, program):
    said = read(program, export(dir, "rich", {
        "os_type": "rhel9_64Guest", "cpus": 8, "cores_per_socket": 4, "memory_mb": 16384, "firmware": "efi", "secure_boot": True,
        "controller": "pvscsi", "annotation": "made <nightly> & kept", "cdrom": True, "floppy": True,
        "nics": [{"model": "vmxnet3", "network": "dmz \"1\"", "mac": "00:50:56:00:00:01"}, {"model": "E1000e", "network": "dmz \"1\""}],
    }, disks=9))
    assert (said["guest"], said["cim_os"], said["hardware"]) == ("rhel9_64Guest", 80, "vmx-13"), said
    assert (said["cpus"], said["cores_per_socket"], said["memory_mb"]) == (8, 4, 16384), said
    assert (said["firmware"], said["secure_boot"]) == ("efi", True), said
    assert [d[:2] for d in disks_of(said)] == [("pvscsi", u) for u in (0, 1, 2, 3, 4, 5, 6, 8, 9)], said
    assert said["networks"] == ["dmz \"1\""] and said["nics"] == {"00:50:56:00:00:01": "VmxNet3"}, said
    assert [d["kind"] for d in said["devices"] if "types" in d["kind"]] == ["*types.VirtualVmxnet3", "*types.VirtualE1000e"], said
    assert [d["controller"] for d in said["devices"] if d["kind"] == "cdrom"] == ["ide"], said
    assert "floppy" in kinds(said), said
    assert said["annotation"] == "made <nightly> & kept", said


def check_controllers(dir, program):
    for name, kind, hardware in (("ide", "ide", "vmx-10"), ("sata", "ahci", "vmx-10"), ("lsilogic", "lsilogic", "vmx-10"),
                                 ("lsisas", "lsilogic-sas", "vmx-10"), ("buslogic", "buslogic", "vmx-10"), ("nvme", "nvme", "vmx-13")):
        said = read(program, export(dir, "on-" + name, {"controller": name, "cdrom": True}, disks=3, remove_cdrom=name != "ide"))
        at = [d[0] for d in disks_of(said)]
        assert at == [kind] * 3, (name, said)
        assert said["hardware"] == hardware, (name, said)
        assert ("cdrom" in kinds(said)) == (name == "ide"), (name, said)


def v2v_says(path, kind):
    run = subprocess.run(["virt-v2v", "-i", kind, "--print-source", path], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    return [line.strip() for line in run.stdout.splitlines()]


def check_v2v(dir, controller, bus):
    name = "v2v-" + controller
    descriptor = export(dir, name, {
        "cpus": 4, "cores_per_socket": 2, "memory_mb": 2048, "firmware": "efi", "controller": controller, "cdrom": True,
        "floppy": True, "nics": [{"network": "lan & wan", "mac": "00:50:56:00:00:01"}]}, disks=2)
    said = v2v_says(os.path.dirname(descriptor), "ova")
    for line in ("source name: " + name, "memory: 2147483648 (bytes)", "nr vCPUs: 4", "firmware: uefi", "0 [%s]" % bus, "1 [%s]" % bus,
                 "CPU topology: sockets: 2 cores/socket: 2 threads/core: 1", "Floppy in slot 0",
                 "Bridge \"lan & wan\" mac: 00:50:56:00:00:01 [vmxnet3]"):
        assert line in said, (controller, line, said)
    assert any(line.startswith("CD-ROM [") for line in said), said


def test_virt_v2v_understands_the_descriptor():
    if not shutil.which("virt-v2v"):
        skip("virt-v2v is not installed")
    with tempfile.TemporaryDirectory(prefix="hf-ovf-") as dir:
        for controller, bus in (("pvscsi", "scsi"), ("lsilogic", "scsi"), ("ide", "ide"), ("sata", "sata")):
            check_v2v(dir, controller, bus)


def test_govmomi_understands_the_descriptor():
    with tempfile.TemporaryDirectory(prefix="hf-ovf-") as dir:
        program = _build_reader()
        check_plain(dir, program)
        check_rich(dir, program)
        check_controllers(dir, program)


if __name__ == "__main__":
    main(test_govmomi_understands_the_descriptor, test_virt_v2v_understands_the_descriptor)
