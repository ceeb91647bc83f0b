"use strict";
// The state is what the address holds. Whatever happens makes a new state (`update`), and `show` shows it.
// Which entry lies where, and what it meets, is in the data; scripts look up, multiply and add.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = id => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// What a mode computes: the array that is slid over, the one that lies on it, and the one that is made; then which part
// of a key (r response, c tap, p pixel) its entries are, and their two factors; and the matrix that belongs to it.
const MODES = {
  S: { over: "X", lies: "F", made: "S", key: "r", factors: "pc", matrix: "MX" },
  F: { over: "X", lies: "G", made: "VF", key: "c", factors: "rp", matrix: "MX" },
  X: { over: "Z", lies: "R", made: "VX", key: "p", factors: "rc", matrix: "MF" },
};
// Both matrices have a row per response. What they hold, and what their columns are:
const MATRICES = {
  MX: { holds: "X", columns: "F", column: "c", entries: () => layer.M_X },
  MF: { holds: "F", columns: "X", column: "p", entries: () => layer.M_F },
};
const OPTIONS = ["stride", "padding", "dilation"];
const SHOWN_AS = ["symbols", "numbers", "pictures"];

let state;
let scene;
let layer;
let numbers;
// What the pointer or the focus is on: { key, panel, element }.
let pointed = null;
// The lesson that was shown last, to go back to.
let lastLesson = 0;

const labels = options => OPTIONS.map(option => options[option]).join(" ");
const oneOf = (value, values, otherwise) => (values.includes(value) ? value : otherwise);
const wholeNumber = (text, least, most, otherwise) =>
  /^\d+$/.test(text) && text >= least && text <= most ? Number(text) : otherwise;

/** The nearest state that there is: what is missing or impossible becomes what a page begins with. */
function legal(wanted) {
  const name = oneOf(wanted.layer, Object.keys(data.scenes), data.start);
  const its = data.scenes[name];
  const asked = Object.fromEntries(
    OPTIONS.map(each => [each, oneOf(String(wanted[each]), its.offers[each], its.start[each])]),
  );
  const options = its.layers[labels(asked)] ? asked : its.start;
  const at = its.layers[labels(options)];
  const mode = oneOf(wanted.mode, Object.keys(MODES), "S");
  const entry = wholeNumber(String(wanted.entry), 1, at.windows[mode].length, mode === "X" ? mostRead(at) : 1);
  const last = lastStep(at, mode, entry);
  return {
    layer: name,
    ...options,
    mode,
    entry,
    step: wholeNumber(String(wanted.step), 0, last, last),
    matrix: oneOf(wanted.matrix, Object.keys(MATRICES), MODES[mode].matrix),
    rotate: oneOf(wanted.rotate, ["yes", "no"], "yes"),
    show: oneOf(wanted.show, SHOWN_AS, "symbols"),
    taps: legalTaps(its, wanted.taps),
    by: oneOf(wanted.by, ["products", "entries"], "products"),
    lesson: wholeNumber(String(wanted.lesson), 1, LESSONS.length, 0),
  };
}
/** Taps have a name, or they are whole numbers with commas between, of which all sums are exact. */
function legalTaps(its, wanted) {
  if (wanted in its.numbers.F) return wanted;
  const given = String(wanted).split(",");
  const usable = given.length === its.names.F.length && given.every(each => /^-?\d{1,3}$/.test(each));
  return usable ? given.map(Number).join(",") : Object.keys(its.numbers.F)[0];
}
/** The first of the pixels that the most responses read. */
function mostRead(at) {
  const counts = at.windows.X.map((_, i) => lastStep(at, "X", i + 1));
  return 1 + counts.indexOf(Math.max(...counts));
}
/** The steps of an entry: a step per product; in ∂ℓ/∂X one more, in which F comes and lies down on G. */
function lastStep(at, mode, entry) {
  const over = at.panels[MODES[mode].over].flat(2);
  return at.windows[mode][entry - 1][0].filter(place => over[place]).length + (mode === "X" ? 1 : 0);
}

// The address of a state. What a layer and a mode begin with is left out.
const parse = text => Object.fromEntries(new URLSearchParams(text.replace(/^#/, "")));
function readLink(text) {
  const wanted = parse(text);
  const lesson = LESSONS[wanted.lesson - 1];
  return legal(lesson ? { ...parse(lesson.link), ...wanted } : wanted);
}
function linkOf(each) {
  const { layer, mode, entry, lesson } = each;
  const written = { layer, mode, entry, ...(lesson && { lesson }) };
  const options = Object.fromEntries(OPTIONS.map(option => [option, each[option]]));
  const plain = { ...readLink(String(new URLSearchParams({ ...written, ...options }))), ...data.scenes[layer].start };
  const parts = Object.entries(each).filter(([field, value]) => field in written || value !== plain[field]);
  return "#" + new URLSearchParams(parts).toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
}
let remembering;
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => history.replaceState(null, "", linkOf(state)), 150);
}

/** The one way to change what is shown. A lesson is over when its layer, its mode or its switch is left. */
function update(change) {
  const next = legal({ ...state, ...change });
  const left = ["layer", "mode", "rotate", ...OPTIONS].some(field => next[field] !== state[field]);
  if (left && !change.lesson) next.lesson = 0;
  show(next);
  remember();
}
function show(next) {
  const before = state;
  const rebuilt = !before || stageOf(before) !== stageOf(next);
  state = next;
  scene = data.scenes[state.layer];
  layer = scene.layers[labels(state)];
  pointed = null;
  lastLesson = state.lesson || lastLesson;
  land();
  if (before?.lesson !== state.lesson) ask();
  if (rebuilt) {
    numbers = compute();
    build();
  }
  paint();
  if (!rebuilt && before.entry === state.entry && before.step + 1 === state.step) move();
}
/** What has to be built anew if it changes; everything else is painted. */
const stageOf = each => [each.layer, labels(each), each.mode, each.matrix, each.show, each.taps, each.rotate].join();
const rotated = () => state.rotate === "yes";
const unrotatedShown = () => state.mode === "X" && !rotated();
