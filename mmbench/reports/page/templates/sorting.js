// Compare by number where both are numbers, else as text; an empty key (no value) is last in either direction.
function compareKeys(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  return sign * order;
}

// First click: best first. Second click: the other way round.
function nextDirection(header, better) {
  const first = better === "higher" ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  return header.getAttribute("aria-sort") === first ? second : first;
}

function markSorted(row, header, direction) {
  for (const other of row.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
}

function makeSortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    button.addEventListener("click", () => {
      const direction = nextDirection(header, button.dataset.better);
      markSorted(table.tHead.rows[0], header, direction);
      const body = table.querySelector("tbody.measured");
      const key = (row) => row.cells[column].dataset.key ?? "";
      const sign = direction === "ascending" ? 1 : -1;
      body.append(...[...body.rows].sort((a, b) => compareKeys(key(a), key(b), sign)));
    });
  });
}

// Columns that no model has are folded; a button unfolds them. Without scripts they are seen.
function makeFolding(button) {
  const table = byId(button.dataset.table);
  const set = (folded) => {
    table.classList.toggle("fold", folded);
    button.setAttribute("aria-expanded", String(!folded));
    button.textContent = folded ? "Show them" : "Fold them";
  };
  button.hidden = false;
  button.addEventListener("click", () => set(!table.classList.contains("fold")));
  set(true);
}
