#!/usr/bin/env python3
"""A sample operation: hashes the job's image and leaves a JSON report.

How an operation of your own speaks with Hyperfleet (worker protocol v1):
  stdin   one JobSpec, JSON
  stdout  a JSON object a line: ProgressEvents {job_id, timestamp, phase, progress_percent, message},
          and last of all one JobResult {job_id, status, completed_at, outputs, metrics, error}
  stderr  for people; its last words are part of the job's error when the program fails
Files named in `outputs` lie in the working directory, which is private to the job; they are published into
the job's output_dir when all went well.

Declared in the worker's configuration:
  worker:
    operations:
      checksum: {command: [/usr/share/hyperfleet/operations/checksum.py], timeout: 1h}
"""
import datetime
import hashlib
import json
import os
import sys
import time

BLOCK = 1 << 20


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def say(record):
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def hash_image(job, path):
    size = os.path.getsize(path)
    digest = hashlib.sha256()
    done, said = 0, -1
    with open(path, "rb") as image:
        while block := image.read(BLOCK):
            digest.update(block)
            done += len(block)
            percent = 100 * done // size
            if percent != said:
                said = percent
                say({"job_id": job["job_id"], "timestamp": now(), "phase": "hash", "progress_percent": percent,
                     "message": f"{done >> 20} of {size >> 20} MiB"})
    return done, digest.hexdigest()


def main():
    job = json.load(sys.stdin)
    start = time.monotonic()
    try:
        done, digest = hash_image(job, job["image"]["path"])
    except (OSError, KeyError) as error:
        say({"job_id": job["job_id"], "status": "failed", "completed_at": now(),
             "error": {"phase": "hash", "code": "read-failed", "message": str(error)}})
        return 1
    with open("checksum.json", "w", encoding="utf-8") as report:
        json.dump({"algorithm": "sha256", "image": job["image"]["path"], "size_bytes": done, "checksum": digest}, report)
    say({"job_id": job["job_id"], "status": "success", "completed_at": now(), "outputs": {"report": "checksum.json"},
         "metrics": {"execution_seconds": round(time.monotonic() - start, 3), "disk_read_bytes": done}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
