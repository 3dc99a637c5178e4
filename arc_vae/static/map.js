// Points on a plane: one looks at them from near, sees the grid behind each, and goes there.
const WAYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const MARGIN = 12, REST = 60; // pixels around the points; milliseconds on a point until its grid is asked for
const DARK = 34; // the gray behind the points

function append(parent, tag, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

function bytesOf(model, name) {
  const view = model.get(name);
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

function sheetOf(points, size) { // from coordinates to pixels of the whole map
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  points.forEach((v, i) => {
    low[i%2] = Math.min(low[i%2], v);
    high[i%2] = Math.max(high[i%2], v);
  });
  const scale = (size - 2*MARGIN)/Math.max(high[0] - low[0], high[1] - low[1], 1e-9);
  const pad = [0, 1].map(k => (size - scale*(high[k] - low[k]))/2);
  return (x, y) => [pad[0] + (x - low[0])*scale, size - pad[1] - (y - low[1])*scale];
}

function makeTip(model, el) {
  const tip = append(el, "div", { className: "arc-tip" });
  const canvas = append(tip, "canvas", { width: 128, height: 128, hidden: true });
  const text = append(tip, "div");
  text.setAttribute("aria-live", "polite");
  return () => {
    const { number = -1, grid = [], said = "" } = model.get("tip"), pen = canvas.getContext("2d");
    grid.forEach((colors, row) => colors.forEach((color, column) => {
      pen.fillStyle = model.get("palette")[color];
      pen.fillRect(column*8, row*8, 8, 8);
    }));
    canvas.hidden = !grid.length;
    tip.dataset.number = number;
    text.textContent = said || "Point at a grid to see it; a click goes there.";
  };
}

function render({ model, el }) {
  const size = model.get("size"), sharp = window.devicePixelRatio || 1;
  const canvas = append(el, "canvas", { className: "arc-canvas", width: size*sharp, height: size*sharp, tabIndex: 0,
    title: "A click takes the nearest grid, then the wheel zooms and dragging moves. Keys: arrows, Enter, + - 0" });
  const caption = append(el, "div", { className: "arc-caption" });
  const legend = append(el, "div", { className: "arc-legend" }), showTip = makeTip(model, el);
  const pen = canvas.getContext("2d"), cloud = document.createElement("canvas");
  Object.assign(cloud, { width: size*sharp, height: size*sharp });
  pen.scale(sharp, sharp);
  cloud.getContext("2d").scale(sharp, sharp);
  el.classList.add("arc-view");
  el.style.maxWidth = `${size}px`;
  el.style.width = "100%";
  canvas.style.cursor = "crosshair";
  canvas.setAttribute("role", "application");
  el.addEventListener("keydown", event => event.stopPropagation());
  const keepKeys = event => { // a notebook would take the arrow keys of a list beside the map for itself
    const isBeside = el.closest(".jp-OutputArea-output")?.contains(event.target);
    if (isBeside && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  };
  document.body.addEventListener("keydown", keepKeys);
  const view = { zoom: 1, left: 0, top: 0 }; // of the whole map, in its pixels
  let points, onSheet, near = -1, pulled = null, asked = -1, rest = 0;
  const toPixel = (x, y) => {
    const [u, v] = onSheet(x, y);
    return [u*view.zoom + view.left, v*view.zoom + view.top];
  };
  const pixelOf = i => toPixel(points[2*i], points[2*i + 1]);

  function lay() {
    points = new Float32Array(bytesOf(model, "points"));
    onSheet = sheetOf(points, size);
    near = -1;
    look(1, 0, 0);
  }

  function look(zoom, left, top) {
    const within = offset => Math.min(0, Math.max(size*(1 - zoom), offset));
    Object.assign(view, { zoom, left: within(left), top: within(top) });
    canvas.dataset.view = `${view.zoom},${view.left},${view.top}`;
    scatter();
  }

  function zoomBy(factor, x = size/2, y = size/2) {
    const zoom = Math.min(40, Math.max(1, view.zoom*factor)), grown = zoom/view.zoom;
    look(zoom, x - (x - view.left)*grown, y - (y - view.top)*grown);
  }

  function scatter() {
    const color = new Uint8Array(bytesOf(model, "colors")), ink = cloud.getContext("2d");
    ink.fillStyle = `rgb(${DARK},${DARK},${DARK})`;
    ink.fillRect(0, 0, size, size);
    const side = Math.max(2, Math.min(6, 200/Math.sqrt(points.length/2)))*Math.min(3, Math.sqrt(view.zoom));
    for (let i = 0; i < points.length/2; i++) {
      const [x, y] = pixelOf(i);
      if (x < -side || y < -side || x > size + side || y > size + side) continue;
      ink.fillStyle = `rgb(${color.slice(3*i, 3*i + 3)})`;
      ink.fillRect(x - side/2, y - side/2, side, side);
    }
    draw();
  }

  function explain() {
    legend.replaceChildren(...model.get("legend").map(([color, text]) => {
      const entry = document.createElement("span"), swatch = append(entry, "i");
      swatch.style.background = color;
      entry.append(text);
      return entry;
    }));
  }

  function ring(x, y, radius, color, width) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.stroke();
  }

  function draw() {
    pen.drawImage(cloud, 0, 0, size, size);
    if (near >= 0) ring(...pixelOf(near), 4, "#fff", 1);
    if (model.get("here").length) {
      const [x, y] = toPixel(...model.get("here")).map(v => Math.max(3, Math.min(size - 3, v)));
      ring(x, y, 8, "#000", 5);
      ring(x, y, 8, "#fff", 2.5);
    }
    caption.textContent = model.get("caption");
    canvas.setAttribute("aria-label", "map of grids: arrow keys go from one to the next, Enter takes it, " +
      `plus and minus zoom; ${caption.textContent}${near >= 0 ? `; marked: #${near}` : ""}`);
    canvas.dataset.here = model.get("here").join(",");
    canvas.dataset.near = near;
    askFor(near);
  }

  function askFor(number) { // what lies behind a point, once one rests there
    if (number === asked) return;
    asked = number;
    clearTimeout(rest);
    if (number >= 0) rest = setTimeout(() => model.send({ near: number }), REST);
  }

  function nearest(px, py, allowed = () => true) {
    let best = -1, least = Infinity;
    for (let i = 0; i < points.length/2; i++) {
      const [x, y] = pixelOf(i), distance = (x - px)**2 + (y - py)**2;
      if (distance < least && allowed(x - px, y - py)) [best, least] = [i, distance];
    }
    return best;
  }

  function step(across, down) { // to the nearest point that lies that way
    const here = model.get("here"), middle = here.length ? toPixel(...here) : [size/2, size/2];
    const [px, py] = near >= 0 ? pixelOf(near) : middle;
    const next = nearest(px, py, (x, y) => {
      const ahead = x*across + y*down;
      return ahead > .01 && ahead >= Math.abs(x*down + y*across);
    });
    if (next >= 0) near = next;
    const [x, y] = near >= 0 ? pixelOf(near) : [px, py];
    if (x < 0 || y < 0 || x > size || y > size) look(view.zoom, view.left + size/2 - x, view.top + size/2 - y);
  }

  function pick(picked) {
    if (picked < 0) return;
    canvas.dataset.picked = picked;
    model.send({ picked });
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left)/box.width*size, (event.clientY - box.top)/box.height*size];
  }

  canvas.addEventListener("pointerdown", event => {
    pulled = { from: place(event), left: view.left, top: view.top, far: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    const [x, y] = place(event);
    if (!pulled) {
      near = nearest(x, y);
      draw();
      return;
    }
    const [dx, dy] = [x - pulled.from[0], y - pulled.from[1]];
    pulled.far ||= Math.hypot(dx, dy) > 4;
    if (pulled.far) look(view.zoom, pulled.left + dx, pulled.top + dy);
  });
  canvas.addEventListener("pointerup", event => {
    const done = pulled;
    pulled = null;
    if (done && !done.far) pick(nearest(...place(event)));
  });
  canvas.addEventListener("pointercancel", () => { pulled = null; draw(); });
  canvas.addEventListener("pointerleave", () => { near = -1; draw(); });
  // with Ctrl, or after a click: a page that is scrolled past it scrolls on
  canvas.addEventListener("wheel", event => {
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY/300), ...place(event));
  }, { passive: false });
  canvas.addEventListener("keydown", event => {
    const way = WAYS[event.key], focus = near >= 0 ? pixelOf(near) : [];
    if (way) step(...way);
    else if (event.key === "Enter" || event.key === " ") pick(near);
    else if (event.key === "+" || event.key === "=") zoomBy(1.5, ...focus);
    else if (event.key === "-") zoomBy(1/1.5, ...focus);
    else if (event.key === "0") look(1, 0, 0);
    else return;
    event.preventDefault();
    draw();
  });
  model.on("change:points", lay);
  model.on("change:colors", scatter);
  model.on("change:legend", explain);
  model.on("change:tip", showTip);
  for (const name of ["here", "caption"]) model.on(`change:${name}`, draw);
  lay();
  explain();
  showTip();
  return () => document.body.removeEventListener("keydown", keepKeys);
}

export default { render };
