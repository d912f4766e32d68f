// Schedules: what runs when, how it went, and a form that shows the coming times while one writes.
import { ask, get, post, query } from "./api.js";
import { facts, h, note, table } from "./dom.js";
import { between, state, when } from "./format.js";

const path = (id) => "/api/v1/schedules/" + encodeURIComponent(id);
const badge = (s) => h("span", { class: "state " + (s.enabled ? "completed" : "cancelled") }, s.enabled ? "enabled" : "disabled");
const outcome = (s) => (s.running ? state("running") : s.last_outcome ? state(s.last_outcome) : "");

// The buttons of one schedule; `done` shows what came of it.
function buttons(s, done) {
  const act = async (what, said) => {
    try {
      const answer = what === "delete" ? await ask("DELETE", path(s.id)) : await post(path(s.id) + "/" + what);
      note(said, true);
      await done(what, answer);
    } catch (e) { note(e.message); }
  };
  const button = (title, what, said, kind) => h("button", { type: "button", class: kind, "aria-label": title + " " + s.id, onclick: () => act(what, said) }, title);
  return h("span", { class: "acts" },
    s.enabled ? button("Disable", "disable", s.id + " will not fire.") : button("Enable", "enable", s.id + " will fire."),
    button("Run now", "trigger", "A run of " + s.id + " is submitted."),
    h("button", { type: "button", class: "danger", "aria-label": "Delete " + s.id, onclick: () => confirm("Take the schedule " + s.id + " away? Its jobs stay.") && act("delete", s.id + " is gone.") }, "Delete"));
}

// ---- the form -----------------------------------------------------------------------------------------------------------
function choice(name, title, values, chosen) {
  return h("label", {}, title, h("select", { name }, values.map((v) => h("option", { value: v, selected: v === chosen }, v || "as the operation does"))));
}

// The coming times of what stands in the form, a moment after the last key.
function previewOf() {
  const shown = h("div", { class: "preview", role: "status", "aria-live": "polite" }, h("p", { class: "dim" }, "The coming times will stand here."));
  let timer = null, turn = 0, form = null;
  async function look() {
    const mine = ++turn, f = form.elements;
    if (!f.schedule.value.trim()) return;
    let view;
    try {
      const { items } = await get("/api/v1/cron/next" + query({ expression: f.schedule.value, time_zone: f.time_zone.value.trim(), dst_policy: f.dst_policy.value, count: 5 }));
      view = items.length ? h("ol", { class: "times" }, items.map((t) => h("li", {}, h("time", { datetime: t }, t.replace("T", " "))))) : h("p", { class: "error" }, "Never: check day and month.");
    } catch (e) { view = h("p", { class: "error" }, e.message); }
    if (mine === turn) shown.replaceChildren(h("p", { class: "dim" }, "Due next"), view);
  }
  const soon = () => { clearTimeout(timer); timer = setTimeout(look, 400); };
  const watch = (f) => {
    form = f;
    form.addEventListener("input", (e) => { if (["schedule", "time_zone", "dst_policy"].includes(e.target.name)) soon(); });
  };
  return { shown, soon, watch };
}

const JOB = ["vm_path", "output_dir", "operation", "format", "endpoint"];
const OWN = ["id", "name", "schedule", "time_zone", "dst_policy", "overlap", "catchup_window", "jitter", "description"];

// What the form says, over what the schedule was: members it has no field for stay.
function bodyOf(form, old) {
  const f = form.elements, body = {}, job = { ...(old && old.job_template) };
  for (const name of OWN) if (f[name] && f[name].value.trim() !== "") body[name] = f[name].value.trim();
  for (const name of JOB) { if (f[name].value.trim() !== "") job[name] = f[name].value.trim(); else delete job[name]; }
  if (old) for (const name of ["name", "time_zone", "description"]) if (!(name in body)) body[name] = null;
  body.tags = f.tags.value.split(",").map((t) => t.trim()).filter((t) => t);
  body.max_runs = Number(f.max_runs.value || 0);
  body.enabled = f.enabled.checked;
  body.job_template = job;
  return body;
}

function formOf(old, send) {
  const s = old || {}, job = s.job_template || {};
  const field = (name, title, value, more) => h("label", {}, title, h("input", { name, value: value || "", autocomplete: "off", ...more }));
  const preview = previewOf();
  const form = h("form", { class: "panel" },
    h("div", { class: "filters" },
      old ? "" : field("id", "Id", "", { required: true, pattern: "[A-Za-z0-9_:@+=~][A-Za-z0-9._:@+=~\\-]*", maxlength: 128 }),
      field("schedule", "When (cron, @daily, @every 1h30m)", s.schedule, { required: true, spellcheck: "false" }),
      field("time_zone", "Time zone (UTC)", s.time_zone, { placeholder: "Europe/Berlin" }),
      choice("dst_policy", "When clocks are set", ["vixie", "robfig"], s.dst_policy || "vixie"),
      choice("overlap", "While a run is not over", ["skip", "buffer_one", "allow"], s.overlap || "skip"),
      field("catchup_window", "Make up for a run missed by", s.catchup_window || "1h"), field("jitter", "Put off by up to", s.jitter || "0s"),
      field("max_runs", "Most runs (0: any)", String(s.max_runs || 0), { type: "number", min: 0 }),
      field("name", "Name", s.name), field("description", "Description", s.description), field("tags", "Tags, by commas", (s.tags || []).join(", "))),
    preview.shown,
    h("div", { class: "filters" },
      field("vm_path", "VM path, or path of a disk image", job.vm_path), field("output_dir", "Output directory", job.output_dir),
      choice("operation", "Operation", [...new Set(["export", "convert", "inspect", "discover", job.operation || "export"])], job.operation || "export"),
      choice("format", "Format", ["", "ova", "ovf", "vmdk", "qcow2", "raw", ...(job.format && !["ova", "ovf", "vmdk", "qcow2", "raw"].includes(job.format) ? [job.format] : [])], job.format || ""),
      field("endpoint", "Endpoint (vSphere)", job.endpoint)),
    h("div", { class: "row" }, h("label", { class: "check" }, h("input", { type: "checkbox", name: "enabled", checked: s.enabled !== false }), " enabled"),
      h("button", { class: "first" }, old ? "Save" : "Add")));
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    try { await send(bodyOf(form, old)); } catch (problem) { note(problem.message); }
  });
  preview.watch(form);
  if (old) preview.soon();
  return form;
}

