// Line charts of per-frame values, one line a clip in its model's colour; a frame without a face is a gap.
const BOX = { width: 420, height: 190, left: 44, right: 10, top: 8, bottom: 30 };

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9 * step; tick += step) found.push(tick);
  return { step, found };
}

function range(values, margin) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || Math.abs(high) || 1) * margin;
  return [low - pad, high + pad];
}

function linePath(curve, x, y) {
  let pen = "M";
  const parts = [];
  curve.frames.forEach((frame, index) => {
    const value = curve.values[index];
    if (value === null) { pen = "M"; return; }
    parts.push(`${pen}${x(frame).toFixed(1)} ${y(value).toFixed(1)}`);
    pen = "L";
  });
  return parts.join("");
}

// lines: [{ model, curve }]. Returns the figure and a function that puts the playhead at a frame.
function lineChart(title, lines) {
  const frames = lines.flatMap(({ curve }) => curve.frames);
  const values = lines.flatMap(({ curve }) => curve.values).filter((value) => value !== null);
  const [x0, x1] = [Math.min(...frames), Math.max(Math.max(...frames), Math.min(...frames) + 1)];
  const [y0, y1] = range(values, 0.08);
  const x = (frame) => BOX.left + ((frame - x0) / (x1 - x0)) * (BOX.width - BOX.left - BOX.right);
  const y = (value) => BOX.height - BOX.bottom - ((value - y0) / (y1 - y0)) * (BOX.height - BOX.top - BOX.bottom);
  const svg = draw("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": title });
  const vertical = ticks(y0, y1, 4);
  const digits = Math.max(0, -Math.floor(Math.log10(vertical.step)));
  for (const tick of vertical.found) {
    svg.append(draw("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { x: BOX.left - 6, y: y(tick) + 3.5, "text-anchor": "end" }, tick.toFixed(digits)));
  }
  for (const tick of ticks(x0, x1, 6).found.filter(Number.isInteger)) {
    svg.append(draw("text", { x: x(tick), y: BOX.height - BOX.bottom + 15, "text-anchor": "middle" }, String(tick)));
  }
  svg.append(draw("text", { x: BOX.width - BOX.right, y: BOX.height - 2, "text-anchor": "end" }, "frame"));
  for (const { model, curve } of lines) {
    const path = draw("path", { class: "curve", d: linePath(curve, x, y), stroke: colourOf.get(model) });
    path.append(draw("title", {}, model));
    svg.append(path);
  }
  const playhead = draw("line", { class: "playhead", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  svg.append(playhead);
  const models = [...new Set(lines.map(({ model }) => model))];
  const legend = make("div", { class: "legend" }, ...models.map((model) => make("span", {}, dot(model), model)));
  const seek = (frame) => {
    const at = x(Math.min(Math.max(frame, x0), x1));
    for (const name of ["x1", "x2"]) playhead.setAttribute(name, at);
    playhead.setAttribute("visibility", "visible");
  };
  return { figure: make("figure", {}, make("figcaption", {}, title), svg, legend), seek };
}
