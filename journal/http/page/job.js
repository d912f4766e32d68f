// One job: how far it is, what happened to it, what it said, what it was asked for, what it made.
import { ask, get, post } from "./api.js";
import { facts, h, note, table } from "./dom.js";
import { between, bytes, duration, state, when } from "./format.js";

function progressOf(job) {
  const p = job.progress;
  if (!p || ["completed", "failed", "cancelled"].includes(job.state)) return null;
  const known = p.percent >= 0;
  return h("section", { "aria-label": "Progress" }, h("h2", {}, "Progress"), h("div", { class: "panel" },
    h("progress", known ? { max: 100, value: p.percent, "aria-label": "Progress" } : { "aria-label": "Progress" }),
    facts([["Phase", p.phase], ["Done", known ? p.percent.toFixed(1) + " %" : ""],
      ["Bytes", p.bytes_total ? bytes(p.bytes_done) + " of " + bytes(p.bytes_total) : ""], ["Rate", p.bytes_per_second ? bytes(p.bytes_per_second) + "/s" : ""],
      ["Left", p.eta_seconds >= 0 ? duration(p.eta_seconds) : ""], ["Now", p.current], ["Says", p.message]])));
}

// "Progressing (export)": what of an event a reader looks for.
function names(e) {
  if (!e.transitions) return (e.events || ["unreadable"]).join(", ");
  return e.transitions.map((t) => t.type + (t.phase ? " (" + t.phase + ")" : "")).join(", ");
}

function timeline(events) {
  return h("ol", { class: "timeline" }, events.map((e) => h("li", { class: e.verdict },
    h("strong", {}, names(e)), " ", h("span", { class: "dim" }, when(e.at), e.attempt ? " · attempt " + e.attempt : "", " · ", e.by || "", " · " + e.partition + "/" + e.offset),
    e.verdict === "rejected" ? h("div", {}, "rejected: " + (e.detail || e.reason)) : null)));
}

function artifacts(job) {
  const list = (job.result && job.result.artifacts) || [];
  return list.length ? table("What it made", [
    ["File", (a) => a.path, "id"], ["Kind", (a) => a.kind], ["Size", (a) => bytes(a.size_bytes), "num"], ["SHA-256", (a) => h("code", {}, a.sha256 || ""), "id"],
  ], list) : h("p", { class: "dim" }, "Nothing yet.");
}

function limitOf(j) {
  const limit = j.bandwidth_limit >= 0 ? j.bandwidth_limit : ((j.spec || {}).options || {}).bandwidth_limit;
  return limit ? bytes(limit) + "/s" : "";
}

function details(title, value) {
  return h("details", {}, h("summary", {}, title), h("pre", {}, JSON.stringify(value, null, 2)));
}

// Another priority or bandwidth, while it is not over. What somebody typed is not lost when the page loads anew.
function adjustment(j, path, load) {
  const spec = j.spec || {};
  const priority = h("select", { name: "priority", "aria-label": "Priority" }, Array.from({ length: 10 }, (_, i) => h("option", { value: String(i + 1) }, String(i + 1))));
  priority.value = String(j.priority || (spec.execution_policy || {}).priority || 5);
  const limit = h("input", { name: "bandwidth", size: "12", placeholder: "50MiB/s, 0: none", "aria-label": "Bandwidth limit" });
  const reason = h("input", { name: "reason", size: "24", maxlength: "1000", placeholder: "for the record", "aria-label": "Why" });
  const was = priority.value;
  return h("form", { class: "row", onsubmit: async (e) => {
    e.preventDefault();
    const to = { ...(priority.value !== was ? { priority: Number(priority.value) } : {}), ...(limit.value.trim() ? { bandwidth_limit: limit.value.trim() } : {}) };
    if (!Object.keys(to).length) return note("Give another priority or a bandwidth limit: nothing was changed.");
    if (reason.value.trim()) to.reason = reason.value.trim();
    try {
      const now = await post(path + "/adjust", to);
      note(`Priority ${now.priority}, bandwidth ${now.bandwidth_limit ? bytes(now.bandwidth_limit) + "/s" : "without limit"}.`, true);
      limit.value = reason.value = "";
      document.activeElement.blur();
      await load(true);
    } catch (problem) { note(problem.message); }
  } }, h("label", {}, "Priority", priority), h("label", {}, "Bandwidth limit", limit), h("label", {}, "Why", reason), h("button", {}, "Change"));
}

