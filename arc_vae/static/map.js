// Points on a plane: the grid behind each is shown when one rests on it, and a click goes there.
import { append, appendCanvas, drawGrid } from "./grid.js";

const MAP = 384, MARGIN = 12; // pixels of the map, and around its points
const REST = 60; // milliseconds on a point until its grid is asked for
const WAYS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function bytesOf(model, name) {
  const view = model.get(name);
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

function toPixel(x, y) { // from coordinates between -½ and ½
  return [MAP/2 + x*(MAP - 2*MARGIN), MAP/2 - y*(MAP - 2*MARGIN)];
}

function appendTip(model, el) { // returns the function that shows the model's tip
  const tip = append(el, "div", { className: "arc-tip" });
  const canvas = append(tip, "canvas", { width: 128, height: 128, hidden: true }), text = append(tip, "div");
  text.setAttribute("aria-live", "polite");
  return () => {
    const { number = -1, grid = [], text: facts = "Point at a grid to see it; a click goes there." } = model.get("tip");
    drawGrid(canvas.getContext("2d"), grid, model.get("palette"), 8);
    canvas.hidden = !grid.length;
    tip.dataset.number = number;
    text.textContent = facts;
  };
}

export function renderMap({ model, el }) {
  const canvas = appendCanvas(el, MAP, { tabIndex: 0,
    title: "A click goes to the nearest grid. Keys: arrows, Enter" });
  const caption = append(el, "div", { className: "arc-caption" });
  const legend = append(el, "div", { className: "arc-legend" }), showTip = appendTip(model, el);
  const pen = canvas.getContext("2d"), cloud = appendCanvas(document.createElement("div"), MAP);
  let points, near = -1, asked = -1, rest = 0;
  el.classList.add("arc-view");
  el.style.maxWidth = `${MAP}px`;
  canvas.style.cursor = "crosshair";
  canvas.setAttribute("role", "application");
  el.addEventListener("keydown", event => event.stopPropagation());
  const keepKeys = event => { // a notebook would take the arrow keys of a list beside the map for itself
    const isBeside = el.closest(".jp-OutputArea-output")?.contains(event.target);
    if (isBeside && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  };
  document.body.addEventListener("keydown", keepKeys);
  const pixelOf = i => toPixel(points[2*i], points[2*i + 1]);

  function setPoints() {
    points = new Float32Array(bytesOf(model, "points"));
    near = -1;
    drawCloud();
  }

  function drawCloud() {
    const color = new Uint8Array(bytesOf(model, "colors")), ink = cloud.getContext("2d");
    ink.fillStyle = "#222";
    ink.fillRect(0, 0, MAP, MAP);
    const side = Math.max(2, Math.min(6, 200/Math.sqrt(points.length/2)));
    for (let i = 0; i < points.length/2; i++) {
      const [x, y] = pixelOf(i);
      ink.fillStyle = `rgb(${color.slice(3*i, 3*i + 3)})`;
      ink.fillRect(x - side/2, y - side/2, side, side);
    }
    draw();
  }

  function showLegend() {
    legend.replaceChildren(...model.get("legend").map(([color, text]) => {
      const entry = document.createElement("span");
      append(entry, "i").style.background = color;
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
    const here = model.get("here");
    pen.drawImage(cloud, 0, 0, MAP, MAP);
    if (near >= 0) ring(...pixelOf(near), 4, "#fff", 1);
    if (here.length) {
      const [x, y] = toPixel(...here).map(v => Math.max(3, Math.min(MAP - 3, v)));
      ring(x, y, 8, "#000", 5);
      ring(x, y, 8, "#fff", 2.5);
    }
    caption.textContent = model.get("caption");
    canvas.setAttribute("aria-label", "map of grids: arrow keys go from one to the next, Enter takes it; " +
      `${caption.textContent}${near >= 0 ? `; marked: #${near}` : ""}`);
    Object.assign(canvas.dataset, { here: here.join(","), near });
    askFor(near);
  }

  function askFor(number) { // what lies behind a point, once one rests there
    if (number === asked) return;
    asked = number;
    clearTimeout(rest);
    if (number >= 0) rest = setTimeout(() => model.send({ near: number }), REST);
  }

  function nearest([px, py], allowed = () => true) {
    let best = -1, least = Infinity;
    for (let i = 0; i < points.length/2; i++) {
      const [x, y] = pixelOf(i), distance = (x - px)**2 + (y - py)**2;
      if (distance < least && allowed(x - px, y - py)) [best, least] = [i, distance];
    }
    return best;
  }

  function step(across, down) { // to the nearest point that lies that way
    const here = model.get("here"), start = near >= 0 ? pixelOf(near) : here.length ? toPixel(...here) : [MAP/2, MAP/2];
    const next = nearest(start, (x, y) => {
      const ahead = x*across + y*down;
      return ahead > .01 && ahead >= Math.abs(x*down + y*across);
    });
    if (next >= 0) near = next;
  }

  function pick(picked) {
    if (picked < 0) return;
    canvas.dataset.picked = picked;
    model.send({ picked });
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left)/box.width*MAP, (event.clientY - box.top)/box.height*MAP];
  }

  canvas.addEventListener("pointermove", event => { near = nearest(place(event)); draw(); });
  canvas.addEventListener("pointerleave", () => { near = -1; draw(); });
  canvas.addEventListener("click", event => pick(nearest(place(event))));
  canvas.addEventListener("keydown", event => {
    const way = WAYS[event.key];
    if (way) step(...way);
    else if (event.key === "Enter" || event.key === " ") pick(near);
    else return;
    event.preventDefault();
    draw();
  });
  model.on("change:points", setPoints);
  model.on("change:colors", drawCloud);
  model.on("change:legend", showLegend);
  model.on("change:tip", showTip);
  for (const name of ["here", "caption"]) model.on(`change:${name}`, draw);
  setPoints();
  showLegend();
  showTip();
  return () => document.body.removeEventListener("keydown", keepKeys);
}
