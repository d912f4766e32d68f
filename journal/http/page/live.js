// One stream of the whole fleet for the page: server-sent events read with fetch, which can carry a token, resumed by the last id.
import { headers } from "./api.js";

const listeners = new Set();
let lastId = null, paused = false, abort = null, held = [];

export function listen(f) { listeners.add(f); return () => listeners.delete(f); }
export function isPaused() { return paused; }
export function setPaused(on) {
  paused = on;
  if (!on) { const late = held; held = []; late.forEach(tell); }
}

function tell(event) {
  if (paused) { held.push(event); if (held.length > 1000) held.shift(); return; }
  for (const f of listeners) f(event);
}

function take(block) {
  let name = "message", data = "", id = null;
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
    else if (line.startsWith("id: ")) id = line.slice(4);
  }
  if (id) lastId = id;
  if (data) tell({ name, data: JSON.parse(data) });
}

async function once(say) {
  abort = new AbortController();
  const answer = await fetch("/api/v1/events", {
    headers: headers({ Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) }), signal: abort.signal,
  });
  if (answer.status === 400) { lastId = null; return; } // another journal answers now
  if (!answer.ok) throw new Error("status " + answer.status);
  say("live");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    blocks.forEach(take);
  }
}

// Goes on for ever; after a failure it waits longer each time, half a minute at most.
export async function follow(say) {
  let wait = 500;
  for (;;) {
    const begun = Date.now();
    try { await once(say); } catch { /* said below */ }
    if (Date.now() - begun > 10000) wait = 500;
    say("not connected");
    await new Promise((f) => setTimeout(f, wait));
    wait = Math.min(wait * 2, 30000);
  }
}
export function restart() { if (abort) abort.abort(); }
