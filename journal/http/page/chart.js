// A line chart, drawn as SVG: jobs a minute.
import { h, svg } from "./dom.js";

const W = 900, H = 160, LEFT = 44, BOTTOM = 22, TOP = 8;

function rates(minutes, name) {
  const out = [];
  for (let i = 1; i < minutes.length; i++) out.push(Math.max(0, minutes[i][name] - minutes[i - 1][name]));
  return out;
}

export function perMinute(minutes) {
  const series = ["created", "completed", "failed"].map((name) => [name, rates(minutes, name)]);
  const n = minutes.length - 1;
  if (n < 1) return h("p", { class: "dim" }, "A line appears once the journal has run for two minutes.");
  const top = Math.max(1, ...series.flatMap(([, values]) => values));
  const x = (i) => LEFT + (n === 1 ? W - LEFT - 10 : (i * (W - LEFT - 10)) / (n - 1));
  const y = (v) => H - BOTTOM - (v / top) * (H - BOTTOM - TOP);
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": `Jobs a minute over the last ${n} minutes; at most ${top}` });
  for (const v of [0, top]) {
    chart.append(svg("line", { class: "axis", x1: LEFT, x2: W, y1: y(v), y2: y(v) }));
    chart.append(svg("text", { x: 4, y: y(v) + 4 }, String(v)));
  }
  chart.append(svg("text", { x: LEFT, y: H - 5 }, new Date(minutes[1].at).toLocaleTimeString()));
  chart.append(svg("text", { x: W - 80, y: H - 5 }, new Date(minutes[n].at).toLocaleTimeString()));
  for (const [name, values] of series)
    chart.append(svg("path", { class: "c-" + name, d: values.map((v, i) => (i ? "L" : "M") + x(i).toFixed(1) + " " + y(v).toFixed(1)).join("") + (n === 1 ? "h1" : "") }));
  return h("div", {}, chart, h("p", { class: "key dim" }, "Jobs a minute: created (dotted), completed (solid), failed (dashed)"));
}
