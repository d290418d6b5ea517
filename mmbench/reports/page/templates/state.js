// The page's state in its address: a link, a reload and the back button give the same scene, second and filters.
// Each part reads its state as text and takes text from anybody's link; empty text is the state at the start.
const stateParts = new Map();
let savePending = null;
let saveAsStep = false;

function keepInAddress(name, read, write) {
  stateParts.set(name, { read, write });
}

function saveNow(section) {
  const query = new URLSearchParams();
  for (const [name, part] of stateParts) if (part.read()) query.set(name, part.read());
  const address = `#${section}?${query}`;
  if (address !== location.hash) history[saveAsStep ? "pushState" : "replaceState"](null, "", address);
  savePending = null;
  saveAsStep = false;
}

// `step`: the back button returns to what was before. Browsers bound how often an address may change, hence the wait.
function saveState(section, step = false) {
  saveAsStep ||= step;
  clearTimeout(savePending);
  savePending = setTimeout(() => saveNow(section), 120);
}

function loadState() {
  const [section, query] = location.hash.slice(1).split(/\?(.*)/s);
  if (query === undefined && section) return; // a plain anchor moves the page and changes nothing
  clearTimeout(savePending);
  const values = new URLSearchParams(query ?? "");
  for (const [name, part] of stateParts) part.write(values.get(name) ?? "");
  if (section) document.getElementById(section)?.scrollIntoView();
}

// Sets a select to a value of somebody's link, or to its first option where it has no such value.
function choose(select, value) {
  const known = [...select.options].some((option) => option.value === value);
  select.value = known ? value : (select.options[0]?.value ?? "");
}

// Sets a field to a text of somebody's link; a field of numbers stays empty where the text is none.
function fill(field, text) {
  const number = /^-?(\d+(\.\d+)?|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text));
  field.value = field.type === "number" && !number ? "" : text;
}
