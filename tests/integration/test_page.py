"""The page in a real browser, and live streams read by a client that nobody here wrote (tests/integration/web)."""
import json, os, shutil, subprocess, threading, time

import confluent_kafka

from fleet import SOURCE, Fleet, main, skip, sleep_job, wait_for

BROWSERS = ("/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser")
PICTURES = os.path.join(SOURCE, "build/test-logs/page")


def script_environment(**more):
    if not shutil.which("npm"):
        skip("npm is missing: ops/install-deps --test")
    run = subprocess.run([os.path.join(SOURCE, "ops/build/node-modules")], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=200)
    assert run.returncode == 0, "ops/build/node-modules failed"
    return dict(os.environ, HF_NODE_DIR=run.stdout.strip(), **more)


def script(name, *args, seconds=120):
    run = subprocess.run(["node", os.path.join(SOURCE, "tests/integration/web", name), *args], env=script_environment(),
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=seconds)
    print(run.stdout)
    assert run.returncode == 0, "%s:\n%s" % (name, run.stdout[-6000:])
    return run.stdout


def somebody_works_with_the_page():
    if not any(os.path.exists(b) for b in BROWSERS):
        skip("no chromium or chrome: ops/install-deps --test")
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        image = f.raw_image(mib=8)
        poison = confluent_kafka.Producer({"bootstrap.servers": f.bootstrap})
        poison.produce(f.topic("submissions"), key="poison-bytes", value=b"\x99\xfe <b>nobody reads this</b>")
        poison.produce(f.topic("submissions"), key="poison-text", value=b"{ half a job <b>bold</b>")
        assert poison.flush(10) == 0
        script("page.mjs", f.http, image, f.out, PICTURES)


def a_client_cut_off_at_random_sees_each_event_once():
    with Fleet() as f:
        f.journal(), f.dispatch(), f.worker()
        lines = []
        client = subprocess.Popen(["node", os.path.join(SOURCE, "tests/integration/web/streams.mjs"), f.http], env=script_environment(),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            reader = threading.Thread(target=lambda: lines.extend(iter(client.stdout.readline, "")), daemon=True)
            reader.start()
            wait_for("the stream's begin", lambda: "begin\n" in lines)
            ids = []
            for _ in range(10):
                ids += f.submit(*[sleep_job(1) for _ in range(4)])["job_ids"]
                time.sleep(0.3)
            for id in ids:
                f.wait_job(id)
            wanted = sorted((e["partition"], e["offset"], id) for id in ids for e in f.events(id))

            def seen():
                events = [json.loads(l.split(" ", 1)[1]) for l in lines if l.endswith("}\n")]
                return sorted((e["partition"], e["offset"], e["job_id"]) for e in events)
            try:
                wait_for("every event", lambda: len(seen()) >= len(wanted), 60)
            except AssertionError:
                raise AssertionError("missing: %s" % sorted(set(wanted) - set(seen()))[:20])
            client.stdin.write("end\n")
            client.stdin.flush()
            reader.join(20)
            assert seen() == wanted, (len(seen()), len(wanted))
            cuts = int(lines[-1].split()[1])
            assert cuts >= 3, "it was cut off only %d times" % cuts
            print("%d events, cut off %d times" % (len(wanted), cuts))
        finally:
            client.kill()
            client.wait()


if __name__ == "__main__":
    main(somebody_works_with_the_page, a_client_cut_off_at_random_sees_each_event_once)
