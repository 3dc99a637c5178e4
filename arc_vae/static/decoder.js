// The decoder of the object code: ten numbers to a grid, as arc_vae.code.labels and arc_vae.code.network have it.
const { fround } = Math;
const SIZE = 16, CELLS = 256, COLORS = 10, WINDOW = 6, SHARP = 2, LEAST = 1e-4;

function bytesFrom(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer; }

function softmax(scores) {
  const most = Math.max(...scores), weights = scores.map(score => Math.exp(score - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map(weight => weight/total);
}

function argmax(values) { return values.indexOf(Math.max(...values)); }

function picturesOf(data) { // probability of each cell of each entry: bases in eight orientations, then rectangles
  const logits = new Float32Array(bytesFrom(data.baseLogits)), source = new Uint16Array(bytesFrom(data.sources));
  const boxes = new Uint8Array(bytesFrom(data.boxes)), bases = data.baseParity.length;
  const sigmoid = v => 1/(1 + Math.exp(-v)), pictures = new Float64Array(data.entries*CELLS);
  for (let base = 0; base < bases; base++) {
    for (let i = 0; i < 8*CELLS; i++) {
      const cell = source[data.baseParity[base]*8*CELLS + i];
      pictures[base*8*CELLS + i] = sigmoid(cell === CELLS ? -data.sure : logits[base*CELLS + cell]);
    }
  }
  boxes.forEach((on, i) => { pictures[bases*8*CELLS + i] = sigmoid(on ? data.sure : -data.sure); });
  return pictures;
}

export function makeDecoder(data) {
  const { entries, objects, spare } = data, pictures = picturesOf(data);
  const lines = name => new Float32Array(bytesFrom(data[name]));
  const prob = lines("prob"), place = lines("place"), lookSd = lines("lookSd"), placeSd = lines("placeSd");
  const order = new Uint16Array(bytesFrom(data.order));
  const along = (slot, label) => Math.floor(label/entries) - 4 + place[slot*entries + order[label%entries]];

  function moreThan(z) { // probability that there are more than k objects
    const scores = data.countMean.map((mean, n) =>
      data.countPrior[n] - Math.log(data.countSd[n]) - ((z[0] - mean)/data.countSd[n])**2/2);
    let atMost = 0;
    return softmax(scores).map(p => Math.max(0, 1 - (atMost += p))).slice(0, -1);
  }

  function nearestLabel(slot, at) {
    let low = 0, high = 9*entries - 1; // the first label whose border with the next lies at or beyond it
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((along(slot, middle) + along(slot, middle + 1))/2 < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function readLook(slot, look) { // entries that may be meant, the color of each and how probable it is
    const isPacked = slot >= spare, limit = isPacked ? 40 : .5, span = data.span[slot];
    const label = nearestLabel(slot, Math.max(-limit, Math.min(limit, look/span)));
    const found = [];
    for (let i = label - WINDOW; i <= label + WINDOW; i++) {
      if (i < 0 || i >= 9*entries || !(isPacked || Math.floor(i/entries) === 4)) continue;
      const entry = order[i%entries], at = slot*entries + entry, color = Math.floor(i/entries);
      // labels stand so close that 32 bits decide: rounded where the network rounds
      const mean = fround(span*fround(color - 4 + place[at])), apart = fround(fround(look - mean)/lookSd[at]);
      const score = fround(fround(Math.log(prob[at])) - fround(Math.log(lookSd[at])) - fround(apart*apart)/2);
      found.push({ entry, color, score: SHARP*score });
    }
    softmax(found.map(each => each.score)).forEach((p, i) => { found[i].p = p; });
    return found;
  }

  function colorsOf(slot, z, found) {
    if (slot < spare) {
      const value = z[z.length - spare + slot], sd = data.colorSd[slot];
      return softmax([...Array(9).keys()].map(c => -(((value - data.colorStep*(c - 4))/sd)**2)/2));
    }
    const colors = Array(9).fill(0);
    for (const { color, p } of found) colors[color] += p;
    return colors;
  }

  function readObject(z, slot, there) {
    const [row, column, look] = z.slice(1 + 3*slot, 4 + 3*slot), found = readLook(slot, look);
    const best = found.reduce((a, b) => b.p > a.p ? b : a);
    const sd = found.reduce((sum, { entry, p }) => sum + p*placeSd[slot*entries + entry], 0);
    return { slot, there, row, column, found, best, sd, colors: colorsOf(slot, z, found) };
  }

  function anchors(at, even, sd) { // probability of each row that the center may come to lie on
    return softmax([...Array(SIZE).keys()].map(a => -(((at - data.step*(a - 7.5 - even/2))/sd)**2)/2));
  }

  function drawParity(o, parity, cells) {
    const picture = new Float64Array(CELLS), down = anchors(o.row, parity >> 1, o.sd);
    const right = anchors(o.column, parity & 1, o.sd);
    for (const { entry, p } of o.found) {
      if (data.parity[entry] !== parity) continue;
      for (let i = 0; i < CELLS; i++) picture[i] += p*pictures[entry*CELLS + i];
    }
    down.forEach((pDown, a) => right.forEach((pRight, b) => {
      const p = pDown*pRight;
      if (p < 1e-9) return;
      for (let row = Math.max(0, a - 8); row < Math.min(SIZE, a + 8); row++) {
        for (let column = Math.max(0, b - 8); column < Math.min(SIZE, b + 8); column++) {
          cells[row*SIZE + column] += p*picture[(row + 8 - a)*SIZE + column + 8 - b];
        }
      }
    }));
  }

  function draw(o) {
    const cells = new Float64Array(CELLS), mass = [0, 0, 0, 0];
    for (const { entry, p } of o.found) mass[data.parity[entry]] += p;
    mass.forEach((p, parity) => { if (p > LEAST) drawParity(o, parity, cells); });
    return cells.map(p => Math.min(1, Math.max(0, p))*o.there);
  }

  function cellsOf(o) { // of the most probable entry, each [row, column], also off the grid
    const parity = data.parity[o.best.entry], cells = [];
    const anchor = (at, even) => Math.round(at/data.step + (SIZE - 1 + even)/2);
    const top = anchor(o.row, parity >> 1) - 8, left = anchor(o.column, parity & 1) - 8;
    for (let i = 0; i < CELLS; i++) {
      if (pictures[o.best.entry*CELLS + i] > .5) cells.push([Math.floor(i/SIZE) + top, i%SIZE + left]);
    }
    return cells;
  }

  function read(z) {
    const there = moreThan(z);
    return [...Array(objects).keys()].filter(k => there[k] > LEAST).map(k => readObject(z, k, there[k]));
  }

  function decode(z) { // the grid, the probability of each of its colors, and the objects on it
    const seen = read(z), drawn = seen.map(draw), grid = [], probability = [];
    for (let i = 0; i < CELLS; i++) {
      const share = Array(COLORS).fill(0);
      share[0] = drawn.reduce((product, cells) => product*Math.max(1e-6, 1 - cells[i]), 1);
      seen.forEach((o, k) => o.colors.forEach((p, color) => { share[color + 1] += p*drawn[k][i]; }));
      const total = share.reduce((a, b) => a + b, 0), color = argmax(share);
      grid.push(color);
      probability.push((share[color] + data.mix*total)/(total*(1 + COLORS*data.mix)));
    }
    const rows = values => [...Array(SIZE).keys()].map(row => values.slice(row*SIZE, (row + 1)*SIZE));
    return { grid: rows(grid), probability: rows(probability), objects: seen.filter(o => o.there > .5).map(o => ({
      slot: o.slot, color: argmax(o.colors) + 1, cells: cellsOf(o), p: o.best.p, entry: o.best.entry
    })) };
  }

  return { decode, placeOf: (slot, entry) => place[slot*entries + entry] };
}
