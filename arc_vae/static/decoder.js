// The decoder of the object code: numbers to a grid, as decode_labels, pictures_of and ObjectDecoder have it in Python.
import { clamp, exchange } from "./grid.js";

const { fround } = Math, SIZE = 16, CELLS = 256, COLORS = 10, OUTSIDE = 10;

function arrayFrom(Kind, text) { return new Kind(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer); }

function picturesOf(data) { // probability of each cell of each entry: bases in eight orientations, then rectangles
  const bases = arrayFrom(Float32Array, data.bases), source = arrayFrom(Uint16Array, data.sources);
  const isIn = (place, length) => place - 8 + (length >> 1) >= 0 && place - 8 + (length >> 1) < length;
  return Float32Array.from({ length: data.parity.length*CELLS }, (_, i) => {
    const cell = i%CELLS, entry = Math.floor(i/CELLS), base = entry >> 3, box = entry - 8*data.baseParity.length;
    if (box >= 0) return data.certain[+(isIn(cell >> 4, (box >> 4) + 1) && isIn(cell%SIZE, box%SIZE + 1))];
    const from = source[(8*data.baseParity[base] + entry%8)*CELLS + cell];
    return from === CELLS ? data.certain[0] : bases[base*CELLS + from];
  });
}

export function makeDecoder(data) {
  const { objects, parity } = data, entries = parity.length, pictures = picturesOf(data);
  const axis = arrayFrom(Uint8Array, data.axis), cut = arrayFrom(Float64Array, data.cut);
  const child = arrayFrom(Uint16Array, data.child);

  function findEntry(k, point) { // the cell of table k's k-d tree that a point of the unit square lies in
    let node = entries; // the root; below it are the entries
    while (node >= entries) {
      const i = k*(entries - 1) + node - entries;
      node = child[2*i + (point[axis[i]] >= cut[i])];
    }
    return node;
  }

  function readCanvas(z) { // size and background of the grid: 16 by 16 on black where the code does not say
    if (!data.canvas) return { height: SIZE, width: SIZE, background: 0 };
    const [rows, columns, color] = z.slice(-3), steps = (color - data.edge[objects])/data.colorStep[objects];
    const [height, width] = [rows, columns].map(number =>
      clamp(Math.floor(fround(fround(number/data.step + (SIZE + 1)/2) + .5)), 1, SIZE));
    return { height, width, background: clamp(Math.floor(steps) + 1, 0, COLORS - 1) };
  }

  function middleOf(number, even, lines) { // the row or column of the grid that shows the middle of the frame
    const half = (1 - even + SIZE - lines)/2%1, steps = Math.floor(fround(fround(number/data.step - half) + .5));
    return clamp(steps + half + (lines - 1 + even)/2, -SIZE, 2*SIZE);
  }

  function readObject(z, slot, { height, width, background }) {
    const [row, column, look] = z.slice(3*slot, 3*slot + 3), steps = (look - data.edge[slot])/data.colorStep[slot];
    const color = clamp(Math.floor(steps) + 1, 0, COLORS - 1), second = slot < data.planes ? z[3*objects + slot] : 0;
    const entry = findEntry(data.table[slot], [steps - color + 1, second/data.span + .5].map(v => clamp(v, 0, 1)));
    const top = middleOf(row, parity[entry] >> 1, height) - 8, left = middleOf(column, parity[entry] & 1, width) - 8;
    const picture = pictures.subarray(entry*CELLS, (entry + 1)*CELLS), cells = []; // these also off the grid
    picture.forEach((p, i) => { if (p > .5) cells.push([(i >> 4) + top, i%SIZE + left]); });
    return { slot, color: exchange(color, background), picture, top, left, cells };
  }

  function decode(z) { // the grid, the probability of each of its colors, and the objects on it
    const canvas = readCanvas(z), { height, width, background } = canvas;
    const every = [...Array(objects).keys()].map(slot => readObject(z, slot, canvas));
    const there = every.filter(o => o.color !== background);
    const shares = Array.from({ length: COLORS }, () => new Float32Array(CELLS));
    const visible = new Float32Array(CELLS).fill(1), rows = [...Array(SIZE).keys()];
    for (const { color, picture, top, left } of [...there].reverse()) { // the smallest hides what lies below
      picture.forEach((p, i) => {
        const row = (i >> 4) + top, column = i%SIZE + left, cell = row*SIZE + column;
        if (row < 0 || row >= SIZE || column < 0 || column >= SIZE) return;
        shares[color][cell] += fround(visible[cell]*p);
        visible[cell] *= fround(1 - p);
      });
    }
    visible.forEach((p, cell) => { shares[background][cell] += p; });
    const mostProbable = cell => shares.reduce((best, share, color) =>
      share[cell] > shares[best][cell] ? color : best, 0);
    const grid = rows.map(row => rows.map(column =>
      row < height && column < width ? mostProbable(row*SIZE + column) : OUTSIDE));
    const any = data.anyColor/(COLORS + data.canvas);
    const probability = grid.map((colors, row) => colors.map((color, column) =>
      (1 - data.anyColor)*(color === OUTSIDE ? 1 : shares[color][row*SIZE + column]) + any));
    return { grid, probability, canvas, objects: there.filter(o => o.cells.length) };
  }

  return { decode };
}
