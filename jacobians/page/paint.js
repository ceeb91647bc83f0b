// Painting one moment: what is marked, what lies on what, where the window is.

/** The entry that is pointed at, whole; otherwise the entry of the state, as far as it has come. */
function moment() {
  if (!pointed) return { entry: state.entry, step: state.step };
  const entry = entryOf(pointed.key);
  return { entry, step: entry ? lastStep(layer, state.mode, entry) : 0 };
}
function paint() {
  const { entry, step } = moment();
  const met = entry ? meetings(state.mode, entry, rotated()) : [];
  const live = met.filter(each => each.live);
  wipe();
  if (pointed) markPointed();
  else markEntry(entry, live, step);
  if (entry) lay(met, live, step);
  if (unrotatedShown()) markWrong();
  paintFrames(entry, met);
  write(entry, live, step);
  paintQuestion();
  paintPlayer(live);
}
function wipe() {
  const classes = ["now", "pointed", "bad", "later", "landing"];
  all(classes.map(each => `.${each}`).join()).forEach(each => each.classList.remove(...classes));
  all("[data-on]").forEach(each => {
    each.removeAttribute("data-on");
    each.removeAttribute("aria-label");
  });
}
function markKeys(keys) {
  for (const each of all("tbody td")) each.setAttribute("aria-selected", keys.has(each.dataset.key));
  for (const each of all("th")) each.classList.toggle("marked", keys.has(each.dataset.key));
  byId("matrix").classList.toggle("marking", keys.size > 0);
}
function markPointed() {
  markKeys(new Set(productsOf(pointed.key).flatMap(keysOf)));
  pointed.element.classList.add("pointed");
}
/** Mark the products that are in the sum so far; of the matrix always those that are right. */
function markEntry(entry, live, step) {
  const { made, key } = MODES[state.mode];
  const summed = live.slice(0, step);
  const keys = new Set([key + entry]);
  for (const each of summed)
    keysOf(each)
      .slice(0, 3)
      .forEach(part => keys.add(part));
  for (const each of products(state.mode, entry)) if (summed.some(({ r }) => r === each.r)) keys.add(matrixKey(each));
  markKeys(keys);
  if (playing || step < live.length)
    for (const each of cells[made]) each.classList.toggle("later", partsOf(each.dataset.key)[key] > entry);
  const now = addedNow(live, step);
  if (now) markNow(now);
}
/** The product that was added last, unless the sum is whole and stands still. */
const addedNow = (live, step) => (step < end() || (playing && state.by === "products") ? live[step - 1] : undefined);
function markNow(each) {
  const { over, lies, made, key } = MODES[state.mode];
  const withKey = (panel, wanted) => cells[panel].find(td => td.dataset.key === wanted);
  const inMatrix = isRight(each) && withKey(state.matrix, matrixKey(each));
  for (const td of [cells[over][each.place], cells[lies][each.partner], withKey(made, key + each[key]), inMatrix])
    if (td) td.classList.add("now");
}
/** Write what lies on the cells of the window into them. Where a matrix folds up, it comes product by product. */
function lay(met, live, step) {
  if (asking()) return;
  const { over } = MODES[state.mode];
  const part = state.mode === "F" ? "r" : "c";
  const lying = { r: "G", c: "F" }[part];
  const whole = step >= live.length || state.mode === "S";
  const landed = whole ? met : live.slice(0, step);
  for (const each of landed) {
    const td = cells[over][each.place];
    const n = each[part];
    const [colour, ink] = part === "c" ? scene.colours.F[n - 1] : ["var(--G)", "var(--paper)"];
    td.dataset.on = state.show === "symbols" ? short(nameOf(lying, n)) : tidy(valueOf(lying, n));
    td.setAttribute("aria-label", `${td.textContent} with ${td.dataset.on}`);
    td.style.setProperty("--lying", colour);
    td.style.setProperty("--lying-ink", ink);
    td.classList.toggle("bad", each.live && !isRight(each));
  }
  const size = parseFloat(byId("operation").style.getPropertyValue("--cell"));
  const longest = Math.max(
    2,
    ...landed
      .flatMap(({ place }) => [cells[over][place].textContent, cells[over][place].dataset.on])
      .map(text => text.length),
  );
  const type = Math.min(0.36 * size, (size - 3) / (0.66 * longest));
  byId(over).style.setProperty(
    "--laid",
    state.show === "pictures" || type < 0.8 * LEAST_TYPE ? "0" : `${Math.max(LEAST_TYPE, type)}px`,
  );
}
/** Entries of ∂ℓ/∂X that are another sum than the matrix says; of numbers, those that come out different. */
function markWrong() {
  const wrong = i =>
    state.show === "symbols"
      ? products("X", i + 1, false).some(each => !isRight(each))
      : numbers.VX[i] !== numbers.right[i];
  cells.VX.forEach((td, i) => td.classList.toggle("bad", wrong(i)));
}

