// A grid of colors: it says what a cell holds, can be painted on, and its objects can be dragged.
const N = 16, WIDTH = 384, SIDE = WIDTH/N; // cells a row; pixels of the canvas and of one cell
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export function clamp(value, low, high) { return Math.max(low, Math.min(high, value)); }

export function exchange(color, background) { // black and the background change places
  return color === 0 ? background : color === background ? 0 : color;
}

const isOutside = color => color > 9; // beyond the last row or column of a smaller grid

export function append(parent, tag, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

export function appendCanvas(parent, width, properties = {}) { // sharp on screens that have more pixels than CSS counts
  const sharp = window.devicePixelRatio || 1;
  const canvas = append(parent, "canvas", { className: "arc-canvas", width: width*sharp, height: width*sharp });
  canvas.getContext("2d").scale(sharp, sharp);
  return Object.assign(canvas, properties);
}

export function drawGrid(pen, grid, palette, side, gap = 0) {
  pen.fillStyle = "#555";
  pen.fillRect(0, 0, N*side, N*side);
  grid.forEach((colors, row) => colors.forEach((color, column) => {
    pen.fillStyle = palette[color];
    const inset = isOutside(color) ? 0 : gap/2;
    pen.fillRect(column*side + inset, row*side + inset, side - 2*inset, side - 2*inset);
  }));
}

function strokeTwice(pen, path) { // black around white is seen on every color
  for (const [width, color] of [[4, "#000"], [2, "#fff"]]) {
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.stroke(path);
  }
}

function boxes(cells, inset) { // one around each cell
  const path = new Path2D();
  for (const [row, column] of cells) path.rect(column*SIDE + inset, row*SIDE + inset, SIDE - 2*inset, SIDE - 2*inset);
  return path;
}

function outline(cells, down, right) { // the border around cells, each [row, column]
  const path = new Path2D(), has = new Set(cells.map(cell => cell.join()));
  for (const [row, column] of cells) {
    const top = (row + down)*SIDE, left = (column + right)*SIDE, bottom = top + SIDE, end = left + SIDE;
    const line = (x1, y1, x2, y2) => { path.moveTo(x1, y1); path.lineTo(x2, y2); };
    if (!has.has([row - 1, column].join())) line(left, top, end, top);
    if (!has.has([row + 1, column].join())) line(left, bottom, end, bottom);
    if (!has.has([row, column - 1].join())) line(left, top, left, bottom);
    if (!has.has([row, column + 1].join())) line(end, top, end, bottom);
  }
  return path;
}

function appendPalette(model, el, choose) { // returns the function that marks the chosen color
  const movable = model.get("movable");
  const palette = append(el, "div", { className: "arc-palette" });
  palette.setAttribute("role", "group");
  palette.setAttribute("aria-label", movable ? "color of the selected object" : "color to paint with");
  const chips = model.get("names").map((name, color) => {
    const title = `${name} (${color})`;
    const chip = append(palette, "button", { type: "button", title, onclick: () => choose(color) });
    chip.style.background = model.get("palette")[color];
    chip.setAttribute("aria-label", movable ? `make it ${name}` : name);
    return chip;
  });
  return (color, disabled) => chips.forEach((chip, i) => {
    chip.setAttribute("aria-pressed", i === color);
    chip.disabled = disabled;
    chip.hidden = movable && i === model.get("background");
  });
}

export function renderGrid({ model, el }) {
  const editable = model.get("editable"), movable = model.get("movable"), names = model.get("names");
  const caption = append(el, "div", { className: "arc-caption" });
  const canvas = appendCanvas(el, WIDTH, { tabIndex: 0 }), pen = canvas.getContext("2d");
  const markColor = (editable || movable) && appendPalette(model, el, chooseColor);
  const readout = append(el, "div", { className: "arc-readout" });
  const cursor = { row: 0, column: 0, shown: false };
  let drag = null;
  el.classList.add("arc-view");
  el.style.maxWidth = `${WIDTH}px`;
  el.addEventListener("keydown", event => event.stopPropagation()); // a notebook would take them for itself
  canvas.setAttribute("role", editable || movable ? "application" : "img");
  readout.setAttribute("aria-live", "polite");

  const selected = () => model.get("objects").find(object => object.slot === model.get("selected"));
  const differing = () => model.get("against").flatMap((colors, row) => colors.flatMap((color, column) =>
    color === model.get("grid")[row][column] ? [] : [[row, column]]));
  const objectAt = () => model.get("objects").findLast(object =>
    object.cells.some(([row, column]) => row === cursor.row && column === cursor.column));

  function draw() {
    const object = selected();
    drawGrid(pen, model.get("grid"), model.get("palette"), SIDE, 1);
    strokeTwice(pen, boxes(differing(), 3));
    if (drag) strokeTwice(pen, outline(drag.cells, drag.down, drag.right));
    else if (object) strokeTwice(pen, outline(object.cells, 0, 0));
    if (cursor.shown && !drag) strokeTwice(pen, boxes([[cursor.row, cursor.column]], 1));
    if (movable) markColor(object ? object.color : -1, !object);
    else if (editable) markColor(model.get("color"), false);
    caption.textContent = model.get("caption");
    canvas.dataset.grid = model.get("grid").map(colors => colors.join("")).join("/");
    canvas.dataset.selected = object ? object.slot : "";
    canvas.setAttribute("aria-label", `${model.get("caption")}, ${N} by ${N} cells: ${help()}`);
    readout.textContent = readCell();
  }

  function help() {
    if (editable) return "arrow keys move, digits paint";
    if (!movable) return "arrow keys move, the cell is told below";
    return "Enter or N selects an object, then arrow keys move it, digits color it, Delete removes it, U undoes, " +
      "Escape lets go";
  }

  function readCell() {
    const { row, column } = cursor, color = model.get("grid")[row]?.[column], object = selected();
    if (drag) return `${drag.name}: ${drag.down} down, ${drag.right} right`;
    if (cursor.shown && isOutside(color)) return "outside the grid";
    if (cursor.shown && color !== undefined) {
      const p = model.get("probability")[row]?.[column], sure = p === undefined ? "" : `, ${(100*p).toFixed(1)} %`;
      return `row ${row}, column ${column}: ${names[color]} (${color})${sure}`;
    }
    return object ? `${object.name}: ${names[object.color]}` : "";
  }

  function save(name, value) {
    model.set(name, value);
    model.save_changes();
  }

  const select = object => save("selected", object ? object.slot : -1);
  const act = (action, details = {}) => model.send({ action, ...details, object: model.get("selected") });

  function chooseColor(color) {
    const [to, from] = [color, selected()?.color].map(each => exchange(each, model.get("background")));
    if (movable) act("recolor", { by: to - from });
    else save("color", color);
  }

  function paint(color) {
    const grid = model.get("grid").map(colors => [...colors]);
    if (grid[cursor.row][cursor.column] === color || isOutside(grid[cursor.row][cursor.column])) return;
    grid[cursor.row][cursor.column] = color;
    save("grid", grid);
  }

  function place(event) { // in cells, with fractions
    const box = canvas.getBoundingClientRect();
    return [(event.clientY - box.top)/box.height*N, (event.clientX - box.left)/box.width*N];
  }

  function point(event) {
    const [row, column] = place(event).map(v => clamp(Math.floor(v), 0, N - 1));
    Object.assign(cursor, { row, column, shown: true });
    if (editable && event.buttons & 1) paint(model.get("color"));
  }

  function pull(event) {
    const [y, x] = place(event), down = Math.round(y - drag.y), right = Math.round(x - drag.x);
    if (down === drag.down && right === drag.right) return;
    Object.assign(drag, { down, right, moved: true });
    act("drag", { down, right });
  }

  function release() {
    if (drag?.moved) act("release");
    drag = null;
    draw();
  }

  function selectNext() {
    const objects = model.get("objects"), i = objects.indexOf(selected());
    select(objects[(i + 1)%objects.length]);
  }

  function pressForObject(event) { // true where the key was for an object
    const step = ARROWS[event.key];
    if (event.key === "n") selectNext();
    else if (event.key === "u" || (event.key === "z" && (event.ctrlKey || event.metaKey))) act("undo");
    else if (!selected()) return false;
    else if (step) act("move", { down: step[0], right: step[1] });
    else if (/^[0-9]$/.test(event.key) && +event.key !== model.get("background")) chooseColor(+event.key);
    else if (event.key === "Delete" || event.key === "Backspace") act("drop");
    else if (event.key === "Escape") select(null);
    else return false;
    cursor.shown = false;
    return true;
  }

  function pressForCursor(event) { // true where the key was for the cursor
    const step = ARROWS[event.key], isPress = event.key === " " || event.key === "Enter";
    if (step) {
      cursor.row = clamp(cursor.row + step[0], 0, N - 1);
      cursor.column = clamp(cursor.column + step[1], 0, N - 1);
    } else if (movable && isPress) select(objectAt());
    else if (editable && isPress) paint(model.get("color"));
    else if (editable && /^[0-9]$/.test(event.key)) {
      chooseColor(+event.key);
      paint(+event.key);
    } else return false;
    cursor.shown = !(movable && isPress && selected());
    return true;
  }

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
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, release);
  for (const name of ["pointerleave", "blur"]) canvas.addEventListener(name, () => { cursor.shown = false; draw(); });
  canvas.addEventListener("keydown", event => {
    if (!(movable && pressForObject(event)) && !pressForCursor(event)) return;
    event.preventDefault();
    draw();
  });
  model.on("change", draw); // once for all that a message has brought
  draw();
}
