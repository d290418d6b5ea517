// Side by side: one scene (identity and prompt) in the document at a time, so a thousand clips cost nothing.
let currentScene = 0;

// `size` (pixels, may be empty) keeps the place of a picture that is not loaded yet.
function mediaNode(media, alt, size = {}) {
  if (media.kind === "video") {
    const video = make("video", { src: media.src, controls: "", preload: "metadata", "aria-label": alt, ...size });
    Object.assign(video, { muted: true, loop: true, playsInline: true });
    return video;
  }
  if (media.kind === "image") return make("img", { src: media.src, alt, loading: "lazy", ...size });
  return make("div", { class: "nothing" }, make("span", {}, ...prose(media.note)));
}

function scoreLines(clip, metrics) {
  return make("table", { class: "mini" }, make("tbody", {}, ...metrics.map((metric) =>
    make("tr", {}, make("th", { scope: "row" }, metric.title),
      make("td", {}, scoreNode(clip.scores[metric.name], metric))))));
}

// The companions that a clip has, folded.
function companionList(rest) {
  const companions = data.metrics.filter((metric) => rest.scores[metric.name]);
  if (!companions.length) return [];
  return [make("details", { class: "companions" }, make("summary", {}, `${companions.length} companions`),
    scoreLines(rest, companions))];
}

// `named`: the model has several clips in the scene, which only their files tell apart.
function clipFigure(clip, named) {
  const name = make("figcaption", {}, dot(clip.model), make("b", {}, clip.model));
  if (clip.seed !== null) name.append(make("span", { class: "muted" }, ` seed ${clip.seed}`));
  if (named) name.append(make("div", { class: "muted" }, clip.file));
  if (clip.random_weights) name.append(make("span", { class: "tag" }, "made by untrained weights"));
  const size = clip.width ? { width: clip.width, height: clip.height } : {};
  const media = mediaNode(clip.media, `${clip.model}: ${clip.identity}`, size);
  const figure = make("figure", {}, media, name);
  if (clip.media.note && clip.media.kind !== "none") figure.append(make("div", { class: "muted" }, clip.media.note));
  if (clip.error) figure.append(make("div", { class: "nothing" }, make("span", {}, ...prose(`${clip.error} ${clip.remedy}`))));
  else figure.append(scoreLines(clip, clipColumns));
  return figure;
}

function referenceFigure(media, caption) {
  return make("figure", {}, mediaNode(media, caption), make("figcaption", { class: "muted" }, caption));
}

// The playhead follows whichever video played last, or the one that leads when all play.
function follow(figure, clip, charts) {
  const video = figure.querySelector("video");
  if (!video || !clip.frames) return;
  const update = () => {
    if (!video.duration) return;
    if (!clock.playing || players()[0]?.video === video) {
      for (const chart of charts) chart.seek((video.currentTime / video.duration) * (clip.frames - 1));
    }
    if (!video.paused && video.isConnected) requestAnimationFrame(update);
  };
  video.addEventListener("play", update);
  video.addEventListener("seeked", update);
}

function sceneCharts(clips, rests) {
  const kinds = new Map();
  clips.forEach((clip, place) => {
    for (const curve of rests[place].curves) {
      const title = `${curve.title}: ${curve.quantity} by frame`;
      if (!kinds.has(title)) kinds.set(title, []);
      kinds.get(title).push({ model: clip.model, curve });
    }
  });
  return [...kinds].map(([title, lines]) => lineChart(title, lines));
}

function showScene(index) {
  currentScene = (index + data.scenes.length) % data.scenes.length;
  const scene = data.scenes[currentScene];
  const places = [...scene.clips].sort((a, b) => byModel(data.clips[a], data.clips[b]));
  const clips = places.map((place) => data.clips[place]);
  const charts = []; // filled when the scene's piece is here
  const several = (model) => clips.filter((clip) => clip.model === model).length > 1;
  const figures = clips.map((clip) => clipFigure(clip, several(clip.model)));
  figures.forEach((figure, position) => follow(figure, clips[position], charts));
  const references = scene.references.map((media) => referenceFigure(media, "reference"));
  if (scene.condition) references.push(referenceFigure(scene.condition, "first frame given to image-to-video models"));
  byId("scene").replaceChildren(
    ...(scene.prompt ? [make("p", { class: "prompt" }, scene.prompt)] : []),
    make("div", { class: "stage" },
      make("div", { class: "references" }, make("b", {}, scene.identity), ...references),
      make("div", { class: "cast" }, ...figures)),
    make("div", { class: "charts" }),
  );
  const shown = byId("scene").lastElementChild;
  withPiece(scene.piece, (piece) => fillScene(piece, { places, clips, figures, charts, shown }));
  byId("scene-select").value = String(currentScene);
  takeCast(figures.map((figure, position) => ({ video: figure.querySelector("video"), frames: clips[position].frames }))
    .filter(({ video }) => video));
}

// Companions and curves of a scene that may have been left meanwhile.
function fillScene(piece, { places, clips, figures, charts, shown }) {
  if (!shown.isConnected) return;
  if (piece === null) {
    const said = "The curves and companions of this scene lie beside the page, in its folder media, and cannot be read.";
    shown.replaceChildren(make("p", { class: "warnings" }, said));
    return;
  }
  const rests = places.map((place) => piece[place]);
  figures.forEach((figure, at) => { if (!clips[at].error) figure.append(...companionList(rests[at])); });
  charts.push(...sceneCharts(clips, rests));
  shown.replaceChildren(...charts.map((chart) => chart.figure));
}

function turnScene(by) {
  if (!data.scenes.length) return;
  showScene(currentScene + by);
  saveState("side-by-side", true);
}

// A scene's name in a link: who and which prompt, not its place, which another report of the run may change.
function sceneNames() {
  const names = data.scenes.map((scene) => {
    const prompt = data.clips[scene.clips[0]].prompt_index;
    return prompt === null ? scene.identity : `${scene.identity}/${prompt}`;
  });
  const seen = new Map();
  return names.map((name) => {
    seen.set(name, (seen.get(name) ?? 0) + 1);
    return seen.get(name) === 1 ? name : `${name}~${seen.get(name)}`;
  });
}

function startScenes() {
  const label = (scene) => (scene.prompt ? `${scene.identity}: ${scene.prompt}` : scene.identity);
  fillSelect(byId("scene-select"), data.scenes.map((scene, index) => [String(index), label(scene).slice(0, 90)]));
  byId("scene-select").addEventListener("input", (event) => {
    showScene(Number(event.target.value));
    saveState("side-by-side", true);
  });
  byId("scene-previous").addEventListener("click", () => turnScene(-1));
  byId("scene-next").addEventListener("click", () => turnScene(1));
  const names = sceneNames();
  keepInAddress("scene", () => (currentScene ? names[currentScene] : ""), (text) => {
    const wanted = Math.max(0, names.indexOf(text));
    if (data.scenes.length && wanted !== currentScene) showScene(wanted);
  });
  if (data.scenes.length) showScene(0);
}
