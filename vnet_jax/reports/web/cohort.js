// Sorts and filters the table of cases. Without it the table is whole all the same.
"use strict";

(() => {
  const at = (id) => document.getElementById(id);
  const table = at("cases"), body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const filters = { text: at("text"), status: at("status") };
  const only = { review: at("review"), warned: at("warned") };

  function filter() {
    const words = filters.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(
        words.every((word) => text.includes(word)) &&
        (!filters.status.value || row.dataset.status === filters.status.value) &&
        Object.entries(only).every(([name, box]) => !box.checked || name in row.dataset)
      );
      shown += !row.hidden;
    }
    at("count").textContent = `${shown} of ${rows.length}`;
  }

  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    if (!numeric) return cell.textContent.trim();
    return "value" in cell.dataset ? Number(cell.dataset.value) : NaN;
  };

  // What is not known stands last, whichever way the others are sorted.
  function compare(a, b, numeric, way) {
    if (!numeric) {
      if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1);
      return way * a.localeCompare(b, undefined, { numeric: true });
    }
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return way * (a - b);
  }

  function sort(head) {
    const column = head.cellIndex, numeric = "number" in head.dataset;
    const before = head.getAttribute("aria-sort");
    // Of numbers and of reasons one wants the most first.
    const first = numeric ? "descending" : "ascending";
    const second = numeric ? "ascending" : "descending";
    const order = before === first ? second : first;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const way = order === "ascending" ? 1 : -1;
    const keyed = rows.map((row) => [key(row, column, numeric), row]);
    keyed.sort(([a], [b]) => compare(a, b, numeric, way));
    body.append(...keyed.map(([, row]) => row));
  }

  for (const head of table.tHead.rows[0].cells) {
    if (!head.textContent) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head));
  }
  at("filters").hidden = false;
  at("filters").addEventListener("input", filter);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
  document.body.dataset.table = "ready";
})();
