"use strict";
// Every text of the run reaches the page as a text node or an attribute value, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const colourOf = new Map(data.models.map((model) => [model.name, model.colour]));
const metricOf = new Map(data.metrics.map((metric) => [metric.name, metric]));
const placeOf = new Map(data.models.map((model, place) => [model.name, place]));
const byModel = (a, b) => placeOf.get(a.model) - placeOf.get(b.model); // one order of models everywhere: the table's
const byId = (id) => document.getElementById(id);

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
