// One clock for the videos of a scene. The longest one leads; the others are held to its second, and wait on their
// last frame when they are shorter.
const SLACK = 0.08; // seconds a video may be off before it is put right: a seek costs more than it mends below that
const clock = { cast: [], playing: false, wanted: null };

// Those of the scene that can play: `{ video, frames }`, the longest first.
function players() {
  return clock.cast.filter(({ video }) => Number.isFinite(video.duration) && video.duration > 0)
    .sort((a, b) => b.video.duration - a.video.duration);
}

function frameSeconds() {
  const lengths = players().filter(({ frames }) => frames).map(({ video, frames }) => video.duration / frames);
  return lengths.length ? Math.min(...lengths) : 0;
}

function lastMoment(video, step) {
  return Math.max(0, video.duration - step / 2);
}

function clockNow() {
  return players()[0]?.video.currentTime ?? 0;
}

function showClock() {
  const [leader] = players();
  if (!leader) return;
  const step = frameSeconds();
  const total = step ? Math.round(leader.video.duration / step) : 0;
  const now = leader.video.currentTime;
  byId("clock-seek").value = String((now / leader.video.duration) * 1000);
  const frame = total ? `frame ${Math.min(total, Math.floor(now / step + 1e-3) + 1)} of ${total}, ` : "";
  byId("clock-read").textContent = `${frame}${now.toFixed(2)} s`;
  byId("clock-seek").setAttribute("aria-valuetext", byId("clock-read").textContent);
}

function setClock(seconds) {
  const step = frameSeconds();
  for (const { video } of players()) video.currentTime = Math.min(Math.max(0, seconds), lastMoment(video, step));
  showClock();
}

function stopClock() {
  if (!clock.playing) return;
  clock.playing = false;
  for (const { video } of clock.cast) video.pause();
  byId("scene-play").textContent = "Play all";
  saveState("side-by-side");
}

function startAll() {
  for (const { video } of players()) {
    video.loop = false; // the clock starts all of them again together
    video.playbackRate = Number(byId("clock-speed").value);
    video.play().catch(() => {}); // a scene that is left takes its videos with it
  }
}

function startClock() {
  const [leader] = players();
  if (!leader) return;
  if (leader.video.ended || clockNow() >= lastMoment(leader.video, 2 * frameSeconds())) setClock(0);
  clock.playing = true;
  byId("scene-play").textContent = "Pause all";
  startAll();
  requestAnimationFrame(tick);
}

function tick() {
  if (!clock.playing) return;
  const [leader, ...others] = players();
  if (!leader) { stopClock(); return; }
  if (leader.video.ended) {
    if (!byId("clock-loop").checked) { stopClock(); return; }
    setClock(0);
    startAll();
  }
  const now = leader.video.currentTime;
  for (const { video } of others) {
    const off = Math.abs(video.currentTime - now) > SLACK;
    if (off && now < lastMoment(video, SLACK) && !video.seeking) {
      video.currentTime = now;
      if (video.paused) video.play().catch(() => {});
    }
  }
  showClock();
  requestAnimationFrame(tick);
}

function playAll() {
  if (clock.playing) stopClock();
  else startClock();
}

// To the middle of the frame before or after: at its very beginning, rounding decides which frame is seen.
function stepFrame(by) {
  stopClock();
  const step = frameSeconds();
  if (step) setClock((Math.floor(clockNow() / step + 1e-3) + by + 0.5) * step);
  saveState("side-by-side");
}

function takeWanted() {
  if (clock.wanted !== null && players().length === clock.cast.length) {
    setClock(clock.wanted);
    clock.wanted = null;
  }
}

// cast: `[{ video, frames }]` of the scene that is shown now.
function takeCast(cast) {
  stopClock();
  Object.assign(clock, { cast, wanted: null });
  byId("clock-seek").value = "0";
  byId("clock-read").textContent = "";
  for (const { video } of cast) {
    video.loop = byId("clock-loop").checked;
    video.playbackRate = Number(byId("clock-speed").value);
    video.addEventListener("loadedmetadata", () => { takeWanted(); showClock(); });
    video.addEventListener("seeked", () => { if (!clock.playing) showClock(); });
    video.addEventListener("pause", () => { if (!video.ended && !video.seeking && video.isConnected) stopClock(); });
  }
}

function startClockControls() {
  fillSelect(byId("clock-speed"), ["1", "0.5", "0.25", "0.1", "2"].map((speed) => [speed, `${speed}×`]));
  byId("scene-play").addEventListener("click", playAll);
  byId("clock-back").addEventListener("click", () => stepFrame(-1));
  byId("clock-on").addEventListener("click", () => stepFrame(1));
  byId("clock-seek").addEventListener("input", (event) => {
    const [leader] = players();
    if (leader) setClock((Number(event.target.value) / 1000) * leader.video.duration);
  });
  byId("clock-seek").addEventListener("change", () => saveState("side-by-side"));
  const setSpeed = () => {
    for (const { video } of clock.cast) video.playbackRate = Number(byId("clock-speed").value);
  };
  const setLoop = () => {
    for (const { video } of clock.cast) video.loop = byId("clock-loop").checked && !clock.playing;
  };
  byId("clock-speed").addEventListener("input", () => { setSpeed(); saveState("side-by-side"); });
  byId("clock-loop").addEventListener("input", () => { setLoop(); saveState("side-by-side"); });
  const speed = () => (byId("clock-speed").value === "1" ? "" : byId("clock-speed").value);
  keepInAddress("speed", speed, (text) => { choose(byId("clock-speed"), text); setSpeed(); });
  keepInAddress("loop", () => (byId("clock-loop").checked ? "" : "no"), (text) => {
    byId("clock-loop").checked = text !== "no";
    setLoop();
  });
}

// The second of the scene; kept after the scene itself, whose change puts the clock at its beginning.
function keepSecond() {
  keepInAddress("t", () => (!clock.playing && clockNow() > 0 ? clockNow().toFixed(3) : ""), (text) => {
    const second = Number.parseFloat(text) || 0;
    clock.wanted = second || clockNow() ? second : null;
    takeWanted();
  });
}
