// Who is told of events: state, what came of it, a trial, deliveries, telling again.
import { ask, get, post, query } from "./api.js";
import { h, note, table } from "./dom.js";
import { count, when } from "./format.js";

const shades = { ok: "completed", failing: "failed", gone: "cancelled", disabled: "pending", unreadable: "failed", delivered: "completed", retrying: "retrying", failed: "failed", refused: "failed", replay: "queued" };
const titles = { ok: "ok", failing: "failing", gone: "switched off by 410", disabled: "disabled", unreadable: "unreadable" };
const badge = (name) => h("span", { class: "state " + (shades[name] || "") }, titles[name] || name);
const events = ["job.created", "job.started", "job.progress", "job.completed", "job.failed", "job.cancelled", "vm.discovered"];
const at = (id, more) => "/api/v1/webhooks/" + encodeURIComponent(id) + (more || "");

export async function webhooks(main, live, values, id) {
  return id ? one(main, live, id) : all(main, live);
}

// The outcome of a trial, as it really was.
async function trial(id, button) {
  button.disabled = true;
  try {
    const o = await post(at(id, "/test"));
    note(id + ": " + (o.delivered ? "delivered, status " + o.status_code + " in " + Math.round(o.duration_ms || 0) + " ms" : "not delivered: " + (o.error || "status " + o.status_code)), o.delivered);
  } catch (e) { note(id + ": " + e.message); }
  button.disabled = false;
}

function buttons(w, load) {
  const act = (title, does) => h("button", { type: "button", "aria-label": title + " " + w.id, onclick: does }, title);
  const change = (method, more) => async () => { try { await ask(method, at(w.id, more)); await load(); } catch (e) { note(e.message); } };
  return h("span", { class: "row" },
    act("Test", (e) => trial(w.id, e.currentTarget)),
    w.enabled ? act("Disable", change("POST", "/disable")) : act("Enable", change("POST", "/enable")),
    w.origin === "config" ? null : act("Delete", () => confirm("Delete webhook " + w.id + "?") && change("DELETE")()));
}

function form(load) {
  const field = (name, title, more) => h("label", {}, title, h("input", { name, autocomplete: "off", ...more }));
  const f = h("form", { class: "panel", onsubmit: async (e) => {
    e.preventDefault();
    const v = Object.fromEntries([...new FormData(f)].filter(([, text]) => text !== ""));
    const body = { url: v.url, format: v.format, events: events.filter((name) => f.elements[name].checked) };
    if (v.id) body.id = v.id;
    if (v.secret) body.secret = v.secret;
    if (v.header) body.headers = { [v.header]: v.value || "" };
    try {
      const made = await post("/api/v1/webhooks", body);
      note("Added " + made.id, true);
      f.reset();
      await load();
    } catch (problem) { note(problem.message); }
  } },
  h("div", { class: "filters" },
    field("url", "URL", { required: true, type: "url" }), field("id", "Id (made if left out)"),
    h("label", {}, "Format", h("select", { name: "format" }, ["standard", "cloudevents", "slack"].map((o) => h("option", {}, o)))),
    field("secret", "Signing secret (whsec_…)", { type: "password" }), field("header", "Header"), field("value", "Its value", { type: "password" })),
  h("fieldset", {}, h("legend", {}, "Events (none: all)"), events.map((name) => h("label", { class: "check" }, h("input", { type: "checkbox", name }), name))),
  h("div", { class: "row" }, h("button", { class: "first" }, "Add")));
  return f;
}

async function all(main, live) {
  const list = h("div", { class: "panel" });
  async function load() {
    const { items } = await get("/api/v1/webhooks");
    list.replaceChildren(items.length ? table(null, [
      ["Webhook", (w) => h("a", { href: "#/webhooks/" + encodeURIComponent(w.id) }, w.id), "id"],
      ["State", (w) => badge(w.state)],
      ["URL", (w) => w.url],
      ["Events", (w) => w.events.length ? w.events.join(", ") : "all"],
      ["Last", (w) => w.last_delivery ? [badge(w.last_delivery.outcome), " ", when(w.last_delivery.at)] : "never"],
      ["Delivered", (w) => count(w.deliveries.delivered), "num"],
      ["Failed, waiting", (w) => count(w.failed_waiting), "num"],
      ["Actions", (w) => buttons(w, load)],
    ], items) : h("p", {}, "No webhook is told of anything yet."));
  }
  main.replaceChildren(h("h1", {}, "Webhooks"), list, h("h2", {}, "Add"), form(load));
  await load();
  const timer = setInterval(() => load().catch(() => {}), 10000);
  return () => clearInterval(timer);
}

async function one(main, live, id) {
  const head = h("div", { class: "panel" }), list = h("div", { class: "panel" }), more = h("div", { class: "row" });
  const outcome = h("select", { "aria-label": "Outcome", onchange: () => load() }, ["", "delivered", "retrying", "failed", "disabled", "refused", "replay"].map((o) => h("option", { value: o }, o || "all outcomes")));
  let shown = [];
  function draw(next) {
    list.replaceChildren(shown.length ? table(null, [
      ["At", (d) => when(d.at)], ["Event", (d) => d.event],
      ["Job", (d) => d.job_id ? h("a", { href: "#/job/" + d.job_id }, d.job_id) : "", "id"],
      ["Attempt", (d) => d.attempt || "", "num"], ["Outcome", (d) => badge(d.outcome)], ["Status", (d) => d.status_code || "", "num"],
      ["Why", (d) => d.error || (d.by ? "by " + d.by : "")],
    ], shown) : h("p", {}, "No deliveries."));
    more.replaceChildren(next ? h("button", { type: "button", onclick: () => page(next) }, "More") : "");
  }
  async function page(cursor) {
    const answer = await get(at(id, "/deliveries" + query({ limit: 50, outcome: outcome.value, cursor })));
    shown = cursor ? shown.concat(answer.items) : answer.items;
    draw(answer.next_cursor);
  }
  async function again() {
    try {
      const dry = await post(at(id, "/replay"), { dry_run: true, limit: 10000 });
      if (!dry.matched) note("Nothing failed that was not replayed.", true);
      else if (confirm("Tell " + count(dry.matched) + " failed events again?")) {
        const done = await post(at(id, "/replay"), { limit: 10000 });
        note(count(done.replayed) + " are told again", true);
        await load();
      }
    } catch (e) { note(e.message); }
  }
  async function load() {
    const w = await get(at(id));
    head.replaceChildren(h("p", {}, badge(w.state), " ", w.url), w.disabled_reason ? h("p", {}, w.disabled_reason) : "",
      h("p", {}, count(w.deliveries.delivered) + " delivered, " + count(w.failed_waiting) + " failed and waiting, " + (w.signed ? w.signed + (w.signed > 1 ? " signing secrets" : " signing secret") : "not signed")),
      h("div", { class: "row" }, buttons(w, load), h("button", { type: "button", onclick: again }, "Replay what failed")));
    await page();
  }
  main.replaceChildren(h("p", {}, h("a", { href: "#/webhooks" }, "All webhooks")), h("h1", {}, "Webhook " + id), head, h("h2", {}, "Deliveries"), h("div", { class: "row" }, outcome), list, more);
  await load();
}
