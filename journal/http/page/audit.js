// State as of then: a slider through the time there are jobs for, what changed in the fleet since, and for one job which members.
import { get, query } from "./api.js";
import { h, note, table } from "./dom.js";
import { state, when } from "./format.js";

const STEPS = 1000;

export async function audit(main, live, values) {
  const oldest = await get("/api/v1/jobs?sort=created&limit=1");
  const from = oldest.items.length ? new Date(oldest.items[0].created_at).getTime() : Date.now() - 3600000, to = Date.now();
  const slider = h("input", { type: "range", min: 0, max: STEPS, value: String(STEPS), "aria-label": "Point in time" });
  const exact = h("input", { type: "text", "aria-label": "Time (RFC 3339) or offset" });
  const box = h("input", { value: values.job || "", "aria-label": "Job id", placeholder: "one job's id" });
  const shown = h("div", { class: "panel" }), changed = h("div", {});
  let turn = 0;

  function pointed() { return new Date(from + ((to - from) * slider.value) / STEPS).toISOString(); }
  async function one(id, at) {
    const [then, changes] = await Promise.all([get("/api/v1/audit/jobs/" + encodeURIComponent(id) + query({ as_of: at })), get("/api/v1/audit/jobs/" + encodeURIComponent(id) + "/changes" + query({ from: at }))]);
    const rows = Object.entries(changes.changes);
    return h("div", {}, h("p", {}, then.job ? ["It was ", state(then.job.state), ", attempt " + (then.job.attempt || 0) + "."] : "It did not exist yet."),
      rows.length ? table("What has changed since", [["Member", ([name]) => name], ["Then", ([, c]) => h("pre", {}, JSON.stringify(c.from, null, 1) || "")], ["Now", ([, c]) => h("pre", {}, JSON.stringify(c.to, null, 1) || "")]], rows) : h("p", { class: "dim" }, "Nothing has changed since."));
  }
  async function all(at) {
    const page = await get("/api/v1/audit/jobs" + query({ as_of: at, limit: 200 }));
    const by = {};
    for (const j of page.items) by[j.state] = (by[j.state] || 0) + 1;
    return h("div", {}, h("p", {}, Object.entries(by).map(([name, n]) => [state(name), " " + n + "  "])),
      page.items.length ? table(page.next_cursor ? "The first " + page.items.length + " jobs of then" : page.items.length + " jobs", [
        ["Job", (j) => h("a", { href: "#/audit" + query({ job: j.job_id }) }, (j.spec && j.spec.name) || j.job_id), "id"], ["State then", (j) => state(j.state)], ["Attempt", (j) => j.attempt || 0, "num"],
        ["Worker", (j) => (j.worker || "").split("/")[0]], ["Changed", (j) => when(j.updated_at)]], page.items) : h("p", {}, "There were no jobs then."));
  }
  // Page after page, so many at most; counts add up over the pages.
  async function since(at) {
    const PAGES = 50, ROWS = 200, rows = [], totals = {}, states = { from: {}, to: {} };
    let cursor, page, n = 0;
    const add = (into, counts) => { for (const [name, count] of Object.entries(counts)) into[name] = (into[name] || 0) + count; };
    do {
      page = await get("/api/v1/audit/changes" + query({ from: at, limit: 1000, cursor }));
      for (const item of page.items) if (rows.length < ROWS) rows.push(item);
      add(totals, page.totals); add(states.from, page.states.from); add(states.to, page.states.to);
      cursor = page.next_cursor;
    } while (cursor && ++n < PAGES);
    const moved = Object.keys(states.to).filter((name) => states.from[name] || states.to[name]);
    return h("div", { id: "changes" }, h("p", {}, Object.entries(totals).map(([name, count]) => count + " " + name + "  "), cursor ? "(of the first jobs only: there are more than are compared here)" : ""),
      moved.length ? table("Jobs by state", [["State", (name) => state(name)], ["Then", (name) => states.from[name] || 0, "num"], ["Now", (name) => states.to[name] || 0, "num"]], moved) : "",
      rows.length ? table(rows.length < ROWS ? rows.length + " jobs differ" : "The first " + ROWS + " jobs that differ", [
        ["Job", (c) => h("a", { href: "#/audit" + query({ job: c.job_id }) }, c.name || c.job_id), "id"], ["What", (c) => c.what.join(", ")],
        ["Then", (c) => (c.from ? state(c.from.state) : "")], ["Now", (c) => (c.to ? (c.to.deleted ? "deleted" : state(c.to.state)) : "")]], rows) : h("p", { class: "dim" }, "Nothing has changed since."));
  }
  async function load(at) {
    const mine = ++turn;
    try {
      const view = box.value ? await one(box.value, at) : await all(at);
      if (mine !== turn) return;
      shown.replaceChildren(view);
      changed.replaceChildren();
      if (box.value) return;
      const differences = await since(at);
      if (mine === turn) changed.replaceChildren(h("h2", {}, "What has changed since"), h("div", { class: "panel" }, differences));
    } catch (e) { note(e.message); }
  }
  slider.addEventListener("input", () => { exact.value = pointed(); });
  slider.addEventListener("change", () => load(pointed()));
  const form = h("form", { class: "panel", onsubmit: (e) => { e.preventDefault(); load(exact.value || pointed()); } },
    slider, h("div", { class: "row" }, exact, box, h("button", {}, "Show")));
  exact.value = pointed();
  main.replaceChildren(h("h1", {}, "Audit: state as of then"), form, h("h2", {}, "Then"), shown, changed);
  await load(pointed());
}
