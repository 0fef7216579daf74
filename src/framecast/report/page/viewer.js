"use strict";
// The viewer: what is chosen, the maps of it, and the series of a point.

class Viewer {
  constructor(root, scene) {
    Object.assign(this, { root, scene, cache: new Map(), point: null, pinned: null });
    const find = (name) => root.querySelector(`[data-role=${name}]`);
    this.parts = Object.fromEntries(
      ["window", "variable", "model", "lead", "leadname", "play", "maps", "readout", "series", "status"]
        .map((name) => [name, find(name)]));
    this.fill("window", scene.windows.map((each) => each.name));
    this.fill("variable", scene.variables.map((each) => each.name));
    this.fill("model", scene.sources.map((each) => each.label));
    this.parts.lead.max = scene.leads.length - 1;
    this.listen();
    this.update();
  }

  fill(name, texts) {
    const select = this.parts[name];
    texts.forEach((text, n) => select.append(new Option(text, n)));
    select.closest("label").hidden = texts.length < 2;
  }

  get choice() {
    const number = (name) => Number(this.parts[name].value || 0);
    return { window: number("window"), variable: number("variable"), model: number("model"), lead: number("lead") };
  }

  // The values of a block of fields, decoded once, the latest ones kept.
  async values(key, text, coding) {
    if (!this.cache.has(key)) {
      const { rows, columns } = this.scene.grid;
      this.cache.set(key, decode(text, coding, rows, columns));
      if (this.cache.size > 64) this.cache.delete(this.cache.keys().next().value);
    }
    return this.cache.get(key);
  }

  truth(window, channel) {
    const { windows, channels } = this.scene;
    return this.values(`${window}/t/${channel}`, windows[window].truth[channel], channels[channel].values);
  }

  forecast(window, source, channel, part) {
    const { windows, channels } = this.scene;
    const coding = part === 1 ? channels[channel].spread : channels[channel].values;
    const text = windows[window].forecasts[source][channel][part];
    return this.values(`${window}/${source}/${channel}/${part}`, text, coding);
  }

  at(values, place) {
    const cells = this.scene.grid.rows * this.scene.grid.columns;
    return values.subarray(place * cells, (place + 1) * cells);
  }

  // What the maps show at the chosen place: a list of {title, values, colours, units}.
  async panels() {
    const { scene } = this, { window, variable, model, lead } = this.choice;
    const places = scene.variables[variable].channels, channel = scene.channels[places[0]];
    const before = scene.offsets.length - scene.leads.length;
    const fields = async (from) => Promise.all(places.map(from));
    const truth = await fields(async (c) => this.at(await this.truth(window, c), before + lead));
    const forecast = await fields(async (c) => this.at(await this.forecast(window, model, c, 0), lead));
    const mean = (values) => values[0].map((_, n) => values.reduce((sum, v) => sum + v[n], 0) / values.length);
    const [ours, theirs] = [mean(forecast), mean(truth)];
    const source = scene.sources[model], members = source.parts > 1;
    const shown = [{ title: `forecast: ${source.label}${members ? " (mean)" : ""}`, values: forecast, colours: channel.colours }];
    if (scene.known) {
      shown.unshift({ title: "truth", values: truth, colours: channel.colours });
      shown.push({ title: "difference: forecast − truth", values: [ours.map((v, n) => v - theirs[n])], colours: channel.errors });
    }
    if (members) {
      const spread = await fields(async (c) => this.at(await this.forecast(window, model, c, 1), lead));
      const high = channel.spread.low + channel.spread.step * (channel.spread.levels - 1);
      shown.push({ title: "spread of the members", values: [mean(spread)], colours: { map: "viridis", low: 0, high } });
    }
    return shown.map((each) => ({ ...each, units: channel.units, channel }));
  }

