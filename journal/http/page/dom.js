// Elements from JavaScript; text always as text, so nothing a job says can become markup.
export function h(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "value") e.value = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) e.append(child);
  return e;
}

export function svg(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// A table whose columns are [title, cell of a row, class]; on a narrow screen each row folds into lines.
export function table(caption, columns, rows) {
  return h("table", { class: "fold" },
    caption && h("caption", {}, caption),
    h("thead", {}, h("tr", {}, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([title, cell, kind]) => h("td", { class: kind, "data-name": title }, cell(row)))))));
}

export function facts(pairs) {
  return h("dl", {}, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function note(text, good) {
  const p = h("p", { class: good ? "good" : null }, text);
  document.getElementById("notes").append(p);
  setTimeout(() => p.remove(), 8000);
}