// Frames show where the window is, and which row or column of the matrix the entry is. They slide.
function paintFrames(entry, met) {
  const { over, lies, key } = MODES[state.mode];
  const { column, entries } = MATRICES[state.matrix];
  const across = entries()[0].length;
  frame(
    over,
    met.map(each => cells[over][each.place]),
  );
  frame(lies, planesOf(lies).length > 1 ? met.map(each => cells[lies][each.partner]) : []);
  // Where there is no room for the names of all columns, this one has its name.
  const lit = entry ? key + entry : pointed?.key;
  for (const each of all("thead th")) each.classList.toggle("lit", each.dataset.key === lit);
  const inLine =
    key === "r" ? i => Math.floor(i / across) === entry - 1 : i => key === column && i % across === entry - 1;
  frame(
    state.matrix,
    cells[state.matrix].filter((_, i) => entry && inLine(i)),
  );
}
function frame(panel, chosen) {
  const holder = byId(panel).querySelector(".planes");
  const home = holder.getBoundingClientRect();
  const frames = all(".frame", holder);
  const tables = [...new Set(chosen.map(td => td.closest("table")))];
  frames.slice(tables.length).forEach(each => each.remove());
  tables.forEach((table, i) => {
    const boxes = chosen.filter(td => td.closest("table") === table).map(td => td.getBoundingClientRect());
    const [left, top] = ["left", "top"].map(side => Math.min(...boxes.map(box => box[side])));
    const [right, bottom] = ["right", "bottom"].map(side => Math.max(...boxes.map(box => box[side])));
    const found = frames[i] ?? holder.appendChild(Object.assign(document.createElement("div"), { className: "frame" }));
    Object.assign(found.style, {
      left: `${left - home.left - 2}px`,
      top: `${top - home.top - 2}px`,
      width: `${right - left + 4}px`,
      height: `${bottom - top + 4}px`,
    });
  });
}

function paintQuestion() {
  document.body.classList.toggle("asking", asking());
  byId("question").hidden = !asking();
  if (!asking()) return;
  byId("question").innerHTML = scene.names.F.map(
    (name, i) => `<button type=button data-tap=${i + 1}>${pretty(name)}</button>`,
  ).join("");
  const [, p] = openQuestion();
  cells.X.find(td => td.dataset.key === `p${p}`).classList.add("now");
}
function paintPlayer(live) {
  const film = starts();
  const made = plain(pretty(nameOf(MODES[state.mode].made, state.entry)));
  byId("scrub").max = film.at(-1) - 1;
  byId("scrub").value = film[state.entry - 1] + state.step;
  byId("scrub").setAttribute(
    "aria-valuetext",
    `${made}, product ${Math.min(state.step, live.length)} of ${live.length}`,
  );
  byId("play").textContent = playing ? "❚❚ Pause" : "▶ Play";
  byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  byId("by").value = state.by;
  for (const part of ["say", "formula"]) byId(part).setAttribute("aria-live", playing ? "off" : "polite");
  all("#lessons button").forEach((each, i) =>
    each.setAttribute("aria-current", i + 1 === state.lesson ? "step" : "false"),
  );
}
