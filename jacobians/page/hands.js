// Hands: what the pointer, the keys and the controls do; light and dark; the page that this one may be in.

// pointing and choosing ------------------------------------------------------------------------------------------------

const stage = byId("stage");
function point(element) {
  const panel = element.closest("figure")?.id;
  if (playing || asking() || !panel || pointed?.element === element) return;
  pointed = { key: element.dataset.key, panel, element };
  paint();
  tell(element);
}
function unpoint() {
  byId("tip").hidden = true;
  if (!pointed) return;
  pointed = null;
  paint();
}
/** The name of a cell that is too small for it. */
function tell(element) {
  const box = element.getBoundingClientRect();
  const tip = byId("tip");
  tip.hidden = !element.closest(".unnamed, #matrix");
  tip.innerHTML = byId("entry").innerHTML;
  tip.style.left = `${between(4, innerWidth - tip.offsetWidth - 4, box.left + box.width / 2 - tip.offsetWidth / 2)}px`;
  tip.style.top = `${box.top > 40 ? box.top - tip.offsetHeight - 5 : box.bottom + 5}px`;
}
/** Stay at the entry that an element belongs to. */
function choose(element) {
  const entry = element.dataset.key && entryOf(element.dataset.key);
  stop();
  byId("tip").hidden = true;
  if (entry) update({ entry, step: end(entry) });
}
stage.addEventListener("pointerover", event => {
  const found = event.target.closest("[data-key]");
  if (found) point(found);
  else unpoint();
});
stage.addEventListener("pointerleave", unpoint);
stage.addEventListener("click", event => {
  const found = event.target.closest("[data-key]");
  if (found && !event.target.closest("input")) choose(found);
});
stage.addEventListener("focusin", event => {
  const found = event.target.closest("td");
  if (!found) return;
  all("td[tabindex='0']", found.closest("table")).forEach(each => (each.tabIndex = -1));
  if (event.target === found) found.tabIndex = 0;
  point(found);
});
stage.addEventListener("focusout", event => {
  if (event.target.closest("td")) unpoint();
});
stage.addEventListener("keydown", event => {
  const found = event.target.closest("td");
  if (!found || event.altKey || event.metaKey || event.target !== found) return;
  if (event.key === "Enter") return choose(found);
  const to = neighbour(found, event);
  if (!to) return;
  event.preventDefault();
  to.focus();
});
/** The cell of a table that a key leads to. */
function neighbour(found, { key, ctrlKey }) {
  const rows = all("tbody tr", found.closest("table")).map(row => all("td", row));
  const y = rows.findIndex(row => row.includes(found));
  const x = rows[y].indexOf(found);
  const places = {
    ArrowLeft: [y, x - 1],
    ArrowRight: [y, x + 1],
    ArrowUp: [y - 1, x],
    ArrowDown: [y + 1, x],
    Home: [ctrlKey ? 0 : y, 0],
    End: [ctrlKey ? rows.length - 1 : y, rows[y].length - 1],
  };
  const [row, column] = places[key] ?? [];
  return key in places ? (rows[row]?.[column] ?? found) : undefined;
}

// controls -------------------------------------------------------------------------------------------------------------

stage.addEventListener("change", event => {
  if (event.target.name === "matrix") update({ matrix: event.target.value });
  else if (event.target.closest("#F")) typeTap(event.target);
});
function typeTap(input) {
  const typed = all("#F input");
  const taps = [];
  entriesOf("F").forEach((c, i) => (taps[c - 1] = wholeTap(typed[i].value)));
  update({ taps: taps.join(",") });
  all("#F input")[typed.indexOf(input)].focus();
}
const wholeTap = text => between(-999, 999, Math.round(Number(text.replace("−", "-").replace(",", ".")) || 0));
byId("controls").addEventListener("submit", event => event.preventDefault());
byId("controls").addEventListener("change", ({ target: { name, value, checked } }) => {
  stop();
  const changes = {
    unrotated: { rotate: checked ? "no" : "yes" },
    layer: { layer: value, stride: "", padding: "", dilation: "", entry: "", step: "", taps: "" },
    mode: { mode: value, matrix: "", entry: "", step: "" },
  };
  update(changes[name] ?? { [name]: value, step: "" });
});
byId("lessons").innerHTML = LESSONS.map(
  ({ name }, i) =>
    `<li><button type=button title="${name}" aria-label="Lesson ${i + 1}: ${name}">${i + 1}</button></li>`,
).join("");
byId("lessons").addEventListener("click", event => {
  const lesson = 1 + all("#lessons button").indexOf(event.target.closest("button"));
  if (lesson) begin(lesson);
});
byId("caption").addEventListener("click", event => {
  const next = event.target.closest(".next");
  if (next) begin(Number(next.dataset.lesson));
});
byId("question").addEventListener("click", event => {
  const chosen = event.target.closest("button");
  if (chosen) answer(Number(chosen.dataset.tap));
});

const toggle = () => (playing ? stop() : play());
const byHand = act => () => {
  stop();
  act();
};
const MOVES = {
  before: byHand(() => entryBy(-1)),
  back: byHand(() => stepBy(-1)),
  on: byHand(() => stepBy(1)),
  after: byHand(() => entryBy(1)),
};
for (const [id, act] of Object.entries(MOVES)) byId(id).addEventListener("click", act);
byId("play").addEventListener("click", toggle);
byId("scrub").addEventListener("input", event => byHand(() => scrubTo(Number(event.target.value)))());
byId("by").addEventListener("change", event => update({ by: event.target.value }));

const KEYS = {
  " ": toggle,
  ArrowLeft: MOVES.back,
  ArrowRight: MOVES.on,
  ArrowUp: MOVES.before,
  ArrowDown: MOVES.after,
  Home: byHand(() => update({ step: 0 })),
  End: byHand(() => update({ step: end() })),
};
document.addEventListener("keydown", event => {
  if (
    event.altKey ||
    event.metaKey ||
    event.ctrlKey ||
    event.target.closest("input, select, button, summary, td") ||
    !KEYS[event.key]
  )
    return;
  event.preventDefault();
  KEYS[event.key]();
});

// light and dark, and the page around ----------------------------------------------------------------------------------

const theme = byId("theme");
let dark;
function setDark(on) {
  dark = on;
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  theme.textContent = dark ? "Light" : "Dark";
}
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
setDark(prefersDark.matches);
prefersDark.addEventListener("change", () => setDark(prefersDark.matches));
theme.addEventListener("click", () => setDark(!dark));

// A page around this one is told how high it is, and says whether it is light or dark.
const tellHeight = () => parent.postMessage({ explorer: Math.ceil(document.body.offsetHeight) + 2 }, "*");
if (parent !== window) {
  document.body.classList.add("embedded");
  addEventListener("message", event => {
    if (event.source !== parent || !["dark", "light"].includes(event.data?.scheme)) return;
    theme.hidden = true;
    setDark(event.data.scheme === "dark");
    tellHeight();
  });
  new ResizeObserver(tellHeight).observe(document.body);
}

byId("options").open = innerWidth > 640;
addEventListener("hashchange", () => {
  stop();
  show(readLink(location.hash));
});
addEventListener("resize", () => {
  fit();
  paint();
});
show(readLink(location.hash || (data.start === "6x6" ? "lesson=1" : "")));
