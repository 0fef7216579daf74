"use strict";
// Fields of the viewer: from text to numbers, and from numbers to colours and maps.

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Values of fields, NaN where they are missing: the codes are each less its left neighbour's.
async function decode(text, coding, rows, columns) {
  const packed = await inflate(text), cells = rows * columns, { size, low, step } = coding;
  const count = packed.length / (cells * size), turn = 256 ** size;
  const values = new Float32Array(count * cells);
  for (let field = 0; field < count; field++) {
    for (let row = 0; row < rows; row++) {
      let code = 0;
      for (let column = 0; column < columns; column++) {
        const cell = row * columns + column;
        let own = 0;
        for (let plane = 0; plane < size; plane++) {
          own = own * 256 + packed[(field * size + plane) * cells + cell];
        }
        code = (code + own) % turn;
        values[field * cells + cell] = code === 0 ? NaN : low + step * (code - 1);
      }
    }
  }
  return values;
}

// Where a coordinate lies among cells, whose centres are at 0.5, 1.5, ...; beyond them, it goes on.
function placeOf(axis, value) {
  const last = axis.length - 1, down = axis[last] < axis[0];
  let low = 0, high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((axis[middle] <= value) !== down) low = middle; else high = middle;
  }
  return low + (value - axis[low]) / (axis[high] - axis[low]) + 0.5;
}

function degrees(value, letters) {
  const turned = letters[0] === "E" ? ((value + 540) % 360) - 180 : value;
  if (turned === 0 || turned === -180) return `${Math.abs(turned)}°`;
  return `${short(Math.abs(turned))}°${letters[turned < 0 ? 1 : 0]}`;
}

// Draws coasts onto a map whose upper left cell is at the origin.
function drawCoasts(context, { coasts, up, rows }, cell) {
  context.beginPath();
  for (const line of coasts) {
    for (let n = 0; n < line.length; n += 2) {
      const point = [line[n] * cell[0], (up ? rows - line[n + 1] : line[n + 1]) * cell[1]];
      if (n) context.lineTo(...point); else context.moveTo(...point);
    }
  }
  context.stroke();
}

// A picture of one field, a pixel for each cell, north up.
function picture(values, grid, colours, map, missing) {
  const { rows, columns, up } = grid;
  const made = new ImageData(columns, rows), width = colours.high - colours.low;
  const shades = values.length === 3 ? null : map;
  for (let row = 0; row < rows; row++) {
    const from = (up ? rows - 1 - row : row) * columns;
    for (let column = 0; column < columns; column++) {
      const to = 4 * (row * columns + column);
      const own = values.map((each) => (each[from + column] - colours.low) / width);
      const gone = own.some(Number.isNaN);
      for (let part = 0; part < 3; part++) {
        const level = (place) => Math.max(0, Math.min(255, Math.round(own[place] * 255)));
        made.data[to + part] = gone ? missing[part] : shades ? shades[3 * level(0) + part] : level(part);
      }
      made.data[to + 3] = 255;
    }
  }
  const canvas = new OffscreenCanvas(columns, rows);
  canvas.getContext("2d").putImageData(made, 0, 0);
  return canvas;
}

// A map with its axes, coasts, colour bar and marks, on a canvas as wide as its place.
class MapPanel {
  constructor(canvas, grid) {
    Object.assign(this, { canvas, grid });
  }

  lay() {
    const wide = this.canvas.clientWidth || 300;
    const left = wide < 230 ? 34 : 44, ratio = this.grid.rows / this.grid.columns;
    const width = wide - left - 8;
    const height = Math.max(width / 4, Math.min(width * ratio, width * 4, 520));
    this.box = { left, top: 6, width, height };
    const tall = height + 78, density = window.devicePixelRatio || 1;
    this.canvas.style.height = `${tall}px`;
    this.canvas.width = Math.round(wide * density);
    this.canvas.height = Math.round(tall * density);
    this.context = this.canvas.getContext("2d");
    this.context.setTransform(density, 0, 0, density, 0, 0);
    this.context.clearRect(0, 0, wide, tall);
    const style = getComputedStyle(this.canvas);
    this.ink = style.color;
    this.context.font = `11px ${style.fontFamily}`;
  }

