// Dead letters: what could not be read. How many there are, one looked at, put back onto submissions or dropped.
import { ask, get, post, query } from "./api.js";
import { facts, h, note, table } from "./dom.js";
import { bytes, count, when } from "./format.js";

const PAGE = 50, HEX_MAX = 4096;
const path = (at) => "/api/v1/dead-letters/" + at;
const at = (l) => l.partition + "/" + l.offset;

// Beside the section's name, while there are any.
function showCount(total) {
  const badge = document.getElementById("dead");
  if (badge) badge.textContent = total ? " (" + count(total) + ")" : "";
}

export async function countDead() {
  try { showCount((await get("/api/v1/dead-letters?limit=1")).total); } catch { /* the view itself says what is wrong */ }
}

// Only what was a submission can become one again; what held a secret was not kept.
const replayable = (l) => (l.origin || "").startsWith("submissions/") && l.size_bytes > 0;

function buttons(l, done) {
  const act = async (replay) => {
    try {
      const answer = replay ? await post(path(at(l)) + "/replay") : await ask("DELETE", path(at(l)));
      note(replay ? `${at(l)} is submitted again, as ${answer.submission}.` : `${at(l)} is dropped.`, true);
      await done();
      await countDead();
    } catch (e) { note(e.message); }
  };
  return h("span", { class: "acts" },
    h("button", { type: "button", "aria-label": "Replay " + at(l), disabled: !replayable(l), title: replayable(l) ? "Puts its bytes back onto submissions, as they came" : "It was no submission, or its bytes were not kept",
      onclick: () => act(true) }, "Replay"),
    h("button", { type: "button", class: "danger", "aria-label": "Drop " + at(l),
      onclick: () => confirm(`Drop the dead letter ${at(l)} (${bytes(l.size_bytes)}, ${l.error || "unreadable"})? It leaves the list; the log keeps it as long as its topic does.`) && act(false) }, "Drop"));
}

// ---- one ----------------------------------------------------------------------------------------------------------------------
// As hexdump -C writes it.
function hex(base64) {
  const raw = atob(base64), lines = [];
  for (let i = 0; i < Math.min(raw.length, HEX_MAX); i += 16) {
    const part = [...raw.slice(i, i + 16)].map((c) => c.charCodeAt(0));
    lines.push(i.toString(16).padStart(8, "0") + "  " + part.map((b) => b.toString(16).padStart(2, "0")).join(" ").padEnd(48) + " " +
      part.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : ".")).join(""));
  }
  return lines.join("\n");
}

// Text where it is text that can be seen.
function content(l) {
  const readable = l.text !== undefined && ![...l.text].some((c) => c < " " && !"\t\r\n".includes(c));
  if (!l.size_bytes) return h("p", { class: "dim" }, "There are no bytes: it was empty, or they held a secret and were not kept.");
  return [h("p", { class: "dim" }, readable ? "Text" : l.size_bytes > HEX_MAX ? `No text; the first ${count(HEX_MAX)} of ${count(l.size_bytes)} bytes` : "No text; its bytes"),
    h("pre", { tabindex: "0", "aria-label": "What it holds", class: readable ? null : "hex" }, readable ? l.text : hex(l.base64 || ""))];
}

async function one(main, id) {
  const l = await get(path(id));
  const done = () => { location.hash = "#/dead"; };
  main.replaceChildren(h("h1", {}, "Dead letter " + at(l)),
    h("div", { class: "row" }, buttons(l, done), h("a", { href: "#/dead" }, "All dead letters")),
    h("div", { class: "panel" }, facts([["Reason", l.error], ["Detail", l.detail], ["Was", l.origin], ["Since", when(l.at)], ["Size", bytes(l.size_bytes)], ["Key", l.key], ["Schema", l.schema_id]])),
    h("h2", {}, "What it holds"), h("div", { class: "panel" }, content(l)),
    h("h2", {}, "Headers"), h("div", { class: "panel" }, (l.headers || []).length
      ? table(null, [["Name", (x) => x.name, "id"], ["Value", (x) => (x.value !== undefined ? x.value : h("code", {}, x.base64 + " (base64)")), "id"]], l.headers)
      : h("p", { class: "dim" }, "It has none.")));
}

// ---- all of them, by pages --------------------------------------------------------------------------------------------------------
export async function dead(main, live, values, id) {
  if (id) return one(main, id);
  const list = h("div", { class: "panel" }), status = h("p", { class: "dim", role: "status" }), pages = h("div", { class: "row" });
  let shown = "";
  async function load() {
    const answer = await get("/api/v1/dead-letters" + query({ limit: PAGE, cursor: values.cursor }));
    const { items, total, next_cursor } = answer, text = JSON.stringify(answer);
    showCount(total);
    if (text === shown) return; // what somebody has the focus on stays where it is
    shown = text;
    status.textContent = !total ? "" : count(items.length) + " of " + count(total);
    list.replaceChildren(items.length ? table(null, [
      ["Letter", (l) => h("a", { href: "#/dead/" + at(l) }, at(l))], ["Was", (l) => l.origin || "", "id"], ["Reason", (l) => [h("span", { class: "error" }, l.error || "unreadable"), l.detail ? h("div", { class: "dim" }, l.detail) : ""]],
      ["Since", (l) => when(l.at)], ["Size", (l) => bytes(l.size_bytes), "num"], ["Key", (l) => l.key || "", "id"], ["Do", (l) => buttons(l, async () => { await load(); main.focus(); })],
    ], items) : h("p", { class: "dim" }, total ? "There are no more on this page." : "There are none: whatever was submitted could be read."));
    pages.replaceChildren(values.cursor ? h("a", { href: "#/dead" }, "First page") : "", next_cursor ? h("a", { href: "#/dead" + query({ cursor: next_cursor }) }, "Next page") : "");
  }
  main.replaceChildren(h("h1", {}, "Dead letters"), h("p", { class: "dim" }, "Records that could not be read, kept as they came: replay puts the bytes of a submission back onto its topic, once the cause is mended; drop takes a letter out of this list."), status, list, pages);
  await load();
  const timer = setInterval(() => { if (!document.hidden) load().catch(() => {}); }, 5000);
  return () => clearInterval(timer);
}
