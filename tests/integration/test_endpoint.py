"""Endpoints as an operator meets them: `hyperctl endpoint`, and a fleet whose workers hold one."""
# FIXTURE: vsphere_sim
# NO KAFKA
import json, os, re, ssl, subprocess, urllib.request
from xml.sax.saxutils import escape

from fleet import BIN, main, wait_for
from test_dev import Dev
from vsphere import PASSWORD, VSphere

STEPS = ["configuration", "secret", "name", "tcp", "tls", "service", "login", "inventory", "privileges"]


def check(vs, *args, name="vc"):
    run = subprocess.run([os.path.join(BIN, "hyperctl"), "--config", vs.config_path, "endpoint", "check", name, *args], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, timeout=60)
    vs.said += [run.stdout, run.stderr]
    return run


def failed_at(vs, step, status, *says):
    """Every step before it is fine, it is the last one told, and its text says what to do."""
    run = check(vs, "--output", "json")
    report = json.loads(run.stdout)
    steps = [(c["check"], c["status"]) for c in report["checks"]]
    assert [s for s, _ in steps] == STEPS[: STEPS.index(step) + 1], steps
    assert steps[-1][1] == "failed" and all(s != "failed" for _, s in steps[:-1]), steps
    assert run.returncode == status and not report["usable"], (run.returncode, report)
    for text in says:
        assert text in report["checks"][-1]["text"], report["checks"][-1]["text"]


def endpoint_check_tells_all_steps_of_an_endpoint_that_works():
    with VSphere(vms=5, mib=1) as vs:
        run = check(vs)
        assert run.returncode == 0, run.stdout + run.stderr
        assert [line.split()[:2] for line in run.stdout.splitlines()] == [["ok", step] for step in STEPS], run.stdout
        assert "5 VMs" in run.stdout
        report = json.loads(check(vs, "--output", "json").stdout)
        assert report["usable"] and report["code"] == "ok" and len(report["checks"]) == len(STEPS)
        vs.configure(ca_file=None, insecure=True)
        run = check(vs)
        assert run.returncode == 0 and re.search(r"^warn +tls +.*thumbprint", run.stdout, re.M), run.stdout
        vs.clean()


def endpoint_check_stops_at_what_does_not_work():
    with VSphere(mib=1) as vs:
        vs.configure(ca_file=None, thumbprint="aa:bb")
        failed_at(vs, "configuration", 78, "endpoints.vc.thumbprint", "SHA-256")
        vs.configure(password_file=vs.path("none"))
        failed_at(vs, "secret", 78, "endpoints.vc.password_file", "does not exist")
        vs.configure(url="https://no-such-host.invalid/sdk")
        failed_at(vs, "name", 69, "no-such-host.invalid")
        vs.configure(url="https://127.0.0.1:1/sdk")
        failed_at(vs, "tcp", 69)
        vs.configure(ca_file=None)
        failed_at(vs, "tls", 76, vs.stats()["thumbprint"])
        vs.configure(url=vs.sdk + "x")
        failed_at(vs, "service", 66, "404", "/sdk")
        vs.configure(username="nobody")
        failed_at(vs, "login", 77, "InvalidLogin", "nobody")
        vs.configure()
        vs.fault(fail="CreateContainerView:NoPermission")
        failed_at(vs, "inventory", 77, "NoPermission")
        vs.reset()
        run = check(vs, name="other")
        assert run.returncode == 66 and "there are: vc" in run.stdout, run.stdout
        vs.clean()


SAML = """<?xml version="1.0"?>
<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion"><saml2:Subject><saml2:NameID>%s</saml2:NameID></saml2:Subject></saml2:Assertion>
"""


def a_token_logs_in_where_there_is_no_password():
    with VSphere(vms=3, mib=1) as vs:
        vs.write("token", SAML % "exporter@vsphere.local", 0o600)
        vs.configure(password_file=None, username=None, token_file=vs.path("token"))
        run = check(vs)
        assert run.returncode == 0 and "3 VMs" in run.stdout, run.stdout
        assert vs.stats()["calls"]["LoginByToken"] == 1
        vs.write("token", SAML % "", 0o600)
        failed_at(vs, "login", 77, "InvalidLogin", "token")
        vs.write("token", "no XML <", 0o600)
        failed_at(vs, "login", 78, "SAML")
        os.chmod(vs.path("token"), 0o644)
        failed_at(vs, "secret", 78, "token_file", "chmod")
        vs.clean()


def endpoint_list_shows_them_without_secrets():
    with VSphere(mib=1) as vs:
        run = subprocess.run([os.path.join(BIN, "hyperctl"), "--config", vs.config_path, "endpoint", "list", "--output", "json"], stdout=subprocess.PIPE, text=True)
        [one] = json.loads(run.stdout)
        assert one["name"] == "vc" and one["url"] == vs.sdk and one["username"] == "exporter" and one["trust"] == "ca_file", one
        assert PASSWORD not in run.stdout and vs.path("password") not in run.stdout


