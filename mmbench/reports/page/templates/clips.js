// The table of clips: filtered, sorted, and only as many rows in the document as were asked for.
const PAGE = 50;
const STATUSES = { measured: "measured", partly: "partly measured", error: "not measurable" };
const clipColumns = data.columns.map((name) => metricOf.get(name)).filter(Boolean);
const clipState = { shown: PAGE, key: null, sign: 1 };
const sceneOf = new Map(data.scenes.flatMap((scene, index) => scene.clips.map((clip) => [clip, index])));

function haystack(clip) {
  const reasons = Object.values(clip.scores).map(why);
  return [clip.id, clip.model, clip.identity, clip.prompt, clip.file, clip.error, ...clip.warnings, ...reasons]
    .join("\n").toLowerCase();
}

function chosenClips() {
  const [model, identity, status] = ["model", "identity", "status"].map((name) => byId(`clips-${name}`).value);
  const words = byId("clips-search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = data.clips.map((clip, index) => ({ clip, index })).filter(({ clip }) =>
    (!model || clip.model === model) && (!identity || clip.identity === identity)
    && (!status || clip.status === status) && words.every((word) => haystack(clip).includes(word)));
  if (clipState.key) {
    chosen.sort((a, b) => compareKeys(clipState.key(a.clip), clipState.key(b.clip), clipState.sign));
  }
  return chosen;
}

function clipRow({ clip, index }) {
  const row = make("tr", { class: clip.status });
  const open = make("button", { class: "open", type: "button", title: "Show side by side" }, ...breakable(clip.id));
  open.addEventListener("click", () => {
    showScene(sceneOf.get(index));
    byId("side-by-side").scrollIntoView();
  });
  const status = make("td", { class: "text" },
    make("span", { class: `status-${clip.status}` }, STATUSES[clip.status]));
  const notes = [clip.error, clip.remedy, ...clip.warnings].filter(Boolean);
  const reasons = new Set(clipColumns.map((metric) => clip.scores[metric.name])
    .filter((score) => score && score.value === null).map(why));
  for (const note of [...notes, ...reasons]) status.append(make("div", { class: "note", title: note }, ...prose(note)));
  row.append(
    make("td", { class: "text" }, open, make("div", { class: "muted" }, clip.file)),
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

function clipHeader(title, better, key) {
  const button = make("button", { type: "button", "data-better": better }, title);
  const header = make("th", { scope: "col", ...(better === "text" ? { class: "text" } : {}) }, button);
  button.addEventListener("click", () => {
    const direction = nextDirection(header, better);
    markSorted(header.parentElement, header, direction);
    Object.assign(clipState, { key, sign: direction === "ascending" ? 1 : -1 });
    drawClips();
  });
  return header;
}

function startClips() {
  const texts = [["Clip", "id"], ["Model", "model"], ["Identity", "identity"], ["Prompt", "prompt"], ["Status", "status"]];
  const value = (name) => (clip) => String(clip.scores[name]?.value ?? "");
  byId("clips-table").tHead.replaceChildren(make("tr", {},
    ...texts.map(([title, name]) => clipHeader(title, "text", (clip) => clip[name])),
    ...clipColumns.map((metric) => clipHeader(metric.title, metric.higher ? "higher" : "lower", value(metric.name)))));
  const distinct = (name) => [...new Set(data.clips.map((clip) => clip[name]))].sort();
  fillSelect(byId("clips-model"), [["", "all"], ...distinct("model").map((name) => [name, name])]);
  fillSelect(byId("clips-identity"), [["", "all"], ...distinct("identity").map((name) => [name, name])]);
  fillSelect(byId("clips-status"), [["", "all"], ...Object.entries(STATUSES)]);
  for (const name of ["model", "identity", "status", "search"]) {
    byId(`clips-${name}`).addEventListener("input", () => { clipState.shown = PAGE; drawClips(); });
  }
  byId("clips-more").addEventListener("click", () => { clipState.shown += 4 * PAGE; drawClips(); });
  drawClips();
}
