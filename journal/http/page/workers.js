// Who works: slots, what each can do, what it runs now.
import { ask, get } from "./api.js";
import { give, inForce, why } from "./controls.js";
import { h, note, table } from "./dom.js";
import { when } from "./format.js";

function abilities(c) {
  return ["nbd", "lvm", "mount", "selinux", "qemu_img"].filter((n) => c[n]).join(", ") || "none";
}

const questions = {
  quiet: "finishes what it holds and claims nothing more", drain: "gives back what it has not started, and stays",
  stop: "drains, and its process ends", resume: "works as usual again",
};

// One button for what is likeliest, the others beside it; each asks first.
function buttons(w, load) {
  if (!w.alive) return "";
  const tell = async (action) => {
    const reason = action === "resume" ? "" : why(`Worker ${w.worker_id} ${questions[action]}.`);
    if (reason === null) return;
    await give("worker/" + w.worker_id, action, reason);
    await load();
  };
  const names = inForce("worker/" + w.worker_id) ? ["resume", "stop"] : ["quiet", "drain", "stop"];
  return h("div", { class: "row" }, names.map((a) => h("button", { type: "button", class: a === "stop" ? "danger" : null, title: "It " + questions[a], "aria-label": `${a} ${w.worker_id}`,
    onclick: () => tell(a) }, a[0].toUpperCase() + a.slice(1))));
}

// Claims of all, and intake: the whole fleet's two switches.
function switches(load) {
  return h("div", { class: "row" }, [["claims", "Pause claims", "No worker starts anything more; what runs goes on."], ["intake", "Pause intake", "Nothing is taken in; submissions wait or are refused."]]
    .map(([target, text, what]) => h("button", { type: "button", onclick: async () => {
      const reason = why(what);
      if (reason !== null) { await give(target, "pause", reason); await load(); }
    } }, text)));
}

// How many jobs at once may use an endpoint, a provider, or carry a tag; who does.
function limits() {
  const list = h("div", { class: "panel" });
  const place = (l) => "/api/v1/limits/" + l.kind + "/" + encodeURIComponent(l.name);
  async function load() {
    const { items } = await get("/api/v1/limits");
    list.replaceChildren(items.length ? table(null, [
      ["Limit", (l) => l.key, "id"],
      ["In use", (l) => l.in_use + " of " + (l.max === null ? "none (taken away)" : l.max), "num"],
      ["Held by", (l) => (l.holders || []).slice(0, 5).map((r) => [h("a", { href: "#/job/" + r.job_id }, r.job_id), " "])],
      ["Set by", (l) => l.by], ["Why", (l) => l.reason || ""],
      ["Actions", (l) => l.origin === "config" || l.max === null ? "" : h("button", { type: "button", "aria-label": "Remove limit " + l.key, onclick: async () => {
        if (!confirm("Remove the limit " + l.key + "?")) return;
        try { await ask("DELETE", place(l)); await load(); } catch (e) { note(e.message); }
      } }, "Remove")],
    ], items) : h("p", {}, "No limit is set: workers run as many jobs as they have slots."));
  }
  const f = h("form", { class: "panel", onsubmit: async (e) => {
    e.preventDefault();
    const v = Object.fromEntries(new FormData(f));
    try {
      await ask("PUT", place(v), { max: Number(v.max), ...(v.why ? { reason: v.why } : {}) });
      f.reset();
      await load();
    } catch (problem) { note(problem.message); }
  } }, h("div", { class: "filters" },
    h("label", {}, "At most", h("input", { name: "max", type: "number", min: 0, max: 10000, required: true })),
    h("label", {}, "jobs at once per", h("select", { name: "kind" }, ["endpoint", "provider", "tag"].map((o) => h("option", {}, o)))),
    h("label", {}, "Its name", h("input", { name: "name", required: true, autocomplete: "off" })),
    h("label", {}, "Why", h("input", { name: "why", autocomplete: "off" }))),
  h("div", { class: "row" }, h("button", {}, "Set limit")));
  return { parts: [h("h2", {}, "Limits"), list, f], load };
}

export async function workers(main, live) {
  const list = h("div", { class: "panel" });
  async function load() {
    const { items } = await get("/api/v1/workers");
    list.replaceChildren(items.length ? table(null, [
      ["Worker", (w) => w.worker_id, "id"],
      ["State", (w) => h("span", { class: "state " + (w.alive ? "completed" : "cancelled") }, w.alive ? w.state || "active" : "gone")],
      ["Slots", (w) => (w.slots_busy || 0) + " of " + (w.slots || 0), "num"],
      ["Runs", (w) => (w.running || []).slice(0, 5).map((r) => [h("a", { href: "#/job/" + r.job_id }, r.job_id), " "])],
      ["Operations", (w) => ((w.capabilities || {}).operations || []).join(", ")],
      ["Providers", (w) => ((w.capabilities || {}).providers || []).join(", ")],
      ["Tools", (w) => abilities(w.capabilities || {})],
      ["Done", (w) => w.jobs_done || 0, "num"],
      ["Host", (w) => w.hostname || ""], ["Version", (w) => w.version || ""],
      ["Last heard", (w) => when(w.last_heartbeat)],
      ["Tell it", (w) => buttons(w, load)],
    ], items) : h("p", {}, "No worker has reported yet."));
  }
  const most = limits();
  main.replaceChildren(h("h1", {}, "Workers"), switches(load), list, ...most.parts);
  await Promise.all([load(), most.load()]);
  const timer = setInterval(() => { load().catch(() => {}); most.load().catch(() => {}); }, 5000);
  return () => clearInterval(timer);
}
