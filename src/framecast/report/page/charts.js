"use strict";
// Curves as SVG, drawn from their numbers. The table beside each says the same.

const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function known(value) {
  return value !== null && value !== undefined && Number.isFinite(value);
}

function short(value, digits = 6) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e7 || size < 1e-4
    ? value.toExponential(2).replace("e+", "e") : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

// Round numbers between two ends, about as many as asked for.
function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((n) => n * power >= rough * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) {
    found.push(Number((n * step).toPrecision(12)));
  }
  return found;
}

// The same, at least two of them.
function someTicks(low, high, count) {
  for (let asked = count; asked < count + 6; asked++) {
    const found = ticks(low, high, asked);
    if (found.length > 1) return found;
  }
  return [low, high];
}

function powers(low, high) {
  const found = [];
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((last - first) / 5));
  for (let n = first; n <= last; n += every) found.push(10 ** n);
  const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  return inside.length > 1 ? inside : ticks(low, high, 4).filter((value) => value > 0);
}

// A scale from values to places: its ends, ticks, and the function itself.
function scale(values, places, log, ends) {
  const good = values.filter((value) => known(value) && (!log || value > 0));
  let [low, high] = good.length ? [Math.min(...good), Math.max(...good)] : log ? [1, 10] : [0, 1];
  if (ends) [low, high] = [Math.min(low, ends[0]), Math.max(high, ends[1])];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  if (!log) {
    const room = 0.04 * (high - low);
    low -= ends && low === ends[0] ? 0 : room;
    high += room;
  }
  const to = log ? Math.log10 : Number;
  const at = (value) =>
    places[0] + ((to(value) - to(low)) / (to(high) - to(low))) * (places[1] - places[0]);
  return { at, low, high, ticks: (n) => (log ? powers(low, high) : ticks(low, high, n)) };
}

function path(points) {
  let text = "", on = false;
  for (const [x, y] of points) {
    if (known(x) && known(y)) text += `${on ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    on = known(x) && known(y);
  }
  return text;
}

// The band between two series, a polygon for each stretch in which both are known.
function bands(xs, lows, highs) {
  const found = [];
  let stretch = [];
  xs.forEach((x, n) => {
    if (known(lows[n]) && known(highs[n])) stretch.push([x, lows[n], highs[n]]);
    else if (stretch.length) { found.push(stretch); stretch = []; }
  });
  if (stretch.length) found.push(stretch);
  return found.map((own) => path([
    ...own.map(([x, low]) => [x, low]),
    ...own.reverse().map(([x, , high]) => [x, high]),
  ]) + "Z");
}

// Draws a chart: {title, xlabel, ylabel, x, series: [{name, look, values, low, high}], logx, logy,
// level (a horizontal line), diagonal}.
function chart(spec, width) {
  const height = 260, left = 58, right = 12, top = 28, bottom = 44;
  const svg = node("svg", {
    viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": spec.title,
  });
  const all = spec.series.flatMap((s) => [...s.values, ...(s.low || []), ...(s.high || [])]);
  if (known(spec.level)) all.push(spec.level);
  const few = !spec.logx && spec.x.length <= Math.max(4, width / 60);
  const x = scale(spec.x, [left, width - right], spec.logx);
  if (spec.falls) x.at = ((at) => (value) => left + width - right - at(value))(x.at);
  const y = scale(all, [height - bottom, top], spec.logy, spec.zero ? [0, 0] : undefined);
  for (const value of y.ticks(5)) {
    node("line", { x1: left, x2: width - right, y1: y.at(value), y2: y.at(value), class: "grid" }, svg);
    node("text", { x: left - 6, y: y.at(value) + 4, class: "tick end" }, svg, short(value));
  }
  for (const value of few ? spec.x : x.ticks(Math.max(3, Math.floor(width / 80)))) {
    node("line", { x1: x.at(value), x2: x.at(value), y1: height - bottom, y2: height - bottom + 4, class: "axis" }, svg);
    node("text", { x: x.at(value), y: height - bottom + 17, class: "tick middle" }, svg, short(value));
  }
  node("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "axis" }, svg);
  if (known(spec.level)) {
    node("line", { x1: left, x2: width - right, y1: y.at(spec.level), y2: y.at(spec.level), class: "level" }, svg);
  }
  if (spec.diagonal) {
    node("line", { x1: x.at(0), x2: x.at(1), y1: y.at(0), y2: y.at(1), class: "level" }, svg);
  }
  node("text", { x: (left + width - right) / 2, y: height - 8, class: "label middle" }, svg, spec.xlabel);
  node("text", { x: 2, y: 14, class: "label" }, svg, spec.ylabel);
  const places = spec.x.map((value) => (spec.logx && value <= 0 ? NaN : x.at(value)));
  const lift = (values) => values.map((v) => (known(v) && (!spec.logy || v > 0) ? y.at(v) : NaN));
  for (const s of spec.series) {
    if (!s.low) continue;
    for (const d of bands(places, lift(s.low), lift(s.high))) {
      node("path", { d, class: `band ${s.look}` }, svg);
    }
  }
  for (const s of spec.series) {
    const own = lift(s.values);
    node("path", { d: path(places.map((at, n) => [at, own[n]])), class: `line ${s.look}` }, svg);
    if (places.length > 24) continue;
    places.forEach((at, n) => {
      if (!known(own[n]) || !known(at)) return;
      const dot = node("circle", { cx: at, cy: own[n], r: 2.6, class: `dot ${s.look}` }, svg);
      node("title", {}, dot, `${s.name}: ${short(s.values[n], 5)}`);
    });
  }
  return svg;
}

function legend(series) {
  const list = document.createElement("ul");
  list.className = "legend";
  for (const s of series) {
    const item = document.createElement("li");
    const key = node("svg", { viewBox: "0 0 26 10", class: "key", "aria-hidden": "true" });
    if (s.low && s.plume) node("rect", { x: 0, y: 0, width: 26, height: 10, class: `band ${s.look}` }, key);
    node("line", { x1: 0, x2: 26, y1: 5, y2: 5, class: `line ${s.look}` }, key);
    item.append(key, ` ${s.name}`);
    list.append(item);
  }
  return list;
}

// Draws the charts of the page, each as wide as its place, once that is seen.
function drawCharts(specs) {
  const draw = (place) => {
    const spec = specs[Number(place.dataset.chart)];
    place.replaceChildren(chart(spec, place.clientWidth || 460), legend(spec.series));
  };
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const width = String(target.clientWidth);
      if (width !== "0" && target.dataset.width !== width) {
        target.dataset.width = width;
        draw(target);
      }
    }
  });
  for (const place of document.querySelectorAll("[data-chart]")) {
    draw(place);
    watch.observe(place);
  }
}