  draw(values, colours, map, units, marks) {
    this.lay();
    const { context, box, grid } = this;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
    const missing = dark ? [70, 70, 74] : [205, 205, 205];
    context.imageSmoothingEnabled = false;
    context.drawImage(picture(values, grid, colours, map, missing), box.left, box.top, box.width, box.height);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    context.translate(box.left, box.top);
    const cell = [box.width / grid.columns, box.height / grid.rows];
    for (const [style, width] of [["rgba(255,255,255,.75)", 2.6], ["rgba(20,20,20,.9)", 1.1]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      drawCoasts(context, grid, cell);
    }
    for (const mark of marks) this.mark(mark, cell);
    context.restore();
    context.strokeStyle = this.ink;
    context.lineWidth = 0.8;
    context.strokeRect(box.left, box.top, box.width, box.height);
    this.axes(cell);
    if (values.length === 1) this.bar(colours, map, units);
  }

  mark({ row, column, pinned }, cell) {
    const { context, grid } = this;
    const x = (column + 0.5) * cell[0], y = ((grid.up ? grid.rows - 1 - row : row) + 0.5) * cell[1];
    for (const [style, width] of [["#fff", 3.5], [pinned ? "#c2185b" : "#111", 1.6]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, 5.5, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  axes(cell) {
    const { context, box, grid } = this;
    context.fillStyle = this.ink;
    const inside = (axis, count) => {
      if (!axis.values) return ticks(0, count - 1, 3).filter(Number.isInteger).map((n) => [n + 0.5, String(n)]);
      const ends = [axis.values[0], axis.values[axis.values.length - 1]].sort((a, b) => a - b);
      return someTicks(...ends, 3).map((value) => [placeOf(axis.values, value), value]);
    };
    context.textAlign = "center";
    context.textBaseline = "top";
    let free = 0;
    for (const [place, value] of inside(grid.x, grid.columns)) {
      const at = box.left + place * cell[0];
      const text = grid.geographic ? degrees(value, "EW") : typeof value === "number" ? short(value) : value;
      context.fillRect(at - 0.4, box.top + box.height, 0.8, 4);
      const half = context.measureText(text).width / 2, middle = Math.min(at, box.left + box.width + 7 - half);
      if (middle - half < free) continue;
      context.fillText(text, middle, box.top + box.height + 6);
      free = middle + half + 4;
    }
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [place, value] of inside(grid.y, grid.rows)) {
      const at = box.top + (grid.up ? grid.rows - place : place) * cell[1];
      const text = grid.geographic ? degrees(value, "NS") : typeof value === "number" ? short(value) : value;
      context.fillRect(box.left - 4, at - 0.4, 4, 0.8);
      context.fillText(text, box.left - 6, Math.max(at, box.top + 5));
    }
  }

  bar(colours, map, units) {
    const { context, box } = this;
    const top = box.top + box.height + 30, steps = 128;
    for (let n = 0; n < steps; n++) {
      const shade = 3 * Math.round((n / (steps - 1)) * 255);
      context.fillStyle = `rgb(${map[shade]},${map[shade + 1]},${map[shade + 2]})`;
      context.fillRect(box.left + (n * box.width) / steps, top, box.width / steps + 0.6, 10);
    }
    context.strokeRect(box.left, top, box.width, 10);
    context.fillStyle = this.ink;
    context.textBaseline = "top";
    const room = Math.max(2, Math.floor(box.width / 60));
    context.textAlign = "center";
    for (const value of someTicks(colours.low, colours.high, room)) {
      const at = box.left + ((value - colours.low) / (colours.high - colours.low)) * box.width;
      context.fillRect(at - 0.4, top + 10, 0.8, 3);
      const half = context.measureText(short(value)).width / 2;
      context.fillText(short(value), Math.max(half + 1, Math.min(at, box.left + box.width + 7 - half)), top + 15);
    }
    context.textAlign = "right";
    context.fillText(units, box.left + box.width, top + 29);
  }

  // The cell under a point of the screen; null outside of the map.
  cellAt(event) {
    const rect = this.canvas.getBoundingClientRect(), { box, grid } = this;
    const column = Math.floor(((event.clientX - rect.left - box.left) / box.width) * grid.columns);
    const row = Math.floor(((event.clientY - rect.top - box.top) / box.height) * grid.rows);
    if (column < 0 || row < 0 || column >= grid.columns || row >= grid.rows) return null;
    return { row: grid.up ? grid.rows - 1 - row : row, column };
  }
}
