"use strict";
// Every text of the run reaches the page as a text node or an attribute value, never as markup.
const readJson = (id) => JSON.parse(document.getElementById(id).textContent);
const data = readJson("data");
data.clips = data.clips.map(clipOf);
const colourOf = new Map(data.models.map((model) => [model.name, model.colour]));
const metricOf = new Map(data.metrics.map((metric) => [metric.name, metric]));
const placeOf = new Map(data.models.map((model, place) => [model.name, place]));
const byModel = (a, b) => placeOf.get(a.model) - placeOf.get(b.model); // one order of models everywhere: the table's
const byId = (id) => document.getElementById(id);

// A clip as it is listed: texts that many share are named by their place in `data.texts`.
function clipOf(packed) {
  const text = (place) => data.texts[place];
  const [id, model, identity, group, prompt, prompt_index, seed, file, geometry, [frames, width, height], status, error,
    remedy, warnings, random_weights, [kind, src, note], numbers] = packed;
  const score = (found) => {
    if (!Array.isArray(found)) return { value: found, random_weights: false };
    if (found.length === 1) return { value: found[0], random_weights: true };
    return { value: null, reason: text(found[0]), remedy: text(found[1]), random_weights: false };
  };
  const measured = data.columns.map((name, at) => [name, numbers[at]]).filter(([, found]) => found !== null);
  return {
    id, model: text(model), identity: text(identity), group: text(group), prompt: text(prompt), prompt_index, seed, file,
    geometry: text(geometry), frames, width, height, status, error: text(error), remedy: text(remedy),
    warnings: warnings.map(text), random_weights: Boolean(random_weights), media: { kind, src, note: text(note) },
    scores: Object.fromEntries(measured.map(([name, found]) => [name, score(found)])),
  };
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function dot(model) {
  const element = make("i", { class: "dot" });
  element.style.background = colourOf.get(model) ?? "var(--muted)";
  return element;
}

function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, label]) => make("option", { value }, label)));
}

// A command between backticks is set as code; all of it stays text.
function prose(text) {
  return text.split(/`([^`\n]+)`/).map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

// Long identifiers may break after their separators.
function breakable(text) {
  return text.split(/(?<=[/_-])/).flatMap((part) => [part, make("wbr")]);
}

function why(score) {
  return [score.reason, score.remedy].filter(Boolean).join(" ");
}

// What stands in a cell for one score: the number, or the word "missing" with its reason.
function scoreNode(score, metric) {
  if (!score) return make("span", { class: "gap", title: "not measured in this run" }, "–");
  if (score.value === null) return make("span", { class: "gap", title: why(score) }, "missing");
  const text = score.value.toFixed(metric.decimals).replace(/^-(?=[0.]*$)/, ""); // never "-0.000"
  if (!score.random_weights) return document.createTextNode(text);
  return make("span", { class: "gap", title: "made with untrained (random) weights" }, `${text} (random)`);
}
