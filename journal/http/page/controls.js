// What is paused: the banner above every view, and telling workers what to do.
import { get, post } from "./api.js";
import { h, note } from "./dom.js";
import { when } from "./format.js";

const words = { intake: "Intake is paused", claims: "Claims are paused" };

function title(c) {
  if (words[c.target]) return words[c.target];
  return c.scope === "worker" ? `Worker ${c.name} was told to ${c.action}` : `Claims of ${c.scope} ${c.name} are paused`;
}

export async function give(target, action, reason) {
  try {
    await post("/api/v1/controls", { target, action, reason: reason || "" });
    note(`${target}: ${action}`, true);
  } catch (e) { note(e.message); }
  await refresh();
}

// Asks why; null when the reader thought better of it.
export function why(question) {
  const reason = prompt(question + "\nWhy? It is kept for the record.", "");
  return reason === null ? null : reason.slice(0, 1000);
}

let last = [];
export const inForce = (target) => last.some((c) => c.target === target);

export async function refresh() {
  const banner = document.getElementById("paused");
  let items = [];
  try { ({ items } = await get("/api/v1/controls")); } catch { return; }
  last = items;
  banner.hidden = items.length === 0;
  const text = JSON.stringify(items);
  if (banner.dataset.shows === text) return;
  banner.dataset.shows = text;
  banner.replaceChildren(...items.map((c) => h("p", {}, h("strong", {}, title(c)), " ",
    h("span", {}, "by " + c.by.split(" via ")[0].split("/")[0] + ", ", when(c.at), c.reason ? ": " + c.reason : ""), " ",
    c.action === "stop" ? "" : h("button", { type: "button", "aria-label": "Resume " + c.target, onclick: () => give(c.target, "resume") }, "Resume"))));
}
