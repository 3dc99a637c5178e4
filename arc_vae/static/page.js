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
  const decoder = makeDecoder(data), part = id => document.getElementById(id);
  const view = { palette: data.palette, names: data.names, grid: [], probability: [], against: [], objects: [],
    caption: "", selected: -1, editable: false, movable: false };
  const decoded = new Model({ ...view, caption: "decoded", movable: true }, receive), original = new Model({ ...view });
  const sliders = new Model({ rows: data.rows, readings: [], z: data.grids[0].z }, () => {
    if (sliders.get("z") !== state.z) go({ z: sliders.get("z") });
  });
  const history = [];
  let state = null, dragged = null; // a state: z, and where the Python lines in edits start

  const axisOf = (slot, what) => data.axes.find(axis => axis.object === slot && [axis.what, axis.unit].includes(what));

  function shiftTicks(axis, more) { // those of a larger object: fewer, and each at the middle of its box
    return axis.ticks.slice(0, axis.ticks.length - more).map(([value, text]) => [value + axis.step*more/2, text]);
  }

  function readingOf(axis, objects) {
    const n = objects.length, object = objects.find(each => each.slot === axis.object);
    if (axis.what === "count") return { text: `${n} object${n === 1 ? "" : "s"}`, ticks: axis.ticks };
    if (!object) return { text: "not there", ticks: [] };
    const lines = object.cells.map(cell => cell[axis.what === "column" ? 1 : 0]);
    const first = Math.min(...lines), color = data.names[object.color];
    if (axis.what === "color") return { text: color, ticks: axis.ticks };
    if (axis.unit.startsWith("cell")) {
      return { text: `${axis.what} ${first}`, ticks: shiftTicks(axis, Math.max(...lines) - first) };
    }
    const size = `${lines.length} cell${lines.length === 1 ? "" : "s"}, ${Math.round(100*object.p)} %`;
    return { text: axis.what === "look" ? `${color}, ${size}` : size, ticks: axis.ticks };
  }

  function draw() {
    const { z, edits } = state, shown = decoder.decode(z);
    const objects = shown.objects.map(each => ({ ...each, name: data.groups[each.slot] }));
    const isThere = objects.some(each => each.slot === decoded.get("selected"));
    decoded.update({ ...shown, objects, selected: isThere ? decoded.get("selected") : -1 });
    sliders.update({ z, readings: data.axes.map(axis => readingOf(axis, objects)) });
    part("edits").textContent = edits.slice(-1).join();
    part("python").value = [`z = torch.tensor([[${state.start.join(", ")}]])`, ...edits].join("\n");
  }

  function go({ z, start = z, edits = [] }) {
    state = { z: z.map(Math.fround), start, edits };
    draw();
  }

  function addSteps(from, steps, line) { // the state after steps along some axes
    const z = [...from.z];
    for (const [axis, by] of steps) z[axis.index] += by*axis.step;
    return { z, start: from.start, edits: [...from.edits, line] };
  }

  const move = (from, { object, down, right }) => addSteps(from,
    [[axisOf(object, "row"), down], [axisOf(object, "column"), right]],
    `z = move(vae, z, down=${down}, right=${right}, object=${object})`);

  const recolor = (from, { object, by }) =>
    addSteps(from, [[axisOf(object, "color"), by]], `z = recolor(vae, z, by=${by}, object=${object})`);

  function drop(from, { object }) { // the smaller ones close ranks, each with the look of its new place
    const z = [...from.z];
    for (const { slot, color, entry } of decoded.get("objects").filter(each => each.slot > object)) {
      const to = slot - 1, isPacked = to >= data.spare;
      z.splice(1 + 3*to, 2, z[1 + 3*slot], z[2 + 3*slot]);
      z[3 + 3*to] = data.span[to]*((isPacked ? color - 5 : 0) + decoder.placeOf(to, entry));
      if (!isPacked) z[z.length - data.spare + to] = data.colorStep*(color - 5);
    }
    z[0] -= data.axes[0].step;
    return { z, start: from.start, edits: [...from.edits, `z = drop(vae, z, object=${object})`] };
  }

  function receive({ action, ...details }) {
    if (action === "undo") undo();
    else if (action === "release") dragged = null;
    else if (action === "drag") {
      if (!dragged) history.push(dragged = state);
      go(move(dragged, details));
    } else if (action !== "changed") {
      history.push(state);
      go({ move, recolor, drop }[action](state, details));
    }
  }

  function undo() { if (history.length) go(history.pop()); }

  function appendStart({ number, z, cells }) { // a grid to start from
    const grid = cells.match(/.{16}/g).map(row => [...row].map(Number)), name = `${data.kind} #${number}`;
    const button = append(part("starts"), "button", { title: name, onclick: () => {
      if (state) history.push(state);
      original.update({ grid, caption: `original: ${name}` });
      go({ z });
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
  part("reset").onclick = () => { history.push(state); go({ z: state.z.map(() => 0) }); };
  return decoder;
}
