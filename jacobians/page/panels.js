// The panels: arrays and matrices as tables, built when the stage changes, and made as large as the window allows.

const PANELS = {
  X: [letter("X"), "image"],
  S: [letter("S"), "responses"],
  G: [`${letter("G")} = ∂ℓ/∂${letter("S")}`, "upstream gradient"],
  Z: [ZERO_PAD, "G between zeros"],
  R: [ROT180, "rotated by 180°"],
  VF: [gradient("F"), "gradient of F"],
  VX: [gradient("X"), "gradient of X"],
};
const PART = { X: "p", F: "c", S: "r", G: "r", VF: "c", VX: "p", Z: "r", R: "c" };
const isFilter = panel => panel === "F" || panel === "R";

/** The cells of every panel, in their order. */
let cells = {};
function build() {
  byId("operation").innerHTML = operation();
  byId("matrix").innerHTML = matrix();
  cells = Object.fromEntries(all("figure").map(each => [each.id, all("tbody td", each)]));
  document.body.classList.toggle("unrotated", unrotatedShown());
  document.body.classList.toggle("pictures", state.show === "pictures");
  buildControls();
  fit();
}

// the operation --------------------------------------------------------------------------------------------------------

const TITLES = {
  S: `${letter("S")} = ${letter("X")} ∗ ${letter("F")}`,
  F: `${gradient("F")} = ${letter("X")} ∗ ${letter("G")}`,
  X: `${gradient("X")} = ${ZERO_PAD} ∗ ${ROT180}`,
};
const UNROTATED_TITLE = `<span class=wrong>wrong:</span> ${gradient("X")} ≠ ${ZERO_PAD} ∗ ${letter("F")}`;
const LOSS = "<small>say ℓ = ½ΣS²: then G = ∂ℓ/∂S = S</small>";

function operation() {
  const { over, lies, made } = MODES[state.mode];
  const sign = text => `<span class=operator aria-hidden=true>${text}</span>`;
  const title = unrotatedShown() ? UNROTATED_TITLE : TITLES[state.mode];
  const loss = state.mode === "S" || state.show === "symbols" ? "" : LOSS;
  const lying = lies === "R" ? `<div class=pile>${figure("F")}${turnSign()}${figure("R")}</div>` : figure(lies);
  return `<h2>${title}${loss}</h2><div class=row>${figure(over)}${sign("∗")}${lying}${sign("=")}${figure(made)}</div>`;
}
const turnSign = () =>
  `<span class=turn aria-hidden=true>${rotated() ? "↻ rotate by 180°" : "↓ leave as it is"}</span>`;

function figure(panel) {
  const planes = planesOf(panel === "R" && !rotated() ? "F" : panel);
  const [title, note] = captionOf(panel);
  const size = `${planes[0].length} × ${planes[0][0].length}`;
  const label = i =>
    `${plain(title)}, ${size}${note && `, ${plain(note)}`}${planes.length > 1 ? `, plane ${i + 1}` : ""}`;
  const tables = planes.map((rows, i) => table(panel, rows, label(i))).join("");
  return `<figure id=${panel}><figcaption>${title} <small>${note}</small></figcaption>
    <div class=planes style="grid-template-columns:repeat(${planesAcross(panel)},auto)">${tables}</div></figure>`;
}
function captionOf(panel) {
  if (panel === "R" && !rotated()) return [letter("F"), "<span class=wrong>not rotated</span>"];
  if (panel === "X" && planesOf("X")[0].length === 1) return [letter("X"), "signal"];
  if (panel !== "F") return PANELS[panel];
  const filters = layer.panels.S.length;
  const planes = planesAcross("F");
  return [letter("F"), `${filters > 1 ? `${filters} filters` : "filter"}${planes > 1 ? ` of ${planes} planes` : ""}`];
}
/** The planes of one filter stand side by side; everything else stands one below the other. */
const planesAcross = panel => (isFilter(panel) || panel === "VF" ? planesOf(panel).length / layer.panels.S.length : 1);

