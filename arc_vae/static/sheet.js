// A contact sheet: small grids side by side, each a button that goes there.
const N = 16;

function append(parent, tag, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

function makeThumb(model, sheet, { number, grid, said, below }) {
  const button = append(sheet, "button", { type: "button", title: said });
  const canvas = append(button, "canvas", { width: N, height: N }), pen = canvas.getContext("2d");
  append(button, "span", { textContent: below });
  button.dataset.number = number;
  button.setAttribute("aria-label", said);
  button.onclick = () => model.send({ picked: number });
  grid.forEach((colors, row) => colors.forEach((color, column) => {
    pen.fillStyle = model.get("palette")[color];
    pen.fillRect(column, row, 1, 1);
  }));
}

function render({ model, el }) {
  const caption = append(el, "div", { className: "arc-caption" });
  const sheet = append(el, "div", { className: "arc-sheet" });
  el.classList.add("arc-view");
  el.addEventListener("keydown", event => event.stopPropagation());
  caption.setAttribute("aria-live", "polite");
  sheet.setAttribute("role", "group");
  sheet.setAttribute("aria-label", "selected grids");

  function show() {
    caption.textContent = model.get("caption");
    sheet.replaceChildren();
    for (const thumb of model.get("thumbs")) makeThumb(model, sheet, thumb);
  }
  model.on("change", show);
  show();
}

export default { render };
