// The table of clips: filtered, sorted, and only as many rows in the document as were asked for.
const PAGE = 50;
const STATUSES = { measured: "measured", partly: "partly measured", error: "not measurable" };
const clipColumns = data.columns.map((name) => metricOf.get(name)).filter(Boolean);
const clipState = { shown: PAGE, by: "", sign: 1 };
const sceneOf = new Map(data.scenes.flatMap((scene, index) => scene.clips.map((clip) => [clip, index])));

function clipRow({ clip, index }) {
  const row = make("tr", { class: clip.status });
  const open = make("button", { class: "open", type: "button", title: "Show side by side" }, ...breakable(clip.id));
  open.addEventListener("click", () => {
    showScene(sceneOf.get(index));
    byId("side-by-side").scrollIntoView();
    saveState("side-by-side", true);
  });
  const status = make("td", { class: "text" },
    make("span", { class: `status-${clip.status}` }, STATUSES[clip.status]));
  const notes = [clip.error, clip.remedy, ...clip.warnings].filter(Boolean);
  const reasons = new Set(clipColumns.map((metric) => clip.scores[metric.name])
    .filter((score) => score && score.value === null).map(why));
  for (const note of [...notes, ...reasons]) status.append(make("div", { class: "note", title: note }, ...prose(note)));
  row.append(
    make("td", { class: "text" }, ...thumbnail(clip), open, make("div", { class: "muted" }, clip.file)),
    make("td", { class: "text" }, dot(clip.model), clip.model),
    make("td", { class: "text" }, clip.identity),
    make("td", { class: "text" }, clip.prompt, make("div", { class: "muted" }, clip.geometry)),
    status,
    ...clipColumns.map((metric) => make("td", {}, scoreNode(clip.scores[metric.name], metric))),
  );
  return row;
}

function drawClips() {
  const chosen = chosenClips();
  byId("clips-table").tBodies[0].replaceChildren(...chosen.slice(0, clipState.shown).map(clipRow));
  byId("clips-count").textContent = `${chosen.length} of ${data.clips.length} clips`;
  byId("clips-more").hidden = chosen.length <= clipState.shown;
}

// A still of the clip beside its name, fetched when the row comes into view.
const stills = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    target.src = target.dataset.src;
    stills.unobserve(target);
  }
}, { rootMargin: "200px" });

function thumbnail(clip) {
  if (clip.media.kind === "none") return [];
  const still = make(clip.media.kind === "video" ? "video" : "img", { class: "thumbnail", "aria-hidden": "true" });
  if (clip.media.kind === "video") Object.assign(still, { muted: true, preload: "metadata", tabIndex: -1 });
  else still.alt = "";
  still.dataset.src = clip.media.kind === "video" ? `${clip.media.src}#t=0.1` : clip.media.src;
  stills.observe(still);
  return [still];
}

const TEXTS = [["Clip", "id"], ["Model", "model"], ["Identity", "identity"], ["Prompt", "prompt"], ["Status", "status"]];

// Of a clip, the text it is sorted by; null for a column that is not there.
function sortKey(by) {
  if (by === "model") return (clip) => String(placeOf.get(clip.model));
  if (TEXTS.some(([, name]) => name === by)) return (clip) => clip[by];
  if (clipColumns.some((metric) => metric.name === by)) return (clip) => String(clip.scores[by]?.value ?? "");
  return null;
}

// `direction`: as in aria-sort.
function sortClips(by, direction) {
  Object.assign(clipState, { by: sortKey(by) ? by : "", sign: direction === "descending" ? -1 : 1 });
  const row = byId("clips-table").tHead.rows[0];
  const header = [...row.cells].find((cell) => cell.dataset.by === clipState.by);
  for (const cell of row.cells) cell.removeAttribute("aria-sort");
  if (header) markSorted(row, header, direction);
  const metric = metricOf.get(clipState.by);
  const worst = metric && direction === (metric.higher ? "ascending" : "descending");
  choose(byId("clips-worst"), worst ? metric.name : "");
  drawClips();
}

// Worst first by the number that is chosen, or by the first column.
function sortWorst(name = byId("clips-worst").value || clipColumns[0]?.name) {
  const metric = metricOf.get(name);
  if (metric) sortClips(name, metric.higher ? "ascending" : "descending");
  saveState("clips");
}

function clipHeader(title, better, by) {
  const button = make("button", { type: "button", "data-better": better }, title);
  const header = make("th", { scope: "col", "data-by": by, ...(better === "text" ? { class: "text" } : {}) }, button);
  button.addEventListener("click", () => {
    sortClips(by, nextDirection(header, better));
    saveState("clips");
  });
  return header;
}

function startClips() {
  byId("clips-table").tHead.replaceChildren(make("tr", {},
    ...TEXTS.map(([title, name]) => clipHeader(title, "text", name)),
    ...clipColumns.map((metric) => clipHeader(metric.title, metric.higher ? "higher" : "lower", metric.name))));
  fillSelect(byId("clips-worst"), [["", "as listed"], ...clipColumns.map((metric) => [metric.name, metric.title])]);
  byId("clips-worst").addEventListener("input", (event) => {
    if (event.target.value) sortWorst(event.target.value);
    else { sortClips("", "ascending"); saveState("clips"); }
  });
  startFilters();
  const read = () => (clipState.by ? `${clipState.by}:${clipState.sign < 0 ? "descending" : "ascending"}` : "");
  keepInAddress("sort", read, (text) => sortClips(...(text || ":ascending").split(":").slice(0, 2)));
  byId("clips-more").addEventListener("click", () => { clipState.shown += 4 * PAGE; drawClips(); });
  drawClips();
}
