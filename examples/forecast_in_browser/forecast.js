// Runs an exported model in the browser. Nothing leaves the computer: the page, the model and ONNX
// Runtime Web lie side by side (README.md says how to put them there).

const size = (shape) => shape.reduce((product, side) => product * side, 1);
const named = (entry, sides) => entry.shape.map((side) => {
  if (typeof side === "number") return side;
  const [name, cells] = side.split("/");
  return sides[name] / Number(cells ?? 1);
});

async function load(folder) {
  const manifest = await (await fetch(`${folder}/manifest.json`)).json();
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("./", location.href).href;
  const step = await ort.InferenceSession.create(`${folder}/${manifest.programs.step.file}`);
  return { manifest, step };
}

// The state before the first frame: each tensor is filled with its start.
function firstState({ manifest }) {
  const [height, width] = manifest.grid;
  return Object.fromEntries(manifest.programs.step.state.map((entry) => {
    const shape = named(entry, { batch: 1, height, width, past: 0 });
    const values = new Float32Array(size(shape)).fill(entry.start);
    return [entry.name, new ort.Tensor("float32", values, shape)];
  }));
}

// One frame and the state in, the next frame and the next state out.
async function advance({ manifest, step }, frame, state) {
  const channels = manifest.fed_back, [height, width] = manifest.grid;
  const shape = [1, channels, height, width];
  const given = { frame: new ort.Tensor("float32", frame.slice(0, size(shape)), shape), ...state };
  const found = await step.run(given);
  const next = manifest.programs.step.state.map(({ name }) => [name, found[`next_${name}`]]);
  return { frame: found.prediction.data, state: Object.fromEntries(next) };
}

function draw(canvas, frame, [height, width]) {
  canvas.height = height;
  canvas.width = width;
  const values = frame.slice(0, height * width).filter((value) => !Number.isNaN(value));
  const low = Math.min(...values), high = Math.max(...values);
  const picture = new ImageData(width, height);
  for (let cell = 0; cell < height * width; cell++) {
    const grey = 255 * (frame[cell] - low) / (high - low || 1);
    picture.data.set([grey, grey, grey, Number.isNaN(grey) ? 0 : 255], 4 * cell);
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

async function start() {
  const [canvas, button, said] = ["frame", "more", "said"].map((id) => document.getElementById(id));
  const model = await load("exported");
  const given = await (await fetch("frames.json")).json();
  let state = firstState(model), frame = Float32Array.from(given[0]), lead = 0;
  for (const next of given) ({ frame, state } = await advance(model, Float32Array.from(next), state));
  const show = () => {
    lead += 1;
    draw(canvas, frame, model.manifest.grid);
    said.textContent = `lead ${lead}`;
  };
  button.onclick = async () => {
    const begin = performance.now();
    ({ frame, state } = await advance(model, frame, state));
    show();
    said.textContent += `, ${(performance.now() - begin).toFixed(1)} ms`;
  };
  window.forecast = () => Array.from(frame);
  show();
}

start().catch((error) => { document.getElementById("said").textContent = String(error); });
