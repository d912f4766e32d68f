// The page: which view the address names, the theme, pause, who is asking.
import { get, setToken, token } from "./api.js";
import { audit } from "./audit.js";
import { refresh } from "./controls.js";
import { countDead, dead } from "./dead.js";
import { h, note } from "./dom.js";
import { job } from "./job.js";
import { jobs } from "./jobs.js";
import { follow, isPaused, listen, restart, setPaused } from "./live.js";
import { log } from "./log.js";
import { overview } from "./overview.js";
import { schedules } from "./schedules.js";
import { submit } from "./submit.js";
import { webhooks } from "./webhooks.js";
import { workers } from "./workers.js";

const views = { overview, jobs, job, submit, schedules, workers, webhooks, dead, log, audit };
const sections = [["overview", "Overview"], ["jobs", "Jobs"], ["submit", "Submit"], ["schedules", "Schedules"], ["workers", "Workers"], ["webhooks", "Webhooks"], ["dead", "Dead letters"], ["log", "Log"], ["audit", "Audit"]];
const main = document.getElementById("main");
let leave = null, turn = 0;

// Loads, and again when something that matters happened, once a second at most, however much happens. It listens before it loads the first time:
// what happens in between would otherwise never show.
async function live(load, matters) {
  let due = null;
  const unlisten = listen((event) => {
    if (due || !matters(event)) return;
    due = setTimeout(() => { due = null; load().catch(() => {}); }, 1000);
  });
  const stop = () => { unlisten(); clearTimeout(due); };
  try { await load(); } catch (e) { stop(); throw e; }
  return stop;
}

function address() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  return { name: views[name] ? name : "overview", id: decodeURIComponent(rest.join("/")), values: Object.fromEntries(new URLSearchParams(search || "")) };
}

function askForToken() {
  const box = h("input", { type: "password", autocomplete: "off", "aria-label": "Token" });
  main.replaceChildren(h("h1", {}, "A token is needed"), h("p", {}, "This journal asks who you are. The token is kept in this tab until it is closed."),
    h("form", { class: "row", onsubmit: (e) => { e.preventDefault(); setToken(box.value.trim()); start(); } }, box, h("button", { class: "first" }, "Go on")));
  box.focus();
}

async function show(moved) {
  const mine = ++turn, { name, id, values } = address();
  if (leave) leave();
  leave = null;
  document.getElementById("nav").replaceChildren(...sections.map(([n, title]) => h("li", {}, h("a", { href: "#/" + n, "aria-current": n === name || (n === "jobs" && name === "job") ? "page" : null }, title, n === "dead" ? h("span", { id: "dead" }) : null))));
  document.title = (sections.find(([n]) => n === name) || ["", "Job"])[1] + " – Hyperfleet";
  try {
    const stop = await views[name](main, live, values, id);
    if (mine === turn) leave = stop || null;
    else if (stop) stop();
  } catch (e) {
    if (e.status === 401) askForToken();
    else main.replaceChildren(h("h1", {}, "That did not work"), h("p", { class: "error" }, e.message));
  }
  countDead();
  if (moved) { refresh(); main.focus(); }
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = document.documentElement.dataset.theme === "dark" ? "Light theme" : "Dark theme";
}

async function start() {
  try {
    const who = await get("/api/v1/whoami");
    document.getElementById("fleet").textContent = "fleet " + who.fleet;
    const name = document.getElementById("who");
    name.replaceChildren(who.access_control ? who.name || "" : "no access control", who.access_control && token() ? h("button", { type: "button", onclick: () => { setToken(""); start(); } }, "Sign out") : "");
  } catch (e) { note(e.message); }
  restart();
  await refresh();
  await show(false);
}

document.getElementById("pause").addEventListener("click", (e) => {
  setPaused(!isPaused());
  e.target.setAttribute("aria-pressed", String(isPaused()));
  e.target.textContent = isPaused() ? "Go on" : "Pause";
});
document.getElementById("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = dark ? "light" : "dark";
  localStorage.setItem("hyperfleet-theme", theme);
  setTheme(theme);
});
setTheme(localStorage.getItem("hyperfleet-theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
addEventListener("hashchange", () => show(true));
setInterval(() => { if (!document.hidden && !isPaused()) { refresh(); countDead(); } }, 5000);
follow((text) => { const e = document.getElementById("live"); if (e.textContent !== text) e.textContent = text; });
start();
