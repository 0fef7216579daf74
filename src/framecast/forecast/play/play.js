// Walks through a world model: a key that is held asks for one frame after the other.
"use strict";

const at = (id) => document.getElementById(id);
const KEYS = { left: "ArrowLeft", right: "ArrowRight", forward: "ArrowUp", back: "ArrowDown" };
const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "space" };
const RECENT = 10; // frames over which their number a second is taken

let world, walk = null, busy = false, times = [];
const held = []; // actions whose keys are down, the latest last
const pressed = []; // actions that are still to be done once

async function ask(place, content) {
  const answer = await fetch(place, content && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function show(frame) {
  const bytes = Uint8Array.from(atob(frame), (letter) => letter.charCodeAt(0));
  const { rows, columns } = world;
  const image = new ImageData(columns, rows);
  for (let cell = 0; cell < rows * columns; cell++) {
    image.data.set(bytes.subarray(3 * cell, 3 * cell + 3), 4 * cell);
    image.data[4 * cell + 3] = 255;
  }
  at("view").getContext("2d").putImageData(image, 0, 0);
}

function tell(text) { at("told").textContent = text; }

function rate() {
  if (times.length < 2) return "";
  const seconds = (times[times.length - 1] - times[0]) / 1000;
  return `${((times.length - 1) / seconds).toFixed(1)} frames a second`;
}

async function begin() {
  walk = null;
  pressed.length = times.length = 0;
  try {
    const said = await ask("begin", {
      episode: Number(at("episode").value), seed: Number(at("seed").value),
    });
    walk = said.walk;
    show(said.frame);
    tell("The last frame that was given. Press a key.");
    at("view").dataset.steps = "0";
  } catch (error) { tell(error.message); }
}

async function go() {
  if (busy) return;
  busy = true;
  try {
    while (walk !== null && (pressed.length || held.length)) {
      const mine = walk;
      const action = pressed.length ? pressed.shift() : held[held.length - 1];
      const said = await ask("step", { name: mine, action });
      if (mine !== walk) continue; // begun again in the meantime
      times = [...times, performance.now()].slice(-RECENT);
      show(said.frame);
      tell([`step ${said.steps}`, `${(1000 * said.seconds).toFixed(0)} ms to draw`, rate()]
        .filter(Boolean).join(" · "));
      at("view").dataset.steps = String(said.steps);
    }
    if (walk !== null) times = [];
  } catch (error) {
    walk = null;
    tell(error.message);
  } finally { busy = false; }
}

function down(action) {
  if (held.includes(action)) return;
  held.push(action);
  pressed.push(action);
  mark();
  go();
}

function up(action) {
  const place = held.indexOf(action);
  if (place >= 0) held.splice(place, 1);
  mark();
}

function mark() {
  for (const button of at("actions").children) {
    button.classList.toggle("held", held.includes(Number(button.dataset.action)));
  }
}

function keyOf(name, number) {
  if (KEYS[name]) return KEYS[name];
  if (!world.actions.length) return " ";
  return number < 9 ? String(number + 1) : null;
}

function offer(name, number) {
  const button = document.createElement("button"), key = keyOf(name, number);
  button.type = "button";
  button.dataset.action = String(number);
  button.append(name);
  if (key !== null) {
    const sign = document.createElement("kbd");
    sign.textContent = SIGNS[key] || key;
    button.append(sign);
  }
  button.addEventListener("pointerdown", () => down(number));
  for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
    button.addEventListener(end, () => up(number));
  }
  // The space bar and the enter key press a button that has the focus.
  button.addEventListener("click", (event) => {
    if (event.detail === 0) { pressed.push(number); go(); }
  });
  at("actions").append(button);
  return key;
}

async function open() {
  world = await ask("world");
  at("view").width = world.columns;
  at("view").height = world.rows;
  for (const { number, name } of world.episodes) at("episode").append(new Option(name, number));
  const names = world.actions.length ? world.actions : ["go on"];
  const keys = names.map(offer);
  at("about").textContent = `${world.context} frames of the episode are given; all that follows is `
    + "drawn by the model. The same seed and the same steps lead to the same frames.";
  const typing = (event) => ["SELECT", "INPUT"].includes(event.target.tagName);
  addEventListener("keydown", (event) => {
    const action = keys.indexOf(event.key);
    if (action < 0 || typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.tagName === "BUTTON") return;
    event.preventDefault();
    down(action);
  });
  addEventListener("keyup", (event) => up(keys.indexOf(event.key)));
  addEventListener("blur", () => { held.length = 0; mark(); });
  at("start").addEventListener("submit", (event) => { event.preventDefault(); at("view").focus(); begin(); });
  await begin();
  at("view").focus();
}

open().catch((error) => tell(error.message));
