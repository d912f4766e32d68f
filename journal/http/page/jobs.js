// The list of jobs: filters live in the URL, pages are fetched as they are wanted, changes to many jobs are counted before they are made.
import { get, post, query, save } from "./api.js";
import { h, note, table } from "./dom.js";
import { state, when, between } from "./format.js";

const FIELDS = [
  ["state", "State", ["", "queued", "assigned", "running", "progressing", "retrying", "completed", "failed", "cancelled", "pending"]],
  ["operation", "Operation"], ["provider", "Provider"], ["vm_path", "VM path begins with"], ["tag", "Tag"], ["requested_by", "Requested by"], ["origin", "Origin"],
  ["since", "Created since (24h, or a time)"], ["sort", "Order", ["-created", "created", "-updated", "updated"]],
];

const columns = [
  ["Job", (j) => h("a", { href: "#/job/" + j.job_id }, (j.spec && j.spec.name) || j.job_id), "id"],
  ["State", (j) => state(j.state)],
  ["Operation", (j) => (j.spec && j.spec.operation) || "export"],
  ["VM", (j) => (j.spec && j.spec.vm_path) || "", "id"],
  ["Created", (j) => when(j.created_at)],
  ["Took", (j) => between(j.started_at, j.finished_at), "num"],
  ["Attempts", (j) => j.attempt || 0, "num"],
  ["Worker", (j) => (j.worker || "").split("/")[0]],
];

function input([name, title, choices], value) {
  const attributes = { name, value: value || "" };
  const control = choices
    ? h("select", { name }, choices.map((c) => h("option", { value: c, selected: c === (value || choices[0]) }, c || "any")))
    : h("input", attributes);
  return h("label", {}, title, control);
}

export async function jobs(main, live, values) {
  const { sort, ...filter } = values;
  const form = h("form", { class: "filters", role: "search", onsubmit: (e) => { e.preventDefault(); location.hash = "#/jobs" + query(Object.fromEntries(new FormData(form))); } },
    FIELDS.map((f) => input(f, values[f[0]])), h("button", { class: "first" }, "Filter"));
  form.addEventListener("change", (e) => { if (e.target.tagName === "SELECT") form.requestSubmit(); });
  const list = h("div", { class: "panel" }), more = h("button", { type: "button" }, "More"), status = h("p", { class: "dim", role: "status" });
  let items = [], cursor = null;

  async function page(reset) {
    const answer = await get("/api/v1/jobs" + query({ ...values, limit: reset ? Math.max(100, Math.min(items.length, 1000)) : 100, cursor: reset ? null : cursor }));
    items = reset ? answer.items : items.concat(answer.items);
    cursor = answer.next_cursor || null;
    list.replaceChildren(items.length ? table(null, columns, items) : h("p", {}, "No job matches."));
    more.hidden = !cursor;
    status.textContent = items.length + (cursor ? " jobs shown; there are more" : " jobs");
  }
  more.addEventListener("click", () => page(false).catch((e) => note(e.message)));

  async function change(what, word) {
    const would = await post("/api/v1/jobs/" + what, { filter, dry_run: true });
    if (!would.matched) return note("None of these jobs can be " + word + ".");
    if (!confirm(would.matched + " jobs will be " + word + ". Go on?")) return;
    const did = await post("/api/v1/jobs/" + what, { filter });
    note(did.changed.length + " jobs " + word + (Object.keys(did.failed).length ? ", " + Object.keys(did.failed).length + " not" : ""), true);
    await page(true);
  }
  const act = (what, word, title) => h("button", { type: "button", class: what === "retry" ? null : "danger", onclick: () => change(what, word).catch((e) => note(e.message)) }, title);
  const file = (format) => h("button", { type: "button", onclick: () => save("/api/v1/download/jobs" + query({ ...filter, format }), "jobs." + format).catch((e) => note(e.message)) }, format === "csv" ? "Download CSV" : "Download JSON Lines");
  main.replaceChildren(h("h1", {}, "Jobs"), form,
    h("div", { class: "row" }, act("cancel", "cancelled", "Cancel these"), act("retry", "retried", "Retry these"), act("delete", "deleted", "Delete these"), file("csv"), file("jsonl")),
    status, list, h("div", { class: "row" }, more));
  return live(() => page(true), (event) => event.name === "transition");
}
