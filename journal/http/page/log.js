// The log underneath: how far each partition is folded, how far behind, and the heads of the chain of hashes.
import { ask, get, post, save } from "./api.js";
import { h, note, table } from "./dom.js";
import { bytes, count, when } from "./format.js";

export async function log(main) {
  const list = h("div", { class: "panel" }), chain = h("div", { class: "panel" }), dead = h("div", { class: "panel" });
  async function handle(letter, replay) {
    const path = `/api/v1/dead-letters/${letter.partition}/${letter.offset}`;
    try {
      await (replay ? post(path + "/replay") : ask("DELETE", path));
      note(replay ? "Submitted again." : "Dropped.", true);
      setTimeout(() => load().catch(() => {}), 300);
    } catch (e) { note(e.message); }
  }
  async function load() {
    const letters = (await get("/api/v1/dead-letters?limit=50")).items;
    dead.replaceChildren(letters.length ? table(null, [
      ["Came", (d) => when(d.at)], ["From", (d) => d.origin || ""], ["Why", (d) => d.detail || d.error || "", "id"], ["Size", (d) => bytes(d.size_bytes), "num"],
      ["Bytes", (d) => h("pre", {}, (d.text || "").slice(0, 200)), "id"],
      ["", (d) => [h("button", { type: "button", onclick: () => handle(d, true) }, "Replay"), " ", h("button", { type: "button", class: "danger", onclick: () => handle(d, false) }, "Drop")]],
    ], letters) : h("p", { class: "dim" }, "There are none."));
    const [partitions, heads] = await Promise.all([get("/api/v1/partitions"), get("/api/v1/audit/chain")]);
    list.replaceChildren(table(null, [["Topic", (p) => p.topic], ["Partition", (p) => p.partition, "num"], ["Folded up to", (p) => count(p.next_offset), "num"],
      ["Behind", (p) => (p.lag === undefined ? "?" : count(p.lag)), "num"]], partitions.items));
    chain.replaceChildren(heads.items.length ? table(null, [["Partition", (c) => c.topic + "/" + c.partition], ["Up to offset", (c) => count(c.offset), "num"], ["SHA-256", (c) => h("code", {}, c.sha256), "id"]], heads.items)
      : h("p", {}, "Nothing has been written yet."));
  }
  main.replaceChildren(h("h1", {}, "Log"), list, h("h2", {}, "Dead letters"), dead,
    h("h2", {}, "Chain of hashes"), h("p", { class: "dim" }, "Each line covers everything before it. Kept elsewhere, it proves later that no record was edited (hyperjournal verify)."), chain,
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => save("/api/v1/download/log.avro", "job-events.avro").catch((e) => note(e.message)) }, "Download the log (Avro)")));
  await load();
  const timer = setInterval(() => load().catch(() => {}), 3000);
  return () => clearInterval(timer);
}
