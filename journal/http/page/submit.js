// A job by form; or as JSON, with everything a job can say.
import { post } from "./api.js";
import { h, note } from "./dom.js";

export async function submit(main) {
  const field = (name, title, more) => h("label", {}, title, h("input", { name, ...more }));
  const form = h("form", { class: "panel", onsubmit: send },
    h("div", { class: "filters" },
      field("vm_path", "VM path, or path of a disk image", { required: true, autocomplete: "off" }), field("name", "Name"), field("output_dir", "Output directory", { required: true }),
      h("label", {}, "Operation", h("select", { name: "operation" }, ["export", "convert", "inspect", "discover"].map((o) => h("option", {}, o)))),
      h("label", {}, "Format", h("select", { name: "format" }, ["ova", "ovf", "vmdk", "qcow2", "raw"].map((o) => h("option", {}, o)))),
      field("endpoint", "Endpoint (vSphere)"), field("priority", "Priority, 1 first", { type: "number", min: 1, max: 10, value: "5" }), field("requested_by", "Requested by"), field("ticket", "Ticket")),
    h("div", { class: "row" }, h("button", { class: "first" }, "Submit")));
  const text = h("textarea", { name: "json", spellcheck: "false", "aria-label": "Jobs as JSON" });
  const raw = h("form", { class: "panel", onsubmit: sendJson }, text, h("div", { class: "row" }, h("button", {}, "Submit JSON")));

  async function give(body) {
    try {
      const answer = await post("/api/v1/jobs", body);
      const bad = answer.items.filter((i) => !i.accepted);
      bad.forEach((i) => note(i.error));
      if (answer.accepted) note(answer.accepted + " accepted", true);
      if (answer.items.length === 1 && answer.items[0].accepted) location.hash = "#/job/" + answer.items[0].job_id;
    } catch (e) { note(e.message); }
  }
  function send(e) {
    e.preventDefault();
    const body = Object.fromEntries([...new FormData(form)].filter(([, v]) => v !== ""));
    if (body.priority) body.priority = Number(body.priority);
    give(body);
  }
  function sendJson(e) {
    e.preventDefault();
    try { give(JSON.parse(text.value)); } catch (problem) { note("This is not JSON: " + problem.message); }
  }
  main.replaceChildren(h("h1", {}, "Submit"), form, h("h2", {}, "Or as JSON"), raw);
}
