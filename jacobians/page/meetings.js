// What meets what, looked up; and the numbers, which are products and sums of it.

const planesOf = panel => (panel === "G" ? layer.panels.S : (layer.panels[panel] ?? scene.panels[panel]));
const entriesOf = panel => planesOf(panel).flat(2);

/** What lies on each other for one entry of what is made. Where F is not rotated, F itself lies there. */
function meetings(mode, entry, turned = true) {
  const { over, lies, key, factors } = MODES[mode];
  const [places, partners] = layer.windows[mode][entry - 1];
  const below = entriesOf(over);
  const above = entriesOf(lies === "R" && !turned ? "F" : lies);
  return places.map((place, i) => {
    const pair = mode === "F" ? [above[partners[i]], below[place]] : [below[place], above[partners[i]]];
    return {
      [key]: entry,
      [factors[0]]: pair[0],
      [factors[1]]: pair[1],
      place,
      partner: partners[i],
      live: below[place] > 0,
    };
  });
}
/** The meetings that are products: no zero that was put around X or G is in them. */
const products = (mode, entry, turned) => meetings(mode, entry, turned).filter(each => each.live);
/** All products of the layer, from the matrix. */
const everyProduct = () => layer.M_F.flatMap((row, i) => row.flatMap((c, j) => (c ? [{ r: i + 1, c, p: j + 1 }] : [])));
/** Whether response r reads pixel p with tap c. */
const isRight = ({ r, c, p }) => layer.M_F[r - 1][p - 1] === c;
/** Whether a tap stays where it is when F is rotated. */
const isCentre = each => entriesOf("R")[each.partner] === entriesOf("F")[each.partner];

// A key says of which response, tap and pixel a cell is: one of them in the arrays, two of them in the matrices.
const keysOf = ({ r, c, p }) => [`r${r}`, `c${c}`, `p${p}`, `r${r}c${c}`, `r${r}p${p}`];
const matrixKey = ({ r, c, p }) => (state.matrix === "MX" ? `r${r}c${c}` : `r${r}p${p}`);
const partsOf = key => Object.fromEntries([...key.matchAll(/([rcp])(\d+)/g)].map(([, part, n]) => [part, Number(n)]));
const productsOf = key => (key ? everyProduct().filter(each => keysOf(each).includes(key)) : []);
/** The entry of what is made that a key belongs to, if it is one. */
function entryOf(key) {
  const parts = partsOf(key);
  const own = MODES[state.mode].key;
  return parts[own] ?? (Object.keys(parts).length > 1 ? productsOf(key)[0]?.[own] : undefined);
}

/** All numbers. The loss is half the sum of the squares of S, so that G = S. */
function compute() {
  const F = scene.numbers.F[state.taps] ?? state.taps.split(",").map(Number);
  const found = { X: scene.numbers.X, F };
  found.S = sums("S", found);
  found.VF = sums("F", found);
  found.VX = sums("X", found, rotated());
  found.right = sums("X", found);
  return found;
}
const factorsOf = (each, mode, values) =>
  [...MODES[mode].factors].map(part => values[{ r: "S", c: "F", p: "X" }[part]][each[part] - 1]);
const total = (terms, mode, values) =>
  terms.map(each => factorsOf(each, mode, values)).reduce((sum, [a, b]) => sum + a * b, 0);
const sums = (mode, values, turned) =>
  layer.windows[mode].map((_, i) => total(products(mode, i + 1, turned), mode, values));
