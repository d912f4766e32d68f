"""The sidecar is what its OpenAPI document says: Schemathesis reads the served document and asks everything it can think of."""
# SECONDS: 900
import http.client, importlib.util, json, os, random, re, shutil, subprocess, sys, urllib.parse

from fleet import BIN, SOURCE, Fleet, main, skip, sleep_job

# What a schema cannot say, and where: a cursor is one that a page ended with, a point one that the log has, a submission's members go
# together. 400 is then right for what the schema allows; everywhere else it is a failure.
CONFIG = """
[generation]
allow-x00 = false  # JSON with NUL in a name is refused, as the parser's limits say

[checks]
positive_data_acceptance.expected-statuses = ["2xx", 304, 401, 403, 404, 409, 414, 429]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422]

[[operations]]
include-operation-id = JUDGED
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 414, 429]

# Submissions are judged one by one, in the answer.
[[operations]]
include-operation-id = ["v1_submit", "jobs_submit", "job_create"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 413, 414, 429]
checks.negative_data_rejection.enabled = false

# A webhook's times and secrets have bounds that its schema leaves to the answer, and a secret needs a place to be kept (422); a trial needs
# hyperhook beside the sidecar (501).
[[operations]]
include-operation-id = ["webhook_create", "v1_webhook_create", "v1_webhook_replace", "v1_webhook_merge"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 414, 422, 429]

[[operations]]
include-operation-id = ["webhook_test", "v1_webhook_test"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 414, 422, 429, 501]
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501]

# The older paths ignore what they do not know, as they always did; and 1.0 is an integer for a schema, not for them.
[[operations]]
include-operation-id = ["jobs_query", "jobs_list", "jobs_cancel", "schedule_create", "schedule_update"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 400, 401, 403, 404, 409, 414, 429]
checks.negative_data_rejection.enabled = false
"""


def judged(telling=frozenset(("cursor", "as_of", "from", "to", "tree_size", "expression"))):
    """The operations of which a parameter means something only with what the log holds, or a body that names such."""
    with open(os.path.join(SOURCE, "docs/openapi.json")) as f:
        paths = json.load(f)["paths"]
    found = [o["operationId"] for methods in paths.values() for o in methods.values() if telling & {p["name"] for p in o["parameters"]}]
    # What a schedule's members mean, and those of its job, no schema can say either.
    found += ["v1_schedule_create", "v1_schedule_replace", "v1_schedule_merge"]
    # Nor which actions go with which target, and which kinds of limits there are.
    found += ["v1_control", "v1_limit", "v1_limit_set", "v1_limit_remove"]
    return found + ["v1_download_jobs", "v1_job_cancel", "v1_job_retry", "worker_create", "v1_jobs_cancel", "v1_jobs_retry", "v1_jobs_delete"]


def new_token(name="tester"):
    text = subprocess.run([os.path.join(BIN, "hyperjournal"), "token", name, "read", "submit", "operate"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.search(r"# (hft_\S+)", text).group(1), text[text.index("  - {"):]


# Which cases are asked follows from the seed and from their number, never from the time they take: every machine asks the same ones. To look for
# more by hand: HF_CONTRACT_SEED=7 HF_CONTRACT_EXAMPLES=30.
SEED, EXAMPLES = os.environ.get("HF_CONTRACT_SEED", "6"), os.environ.get("HF_CONTRACT_EXAMPLES", "3")


# Without --checks all of Schemathesis' checks are made, but for what CONFIG says.
def run_schemathesis(directory, http, token, *more):
    with open(os.path.join(directory, "schemathesis.toml"), "w") as out:
        out.write(CONFIG.replace("JUDGED", json.dumps(judged())))
    # /api/v1/events is a stream without an end: the_endless_stream_keeps_to_the_document asks what has an end, test_streams and others read it.
    command = [sys.executable, "-m", "schemathesis.cli", "run", http + "/api/v1/openapi.json", "--workers", "1", "--seed", SEED,
               "--header", "Authorization: Bearer " + token, "--exclude-path", "/api/v1/events", "--request-timeout", "60", "--continue-on-failure",
               "--max-examples", EXAMPLES, "--no-shrink", "--generation-database", "none", *more]
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=None if "HF_CONTRACT_SEED" in os.environ else 400)


def the_document_and_the_answers_agree():
    if importlib.util.find_spec("schemathesis") is None:
        skip("Schemathesis is not installed: ops/build/python-venv")
    with Fleet() as f:
        token, line = new_token()
        tokens = os.path.join(f.dir, "tokens.yaml")
        with open(tokens, "w") as out:
            out.write("tokens:\n" + line)
        os.chmod(tokens, 0o600)
        # Alone in a folder: without hyperhook beside it no trial of a webhook calls anybody, whatever URL it was given.
        alone = shutil.copy(os.path.join(BIN, "hyperjournal"), f.dir)
        f.journal(program=alone, access__tokens_file=tokens, webhook__secrets_file=os.path.join(f.dir, "webhooks.yaml")), f.dispatch()
        bearer = {"Authorization": "Bearer " + token}
        status, answer = f.request("POST", "/api/v1/jobs", [sleep_job(60000, "job-%d" % i) for i in range(4)], headers=bearer)
        assert status == 200 and answer["accepted"] == 4, answer
        f.request("POST", "/api/v1/jobs/job-0/cancel", {}, headers=bearer)
        nightly = {"id": "nightly", "schedule": "30 2 * * *", "job_template": sleep_job(1)}
        assert f.request("POST", "/api/v1/schedules", nightly, headers=bearer)[0] == 201
        # Then from answer to request along the document's links; a submission of which nothing was taken answers 200 too, and leads nowhere.
        rounds = [(["--phases", "examples,coverage,fuzzing"], 500),
                  (["--phases", "stateful", "--exclude-checks",
                    "positive_data_acceptance,negative_data_rejection,ensure_resource_availability"], 20)]
        for options, least in rounds:
            run = run_schemathesis(f.dir, f.http, token, *options)
            assert run.returncode == 0, run.stdout[-20000:]
            found = re.search(r"(\d+) generated", run.stdout)
            assert found and int(found.group(1)) > least, run.stdout[-2000:]  # it did ask
        assert f.j.alive() and f.request("GET", "/health")[0] == 200


def ask(fleet, method, target, headers=(), seconds=5):
    """Status, headers and what follows within a moment: the stream's answer has no end."""
    host, port = fleet.http[7:].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=seconds)
    connection.request(method, target, headers=dict(headers))
    answer = connection.getresponse()
    endless = answer.status == 200 and method == "GET"
    body = answer.fp.readline() if endless else answer.read()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body


