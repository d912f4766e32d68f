"""Guests that boot: made by tests/support/guests/make, broken through libguestfs, booted in QEMU with virtio disks and a serial console."""
import os, re, select, shutil, subprocess, time

from fleet import SOURCE, skip

DIR = os.environ.get("HF_GUESTS_DIR") or os.path.join(SOURCE, "build/guests")
FIRMWARE = ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd")
UP = re.compile(r"HF-GUEST-UP (\d+) failed units")
# What a guest says that will not come up any more: no need to wait for the end of the time.
DOWN = re.compile(r"Kernel panic|ALERT!.*does not exist|Entering emergency mode|You are in emergency mode|error: (no such device|unknown filesystem|file `[^']*' not found)|"
                  r"grub rescue> |grub> |\(initramfs\)|No bootable (device|option)|Boot failed|UEFI Interactive Shell|Shell>|Give root password for maintenance")


def image(kind):
    """The guest of a kind (tests/support/guests/make): bios, uefi, lvm … Nobody writes to it."""
    path = os.path.join(DIR, kind + ".img")
    if not os.path.exists(path):
        made = subprocess.run([os.path.join(SOURCE, "tests/support/guests/make"), DIR, kind], stdin=subprocess.DEVNULL)
        if made.returncode == 77:
            skip("the guests cannot be made here")
        assert made.returncode == 0, "making the guest %s: status %d" % (kind, made.returncode)
    return path


def overlay(path, name):
    """A qcow2 image in front of that one, to be broken."""
    base = "qcow2" if path.endswith(".qcow2") else "raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", base, "-b", path, name], check=True)
    return name


def copy(path, name):
    subprocess.run(["cp", "--reflink=auto", "--sparse=always", path, name], check=True)
    return name


def shell(path, *commands, read_only=False):
    """Runs commands of guestfish on the image (its disk: /dev/sda); what they print."""
    env = dict(os.environ, LIBGUESTFS_BACKEND="direct")
    if os.environ.get("HF_GUEST_KVM") != "yes":
        env["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
    command = ["guestfish", "--ro" if read_only else "--rw", "--format=" + ("qcow2" if path.endswith(".qcow2") else "raw"), "-a", path]
    done = subprocess.run(command, input="run\n" + "\n".join(commands) + "\n", env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    assert done.returncode == 0, done.stdout
    return done.stdout


def boot(path, uefi=False, seconds=400):
    """Starts it with a virtio disk in front of a throw-away layer: whether it came up with no failed unit, and what its console said."""
    # graphics=off: the BIOS puts what it shows on the serial port, and so what GRUB says before it has a terminal.
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35" if uefi else "q35,graphics=off",
               "-cpu", "qemu64", "-smp", "2", "-m", "768", "-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio", "-nic", "none", "-device", "virtio-rng-pci",
               "-drive", "file=%s,format=%s,if=virtio,snapshot=on" % (path, "qcow2" if path.endswith(".qcow2") else "raw")]
    if uefi:
        firmware = next((f for f in FIRMWARE if os.path.exists(f)), None)
        if not firmware:
            skip("no UEFI firmware for QEMU: install ovmf")
        command += ["-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + firmware]
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text, end, up = "", time.monotonic() + seconds, None
    try:
        while up is None and time.monotonic() < end:
            if select.select([machine.stdout], [], [], 1)[0]:
                more = os.read(machine.stdout.fileno(), 65536)
                if not more:
                    break
                text += more.decode("utf-8", "replace")
            found = UP.search(text)
            if found:
                up = found.group(1) == "0"
            elif DOWN.search(text):
                up = False
    finally:
        machine.kill()
        machine.wait()
        machine.stdout.close()
    return bool(up), text
