"use strict";
// Light and dark: the system's choice until the reader makes one. It is kept where the browser lets a file do that.
const page = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)"), theme = document.getElementById("theme");
const keep = (action) => { try { return action(); } catch { return null; } };
const isDark = () => (page.dataset.theme ? page.dataset.theme === "dark" : system.matches);
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Use ${isDark() ? "light" : "dark"} colours`); };
const kept = keep(() => localStorage.getItem("tfod-theme"));
if (kept === "light" || kept === "dark") page.dataset.theme = kept;
theme.hidden = false;
theme.addEventListener("click", () => {
  page.dataset.theme = isDark() ? "light" : "dark";
  keep(() => localStorage.setItem("tfod-theme", page.dataset.theme));
  nameTheme();
});
system.addEventListener("change", nameTheme);
nameTheme();

// Tables: a click on a column's head sorts, a second one reverses the order. What has no value comes last.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const button of table.querySelectorAll("button.sort")) button.addEventListener("click", () => sortBy(table, button));
}
function sortBy(table, button) {
  const head = button.closest("th"), column = head.cellIndex, now = head.getAttribute("aria-sort");
  const order = now ? (now === "ascending" ? "descending" : "ascending") : button.dataset.order;
  const sign = order === "ascending" ? 1 : -1, body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => {
    const cell = row.cells[column], said = cell.dataset.value;
    return { row, value: said === undefined ? cell.textContent.trim() : said === "" ? null : Number(said) };
  });
  rows.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    if (typeof a.value === "number") return sign * (a.value - b.value);
    return sign * a.value.localeCompare(b.value, undefined, { numeric: true });
  });
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  body.append(...rows.map((one) => one.row));
}

// Pictures: a button opens its picture in the dialog; Escape, Close and a click beside it close it again.
const facts = JSON.parse(document.getElementById("facts").textContent), viewer = document.getElementById("viewer");
const picture = document.getElementById("viewer-picture"), boxes = document.getElementById("viewer-boxes");
let shown = 0;
function show(number) {
  shown = (number + facts.length) % facts.length;
  const one = facts[shown];
  document.getElementById("viewer-title").textContent = `${one.name}: ${one.summary}`;
  picture.setAttribute("viewBox", `0 0 ${one.width} ${one.height}`);
  picture.setAttribute("aria-label", one.alt);
  picture.firstElementChild.setAttribute("href", `#picture-${shown}`);
  boxes.replaceChildren(...one.boxes.map(([state, text]) => {
    const line = document.createElement("li");
    line.className = state;
    line.textContent = text;
    return line;
  }));
  if (!viewer.open) viewer.showModal();
  const room = picture.getBoundingClientRect();
  picture.style.setProperty("--letters", `${14 * Math.max(one.width / room.width, one.height / room.height)}px`);
}
for (const button of document.querySelectorAll("button.open")) button.addEventListener("click", () => show(Number(button.dataset.picture)));
document.getElementById("before").addEventListener("click", () => show(shown - 1));
document.getElementById("after").addEventListener("click", () => show(shown + 1));
document.getElementById("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") show(shown - 1);
  if (event.key === "ArrowRight") show(shown + 1);
});
for (const what of ["detections", "labels"]) {
  document.getElementById(`show-${what}`).addEventListener("change", (event) => page.classList.toggle(`no-${what}`, !event.target.checked));
}
