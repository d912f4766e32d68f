// Numbers and times for people.
import { h } from "./dom.js";

export function bytes(n) {
  if (!n) return n === 0 ? "0 B" : "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i && n < 10 ? n.toFixed(1) : Math.round(n)) + " " + units[i];
}

export function duration(seconds) {
  if (seconds === undefined || seconds === null || seconds < 0) return "";
  const s = Math.round(seconds);
  if (s < 60) return (seconds < 10 ? Math.round(seconds * 10) / 10 : s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
}

export function when(text) {
  if (!text) return "";
  const d = new Date(text);
  return h("time", { datetime: text, title: text }, d.toLocaleString());
}

export function between(from, to) {
  return from && to ? duration((new Date(to) - new Date(from)) / 1000) : "";
}

export function state(name) {
  return h("span", { class: "state " + name }, name);
}

export function count(n) {
  return Number(n || 0).toLocaleString();
}