  async update(spoken) {
    const turn = (this.turn = (this.turn || 0) + 1);
    const { window, lead } = this.choice, { scene, parts } = this;
    const panels = await this.panels();
    if (turn !== this.turn) return;
    const before = scene.offsets.length - scene.leads.length;
    const named = `${scene.leads[lead]} ahead: ${scene.windows[window].valid[before + lead]}`;
    parts.leadname.textContent = named;
    parts.lead.setAttribute("aria-valuetext", named);
    this.shown = panels;
    this.draw();
    if (spoken) parts.status.textContent = `${parts.window.selectedOptions[0].text}, ${named}`;
    this.read();
    await this.plot();
    this.root.dataset.ready = String(turn);
  }

  draw() {
    const { maps } = this.parts;
    maps.dataset.count = this.shown.length;
    while (maps.children.length > this.shown.length) maps.lastChild.remove();
    this.shown.forEach((panel, n) => {
      const figure = maps.children[n] || this.figure();
      figure.querySelector("figcaption").textContent = panel.title;
      const canvas = figure.querySelector("canvas");
      canvas.setAttribute("aria-label", `Map of ${panel.title}. Arrow keys move the point, Enter shows its series.`);
      const marks = [];
      if (this.pinned) marks.push({ ...this.pinned, pinned: true });
      if (this.point) marks.push(this.point);
      figure.panel.draw(panel.values, panel.colours, this.scene.maps[panel.colours.map], panel.units, marks);
    });
  }

  figure() {
    const figure = document.createElement("figure"), canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    figure.append(document.createElement("figcaption"), canvas);
    this.parts.maps.append(figure);
    figure.panel = new MapPanel(canvas, this.scene.grid);
    canvas.addEventListener("pointermove", (event) => this.move(figure.panel.cellAt(event)));
    canvas.addEventListener("pointerleave", () => this.move(null));
    canvas.addEventListener("click", (event) => this.pin(figure.panel.cellAt(event)));
    canvas.addEventListener("keydown", (event) => this.steer(event));
    return figure;
  }

  move(point) {
    this.point = point;
    this.draw();
    this.read();
  }

  async pin(point) {
    if (!point) return;
    this.pinned = point;
    this.draw();
    this.read();
    await this.plot();
    this.parts.status.textContent = `Series of ${this.where(point)}`;
  }

