"""vm.discovered, from a vCenter to a receiver."""
# FIXTURE: vsphere_sim
import json, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import Fleet, main, sleep_job, wait_for
from test_webhooks import Receiver, hook
from vsphere import PASSWORD, VSphere


def a_finished_discovery_is_told_with_the_machines_it_found():
    r, asked = Receiver(), Receiver()
    with VSphere(vms=3, mib=1) as vs, Fleet() as f:
        vs.vm("DC0_C0_RP0_VM0", power="on")
        f.journal()
        f.dispatch()
        f.worker(endpoints=json.dumps({"vc": vs.endpoint()}), worker__roots=json.dumps([vs.dir]))
        hook(f, webhooks=[{"id": "all", "url": r.url, "ordered": True}, {"id": "asked", "url": asked.url, "events": ["vm.discovered"], "format": "cloudevents"}])
        f.submit(vs.job("discover", job_id="found", name="found"), vs.job("discover", job_id="nothing", name="nothing", vm_path="nobody", retry_count=0),
                 dict(sleep_job(id="other"), output_dir=vs.out))
        f.wait_job("found"), f.wait_job("other"), f.wait_job("nothing", ("failed",))
        ends = {("found", "job.completed"), ("other", "job.completed"), ("nothing", "job.failed")}
        wait_for("the ends of all", lambda: ends <= set(r.told()), 30)
        told = wait_for("what was found", lambda: r.of("vm.discovered"), 30)
        assert len(told) == 1, "the failed one found nothing, and the other does not look"
        data = told[0]["body"]["data"]
        truth = {vm["path"]: vm["power"] for vm in vs.get("/vm")}
        assert data["provider"] == "vsphere" and {vm["path"]: vm["power_state"] for vm in data["vms"]} == truth and len(truth) == 3, data
        event = wait_for("the same as a cloud event", lambda: asked.got, 30)[0]["body"]
        assert event["type"] == "io.hyperfleet.vm.discovered" and event["subject"] == "vsphere" and event["data"] == data, event
        assert len(asked.got) == 1
        assert PASSWORD not in json.dumps([x["body"] for x in r.of() + asked.got])
    r.close(), asked.close()


if __name__ == "__main__":
    main(a_finished_discovery_is_told_with_the_machines_it_found)
