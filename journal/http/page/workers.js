// Who works: slots, what each can do, what it runs now.
import { get } from "./api.js";
import { h, table } from "./dom.js";
import { when } from "./format.js";

function abilities(c) {
  return ["nbd", "lvm", "mount", "selinux", "qemu_img"].filter((n) => c[n]).join(", ") || "none";
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
    ], items) : h("p", {}, "No worker has reported yet."));
  }
  main.replaceChildren(h("h1", {}, "Workers"), list);
  await load();
  const timer = setInterval(() => load().catch(() => {}), 5000);
  return () => clearInterval(timer);
}