function table(panel, rows, label) {
  const body = rows.map((row, y) => `<tr>${row.map((n, x) => cell(panel, n, !x && !y)).join("")}</tr>`).join("");
  return `<table role=grid aria-multiselectable=true aria-label="${label}"><tbody>${body}</tbody></table>`;
}
function cell(panel, n, first) {
  const typed = panel === "F" && state.show !== "symbols";
  const inside = typed
    ? `<input inputmode=numeric value="${tidy(valueOf("F", n))}" aria-label="${nameOf("F", n)}">`
    : textOf(panel, n);
  return `<td tabindex=${first && !typed ? 0 : -1} data-key="${n ? PART[panel] + n : ""}" aria-selected=false${styleOf(colourOf(panel, n))}>${inside}</td>`;
}
const textOf = (panel, n) => (!n ? "0" : state.show === "symbols" ? pretty(nameOf(panel, n)) : tidy(valueOf(panel, n)));

// Colours: a tap and a pixel have their own; in pictures a number has a shade.
const styleOf = colour => (colour ? ` style="--own:${colour[0]};--own-ink:${colour[1]}"` : "");
function colourOf(panel, n) {
  if (state.show === "pictures" && !isFilter(panel))
    return n ? shade(valueOf(panel, n), numbers[VALUES[panel] ?? panel]) : ["#fff", "#000"];
  if (!n) return null;
  return isFilter(panel) ? scene.colours.F[n - 1] : panel === "X" ? scene.colours.X[n - 1] : null;
}
/** Dark is far from 0; where there are negative numbers, these are blue, and positive ones orange. */
function shade(value, values) {
  const most = Math.max(1e-9, ...values.map(Math.abs));
  const part = Math.abs(value) / most;
  const full = values.every(each => each >= 0) ? "#1b1b1b" : value < 0 ? "#0b4f8a" : "#b34700";
  return [`color-mix(in oklab, ${full} ${Math.round(100 * part)}%, #fff)`, part > 0.5 ? "#fff" : "#000"];
}

// the matrix -----------------------------------------------------------------------------------------------------------

const MATRIX_TITLES = { MX: M_X, MF: M_F };
const TRANSPOSED = `vec(${letter("G")})<sup>T</sup>`;
const PRODUCTS = {
  "S MX": `vec(${letter("S")}) = ${M_X} vec(${letter("F")})`,
  "S MF": `vec(${letter("S")}) = ${M_F} vec(${letter("X")})`,
  "F MX": `vec(${gradient("F")})<sup>T</sup> = ${TRANSPOSED} ${M_X}`,
  "F MF": `${M_F} = ∂vec(${letter("S")})/∂vec(${letter("X")})`,
  "X MF": `vec(${gradient("X")})<sup>T</sup> = ${TRANSPOSED} ${M_F}`,
  "X MX": `${M_X} = ∂vec(${letter("S")})/∂vec(${letter("F")})`,
};
function matrix() {
  const { columns, column, entries } = MATRICES[state.matrix];
  const rows = entries();
  const head = rows[0]
    .map((_, i) => `<th scope=col data-key=${column}${i + 1}><span>${pretty(nameOf(columns, i + 1))}</span></th>`)
    .join("");
  const body = rows
    .map((row, i) => `<tr>${rowHead(i + 1)}${row.map((n, j) => matrixCell(n, i + 1, j + 1)).join("")}</tr>`)
    .join("");
  const label = `${plain(MATRIX_TITLES[state.matrix])}, ${rows.length} × ${rows[0].length}`;
  return `<h2><span>${PRODUCTS[`${state.mode} ${state.matrix}`]}</span>${matrixChoice()}</h2><figure id=${state.matrix}><div class=planes>
    <table role=grid aria-multiselectable=true aria-label="${label}"><thead><tr><td class=corner></td>${head}</tr></thead><tbody>${body}</tbody></table></div></figure>`;
}
const rowHead = r => `<th scope=row data-key=r${r}>${pretty(nameOf(state.mode === "S" ? "S" : "G", r))}</th>`;
function matrixCell(n, r, i) {
  const { holds, column } = MATRICES[state.matrix];
  const text = !n ? "" : state.show === "symbols" ? short(nameOf(holds, n)) : tidy(valueOf(holds, n));
  const begins = [
    beginsLine("S", r) && "line-above",
    beginsLine(state.matrix === "MX" ? "F" : "VX", i) && "line-before",
  ];
  const attributes = `class="${begins.filter(Boolean).join(" ")}" data-key=r${r}${column}${i} tabindex=${r + i === 2 ? 0 : -1}`;
  return `<td ${attributes} aria-selected=false${n ? styleOf(colourOf(holds, n)) : ""}>${text}</td>`;
}
/** Whether an entry is the first of a row of its plane, but not the first of all. */
const beginsLine = (panel, n) => n > 1 && planesOf(panel)[0].length > 1 && (n - 1) % planesOf(panel)[0][0].length === 0;
function matrixChoice() {
  const choice = key =>
    `<label><input type=radio name=matrix value=${key}${key === state.matrix ? " checked" : ""}><span>${MATRIX_TITLES[key]}</span></label>`;
  return `<fieldset class=choice><legend>matrix</legend>${Object.keys(MATRICES).map(choice).join("")}</fieldset>`;
}

