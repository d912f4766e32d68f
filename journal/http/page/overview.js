// The first view: counts by state, what happened lately, who works.
import { get } from "./api.js";
import { perMinute } from "./chart.js";
import { h, table } from "./dom.js";
import { bytes, count, duration, state, when } from "./format.js";

const STATES = ["queued", "assigned", "running", "progressing", "retrying", "completed", "failed", "cancelled"];

function card(title, value, href) {
  return h(href ? "a" : "div", { class: "card", href }, h("b", {}, value), h("span", {}, title));
}

export async function overview(main, live) {
  const counts = h("div", { class: "cards" }), chart = h("div", { class: "panel" }), recent = h("div", { class: "panel" });
  async function load() {
    const [stats, workers, failed] = await Promise.all([get("/api/v1/statistics"), get("/api/v1/workers"), get("/api/v1/jobs?sort=-updated&limit=15")]);
    const busy = workers.items.filter((w) => w.alive).reduce((sum, w) => sum + (w.slots_busy || 0), 0);
    const slots = workers.items.filter((w) => w.alive).reduce((sum, w) => sum + (w.slots || 0), 0);
    const exported = Object.values(stats.providers).reduce((sum, p) => sum + p.bytes_exported, 0);
    counts.replaceChildren(
      ...STATES.map((s) => card(s, count(stats.jobs_by_state[s]), "#/jobs?state=" + s)),
      card("workers alive", count(workers.alive), "#/workers"), card("slots busy", busy + " of " + slots, "#/workers"),
      card("exported", bytes(exported)), card("average of completed", duration(stats.ended.completed.average_seconds)));
    chart.replaceChildren(perMinute(stats.minutes));
    recent.replaceChildren(table("The jobs that changed last", [
      ["Job", (j) => h("a", { href: "#/job/" + j.job_id }, (j.spec && j.spec.name) || j.job_id), "id"],
      ["State", (j) => state(j.state)],
      ["Operation", (j) => (j.spec && j.spec.operation) || "export"],
      ["Changed", (j) => when(j.updated_at)],
      ["Error", (j) => (j.error && j.state !== "completed" ? h("span", { class: "error" }, j.error.message) : "")],
    ], failed.items));
  }
  main.replaceChildren(h("h1", {}, "Overview"), counts, h("h2", {}, "Throughput"), chart, h("h2", {}, "Recent jobs"), recent);
  return live(load, (event) => event.name === "transition");
}