# ---- which VM a job means

def soap(vs, method, self_type, self_value, inner, cookie=None):
    body = """<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><%s xmlns="urn:vim25"><_this type="%s">%s</_this>%s</%s></e:Body></e:Envelope>""" % (
        method, self_type, self_value, inner, method)
    request = urllib.request.Request(vs.sdk, body.encode(), {"Content-Type": "text/xml", "SOAPAction": "urn:vim25/6.5", **({"Cookie": cookie} if cookie else {})})
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=vs.path("ca.pem"))) as answer:
        return answer.headers.get("Set-Cookie", "").split(";")[0]


def rename(vs, moref, name):
    cookie = soap(vs, "Login", "SessionManager", "SessionManager", "<userName>exporter</userName><password>%s</password>" % escape(PASSWORD))
    soap(vs, "Rename_Task", "VirtualMachine", moref, "<newName>%s</newName>" % escape(name), cookie)
    soap(vs, "Logout", "SessionManager", "SessionManager", "", cookie)


def a_name_that_several_vms_have_is_refused_with_their_paths():
    with VSphere("-folders", "3", vms=12, mib=1) as vs:
        folders = {}
        for vm in vs.get("/vm"):
            folders.setdefault(os.path.dirname(vm["path"]), vm)
        twins = list(folders.values())[:2]
        assert len(twins) == 2
        for vm in twins:
            rename(vs, vm["moref"], "twin & co")
        outcome = vs.run(vs.job(vm_path="twin & co")).bad("invalid")
        for vm in twins:
            assert os.path.dirname(vm["path"]) + "/twin & co" in outcome.message, outcome.message
        vs.run(vs.job(vm_path="nobody")).bad("not-found")
        outcome = vs.run(vs.job(vm_path=twins[0]["moref"], format="vmdk")).good()
        assert twins[0]["moref"] in outcome.json["report"]["source"], outcome.json
        vs.clean()


# ---- in a fleet

def metrics(dev):
    with urllib.request.urlopen("http://" + dev.ready["http"].removeprefix("http://") + "/metrics") as answer:
        text = answer.read().decode()
    return dict(re.findall(r'^hypersdk_vms_discovered\{provider="vsphere",power_state="(\w+)"\} (\d+)$', text, re.M))


def discover(dev, vs, name, **more):
    job = json.dumps(dict({"name": name, "operation": "discover", "endpoint": "vc", "output_dir": vs.out}, **more))
    id = dev.ctl("submit", "-f", "-", input=job).stdout.split()[0]
    dev.wait_state(id, "completed")
    return dev.job(id)


def a_fleet_discovers_and_remembers_what_was_found_last():
    with VSphere("-folders", "2", vms=30, mib=1) as vs:
        for i in range(4):
            vs.vm("DC0_C0_RP0_VM%d" % i, power="on")
        truth = vs.get("/vm")
        state = vs.path("fleet")
        with Dev("--config", vs.config_path, state=state) as dev:
            discover(dev, vs, "all")
            assert metrics(dev) == {"poweredOn": "4", "poweredOff": "26"}, metrics(dev)
            with open(os.path.join(vs.out, "all.vms.jsonl")) as f:
                assert len(f.readlines()) == 30
            one = next(vm["path"] for vm in truth if vm["power"] == "poweredOff")
            discover(dev, vs, "one", vm_path=one)
            assert metrics(dev) == {"poweredOff": "1"}, metrics(dev)  # the last one counts
            workers = json.loads(dev.ctl("workers", "--output", "json").stdout)
            assert "vc" in json.dumps(workers), workers
            id = dev.ctl("submit", "-f", "-", input=json.dumps({"operation": "discover", "endpoint": "elsewhere"})).stdout.split()[0]
            wait_for("the job for another's endpoint to be queued", lambda: (dev.job(id) or {}).get("state") == "queued", 10)
            discover(dev, vs, "later")  # which this worker does, while that one waits
            assert dev.job(id)["state"] == "queued", dev.job(id)
            dev.ctl("cancel", id)
            dev.wait_state(id, "cancelled")
            assert dev.stop() == 0
        journal = subprocess.run([os.path.join(BIN, "hyperjournal"), "verify", state], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert journal.returncode == 0, journal.stdout
        vs.clean()


if __name__ == "__main__":
    main(endpoint_check_tells_all_steps_of_an_endpoint_that_works, endpoint_check_stops_at_what_does_not_work,
         a_token_logs_in_where_there_is_no_password, endpoint_list_shows_them_without_secrets,
         a_name_that_several_vms_have_is_refused_with_their_paths, a_fleet_discovers_and_remembers_what_was_found_last)
