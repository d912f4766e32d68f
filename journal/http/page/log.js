// The log underneath: how far each partition is folded, how far behind, and the heads of the chain of hashes.
import { get, save } from "./api.js";
import { h, note, table } from "./dom.js";
import { count } from "./format.js";

export async function log(main) {
  const list = h("div", { class: "panel" }), chain = h("div", { class: "panel" });
  async function load() {
    const [partitions, heads] = await Promise.all([get("/api/v1/partitions"), get("/api/v1/audit/chain")]);
    list.replaceChildren(table(null, [["Topic", (p) => p.topic], ["Partition", (p) => p.partition, "num"], ["Folded up to", (p) => count(p.next_offset), "num"],
      ["Behind", (p) => (p.lag === undefined ? "?" : count(p.lag)), "num"]], partitions.items));
    chain.replaceChildren(heads.items.length ? table(null, [["Partition", (c) => c.topic + "/" + c.partition], ["Up to offset", (c) => count(c.offset), "num"], ["SHA-256", (c) => h("code", {}, c.sha256), "id"]], heads.items)
      : h("p", {}, "Nothing has been written yet."));
  }
  main.replaceChildren(h("h1", {}, "Log"), list,
    h("h2", {}, "Chain of hashes"), h("p", { class: "dim" }, "Each line covers everything before it. Kept elsewhere, it proves later that no record was edited (hyperjournal verify)."), chain,
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => save("/api/v1/download/log.avro", "job-events.avro").catch((e) => note(e.message)) }, "Download the log (Avro)")));
  await load();
  const timer = setInterval(() => load().catch(() => {}), 3000);
  return () => clearInterval(timer);
}
