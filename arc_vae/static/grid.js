// A grid of colors: it says what a cell holds, can be painted on, and its objects can be dragged.
const N = 16;
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const SHAPE_KEYS = { "[": -1, "]": 1 };
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

function append(parent, tag, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

function strokeTwice(pen, stroke, dash = []) { // seen on every color
  for (const [width, color] of [[4, "#000"], [2, "#fff"]]) {
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.setLineDash(dash);
    stroke();
  }
  pen.setLineDash([]);
}

function outlinePath(cells, down, right, side) { // the border around cells, each [row, column]
  const path = new Path2D(), has = new Set(cells.map(([row, column]) => row*100 + column));
  for (const [row, column] of cells) {
    const top = (row + down)*side, left = (column + right)*side;
    const line = (x1, y1, x2, y2) => { path.moveTo(x1, y1); path.lineTo(x2, y2); };
    if (!has.has((row - 1)*100 + column)) line(left, top, left + side, top);
    if (!has.has((row + 1)*100 + column)) line(left, top + side, left + side, top + side);
    if (!has.has(row*100 + column - 1)) line(left, top, left, top + side);
    if (!has.has(row*100 + column + 1)) line(left + side, top, left + side, top + side);
  }
  return path;
}

function boxOf(object, side) { // where the posterior has its place: two standard deviations around the box
  const rows = object.cells.map(cell => cell[0]), columns = object.cells.map(cell => cell[1]), spread = 2*object.spread;
  const top = Math.min(...rows) - spread, left = Math.min(...columns) - spread;
  return [left*side, top*side, (Math.max(...columns) + 1 + spread - left)*side,
    (Math.max(...rows) + 1 + spread - top)*side];
}

function makePalette(model, el, choose) {
  const movable = model.get("movable");
  const palette = append(el, "div", { className: "arc-palette" });
  palette.setAttribute("role", "group");
  palette.setAttribute("aria-label", movable ? "color of the selected object" : "color to paint with");
  const chips = model.get("palette").map((hex, color) => {
    const name = model.get("names")[color];
    const title = `${name} (${color})`;
    const chip = append(palette, "button", { type: "button", title, onclick: () => choose(color) });
    chip.style.background = hex;
    chip.hidden = movable && color === 0;
    chip.setAttribute("aria-label", movable ? `make it ${name}` : name);
    return chip;
  });
  return (color, disabled) => chips.forEach((chip, i) => {
    chip.setAttribute("aria-pressed", i === color);
    chip.disabled = disabled;
  });
}

function render({ model, el }) {
  const size = model.get("size"), side = size/N, sharp = window.devicePixelRatio || 1, isThumbnail = size < 100;
  const editable = model.get("editable"), movable = model.get("movable"), names = model.get("names");
  const doubles = movable && model.get("doubles") !== false; // the page without Python has no search for room
  const caption = append(el, "div", { className: "arc-caption" });
  const canvas = append(el, "canvas", {
    className: "arc-canvas", width: size*sharp, height: size*sharp, tabIndex: isThumbnail ? -1 : 0
  });
  const markColor = (editable || movable) && makePalette(model, el, chooseColor);
  const readout = append(el, "div", { className: "arc-readout" });
  const pen = canvas.getContext("2d"), at = { row: 0, column: 0, shown: false };
  let drag = null, lastTurn = 0;
  pen.scale(sharp, sharp);
  el.classList.add("arc-view");
  el.style.maxWidth = `${size}px`;
  el.style.width = isThumbnail ? `${size}px` : "100%";
  el.addEventListener("keydown", event => event.stopPropagation()); // a notebook would take them for itself
  canvas.setAttribute("role", editable || movable ? "application" : "img");
  readout.setAttribute("aria-live", "polite");
  caption.hidden = readout.hidden = isThumbnail;

  const objects = () => model.get("objects");
  const selected = () => objects().find(object => object.slot === model.get("selected"));
  const objectAt = () => objects().findLast(object =>
    object.cells.some(([row, column]) => row === at.row && column === at.column));

  function fillCell(row, column, width, color) {
    pen.fillStyle = color;
    pen.fillRect(column*side + (side - width)/2, row*side + (side - width)/2, width, width);
  }

  function drawCells() {
    const p = model.get("probability"), shade = model.get("shade") && p.length, full = side - (isThumbnail ? 0 : 1);
    pen.fillStyle = "#555";
    pen.fillRect(0, 0, size, size);
    model.get("grid").forEach((colors, row) => colors.forEach((color, column) => {
      if (shade) fillCell(row, column, full, "#777");
      fillCell(row, column, full*(shade ? Math.sqrt(p[row][column]) : 1), model.get("palette")[color]);
    }));
  }

  function drawDifferences() {
    const grid = model.get("grid");
    model.get("against").forEach((colors, row) => colors.forEach((color, column) => {
      if (grid[row][column] === color) return;
      strokeTwice(pen, () => pen.strokeRect(column*side + 3, row*side + 3, side - 6, side - 6));
    }));
  }

  function drawSelection() {
    const object = selected();
    if (drag) {
      pen.globalAlpha = .6;
      strokeTwice(pen, () => pen.stroke(outlinePath(drag.cells, 0, 0, side)), [3, 3]);
      pen.globalAlpha = 1;
      strokeTwice(pen, () => pen.stroke(outlinePath(drag.cells, drag.down, drag.right, side)));
    } else if (object) {
      strokeTwice(pen, () => pen.stroke(outlinePath(object.cells, 0, 0, side)));
      pen.lineWidth = 1;
      pen.strokeStyle = "#f0f";
      pen.setLineDash([4, 3]);
      pen.strokeRect(...boxOf(object, side));
      pen.setLineDash([]);
    }
  }

  function draw() {
    drawCells();
    drawDifferences();
    drawSelection();
    if (at.shown && !drag) {
      pen.lineWidth = 2;
      pen.strokeStyle = "#f0f";
      pen.strokeRect(at.column*side, at.row*side, side, side);
    }
    const object = selected();
    if (markColor) markColor(movable ? (object ? object.color : -1) : model.get("color"), movable && !object);
    caption.textContent = model.get("caption");
    canvas.dataset.grid = model.get("grid").map(colors => colors.join("")).join("/");
    canvas.dataset.selected = object ? object.slot : "";
    canvas.setAttribute("aria-label", `${model.get("caption")}, ${N} by ${N} cells: ${help()}`);
    readout.textContent = say();
  }

  function help() {
    if (editable) return "arrow keys move, digits paint";
    if (!movable) return "arrow keys move, the cell is told below";
    return "Enter or N selects an object, then arrow keys move it (Shift: a quarter of a cell), digits color it, " +
      `brackets change its shape, ${doubles ? "D doubles it, " : ""}Delete removes it, U undoes, Escape lets go`;
  }

  function say() {
    const color = (model.get("grid")[at.row] || [])[at.column], p = (model.get("probability")[at.row] || [])[at.column];
    const object = selected();
    if (drag) return `${drag.name}: ${drag.down} down, ${drag.right} right`;
    if (at.shown && color !== undefined) {
      const sure = p === undefined ? "" : `, ${(100*p).toFixed(1)} %`;
      return `row ${at.row}, column ${at.column}: ${names[color]} (${color})${sure}`;
    }
    return object ? `${object.name}: ${names[object.color]}` : "";
  }

  function save(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  function select(object) { save("selected", object ? object.slot : -1); }

  function act(action, details = {}) { model.send({ action, object: model.get("selected"), ...details }); }

  function chooseColor(color) {
    if (movable) act("recolor", { color });
    else save("color", color);
  }

  function paint(color) {
    const grid = model.get("grid").map(colors => [...colors]);
    if (grid[at.row][at.column] === color) return;
    grid[at.row][at.column] = color;
    save("grid", grid);
  }

  function place(event) { // in cells, with fractions
    const box = canvas.getBoundingClientRect();
    return [(event.clientY - box.top)/box.height*N, (event.clientX - box.left)/box.width*N];
  }

  function point(event) {
    const [row, column] = place(event).map(v => clamp(Math.floor(v), 0, N - 1));
    Object.assign(at, { row, column, shown: !isThumbnail });
    if (editable && event.buttons & 1) paint(model.get("color"));
  }

  function pull(event) {
    const [y, x] = place(event), unit = event.shiftKey ? 4 : 1;
    const down = Math.round((y - drag.y)*unit)/unit, right = Math.round((x - drag.x)*unit)/unit;
    if (down === drag.down && right === drag.right) return;
    Object.assign(drag, { down, right, moved: true });
    act("drag", { down, right });
  }

  function letGo() {
    if (drag && drag.moved) act("drop");
    drag = null;
    draw();
  }

  function nextObject() {
    const slots = objects().map(object => object.slot), i = slots.indexOf(model.get("selected"));
    select(objects()[(i + 1)%slots.length]);
  }

  function objectKey(event) { // true where the key was for the selected object
    const step = ARROWS[event.key], unit = event.shiftKey ? .25 : 1;
    if (event.key === "n") nextObject();
    else if (event.key === "u" || (event.key === "z" && (event.ctrlKey || event.metaKey))) act("undo");
    else if (!selected()) return false;
    else if (step) act("move", { down: step[0]*unit, right: step[1]*unit });
    else if (/^[1-9]$/.test(event.key)) act("recolor", { color: +event.key });
    else if (event.key in SHAPE_KEYS) act("reshape", { by: SHAPE_KEYS[event.key] });
    else if (event.key === "d" && doubles) act("duplicate");
    else if (event.key === "Delete" || event.key === "Backspace") act("delete");
    else if (event.key === "Escape") select(null);
    else return false;
    at.shown = false;
    return true;
  }

  function cursorKey(event) { // true where the key was for the cursor
    const step = ARROWS[event.key], isPress = event.key === " " || event.key === "Enter";
    if (step) {
      at.row = clamp(at.row + step[0], 0, N - 1);
      at.column = clamp(at.column + step[1], 0, N - 1);
    } else if (movable && isPress) select(objectAt());
    else if (editable && isPress) paint(model.get("color"));
    else if (editable && /^[0-9]$/.test(event.key)) {
      chooseColor(+event.key);
      paint(+event.key);
    } else return false;
    at.shown = !(movable && isPress && selected());
    return true;
  }

  canvas.addEventListener("mousedown", event => { // with Shift a notebook would select cells
    if (event.shiftKey) event.stopPropagation();
  });
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    point(event);
    if (movable) {
      const object = objectAt(), [y, x] = place(event);
      select(object);
      if (object) drag = { y, x, down: 0, right: 0, moved: false, cells: object.cells, name: object.name };
    }
    draw();
  });
  canvas.addEventListener("pointermove", event => {
    point(event);
    if (drag) pull(event);
    else if (movable) canvas.style.cursor = objectAt() ? "grab" : "default";
    draw();
  });
  canvas.addEventListener("pointerup", letGo);
  canvas.addEventListener("pointercancel", letGo);
  for (const name of ["pointerleave", "blur"]) canvas.addEventListener(name, () => { at.shown = false; draw(); });
  canvas.addEventListener("keydown", event => {
    if (!(movable && objectKey(event)) && !cursorKey(event)) return;
    event.preventDefault();
    draw();
  });
  canvas.addEventListener("wheel", event => {
    if (!movable || !selected() || document.activeElement !== canvas) return;
    event.preventDefault();
    if (event.timeStamp - lastTurn < 60) return;
    lastTurn = event.timeStamp;
    act("reshape", { by: Math.sign(event.deltaY) });
  }, { passive: false });
  model.on("change", draw); // once for all that a message has brought
  draw();
}

export default { render };