// ---- one schedule ----------------------------------------------------------------------------------------------------------
async function one(main, live, id) {
  const top = h("div", {}), change = h("div", {});
  let known = null;
  async function save(body) {
    const answer = await ask("PATCH", path(id), body, { "If-Match": `"${known}"` });
    note("Saved.", true);
    known = answer.version;
    await load();
  }
  async function done(what, answer) {
    if (what === "delete") location.hash = "#/schedules";
    else if (what === "trigger") location.hash = "#/job/" + answer.job_id;
    else { known = answer.version; await load(); }
  }
  async function load() {
    const s = await get(path(id));
    const managed = s.origin === "config";
    top.replaceChildren(
      h("h1", {}, s.name || s.id, " ", badge(s)), h("div", { class: "row" }, buttons(s, done), h("a", { href: "#/jobs" + query({ origin: "schedule:" + s.id }) }, "All its jobs")),
      known && known !== s.version ? h("p", { class: "error" }, "Somebody else changed it meanwhile: load the page anew before you change it.") : "",
      h("div", { class: "panel" }, facts([["Id", s.id], ["Description", s.description], ["When", h("code", {}, s.schedule)], ["Time zone", s.time_zone || "UTC"], ["When clocks are set", s.dst_policy],
        ["While a run is not over", s.overlap], ["Makes up for", s.catchup_window], ["Put off by up to", s.jitter], ["From", when(s.start_at)], ["Until", when(s.end_at)], ["Most runs", s.max_runs || ""],
        ["Tags", (s.tags || []).join(", ")], ["Runs", String(s.run_count)], ["Outcome of the last", outcome(s)], ["Changed", when(s.updated_at)], ["By", s.by]])),
      h("h2", {}, "Coming times"), h("div", { class: "panel" }, s.next_runs.length ? h("ol", { class: "times" }, s.next_runs.map((t) => h("li", {}, h("time", { datetime: t }, t.replace("T", " "))))) : h("p", { class: "dim" }, "None.")),
      h("h2", {}, "Recent runs"), h("div", { class: "panel" }, s.recent_runs.length ? table(null, [
        ["Job", (r) => h("a", { href: "#/job/" + r.job_id }, r.job_id), "id"], ["State", (r) => state(r.state)], ["For", (r) => (r.scheduled_for ? when(r.scheduled_for) : "triggered")],
        ["Created", (r) => when(r.created_at)], ["Took", (r) => between(r.started_at, r.finished_at), "num"]], s.recent_runs) : h("p", { class: "dim" }, "It has not run yet.")));
    if (known === null) {
      known = s.version;
      change.replaceChildren(h("h2", {}, "Change"), managed ? h("p", { class: "dim" }, "The configuration of hyperdispatch has this schedule: it is changed there.") : formOf(s, save));
    }
  }
  main.replaceChildren(top, change);
  return live(load, (event) => event.name === "transition");
}

// ---- all of them -------------------------------------------------------------------------------------------------------------
export async function schedules(main, live, values, id) {
  if (id) return one(main, live, id);
  const list = h("div", { class: "panel" }), more = h("p", { class: "dim", role: "status" });
  async function load() {
    const { items, next_cursor } = await get("/api/v1/schedules" + query({ ...values, limit: 500 }));
    list.replaceChildren(items.length ? table(null, [
      ["Schedule", (s) => h("a", { href: "#/schedules/" + encodeURIComponent(s.id) }, s.name && s.name !== s.id ? s.id + " (" + s.name + ")" : s.id), "id"],
      ["When", (s) => [h("code", {}, s.schedule), " ", h("span", { class: "dim" }, s.time_zone || "UTC")]],
      ["State", badge], ["Next run", (s) => (s.next_run ? when(s.next_run) : "none")], ["Last run", (s) => (s.last_job_id ? h("a", { href: "#/job/" + s.last_job_id }, when(s.last_run)) : "never")],
      ["Outcome", outcome], ["Runs", (s) => s.run_count, "num"], ["Do", (s) => buttons(s, load)],
    ], items) : h("p", { class: "dim" }, "There are no schedules yet."));
    more.textContent = next_cursor ? "The first " + items.length + "; `hyperctl schedule list` shows them all." : "";
  }
  async function add(body) {
    const made = await post("/api/v1/schedules", body);
    note(made.id + " is added.", true);
    location.hash = "#/schedules/" + encodeURIComponent(made.id);
  }
  main.replaceChildren(h("h1", {}, "Schedules"), list, more, h("h2", {}, "Add one"), formOf(null, add));
  return live(load, (event) => event.name === "transition");
}