export async function job(main, live, values, id) {
  const path = "/api/v1/jobs/" + encodeURIComponent(id);
  const body = h("div", {});
  async function act(method, what, done) {
    try {
      const answer = method === "DELETE" ? await ask("DELETE", path) : await post(path + "/" + what);
      note(done, true);
      if (answer.new_job_id) location.hash = "#/job/" + answer.new_job_id;
      else if (method === "DELETE") location.hash = "#/jobs";
      else await load();
    } catch (e) { note(e.message); }
  }
  const changing = h("div", {});
  async function load(anew) {
    const [j, events, logs] = await Promise.all([get(path), get(path + "/events"), get(path + "/logs")]);
    const over = ["completed", "failed", "cancelled"].includes(j.state), spec = j.spec || {};
    const editing = changing.contains(document.activeElement) || [...changing.querySelectorAll("input")].some((i) => i.value);
    if (over) changing.replaceChildren();
    else if (anew === true || !editing) changing.replaceChildren(adjustment(j, path, load));
    const focused = changing.contains(document.activeElement) ? document.activeElement : null;
    body.replaceChildren(
      h("h1", {}, spec.name || j.job_id, " ", state(j.state)),
      h("div", { class: "row" },
        h("button", { type: "button", class: "danger", disabled: over || j.cancel_requested, onclick: () => act("POST", "cancel", "Asked to cancel.") }, j.cancel_requested && !over ? "Cancelling…" : "Cancel"),
        h("button", { type: "button", disabled: !over, onclick: () => act("POST", "retry", "Submitted again.") }, "Retry"),
        h("button", { type: "button", class: "danger", disabled: !over, onclick: () => confirm("Take this job out of the lists?") && act("DELETE", "", "Deleted.") }, "Delete"),
        h("a", { href: "#/audit?job=" + encodeURIComponent(j.job_id) }, "Audit")),
      changing,
      j.error && j.state !== "completed" ? h("p", { class: "error" }, j.error.message + (j.error.code ? " (" + j.error.code + ")" : "")) : "",
      progressOf(j) || "",
      h("h2", {}, "Facts"), h("div", { class: "panel" }, facts([
        ["Id", j.job_id], ["Operation", spec.operation || "export"], ["VM", spec.vm_path], ["Provider", spec.provider || "local"], ["Endpoint", spec.endpoint], ["Output", spec.output_dir],
        ["Format", spec.format], ["Requested by", spec.audit && spec.audit.requested_by], ["Ticket", spec.audit && spec.audit.ticket], ["Tags", ((spec.audit && spec.audit.tags) || []).join(", ")],
        ["Priority", j.priority || (spec.execution_policy && spec.execution_policy.priority)], ["Bandwidth limit", limitOf(j)], ["Attempts", String(j.attempt || 0)], ["Worker", j.worker],
        ["Created", when(j.created_at)], ["Started", when(j.started_at)], ["Finished", when(j.finished_at)], ["Took", between(j.started_at, j.finished_at)],
        ["Retry due", j.state === "retrying" ? when(j.not_before) : ""], ["Origin", spec.origin]])),
      h("h2", {}, "Artifacts"), h("div", { class: "panel" }, artifacts(j)),
      h("h2", {}, "Timeline"), timeline(events.items),
      h("h2", {}, "Log"), h("div", { class: "panel" }, logs.items.length ? h("pre", { tabindex: "0", "aria-label": "Log" }, logs.items.map((l) => `${l.at}  ${l.level.padEnd(5)}  ${l.message || ""}`).join("\n")) : h("p", { class: "dim" }, "It logged nothing.")),
      h("h2", {}, "As recorded"), h("div", { class: "panel" }, details("Submission", spec), j.result ? details("Result", j.result) : ""));
    if (focused) focused.focus();
  }
  main.replaceChildren(body);
  return live(load, (event) => event.data.job_id === id);
}
