// The film: all entries one after the other, each product by product.

/** The clock that makes the next step, or 0. */
let playing = 0;
const count = () => layer.windows[state.mode].length;
const end = (entry = state.entry) => lastStep(layer, state.mode, entry);
/** Where every entry begins, in steps; behind the last, where the film ends. */
const starts = () => layer.windows[state.mode].reduce((found, _, i) => [...found, found.at(-1) + end(i + 1) + 1], [0]);

function stepBy(by) {
  const step = state.step + by;
  if (step >= 0 && step <= end()) update({ step });
  else if (by > 0 && state.entry < count()) update({ entry: state.entry + 1, step: 0 });
  else if (by < 0 && state.entry > 1) update({ entry: state.entry - 1, step: end(state.entry - 1) });
}
function entryBy(by) {
  const entry = state.entry + by;
  if (entry >= 1 && entry <= count()) update({ entry, step: end(entry) });
}
function scrubTo(place) {
  const film = starts();
  const entry = film.findLastIndex(each => each <= place) + 1;
  update({ entry, step: place - film[entry - 1] });
}

const pause = () => Number(byId("speed").value);
/** By products, a film ends with its entry, so that its last picture stays; by entries, with the last entry. */
const isOver = () => state.step === end() && (state.by === "products" || state.entry === count());
/** Where all taps have landed, there is more to read. */
const isVerdict = () => state.by === "products" && state.mode === "X" && state.step === end() - 1;
function beat() {
  if (state.by === "products") stepBy(1);
  else if (state.step < end()) update({ step: end() });
  else entryBy(1);
  if (isOver()) stop();
  else playing = setTimeout(beat, isVerdict() ? 3 * pause() : pause());
}
function play() {
  if (isOver()) update(playedAgain());
  playing = setTimeout(beat, pause() / 2);
  paint();
}
/** What is played when the film was over: the same lesson again, all entries again, or the next entry. */
function playedAgain() {
  if (state.by === "entries") return { entry: 1, step: end(1) };
  return state.lesson || state.entry === count() ? { step: 0 } : { entry: state.entry + 1, step: 0 };
}
function stop() {
  if (!playing) return;
  clearTimeout(playing);
  playing = 0;
  paint();
}

// Motion: what a step adds flies to its place, unless the reader has asked for none. What is in the air lands at once
// when something else is shown.

const still = matchMedia("(prefers-reduced-motion: reduce)");
/** Whether F is on its way to G. What is said of it waits for it. */
let flying = false;
function land() {
  flying = false;
  all(".chip").forEach(each => each.remove());
}
function move() {
  if (still.matches || asking()) return;
  const each = products(state.mode, state.entry, rotated())[state.step - 1];
  if (each) flyProduct(each);
  else stamp();
}
/** Forward, the patch (or the filter) goes into its row of the matrix; backward, a column of the matrix folds up. */
function flyProduct(each) {
  const { over, lies, matrix } = MODES[state.mode];
  const on = cells[over][each.place];
  const partner = cells[lies][each.partner];
  const stored = cells[state.matrix].find(td => td.dataset.key === matrixKey(each));
  if (state.mode === "S") return fly(state.matrix === "MX" ? on : partner, stored);
  fly(state.matrix === matrix && !unrotatedShown() ? stored : partner, on, { landing: on });
}
/** F comes from its place and lies down on the window: rotated on the way, or as it is. */
function stamp() {
  for (const pairs of pairsByPlane()) {
    const home = centreOf(pairs.map(([from]) => from));
    const goal = centreOf(pairs.map(([, on]) => on));
    for (const [from, on] of pairs) fly(from, on, { path: turning(middle(from), middle(on), home, goal), slower: 2 });
  }
  flying = true;
  paint();
}
/** Of every plane of F that lies on G: each of its cells, with the cell that it lands on. */
function pairsByPlane() {
  const planes = new Map();
  const taps = entriesOf("F");
  for (const each of meetings("X", state.entry, rotated())) {
    const from = cells.F[taps.indexOf(each.c)];
    const plane = from.closest("table");
    planes.set(plane, [...(planes.get(plane) ?? []), [from, cells.Z[each.place]]]);
  }
  return [...planes.values()];
}

function middle(element) {
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}
function centreOf(elements) {
  const places = elements.map(middle);
  return [0, 1].map(
    axis => (Math.min(...places.map(each => each[axis])) + Math.max(...places.map(each => each[axis]))) / 2,
  );
}
const straight = (from, to) => part => [
  from[0] + part * (to[0] - from[0]),
  from[1] + part * (to[1] - from[1]) - 30 * Math.sin(Math.PI * part),
];
/** The way of one cell of a plane that moves from one centre to another, turns by half a turn, and spreads if it must. */
function turning(from, to, home, goal) {
  const [x, y] = [from[0] - home[0], from[1] - home[1]];
  const angle = rotated() ? Math.PI : 0;
  const spread = Math.hypot(to[0] - goal[0], to[1] - goal[1]) / (Math.hypot(x, y) || 1);
  return part => {
    const [sin, cos, size] = [Math.sin(angle * part), Math.cos(angle * part), 1 + part * (spread - 1)];
    return [
      home[0] + part * (goal[0] - home[0]) + size * (cos * x - sin * y),
      home[1] + part * (goal[1] - home[1]) + size * (sin * x + cos * y),
    ];
  };
}
function fly(from, to, { path = straight(middle(from), middle(to)), landing = null, slower = 1 } = {}) {
  const chip = document.createElement("div");
  const box = from.getBoundingClientRect();
  const look = getComputedStyle(from);
  const [width, height] = [Math.max(box.width, 22), Math.max(box.height, 18)];
  chip.className = "chip";
  chip.setAttribute("aria-hidden", true);
  chip.innerHTML = from.querySelector("input")?.value ?? from.innerHTML;
  Object.assign(chip.style, {
    width: `${width}px`,
    height: `${height}px`,
    left: `${-width / 2}px`,
    top: `${-height / 2}px`,
    background: look.backgroundColor,
    color: look.color,
  });
  document.body.append(chip);
  landing?.classList.add("landing");
  const frames = [...Array(17).keys()]
    .map(i => path(i / 16))
    .map(([x, y]) => ({ transform: `translate(${x}px, ${y}px)` }));
  const flight = chip.animate(frames, { duration: slower * Math.min(700, 0.75 * pause()), easing: "ease-in-out" });
  flight.onfinish = flight.oncancel = () => {
    chip.remove();
    landing?.classList.remove("landing");
    if (!flying || document.querySelector(".chip")) return;
    flying = false;
    paint();
  };
}
