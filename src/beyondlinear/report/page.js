"use strict";
// --- colour scheme: the system's, unless the reader chooses
const root = document.documentElement;
const dark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

// --- tables: sort by a column's button, filter by any word
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const said = document.getElementById(`${table.id}-count`);
  const filter = document.getElementById(`${table.id}-filter`);
  const all = [...body.rows];
  const count = () => { said.textContent = `${all.filter((r) => !r.hidden).length} of ${all.length} rows`; };
  table.querySelectorAll("thead th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      all.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what is not known comes last
        const order = head.classList.contains("n") ? Number(x) - Number(y) : x.localeCompare(y);
        return up ? order : -order;
      });
      body.append(...all);
    });
  });
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of all) row.hidden = !words.every((w) => row.textContent.toLowerCase().includes(w));
    count();
  });
  count();
}

// --- methods to the clipboard
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(document.getElementById(button.dataset.copy)); button.textContent = "Selected"; }
  });
}

// --- curves
const data = JSON.parse(document.getElementById("curves").textContent);
const plot = document.getElementById("plot");
const panel = document.getElementById("panel");
const toggles = () => [...document.querySelectorAll("input[data-learner]")];
const signals = () => [...document.querySelectorAll("input[data-signal]")];
// plotly reads a few tags in text; a name is no tag
const shown = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const signal = (line) => (line.labels ? "linear" : line.removal === "none" ? "present" : "removed");
const faint = (colour) => `${colour}26`;

function traces(of) {
  const found = [];
  const on = new Set(toggles().filter((t) => t.checked).map((t) => t.dataset.learner));
  const which = new Set(signals().filter((t) => t.checked).map((t) => t.dataset.signal));
  for (const line of of.lines) {
    if (!on.has(line.learner) || !which.has(signal(line))) continue;
    const colour = data.learners[line.learner];
    const dash = { present: "solid", removed: "dash", linear: "dot" }[signal(line)];
    const name = [line.learner, line.removal === "none" ? "" : `after ${line.removal}`, line.labels].filter(Boolean).join(", ");
    if (line.smooth) {
      const s = line.smooth;
      found.push({
        x: [...s.n_outer_train, ...s.n_outer_train.slice().reverse()], y: [...s.high, ...s.low.slice().reverse()],
        fill: "toself", fillcolor: faint(colour), line: { width: 0 }, hoverinfo: "skip", mode: "lines", showlegend: false,
      });
      found.push({ x: s.n_outer_train, y: s.value, mode: "lines", line: { color: colour, dash, width: 2 }, hoverinfo: "skip", showlegend: false });
    }
    found.push({
      x: line.x, y: line.mean, mode: line.smooth ? "markers" : "lines+markers", name: shown(name),
      line: { color: colour, dash, width: 2 }, marker: { color: colour, size: 7, symbol: signal(line) === "present" ? "circle" : "circle-open" },
      customdata: line.x.map((_, i) => [line.sd[i] === null ? "–" : line.sd[i].toFixed(3), line.n[i]]),
      hovertemplate: `${shown(name)}<br>%{x:,.0f} training samples<br>balanced accuracy %{y:.3f} ± %{customdata[0]}` +
        " (sd of %{customdata[1]} fits)<extra></extra>",
    });
  }
  return found;
}

function draw() {
  if (!plot || !data.panels.length) return;
  const of = data.panels[panel.selectedIndex];
  const style = getComputedStyle(root);
  const [ink, line, paper] = ["--ink", "--line", "--paper"].map((v) => style.getPropertyValue(v).trim());
  const sizes = new Set(of.lines.flatMap((l) => l.x)).size; // of one size there is no curve to begin at zero
  const axis = { gridcolor: line, linecolor: line, zeroline: false };
  Plotly.react(plot, traces(of), {
    font: { color: ink, family: "system-ui, sans-serif" }, paper_bgcolor: paper, plot_bgcolor: paper,
    margin: { l: 60, r: 15, t: 10, b: 50 }, hovermode: "closest", showlegend: false,
    hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink } },
    xaxis: { ...axis, title: { text: "training samples" }, rangemode: sizes > 1 ? "tozero" : "normal" },
    yaxis: { ...axis, title: { text: "balanced accuracy (held-out)" } },
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: of.naive, y1: of.naive, line: { dash: "dot", color: ink, width: 1 } }],
  }, { responsive: true, displayModeBar: false });
}
for (const control of [panel, ...toggles(), ...signals()]) control?.addEventListener("change", draw);
draw();
