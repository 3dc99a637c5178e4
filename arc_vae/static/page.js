// The explorer without Python: the widgets' own views, and the decoder in JavaScript.
import { append, appendCanvas, drawGrid, renderGrid } from "./grid.js";
import { renderSliders } from "./sliders.js";
import { makeDecoder } from "./decoder.js";

class Model { // as much of a widget's model as a view asks for
  constructor(values, receive = () => {}) {
    Object.assign(this, { values, receive, listeners: [] });
  }

  get(name) { return this.values[name]; }

  set(name, value) { this.update({ [name]: value }); }

  update(values) {
    Object.assign(this.values, values);
    const names = ["change", ...Object.keys(values).map(name => `change:${name}`)];
    for (const [event, act] of this.listeners) if (names.includes(event)) act();
  }

  save_changes() { this.receive({ action: "changed" }); }

  on(event, act) { this.listeners.push([event, act]); }

  send(message) { this.receive(message); }
}

export function showPage(data) {
  const decoder = makeDecoder(data), part = id => document.getElementById(id), { fround } = Math;
  const view = { palette: data.palette, names: data.names, grid: [], probability: [], against: [], objects: [],
    caption: "", background: 0, selected: -1, editable: false, movable: false };
  const decoded = new Model({ ...view, caption: "decoded", movable: true }, receive), original = new Model({ ...view });
  const sliders = new Model({ rows: data.rows, readings: [], z: data.grids[0].z }, () => {
    if (sliders.get("z") !== state.z) go(stateOf(sliders.get("z")));
  });
  const history = [];
  let state = null, dragged = null; // a state: z, and where the Python lines in edits start

  function stateOf(z, start = z, edits = []) { return { z: z.map(fround), start, edits }; }

  function shortest(v) { // the fewest digits that are the same 32 bits
    return [6, 7, 8, 9].map(digits => +v.toPrecision(digits)).find(short => fround(short) === fround(v));
  }

  function shiftTicks(axis, more) { // those of a larger object or a smaller grid: fewer, each at the middle of its box
    return axis.ticks.slice(0, Math.max(0, 16 - more)).map(([value, text]) => [value + axis.step*more/2, text]);
  }

  function readingOf(axis, objects, canvas) {
    const object = objects.find(each => each.slot === axis.object), isPlace = axis.unit.startsWith("cell");
    const ofGrid = canvas[axis.what];
    if (axis.what === "background") return { text: data.names[ofGrid], ticks: axis.ticks };
    if (ofGrid) return { text: `${ofGrid} ${axis.unit}${ofGrid === 1 ? "" : "s"}`, ticks: axis.ticks };
    if (!object) return { text: axis.object === null ? "" : "not there", ticks: isPlace ? [] : axis.ticks };
    const lines = object.cells.map(cell => cell[axis.what === "column" ? 1 : 0]), first = Math.min(...lines);
    const more = Math.max(...lines) - first + 16 - canvas[axis.what === "row" ? "height" : "width"];
    if (isPlace) return { text: `${axis.what} ${first}`, ticks: shiftTicks(axis, more) };
    const cells = `${lines.length} cell${lines.length === 1 ? "" : "s"}`;
    return { text: axis.what === "look" ? `${data.names[object.color]}, ${cells}` : cells, ticks: axis.ticks };
  }

  function go(next) {
    state = next;
    const { z, start, edits } = state, shown = decoder.decode(z);
    const objects = shown.objects.map(each => ({ ...each, name: data.groups[each.slot] }));
    const isThere = objects.some(each => each.slot === decoded.get("selected"));
    const { canvas } = shown, { background } = canvas;
    decoded.update({ ...shown, background, objects, selected: isThere ? decoded.get("selected") : -1 });
    sliders.update({ z, readings: data.axes.map(axis => readingOf(axis, objects, canvas)) });
    part("edits").textContent = edits.slice(-1).join();
    part("python").value = [`z = torch.tensor([[${start.map(shortest).join(", ")}]])`, ...edits].join("\n");
  }

  function addSteps({ z, start, edits }, steps, line) { // the state after steps along some axes, rounded as in Python
    const moved = [...z];
    for (const [index, by] of steps) moved[index] += fround(by*data.axes[index].step);
    return stateOf(moved, start, [...edits, line]);
  }

  const which = data.canvas ? "entry" : "object"; // on a canvas an object may be several entries

  const move = (from, { object, down, right }) => addSteps(from, [[3*object, down], [3*object + 1, right]],
    `z = move(vae, z, down=${down}, right=${right}, ${which}=${object})`);

  const recolor = (from, { object, by }) =>
    addSteps(from, [[3*object + 2, by]], `z = recolor(vae, z, by=${by}, ${which}=${object})`);

  function drop({ z, start, edits }, { object }) { // the look of an object that is missing
    const index = 3*object + 2, look = shortest(data.missing[object]);
    return stateOf(z.with(index, look), start, [...edits, `z[0, ${index}] = ${look}`]);
  }

  function remember() { if (state && state !== history.at(-1)) history.push(state); }

  function goAndRemember(next) {
    remember(); // the sliders may have been moved
    go(next);
    remember();
  }

  function receive({ action, ...details }) {
    if (action === "undo") undo();
    else if (action === "drag") {
      if (!dragged) remember();
      dragged ??= state;
      go(move(dragged, details));
    } else if (action === "release") {
      dragged = null;
      remember();
    } else if (action !== "changed") goAndRemember({ move, recolor, drop }[action](state, details));
  }

  function undo() {
    if (state === history.at(-1) && history.length > 1) history.pop();
    go(history.at(-1));
  }

  function appendStart({ number, z, cells }) { // a grid to start from
    const grid = cells.match(/.{16}/g).map(row => [...row].map(color => parseInt(color, 16)));
    const name = `${data.kind} #${number}`;
    const button = append(part("starts"), "button", { title: name, onclick: () => {
      original.update({ grid, caption: `original: ${name}` });
      goAndRemember(stateOf(z));
    } });
    button.setAttribute("aria-label", name);
    drawGrid(appendCanvas(button, 48).getContext("2d"), grid, data.palette, 3);
  }

  data.grids.forEach(appendStart);
  part("starts").firstChild.click();
  renderSliders({ model: sliders, el: part("sliders") });
  renderGrid({ model: decoded, el: part("decoded") });
  renderGrid({ model: original, el: part("original") });
  part("undo").onclick = undo;
  part("reset").onclick = () => goAndRemember(stateOf(state.z.map(() => 0)));
  return decoder;
}
