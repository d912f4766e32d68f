"""An export whose runner is killed in the middle goes on, in the job's next attempt, where it had got to."""
import glob, hashlib, json, os, signal, subprocess, tempfile

from fleet import BIN, Fleet, main, wait_for


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def sparse_image(f, name, mib, every_mib, seed):
    path = os.path.join(f.images, name)
    with open(path, "wb") as out:
        for i in range(0, mib, every_mib):
            out.seek(i << 20)
            out.write(hashlib.shake_256(b"%d %d" % (seed, i)).digest(700000) + b"words and words " * 20000)
        out.truncate(mib << 20)
    return path


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def a_runner_killed_in_the_middle_is_gone_on_from_by_the_next_attempt():
    with Fleet() as f:
        images = [sparse_image(f, "a.raw", 128, 8, 1), sparse_image(f, "b.raw", 320, 16, 2)]
        f.journal(), f.dispatch()
        w = f.worker(worker__checkpoint_bytes="1MiB", worker__slots=1)
        job = {"name": "web", "vm_path": images[0], "disks": [{"path": p} for p in images], "format": "ova"}
        same = {"codec": "fast"}
        undisturbed = f.submit(dict(job, output_dir=f.out + "/undisturbed", options=same))["job_ids"][0]
        f.wait_job(undisturbed)
        out = f.out + "/killed"
        id = f.submit(dict(job, output_dir=out, options=dict(same, bandwidth_limit=10 << 20)))["job_ids"][0]
        wait_for("a checkpoint", lambda: glob.glob(out + "/.hf-*-1.partial/.checkpoint"))
        for pid in children(w.process.pid):
            os.kill(pid, signal.SIGKILL)
        ended = f.wait_job(id)
        accepted = f.accepted(id)
        assert accepted.count("Assigned") == 2 and "RetryScheduled" in accepted, accepted
        report = json.loads(ended["result"]["report"]) if isinstance(ended["result"]["report"], str) else ended["result"]["report"]
        assert report["resumed_from_bytes"] > 0, report
        told = subprocess.run(["kcat", "-C", "-b", f.bootstrap, "-t", f.topic("progress"), "-e", "-q"], capture_output=True, timeout=30).stdout
        assert b"attempt 1 was killed: going on from its checkpoint" in told, told[-3000:]
        assert os.listdir(out) == ["web.ova"], os.listdir(out)
        assert digest(out + "/web.ova") == digest(f.out + "/undisturbed/web.ova")


def run_job_killed_on_the_command_line_goes_on_too():
    with tempfile.TemporaryDirectory(prefix="hf-test-") as dir:
        image = os.path.join(dir, "disk.raw")
        with open(image, "wb") as f:
            for i in range(0, 256, 8):
                f.seek(i << 20)
                f.write(hashlib.shake_256(b"%d" % i).digest(600000))
        def run(attempt, out, limit=0):
            job = {"vm_path": image, "output_dir": dir + "/" + out, "format": "vmdk", "options": {"bandwidth_limit": limit, "codec": "fast"}}
            with open(dir + "/job.json", "w") as f:
                json.dump(job, f)
            return subprocess.Popen([BIN + "/hyperworker", "run-job", dir + "/job.json", "--job-id", "j1", "--attempt", str(attempt), "--set",
                                     "worker.roots=[%s]" % dir, "--set", "worker.checkpoint_bytes=1MiB"], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        whole = run(1, "whole")
        whole.communicate(timeout=60)
        assert whole.returncode == 0
        killed = run(1, "out", 8 << 20)
        wait_for("a checkpoint", lambda: os.path.exists(dir + "/out/.hf-j1-1.partial/.checkpoint"))
        killed.kill()
        killed.communicate()
        second = run(2, "out")
        out, said = second.communicate(timeout=60)
        assert second.returncode == 0 and "info: attempt 1 was killed: going on from its checkpoint" in said, said
        assert json.loads(out)["report"]["resumed_from_bytes"] > 0, out
        assert os.listdir(dir + "/out") == ["disk.vmdk"] and digest(dir + "/out/disk.vmdk") == digest(dir + "/whole/disk.vmdk")


if __name__ == "__main__":
    main(a_runner_killed_in_the_middle_is_gone_on_from_by_the_next_attempt, run_job_killed_on_the_command_line_goes_on_too)