// the controls ---------------------------------------------------------------------------------------------------------

function buildControls() {
  const form = document.forms.controls.elements;
  const named = Object.keys(scene.numbers.F);
  form.mode.value = state.mode;
  form.show.value = state.show;
  form.unrotated.checked = !rotated();
  byId("unrotated").hidden = state.mode !== "X";
  byId("presets").hidden = state.show === "symbols";
  choices(form.layer, Object.keys(data.scenes), state.layer, key => data.scenes[key].title);
  for (const each of OPTIONS)
    choices(
      form[each],
      scene.offers[each],
      state[each],
      value => value,
      value => scene.layers[labels({ ...state, [each]: value })],
    );
  choices(form.taps, named.includes(state.taps) ? named : [...named, state.taps], state.taps, key =>
    named.includes(key) ? key : "yours",
  );
}
function choices(select, values, chosen, title, usable = () => true) {
  select.replaceChildren(
    ...values.map(value => {
      const option = new Option(title(value), value, false, value === chosen);
      option.disabled = !usable(value);
      return option;
    }),
  );
}

// sizes ----------------------------------------------------------------------------------------------------------------

const LEAST_TYPE = 9;

/** As large as the window allows. In a frame the page around it gives as much height as this one asks for. */
function fit() {
  const beside = innerWidth > 992;
  const phone = innerWidth <= 640;
  const width = byId("stage").clientWidth;
  const height = !beside ? Infinity : parent !== window ? 440 : Math.max(220, innerHeight - heightOfTheRest());
  const rows = MATRICES[state.matrix].entries();
  const bare = phone && rows[0].length > 16;
  const heads = bare ? 4 : 30 + 6 * longestOf(layer.names.G);
  const least = heads + Math.min(15 * rows[0].length, 0.45 * width);
  fitOperation(beside ? between(0.4 * width, 0.62 * width, width - least - GAP) : width, height, phone);
  fitMatrix(beside ? width - byId("operation").offsetWidth - GAP : width, height, { rows, heads, bare, beside, phone });
}
const GAP = 26;
const longestOf = names => Math.max(...names.map(name => short(name).length));
/** The size of the arrays of one row is an exception: there is more room, and they are the first that a reader sees. */
const flat = () => layer.panels.S[0].length === 1;
function fitOperation(width, height, phone) {
  const { columns, high, gaps, captions } = shapeOfOperation(phone);
  const size = Math.min((width - gaps) / columns, (height - captions) / high);
  const most = flat() ? 76 : phone ? 34 : 50;
  setSize(byId("operation"), between(16, most, size), between(16, most, size));
}
function fitMatrix(width, height, { rows, heads, bare, beside, phone }) {
  const matrix = byId("matrix");
  const wide = between(4, flat() ? 60 : 44, (width - heads) / rows[0].length);
  const high = Math.min(phone ? wide : 1.5 * wide, (height - 64) / (rows.length + 1));
  const low = between(5, flat() ? 40 : beside ? 24 : 19, high);
  setSize(matrix, wide, low);
  matrix.classList.toggle("headless", bare || wide < 7 * longestOf(scene.names[MATRICES[state.matrix].columns]));
  matrix.classList.toggle("sideless", bare || low < 11);
}
const between = (least, most, value) => Math.max(least, Math.min(most, value));
const heightOfTheRest = () =>
  ["header", "#say", "#controls", "#formula", "#player"].reduce(
    (sum, each) => sum + document.querySelector(each).offsetHeight,
    62,
  );

