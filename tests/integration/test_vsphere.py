"""vSphere: endpoints, whom they trust, secrets, discovery, and answers nobody should have to read, against a vCenter of our own."""
# FIXTURE: vsphere_sim
# NO KAFKA
import json, os, time

from fleet import main
from vsphere import PASSWORD, VSphere


def discovered(vs, outcome):
    outcome.good()
    with open(os.path.join(vs.out, "web.vms.jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def the_same(vs, found):
    """What was found is what the simulator has, VM for VM."""
    truth = {vm["moref"]: vm for vm in vs.get("/vm")}
    assert len(found) == len(truth) == len({vm["moref"] for vm in found}), (len(found), len(truth))
    for vm in found:
        t = truth[vm["moref"]]
        got = {"name": vm["name"], "path": vm["path"], "power": vm["power_state"], "guest": vm["guest_id"], "cpus": vm["cpus"],
               "memory_mb": vm["memory_mb"], "firmware": vm["firmware"], "disks": [d["size_bytes"] for d in vm["disks"]],
               "nics": len(vm["networks"]), "snapshots": vm["snapshot_count"], "template": vm["template"]}
        assert got == {k: t[k] for k in got}, (got, t)


def discover_lists_1000_vms_of_all_kinds_as_they_are():
    with VSphere("-varied", "-folders", "12", vms=1000, disks=3, mib=1) as vs:
        outcome = vs.run(vs.job("discover"))
        the_same(vs, discovered(vs, outcome))
        report = outcome.json["report"]
        assert report["total"] == 1000 and report["left_out"] + len(report["vms"]) == 1000, report
        assert sum(report["power_states"].values()) == 1000 and report["power_states"]["suspended"] > 0, report["power_states"]
        vs.clean(snapshots=vs.stats()["snapshots_left"])


def discover_of_10000_vms_stays_in_bounded_memory():
    with VSphere("-varied", "-folders", "40", vms=10000, mib=1) as vs:
        thousand = vs.run(vs.job("discover", vm_path="/DC0/vm/Team 0", output_dir=None)).good()
        outcome = vs.run(vs.job("discover"), seconds=200)
        assert len(discovered(vs, outcome)) == outcome.json["report"]["total"] == 10000
        assert outcome.json["report"]["left_out"] > 0, "64 KiB do not hold them all"
        assert outcome.peak_mib - thousand.peak_mib < 48, "%d MiB for 10,000 VMs, %d for a tenth" % (outcome.peak_mib, thousand.peak_mib)
        vs.clean(snapshots=vs.stats()["snapshots_left"])


def discover_follows_the_pages_a_server_cuts():
    with VSphere("-varied", "-folders", "5", "-page", "7", vms=100, mib=1) as vs:
        the_same(vs, discovered(vs, vs.run(vs.job("discover"))))
        assert vs.stats()["calls"]["ContinueRetrievePropertiesEx"] > 10
        vs.clean(snapshots=vs.stats()["snapshots_left"])


def discover_below_a_folder_lists_that_folder_alone():
    with VSphere("-folders", "3", vms=40, mib=1) as vs:
        wanted = {vm["moref"] for vm in vs.get("/vm") if vm["path"].startswith("/DC0/vm/Team 0/")}
        found = discovered(vs, vs.run(vs.job("discover", vm_path="/DC0/vm/Team 0")))
        assert {vm["moref"] for vm in found} == wanted and 0 < len(wanted) < 40
        os.unlink(os.path.join(vs.out, "web.vms.jsonl"))
        vs.run(vs.job("discover", vm_path="/DC9/vm/Team 0")).bad("not-found")


# ---- whom an endpoint trusts

def a_ca_file_is_trusted_for_the_names_it_signed():
    with VSphere() as vs:
        vs.run(vs.job("discover")).good()
        vs.clean()


def a_thumbprint_is_trusted_and_no_other_certificate():
    with VSphere() as vs:
        print_of = vs.stats()["thumbprint"]
        vs.configure(ca_file=None, thumbprint=print_of)
        vs.run(vs.job("discover", output_dir=None)).good()
        wrong = ("00" if not print_of.startswith("00") else "01") + print_of[2:]
        vs.configure(ca_file=None, thumbprint=wrong)
        before = vs.stats()["logins"]
        outcome = vs.run(vs.job("discover")).bad("certificate", status=76)
        assert print_of in outcome.message, "it does not tell which certificate came: " + outcome.message
        assert vs.stats()["logins"] == before, "the password went to a server that is not trusted"
        vs.clean()


def a_certificate_nobody_vouches_for_is_refused():
    with VSphere() as vs:
        vs.configure(ca_file=None)
        vs.run(vs.job("discover")).bad("certificate", status=76)
        vs.configure()
        vs.fault(other_cert=True)
        vs.run(vs.job("discover")).bad("certificate", status=76)
        assert vs.stats()["logins"] == 0


def a_name_the_certificate_does_not_have_is_refused():
    with VSphere() as vs:
        vs.configure(url=vs.sdk.replace("127.0.0.1", "localhost"))
        vs.run(vs.job("discover")).bad("certificate", status=76)
        vs.configure(url=vs.sdk.replace("127.0.0.1", "localhost"), ca_file=None, thumbprint=vs.stats()["thumbprint"])
        vs.run(vs.job("discover")).good()


def insecure_works_and_is_warned_of():
    with VSphere() as vs:
        vs.configure(ca_file=None, insecure=True)
        outcome = vs.run(vs.job("discover")).good()
        assert "insecure" in outcome.err.lower(), outcome.err


# ---- secrets

def a_password_file_that_others_can_read_is_refused():
    with VSphere() as vs:
        os.chmod(vs.path("password"), 0o644)
        outcome = vs.run(vs.job("discover")).bad("config")
        assert "password" in outcome.message and ("600" in outcome.message or "chmod" in outcome.message), outcome.message
        assert vs.stats()["logins"] == 0
        os.chmod(vs.path("password"), 0o600)
        vs.run(vs.job("discover")).good()


def a_password_comes_from_the_environment_or_a_credential():
    with VSphere() as vs:
        vs.configure(password_file=None, password_env="VC_PASSWORD")
        vs.run(vs.job("discover", output_dir=None), env={"VC_PASSWORD": PASSWORD}).good()
        vs.run(vs.job("discover")).bad("config")
        os.mkdir(vs.path("credentials"))
        vs.write("credentials/vc", PASSWORD, 0o400)
        vs.configure(password_file=None, credential="vc")
        vs.run(vs.job("discover", output_dir=None), env={"CREDENTIALS_DIRECTORY": vs.path("credentials")}).good()
        vs.clean()


def a_wrong_password_fails_once_and_for_all():
    with VSphere() as vs:
        vs.write("password", "not it\n", 0o600)
        outcome = vs.run(vs.job("discover")).bad("unauthorized")
        assert "InvalidLogin" in outcome.message, outcome.message
        assert vs.stats()["logins"] == 1, "a refused login was tried again, which locks accounts"
        assert "not it" not in outcome.err + outcome.out
        vs.clean()


# ---- a server that is away, slow or hostile

def a_server_that_is_not_there_is_a_clear_error():
    with VSphere() as vs:
        vs.configure(url="https://127.0.0.1:1/sdk")
        begun = time.monotonic()
        vs.run(vs.job("discover")).bad("unreachable")
        assert time.monotonic() - begun < 30


def connections_refused_and_errors_of_a_proxy_are_worth_another_try():
    with VSphere() as vs:
        for fault in ({"refuse": 1500}, {"sdk_503": 1}, {"sdk_500": 1}):
            vs.reset()
            vs.fault(**fault)
            outcome = vs.run(vs.job("discover", output_dir=None))
            assert outcome.status == 0 or outcome.code in ("unreachable", "timeout"), (fault, outcome.code, outcome.message)  # to be tried again
        vs.clean()


def discover_logs_in_again_when_its_session_ends_midway():
    with VSphere("-varied", "-folders", "3", "-page", "7", vms=60, mib=1) as vs:
        for method in ("CreateContainerView", "RetrievePropertiesEx:2", "ContinueRetrievePropertiesEx:3"):
            vs.fault(expire_session_on=method)
            outcome = vs.run(vs.job("discover"))
            if outcome.status == 0:
                the_same(vs, discovered(vs, outcome))
                os.unlink(os.path.join(vs.out, "web.vms.jsonl"))
            else:
                outcome.bad("unreachable", "timeout", "provider-fault")
            assert vs.stats()["sessions_ended"] > 0
        vs.clean(snapshots=vs.stats()["snapshots_left"])


def hostile_answers_are_refused_in_little_memory_and_time():
    with VSphere() as vs:
        for kind in ("bomb", "entity", "doctype", "huge", "endless-text", "deep", "cut", "garbage", "empty", "html"):
            for method in ("RetrieveServiceContent", "Login", "RetrievePropertiesEx"):
                vs.fault(hostile=kind, hostile_method=method)
                begun = time.monotonic()
                outcome = vs.run(vs.job("discover"), seconds=60)
                outcome.bad("protocol", "limit", "unreachable")
                assert time.monotonic() - begun < 30, (kind, method)
                assert outcome.peak_mib < 400, "%s: %d MiB" % (kind, outcome.peak_mib)  # the limit is 64 MiB; sanitizers keep what was freed
        vs.reset()
        assert vs.stats()["entities_fetched"] == 0, "an external entity was followed"


def faults_of_vsphere_are_told_by_name_with_what_to_do():
    with VSphere() as vs:
        for method, fault, code in (("CreateContainerView", "NoPermission", "permission"), ("RetrievePropertiesEx", "NoPermission", "permission"),
                                    ("Login", "InvalidLogin", "unauthorized"), ("Login", "RestrictedVersion", "unsupported"),
                                    ("CreateContainerView", "SystemError", "provider-fault"), ("Login", "LimitExceeded", "busy")):
            vs.fault(fail="%s:%s" % (method, fault))
            outcome = vs.run(vs.job("discover")).bad(code)
            assert fault in outcome.message, outcome.message
        vs.reset()
        vs.clean()


main(discover_lists_1000_vms_of_all_kinds_as_they_are, discover_of_10000_vms_stays_in_bounded_memory,
     discover_follows_the_pages_a_server_cuts, discover_below_a_folder_lists_that_folder_alone,
     a_ca_file_is_trusted_for_the_names_it_signed, a_thumbprint_is_trusted_and_no_other_certificate,
     a_certificate_nobody_vouches_for_is_refused, a_name_the_certificate_does_not_have_is_refused,
     insecure_works_and_is_warned_of, a_password_file_that_others_can_read_is_refused,
     a_password_comes_from_the_environment_or_a_credential, a_wrong_password_fails_once_and_for_all,
     a_server_that_is_not_there_is_a_clear_error, connections_refused_and_errors_of_a_proxy_are_worth_another_try,
     discover_logs_in_again_when_its_session_ends_midway, hostile_answers_are_refused_in_little_memory_and_time,
     faults_of_vsphere_are_told_by_name_with_what_to_do)
