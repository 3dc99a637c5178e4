// A slider for each number of the code: its name, the ticks of its labels, what encoder and decoder make of it.
import { append } from "./grid.js";

const THUMB = 16; // width of the slider's knob in pixels

function leftOf(share) { return `calc(${THUMB/2}px + ${share}*(100% - ${THUMB}px))`; }

function makeRow(model, row) {
  const label = document.createElement("label"), name = row.name || `z${row.index}`;
  append(label, "span", { className: "arc-name", textContent: name, title: row.title });
  const track = append(label, "span", { className: "arc-track" });
  const band = append(track, "i", { className: "arc-band", title: "where the encoder puts what is shown" });
  const ticks = append(track, "span", { className: "arc-ticks" });
  const input = append(track, "input", { type: "range", step: .01, oninput: () => {
    const z = [...model.get("z")];
    z[row.index] = +input.value;
    model.set("z", z);
    model.save_changes();
  } });
  input.dataset.index = row.index;
  input.setAttribute("aria-label", row.title);
  return { label, input, band, ticks, ...row,
    number: append(label, "output"), text: append(label, "span", { className: "arc-reading" }) };
}

function showTicks(ticks, marks, low, high) {
  ticks.replaceChildren(...marks.map(([value, text, color]) => {
    const tick = document.createElement("i");
    tick.style.left = leftOf((value - low)/(high - low));
    if (color) tick.style.background = color;
    tick.className = color ? "arc-swatch" : "";
    tick.append(text);
    return tick;
  }));
}

function showRow(row, value, reading) { // a value outside the slider's range widens it
  const low = Math.floor(100*Math.min(row.low, value))/100, high = Math.ceil(100*Math.max(row.high, value))/100;
  const share = v => Math.max(0, Math.min(1, (v - low)/(high - low)));
  Object.assign(row.input, { min: low, max: high, value });
  row.number.textContent = value.toFixed(2);
  row.text.textContent = reading.text || "";
  if (row.head) row.head.textContent = ` ${reading.text || ""}`;
  row.input.setAttribute("aria-valuetext", `${value.toFixed(2)} ${reading.text || ""}`);
  row.band.hidden = !reading.band;
  if (reading.band) {
    const [from, to] = reading.band.map(share);
    row.band.style.left = leftOf(from);
    row.band.style.width = `max(3px, ${to - from}*(100% - ${THUMB}px))`;
  }
  showTicks(row.ticks, reading.ticks || [], low, high);
}

export function renderSliders({ model, el }) {
  const rows = model.get("rows").map(row => makeRow(model, row));
  el.classList.add("arc-view", "arc-sliders");
  el.addEventListener("keydown", event => event.stopPropagation()); // a notebook would take the arrows for itself
  let group = "", part = el, n = 0;
  for (const row of rows) {
    if (row.group !== group) { // objects beyond the third are folded
      part = append(el, "details", { open: n++ < 4 });
      append(part, "summary", { className: "arc-group", textContent: group = row.group });
    }
    if (row.name === "look") row.head = append(part.firstChild, "span", { className: "arc-reading" });
    part.append(row.label);
  }

  function show() {
    const z = model.get("z"), readings = model.get("readings");
    for (const row of rows) showRow(row, z[row.index], readings[row.index] || {});
    el.dataset.z = JSON.stringify(z);
  }
  model.on("change:z", show);
  model.on("change:readings", show);
  show();
}