  steer(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const { rows, columns, up } = this.scene.grid;
    const from = this.point || this.pinned || { row: rows >> 1, column: columns >> 1 };
    if (event.key === "Enter") this.pin(from);
    else if (steps[event.key]) {
      const [down, right] = steps[event.key], hold = (n, most) => Math.max(0, Math.min(most - 1, n));
      this.move({ row: hold(from.row + (up ? -down : down), rows), column: hold(from.column + right, columns) });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  where({ row, column }) {
    const { x, y, geographic } = this.scene.grid;
    if (geographic) return `${degrees(y.values[row], "NS")} ${degrees(x.values[column], "EW")}`;
    const named = (axis, place, what) => (axis.values ? `${axis.name} ${short(axis.values[place])}` : `${what} ${place}`);
    return `${named(y, row, "row")}, ${named(x, column, "column")}`;
  }

  read() {
    const point = this.point || this.pinned, { readout } = this.parts;
    if (!point) {
      readout.textContent = "Point at a map for values; click or tap for the series of a point.";
      return;
    }
    const cell = point.row * this.scene.grid.columns + point.column;
    const values = this.shown.map(({ title, values: fields, units, channel, colours }) => {
      const texts = fields.map((field) => {
        const value = field[cell], { low, step, levels, cut } = channel.values;
        if (Number.isNaN(value)) return "missing";
        const ends = cut && colours !== channel.errors && [low + step * 0.01, low + step * (levels - 1.01)];
        const digits = Math.max(0, Math.floor(-Math.log10(title.startsWith("spread") ? channel.spread.step : step)));
        const sign = ends && title.startsWith("forecast") ? (value <= ends[0] ? "≤ " : value >= ends[1] ? "≥ " : "") : "";
        return sign + (digits < 8 ? String(Number(value.toFixed(digits))) : short(value)).replace("-", "−");
      });
      return `${title.split(":")[0]} ${texts.join("/")} ${units}`.trim();
    });
    readout.textContent = `${this.where(point)}: ${values.join(", ")}`;
  }

  // The series of the pinned point: truth, all forecasts, and what an ensemble spans.
  async plot() {
    const { series } = this.parts, { scene } = this;
    if (!this.pinned) { series.hidden = true; return; }
    const { window, variable, lead } = this.choice, turn = this.turn;
    const place = scene.variables[variable].channels[0], channel = scene.channels[place];
    const cells = scene.grid.rows * scene.grid.columns;
    const cell = this.pinned.row * scene.grid.columns + this.pinned.column;
    const along = (values) => Array.from({ length: values.length / cells }, (_, n) => values[n * cells + cell]);
    const before = Array(scene.offsets.length - scene.leads.length).fill(NaN);
    const lines = [];
    let models = 0, baselines = 0;
    for (const [n, source] of scene.sources.entries()) {
      const look = source.model ? `s${models++ % 6}` : `b b${baselines++ % 4}`;
      const part = async (p) => [...before, ...along(await this.forecast(window, n, place, p))];
      const line = { name: source.label, look, values: await part(0) };
      if (source.parts > 1) Object.assign(line, { low: await part(2), high: await part(3), plume: true, name: `${source.label} (mean and range of the members)` });
      lines.push(line);
    }
    if (scene.known) lines.push({ name: "truth", look: "truth", values: along(await this.truth(window, place)) });
    if (turn !== this.turn) return;
    const title = `${channel.name} at ${this.where(this.pinned)}`;
    const spec = {
      title, x: scene.times, xlabel: scene.xlabel, ylabel: channel.units ? `${channel.name} (${channel.units})` : channel.name, series: lines,
    };
    const heading = document.createElement("h3");
    heading.textContent = title;
    series.hidden = false;
    series.replaceChildren(heading, chart(spec, Math.min(series.clientWidth, 768)), legend(lines));
  }

  play(on) {
    const { play, lead } = this.parts;
    clearInterval(this.timer);
    this.timer = on ? setInterval(() => {
      lead.value = (Number(lead.value) + 1) % this.scene.leads.length;
      this.update();
    }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1500 : 500) : null;
    play.textContent = on ? "❚❚ Pause" : "▶ Play";
    play.setAttribute("aria-pressed", String(on));
  }

  listen() {
    const { play, lead } = this.parts;
    for (const name of ["window", "variable", "model", "lead"]) {
      this.parts[name].addEventListener("input", () => this.update(true));
    }
    lead.addEventListener("pointerdown", () => this.play(false));
    play.addEventListener("click", () => this.play(!this.timer));
    play.closest("fieldset").querySelectorAll("[data-step]").forEach((button) =>
      button.addEventListener("click", () => this.step(Number(button.dataset.step))));
    this.root.addEventListener("keydown", (event) => {
      const free = !["SELECT", "BUTTON", "INPUT", "SUMMARY"].includes(event.target.tagName);
      if (event.key === " " && (free || event.target === lead)) this.play(!this.timer);
      else if (free && event.key === "ArrowRight") this.step(1);
      else if (free && event.key === "ArrowLeft") this.step(-1);
      else return;
      event.preventDefault();
    });
    new ResizeObserver(() => this.shown && this.draw()).observe(this.parts.maps);
    for (const media of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(media).addEventListener("change", () => this.shown && this.draw());
    }
  }

  step(by) {
    const { lead } = this.parts, count = this.scene.leads.length;
    lead.value = (Number(lead.value) + by + count) % count;
    this.play(false);
    this.update(true);
  }
}

function data(id) {
  const place = document.getElementById(id);
  return place ? JSON.parse(place.textContent) : null;
}

drawCharts(data("charts") || []);
window.addEventListener("beforeprint", () => {
  for (const group of document.querySelectorAll("details.group")) group.open = true;
});
const root = document.querySelector("[data-role=viewer]");
if (root && typeof DecompressionStream === "undefined") {
  root.querySelector("[data-role=readout]").textContent =
    "This browser is too old for the maps; the numbers below are complete.";
} else if (root) new Viewer(root, data("scene"));