def the_endless_stream_keeps_to_the_document():
    with Fleet() as f:
        f.journal(), f.dispatch()
        f.submit(*[sleep_job(60000) for _ in range(40)])  # each partition has some
        document = f.request("GET", "/api/v1/openapi.json")[1]["paths"]["/api/v1/events"]
        assert list(document) == ["get"], document
        answers = document["get"]["responses"]

        def problem(method, target, status, headers=()):
            got, kinds, body = ask(f, method, target, headers)
            assert got == status, (method, target, headers, got, body)
            assert got == 405 or (str(got) in answers and list(answers[str(got)]["content"]) == [kinds["content-type"]]), (got, kinds)
            if method != "HEAD":
                o = json.loads(body)
                assert o["status"] == status and o["detail"] and o["code"], o
        status, kinds, _ = ask(f, "GET", "/api/v1/events")
        assert status == 200 and list(answers["200"]["content"]) == [kinds["content-type"]] == ["text/event-stream"], kinds
        for accept in ("text/event-stream", "*/*", "text/*", "application/json, text/event-stream;q=0.1"):
            assert ask(f, "GET", "/api/v1/events", [("Accept", accept)])[0] == 200, accept
        for accept in ("application/json", "text/html", "text/event-stream;q=0", "image/*"):
            problem("GET", "/api/v1/events", 406, [("Accept", accept)])
        status, kinds, body = ask(f, "HEAD", "/api/v1/events")
        assert status == 200 and kinds["content-type"] == "text/event-stream" and body == b"", (status, kinds, body)
        problem("HEAD", "/api/v1/events?last_event_id=x", 400)
        for good in ("0--1", "0-0,1--1", "0--1,1--1,2--1,3--1"):
            assert ask(f, "GET", "/api/v1/events?last_event_id=" + good)[0] == 200, good
        rng = random.Random(7)
        bad = ["x", "0", "0-", "-0", "0-0-0", "0--2", "0-0,", "0-999999", "9-0", "-1-0", "0-0;1-0", "0-99999999999999999999999", "99999999999-0", "0-0,x", ",0-0", "0-0 1-0"]
        bad += ["".join(rng.choice("0123456789-,ax.+") for _ in range(rng.randrange(1, 40))) for _ in range(100)]
        for id in bad:
            if re.fullmatch(r"([0-3]-(-1|0*0)(,|$))*", id) and not id.endswith(","):
                continue
            problem("GET", "/api/v1/events?last_event_id=" + urllib.parse.quote(id), 400)
            problem("GET", "/api/v1/events", 400, [("Last-Event-ID", id)])
        for target in ("/api/v1/events?nothing=1", "/api/v1/events?last_event_id=0--1&last_event_id=0--1", "/api/v1/events?last_event_id=" + "0" * 5000):
            problem("GET", target, 400)
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            problem(method, "/api/v1/events", 405)
        assert f.j.alive() and f.request("GET", "/health")[0] == 200


if __name__ == "__main__":
    main(the_document_and_the_answers_agree, the_endless_stream_keeps_to_the_document)
