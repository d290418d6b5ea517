// Single keys, which a check box turns off: a reader who speaks to the computer would press them by accident.
const KEYS = {
  n: () => turnScene(1),
  p: () => turnScene(-1),
  k: playAll,
  ",": () => stepFrame(-1),
  ".": () => stepFrame(1),
  l: () => byId("clock-loop").click(),
  "[": () => changeSpeed(-1),
  "]": () => changeSpeed(1),
  w: () => { sortWorst(); byId("clips").scrollIntoView(); },
  "/": () => byId("clips-search").focus(),
};

function changeSpeed(by) {
  const select = byId("clock-speed");
  const speeds = [...select.options].map((option) => option.value).sort((a, b) => a - b);
  const next = speeds[speeds.indexOf(select.value) + by];
  if (next === undefined) return;
  select.value = next;
  select.dispatchEvent(new Event("input"));
}

function startKeys() {
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (writing || event.ctrlKey || event.metaKey || event.altKey || !byId("keys-on").checked) return;
    const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (!act) return;
    event.preventDefault();
    act();
  });
  keepInAddress("keys", () => (byId("keys-on").checked ? "" : "off"), (text) => {
    byId("keys-on").checked = text !== "off";
  });
  byId("keys-on").addEventListener("input", () => saveState("side-by-side"));
}