/** How many cells the operation is wide and high, and the pixels between. On a phone the result stands below F. */
function shapeOfOperation(phone) {
  const { over, lies, made } = MODES[state.mode];
  const first = span(over);
  const result = span(made);
  const lying = (lies === "R" ? ["F", "R"] : [lies]).map(span);
  const sum = key => lying.reduce((found, each) => found + each[key], 0);
  if (phone)
    return {
      columns: first.wide + Math.max(sum("wide"), result.wide),
      high: 1,
      gaps: 24 + 7 * (sum("across") - lying.length),
      captions: 0,
    };
  const columns = first.wide + Math.max(...lying.map(each => each.wide)) + result.wide;
  return {
    columns,
    high: Math.max(first.high, result.high, sum("high")),
    gaps: 92,
    captions: lying.length > 1 ? 110 : 76,
  };
}
function span(panel) {
  const planes = planesOf(panel);
  const across = planesAcross(panel);
  return { across, wide: across * planes[0][0].length, high: (planes[0].length * planes.length) / across };
}
/** Where a name would be smaller than is read, the colour of its cell stands alone, and the name is shown on pointing. */
function setSize(part, wide, high) {
  part.style.setProperty("--cell", `${Math.floor(wide * 10) / 10}px`);
  part.style.setProperty("--high", `${Math.floor(high * 10) / 10}px`);
  for (const each of all("figure", part)) {
    const longest = Math.max(2, ...all("tbody td", each).map(td => td.textContent.length));
    const type = Math.min(20, typeFor(longest, wide, each.id in MATRICES), 0.62 * high, 0.42 * wide + 4);
    const picture = state.show === "pictures" && !isFilter(each.id) && !(each.id in MATRICES);
    each.style.setProperty("--type", `${Math.max(LEAST_TYPE, type)}px`);
    each.classList.toggle("unnamed", type < LEAST_TYPE || picture);
    if (state.show === "numbers" && each.id in PART) shadeNumbers(each.id, type < LEAST_TYPE);
  }
}
/** Numbers for which there is no room have a shade, as in pictures. */
function shadeNumbers(panel, on) {
  const values = numbers[VALUES[panel] ?? panel];
  entriesOf(panel).forEach((n, i) => {
    if (!n || colourOf(panel, n)) return;
    const [colour, ink] = on ? shade(values[n - 1], values) : ["", ""];
    cells[panel][i].style.setProperty("--own", colour);
    cells[panel][i].style.setProperty("--own-ink", ink);
  });
}
/** The size of type in which so many characters fit; an index below the line is smaller. */
const typeFor = (characters, wide, inMatrix) =>
  (wide - 2) / ((state.show !== "symbols" || inMatrix ? 0.66 : 0.54) * characters);
