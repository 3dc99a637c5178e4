// The explorer without Python: the widgets' own files, and the decoder in JavaScript.
class Model { // as much of a widget's model as a view asks for
  constructor(values, receive = () => {}) {
    Object.assign(this, { values, receive, listeners: [] });
  }

  get(name) { return this.values[name]; }

  set(name, value) {
    this.values[name] = value;
    this.fire([name]);
  }

  update(values) {
    Object.assign(this.values, values);
    this.fire(Object.keys(values));
  }

  fire(names) {
    for (const [event, act] of this.listeners) {
      if (event === "change" || names.some(name => event === `change:${name}`)) act();
    }
  }

  save_changes() { this.receive({ action: "changed" }); }

  on(event, act) { this.listeners.push([event, act]); }

  send(message) { this.receive(message); }
}

function show(view, model, parent) {
  const el = parent.appendChild(document.createElement("div"));
  view.render({ model, el });
  return el;
}

export function start({ data, makeDecoder, gridView, slidersView }) {
  const decoder = makeDecoder(data), part = id => document.getElementById(id);
  const common = { palette: data.palette, names: data.names, shade: false, editable: false, color: 1, selected: -1 };
  const grid = new Model({ ...common, grid: [], probability: [], against: [], caption: "decoded", movable: true,
    doubles: false, objects: [], size: 384 }, receive);
  const original = new Model({ ...common, grid: [], probability: [], against: [], caption: "", movable: false,
    objects: [], size: 384 });
  const sliders = new Model({ rows: data.rows, unused: data.unused, readings: [], z: data.grids[0].z }, () => {
    if (sliders.get("z") !== z) go(sliders.get("z"), []);
  });
  const history = [];
  let z = [], edits = [], dragged = null;

  const axisOf = (slot, what) => data.axes.find(axis => axis.object === slot && [axis.what, axis.unit].includes(what));

  function placeTicks(axis, more) { // those of a larger object: fewer, and each at the middle of its box
    return axis.ticks.slice(0, axis.ticks.length - more).map(([value, text]) => [value + axis.step*more/2, text]);
  }

  function readingsOf(objects, count) {
    return data.axes.map(axis => {
      if (axis.what === "count") return { text: `${count} object${count === 1 ? "" : "s"}`, ticks: axis.ticks };
      const object = objects.find(each => each.slot === axis.object);
      if (!object) return { text: "not there", ticks: [] };
      const lines = object.cells.map(cell => cell[axis.what === "column" ? 1 : 0]), percent = Math.round(100*object.p);
      const first = Math.min(...lines), last = Math.max(...lines);
      const text = { row: `row ${first}`, column: `column ${first}`,
        color: data.names[object.color], shape: `${object.cells.length} cells, ${percent} %`,
        look: `${data.names[object.color]}, ${object.cells.length} cells, ${percent} %` }[axis.what];
      const isPlace = ["row", "column"].includes(axis.what);
      return { text, ticks: isPlace ? placeTicks(axis, last - first) : axis.ticks };
    });
  }

  function draw() {
    const shown = decoder.decode(z), objects = shown.objects.map(each => ({ ...each, name: data.groups[each.slot] }));
    const slots = objects.map(each => each.slot), selected = grid.get("selected");
    grid.update({ ...shown, objects, selected: slots.includes(selected) ? selected : -1 });
    sliders.update({ z, readings: readingsOf(objects, objects.length) });
    part("edits").textContent = edits.slice(-3).join("; ");
    part("python").value = [`z = torch.tensor([${z.map(v => +v.toFixed(4)).join(", ")}])`,
      ...edits.map(line => `# ${line}`)].join("\n");
    document.body.dataset.z = JSON.stringify(z);
  }

  function go(next, done) {
    z = next.map(v => Math.fround(v));
    edits = [...edits, ...done];
    draw();
  }

  function remember() { history.push({ z, edits }); }

  function added(from, steps) { // a code after steps along some axes, and how one says so
    const next = [...from], said = [];
    for (const [axis, by] of steps) {
      if (!by) continue;
      next[axis.index] += by*axis.step;
      said.push(`z[${axis.index}] += ${by}*step`);
    }
    return [next, said];
  }

  const moved = (from, slot, down, right) =>
    added(from, [[axisOf(slot, "row"), down], [axisOf(slot, "column"), right]]);

  function remove(slot, objects) { // the smaller ones close ranks, each on the line of its new place
    const next = [...z];
    for (const object of objects.filter(each => each.slot > slot)) {
      const at = object.slot - 1, isPacked = at >= data.spare, color = object.color - 5;
      next.splice(1 + 3*at, 2, z[1 + 3*object.slot], z[2 + 3*object.slot]);
      next[3 + 3*at] = data.span[at]*((isPacked ? color : 0) + decoder.placeOf(at, object.entry));
      if (!isPacked) next[next.length - data.spare + at] = data.colorStep*color;
    }
    next[0] -= data.axes[0].step;
    return [next, [`object ${slot} removed, z[0] -= step`]];
  }

  function edit({ action, object: slot, down = 0, right = 0, color = 0, by = 0 }) {
    const objects = grid.get("objects"), object = objects.find(each => each.slot === slot);
    if (!object) return null;
    if (action === "move") return moved(z, slot, down, right);
    if (action === "recolor") return added(z, [[axisOf(slot, "color"), color - object.color]]);
    if (action === "delete") return remove(slot, objects);
    if (action !== "reshape") return null;
    const next = [...z], index = axisOf(slot, "row").index + 2, entry = decoder.nextEntry(object.entry, by);
    const apart = data.span[slot]*(decoder.placeOf(slot, entry) - decoder.placeOf(slot, object.entry));
    next[index] += apart;
    return [next, [`z[${index}] += ${apart.toPrecision(4)}`]];
  }

  function receive(message) {
    if (message.action === "undo") return undo();
    if (message.action === "drag") {
      if (!dragged) {
        remember();
        dragged = { z, edits };
      }
      edits = dragged.edits;
      return go(...moved(dragged.z, message.object, message.down, message.right));
    }
    if (message.action === "drop") {
      dragged = null;
      return undefined;
    }
    const done = edit(message);
    if (!done) return undefined;
    remember();
    return go(...done);
  }

  function undo() {
    if (!history.length) return;
    ({ z, edits } = history.pop());
    draw();
  }

  function goToGrid(i) {
    if (z.length) remember();
    const rows = data.grids[i].cells.match(/.{16}/g).map(row => [...row].map(Number));
    original.update({ grid: rows, caption: `original: ${data.kind} #${data.grids[i].number}` });
    edits = [];
    go(data.grids[i].z, []);
  }

  show(slidersView, sliders, part("sliders"));
  goToGrid(0);
  show(gridView, grid, part("decoded"));
  show(gridView, original, part("original"));
  data.grids.forEach((each, i) => {
    const button = part("sheet").appendChild(document.createElement("button"));
    button.setAttribute("aria-label", `${data.kind} #${each.number}`);
    button.onclick = () => goToGrid(i);
    const cells = each.cells.match(/.{16}/g).map(row => [...row].map(Number));
    show(gridView, new Model({ ...common, grid: cells, probability: [], against: [], caption: "", movable: false,
      objects: [], size: 48 }), button);
  });
  part("undo").onclick = undo;
  part("middle").onclick = () => { remember(); go(z.map(() => 0), ["z = 0"]); };
  return decoder;
}
