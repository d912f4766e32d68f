// Asking the sidecar. A token, where one is needed, is kept for this tab alone.
const KEY = "hyperfleet-token";

export function token() { return sessionStorage.getItem(KEY) || ""; }
export function setToken(text) { text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY); }
export function headers(more) { return { ...(token() ? { Authorization: "Bearer " + token() } : {}), ...more }; }

export class Problem extends Error {
  constructor(status, body) {
    super((body && (body.detail || body.error)) || "The sidecar answered " + status);
    this.status = status;
  }
}

export async function ask(method, path, body, more) {
  const answer = await fetch(path, {
    method, headers: headers({ ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...more }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* not JSON: the status says enough */ }
  if (!answer.ok) throw new Problem(answer.status, json);
  return json;
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body === undefined ? {} : body);
export const query = (values) => {
  const q = new URLSearchParams(Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== ""));
  return q.size ? "?" + q : "";
};

// A file, through the same door as everything else: a link could not carry the token.
export async function save(path, name) {
  const answer = await fetch(path, { headers: headers({}) });
  if (!answer.ok) throw new Problem(answer.status, null);
  const a = document.createElement("a");
  a.href = URL.createObjectURL(await answer.blob());
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}
