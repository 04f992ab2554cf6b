"use strict";
// tables: a click on a header sorts by it, a second one turns the order round; empty cells stay last
for (const table of document.querySelectorAll(".table table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const words = new Intl.Collator(undefined, { numeric: true });
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const number = "number" in head.dataset;
    const before = head.getAttribute("aria-sort");
    const up = before === "none" ? !number : before === "descending";
    const value = (row) => {
      const cell = row.cells[column], text = cell.textContent.trim();
      if (text === "-" || text === "") return null;
      return number ? Number(cell.dataset.key) : text;
    };
    const rows = [...body.rows].map((row) => [value(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return (up ? 1 : -1) * (number ? a - b : words.compare(a, b));
    });
    body.append(...rows.map(([, row]) => row));
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  }));
}
// light or dark: as the system has it until the button is pressed; a page that may not remember forgets
const root = document.documentElement, theme = document.getElementById("theme");
const remembered = (what) => {
  try {
    if (what) localStorage.setItem("finblend-theme", what);
    return localStorage.getItem("finblend-theme");
  } catch { return null; }
};
const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const told = () => theme.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  remembered(root.dataset.theme);
  told();
});
told();
// what can be copied
for (const button of document.querySelectorAll(".copy")) {
  const code = button.parentElement.querySelector("code");
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch { button.textContent = "Selected"; }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
// which section is being read
const links = new Map([...document.querySelectorAll(".topbar nav a")].map((link) => [link.hash.slice(1), link]));
const mark = () => {
  const seen = [...document.querySelectorAll("section")].filter((part) => part.getBoundingClientRect().top < innerHeight / 3);
  const current = seen.length ? seen[seen.length - 1].id : "";
  for (const [key, link] of links) {
    const was = link.hasAttribute("aria-current");
    link.toggleAttribute("aria-current", key === current);
    // in its own box only: the page itself stays where it is
    if (key === current && !was) {
      const box = link.closest("nav");
      box.scrollLeft = link.offsetLeft - box.offsetLeft - 20;
    }
  }
};
let waiting = false;
addEventListener("scroll", () => {
  if (!waiting) requestAnimationFrame(() => { waiting = false; mark(); });
  waiting = true;
}, { passive: true });
mark();
