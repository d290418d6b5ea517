// Which clips the table shows: by whom, what, state, reason and a bound on one number.
const FILTERS = ["model", "identity", "group", "prompt", "status", "reason"];
const TYPED = ["search", "metric", "side", "bound"];
const haystacks = new Map();

function haystack(clip) {
  if (!haystacks.has(clip)) {
    const reasons = Object.values(clip.scores).map(why);
    haystacks.set(clip, [clip.id, clip.model, clip.identity, clip.prompt, clip.file, clip.error, ...clip.warnings,
      ...reasons].join("\n").toLowerCase());
  }
  return haystacks.get(clip);
}

// Why a clip lacks a number of a column, or could not be used at all.
function reasonsOf(clip) {
  const lacking = clipColumns.map((metric) => clip.scores[metric.name])
    .filter((score) => score && score.value === null).map((score) => score.reason);
  return new Set([clip.error, ...lacking].filter(Boolean));
}

function withinBound(clip) {
  const [metric, side, bound] = ["metric", "side", "bound"].map((name) => byId(`clips-${name}`).value);
  if (!metric || bound === "") return true;
  const value = clip.scores[metric]?.value ?? null; // a number that is missing is on neither side
  return value !== null && (side === "below" ? value <= Number(bound) : value >= Number(bound));
}

function chosenClips() {
  const [model, identity, group, prompt, status, reason] = FILTERS.map((name) => byId(`clips-${name}`).value);
  const words = byId("clips-search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = data.clips.map((clip, index) => ({ clip, index })).filter(({ clip }) =>
    (!model || clip.model === model) && (!identity || clip.identity === identity)
    && (!group || clip.group === group) && (!prompt || clip.prompt === prompt)
    && (!status || clip.status === status) && (!reason || reasonsOf(clip).has(reason))
    && withinBound(clip) && words.every((word) => haystack(clip).includes(word)));
  const key = sortKey(clipState.by);
  if (key) chosen.sort((a, b) => compareKeys(key(a.clip), key(b.clip), clipState.sign));
  return chosen;
}

// Options of a filter: "all", then each value; a filter with one value or none is not shown.
function fillFilter(name, options) {
  fillSelect(byId(`clips-${name}`), [["", "all"], ...options]);
  byId(`clips-${name}`).closest("label").hidden = options.length < (name === "reason" ? 1 : 2);
}

// The most frequent reasons first.
function reasonOptions() {
  const count = new Map();
  for (const clip of data.clips) for (const text of reasonsOf(clip)) count.set(text, (count.get(text) ?? 0) + 1);
  return [...count].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
    .map(([text, clips]) => [text, `${clips}: ${text.slice(0, 80)}`]);
}

function startFilters() {
  const distinct = (name) => [...new Set(data.clips.map((clip) => clip[name]).filter(Boolean))].sort()
    .map((text) => [text, text.slice(0, 80)]);
  const present = new Set(data.clips.map((clip) => clip.model));
  fillFilter("model", data.models.filter(({ name }) => present.has(name)).map(({ name }) => [name, name]));
  for (const name of ["identity", "group", "prompt"]) fillFilter(name, distinct(name));
  fillFilter("status", Object.entries(STATUSES));
  fillFilter("reason", reasonOptions());
  const numbers = clipColumns.map((metric) => [metric.name, metric.title]);
  fillSelect(byId("clips-metric"), [["", "any number"], ...numbers]);
  fillSelect(byId("clips-side"), [["below", "at most"], ["above", "at least"]]);
  const redraw = () => { clipState.shown = PAGE; drawClips(); saveState("clips"); };
  for (const name of [...FILTERS, ...TYPED]) {
    const field = byId(`clips-${name}`);
    field.addEventListener("input", redraw);
    const start = field.value;
    const write = (text) => { if (field.tagName === "SELECT") choose(field, text); else fill(field, text); };
    keepInAddress(name, () => (field.value === start ? "" : field.value), write);
  }
  byId("clips-clear").addEventListener("click", () => {
    for (const name of [...FILTERS, ...TYPED]) stateParts.get(name).write("");
    redraw();
  });
}
