// Names, sums and captions: what is said about the moment that is shown.

const letter = name => `<b class=${name}>${name}</b>`;
const gradient = name => `∂ℓ/∂${letter(name)}`;
const M_X = `M<sub>${letter("X")}</sub><sup title="a name, no power">im</sup>`;
const M_F = `M<sub>${letter("F")}</sub><sup title="a name, no power">filter</sup>`;
const ZERO_PAD = `${letter("G")}<sup>zero-pad</sup>`;
const ROT180 = `${letter("F")}<sup>rot180</sup>`;

// Names: X23 is written with its letter in colour and its number below the line.
const NAME = /(?<![A-Za-z])([XFSGgv])_?([\d,]*\d)/g;
const pretty = text =>
  String(text).replace(NAME, "<b class=$1>$1<sub>$2</sub></b>").replaceAll("M_X", M_X).replaceAll("M_F", M_F);
const plain = html => html.replace(/<[^>]*>/g, "");
const tidy = number => String(Math.round(number * 100) / 100).replace("-", "−");

const NAMED_AS = { Z: "G", R: "F" };
function nameOf(panel, n) {
  const named = NAMED_AS[panel] ?? panel;
  return (layer.names[named] ?? scene.names[named])[n - 1];
}
/** Entries of the gradients have one index, which is counted row by row: with it goes what they are the gradient of. */
const GRADIENT_OF = { G: "S", Z: "S", VF: "F", VX: "X" };
const gradientName = (panel, n) => `${nameOf(panel, n)} = ∂ℓ/∂${nameOf(GRADIENT_OF[panel], n)}`;
const short = name => name.replace("_", "");
const FACTOR = { r: "G", c: "F", p: "X" };
const VALUES = { Z: "S", G: "S", R: "F" };
const valueOf = (panel, n) => numbers[VALUES[panel] ?? panel][n - 1];

function write(entry, live, step) {
  byId("sum").innerHTML = entry ? sumOf(entry, live, step) : goesInto(pointed.key);
  byId("entry").innerHTML = pretty(
    pointed ? whatIs(pointed) : unrotatedShown() ? rightSum(entry) : whoReads(entry, live),
  );
  byId("caption").innerHTML = caption(entry, live, step);
}

// the sum --------------------------------------------------------------------------------------------------------------

function termOf(each) {
  if (state.show === "symbols")
    return pretty([...MODES[state.mode].factors].map(part => nameOf(FACTOR[part], each[part])).join(""));
  return factorsOf(each, state.mode, numbers)
    .map(tidy)
    .map(text => (text.startsWith("−") ? `(${text})` : text))
    .join("·");
}
function sumOf(entry, live, step) {
  const made = pretty(nameOf(MODES[state.mode].made, entry));
  if (asking()) return `${made} = …`;
  const now = pointed ? termPointed(live) : addedNow(live, step);
  const terms = live.slice(0, step).map(each => {
    const term = each === now ? `<mark>${termOf(each)}</mark>` : termOf(each);
    return isRight(each) ? `<i>${term}</i>` : `<i class=wrong title="wrong tap">✗ ${term}</i>`;
  });
  if (step < live.length) return `${made} = ${[...terms, "…"].join(" + ")}`;
  const sum =
    state.show === "symbols" || !live.length ? "" : ` = <strong>${tidy(total(live, state.mode, numbers))}</strong>`;
  return `${made} = ${terms.join(" + ") || "0"}${sum}`;
}
/** The term that a stored entry of a matrix is in. */
const termPointed = live => live.find(each => keysOf(each).slice(3).includes(pointed.key));
function rightSum(entry) {
  const right = products("X", entry);
  const text = right.map(termOf).join(" + ") || "0";
  return `right, from column ${nameOf("X", entry)} of M_F: ${text}${state.show === "symbols" ? "" : ` = ${tidy(total(right, "X", numbers))}`}`;
}
function whoReads(entry, live) {
  const count = live.length;
  const { made } = MODES[state.mode];
  if (state.mode === "S") return `${nameOf(made, entry)} reads ${count} ${count === 1 ? "pixel" : "pixels"}`;
  if (state.mode === "F") return gradientName(made, entry);
  return `${gradientName(made, entry)}; ${nameOf("X", entry)} is read by ${count} ${count === 1 ? "response" : "responses"}`;
}

// what is pointed at ---------------------------------------------------------------------------------------------------

/** Which entries of what is made a factor is in. */
function goesInto(key) {
  const { made, key: own, factors } = MODES[state.mode];
  const other = [...factors].find(part => !partsOf(key)[part]);
  const into = productsOf(key).map(each => `${nameOf(made, each[own])} with ${nameOf(FACTOR[other], each[other])}`);
  return into.length ? pretty(`is in ${into.join(", ")}`) : "";
}
function whatIs({ key, panel }) {
  const { r, c, p } = partsOf(key);
  const n = r ?? c ?? p;
  if (panel in MATRICES) return whatIsInMatrix(panel, r, c ?? p);
  if (!key) return panel === "Z" ? "0: there is no such response" : "0: padding";
  return panel in GRADIENT_OF ? gradientName(panel, n) : nameOf(panel, n);
}
function whatIsInMatrix(panel, r, column) {
  const { holds, columns, entries } = MATRICES[panel];
  if (!r) return `column ${nameOf(columns, column)}`;
  if (!column) return `row ${nameOf("S", r)}`;
  const n = entries()[r - 1][column - 1];
  const response = nameOf("S", r);
  const by = nameOf(columns, column);
  const why = panel === "MF" ? `${response} does not read ${by}` : `${by} reads no pixel for ${response}`;
  return `∂${response}/∂${by} = ${n ? nameOf(holds, n) : `0: ${why}`}`;
}

// captions: the words of a lesson where it begins, and otherwise what this moment is -----------------------------------

function caption(entry, live, step) {
  const lesson = lessonShown();
  const head = lesson ? `<strong>${state.lesson}. ${lesson.name}</strong> ` : "";
  return head + pretty(captionText(lesson, entry, live, step)) + nextLesson(lesson);
}
/** When a lesson is over, the way to the next one; when it was left, the way back. */
function nextLesson(lesson) {
  if (pointed || playing || flying) return "";
  if (!lesson) return lastLesson ? lessonButton(lastLesson, "Back to") : "";
  const over = lesson.asks ? reply && !openQuestion() : isOver();
  return over && LESSONS[state.lesson] ? lessonButton(state.lesson + 1, "Next") : "";
}
const lessonButton = (lesson, word) =>
  ` <button type=button class=next data-lesson=${lesson}>${word}: ${LESSONS[lesson - 1].name}</button>`;
function captionText(lesson, entry, live, step) {
  if (pointed) return entry ? DESCRIBE[state.mode](entry, live, step) : "Outlined: every product that it is in.";
  if (asking()) return questionText();
  if (lesson?.asks && isAnsweredHere()) return `${reply} ${lesson.after}`;
  if (lesson?.text && atItsBeginning()) return lesson.text;
  return DESCRIBE[state.mode](entry, live, step);
}
const DESCRIBE = {
  S(entry, live, step) {
    const response = nameOf("S", entry);
    const now = live[step - 1];
    const row =
      state.matrix === "MX"
        ? `Row ${response} of M_X is this patch, written in one line.`
        : `Row ${response} of M_F holds the taps, each in the column of the pixel that it lies on.`;
    const what =
      now && step < live.length
        ? `Tap ${nameOf("F", now.c)} lies on ${nameOf("X", now.p)}: product ${step} of ${live.length} in ${response}.`
        : `${response} is pixel times tap, added up over the window.`;
    return `${what} ${row}`;
  },
  F(entry, live, step) {
    const tap = nameOf("F", entry);
    const now = live[step - 1];
    if (now && step < live.length)
      return `${nameOf("S", now.r)} read ${nameOf("X", now.p)} with ${tap}; so ${gradientName("G", now.r)} comes back to ${tap}, times ${nameOf("X", now.p)}.`;
    return `${gradientName("VF", entry)} is G times the pixels that ${tap} lay on, which are column ${tap} of M_X. On X they have the shape of G, in its order: nothing is rotated.`;
  },
  X: (entry, live, step) => (rotated() ? describeFold : describeWrong)(entry, live, step),
};
const noResponse = entry => `No response reads ${nameOf("X", entry)}: its gradient is 0.`;
function describeFold(entry, live, step) {
  const pixel = nameOf("X", entry);
  const now = live[step - 1];
  if (!live.length) return noResponse(entry);
  if (!step)
    return `Column ${pixel} of M_F lists the responses that read ${pixel}, and with which tap. Press Play: the column folds up on G.`;
  if (step < live.length)
    return `${nameOf("S", now.r)} reads ${pixel} with tap ${nameOf("F", now.c)}, so ${nameOf("F", now.c)} goes to ${gradientName("G", now.r)}: product ${step} of ${live.length} in ${gradientName("VX", entry)}.`;
  if (step === live.length) return `${describeWindow(live)} One more step, and F itself flies over.`;
  if (flying) return "F itself flies over and turns by 180° on the way.";
  const zeros = state.stride === "1" ? "zeros around it" : "zeros around and between its entries";
  return `${describeFit(pixel, live)} So ∂ℓ/∂X is a convolution of G, with ${zeros}, and F rotated. The zeros around G serve the pixels at the border, which fewer responses read.`;
}
const tapsOf = live => live.map(each => nameOf("F", each.c)).join(" ");
function describeWindow(live) {
  const taps = tapsOf(live);
  return live.length > 1
    ? `Read the window: ${taps}. Along rows and along columns the taps have landed in reverse order.`
    : `Only ${nameOf("S", live[0].r)} reads this pixel, so ${taps} is the only tap on the window.`;
}
function describeFit(pixel, live) {
  if (live.length === 1)
    return `F, rotated by 180°, lies with ${tapsOf(live)} on ${nameOf("G", live[0].r)}, as column ${pixel} of M_F says; all its other taps lie on zeros.`;
  return `F, rotated by 180°${live.length > 4 ? "" : ` (${tapsOf(live)})`}, fits on the window: each g meets the tap that column ${pixel} of M_F has for it.`;
}
function describeWrong(entry, live, step) {
  if (!live.length) return noResponse(entry);
  if (!step) return "F lies down on G as it is, tap by tap.";
  if (step < live.length) return describeTap(entry, live[step - 1]);
  if (flying) return "F itself flies over, and does not turn.";
  const fits = live.filter(isRight);
  const wrong = live.length - fits.length;
  const fitting = !fits.length
    ? "none fits"
    : fits.length > 1
      ? `${fits.length} fit`
      : `only ${isCentre(fits[0]) ? "the centre" : nameOf("F", fits[0].c)} fits`;
  const count = `F lies on G as it is. Of its taps, ${wrong} of ${live.length} are wrong; ${fitting}.`;
  if (state.show !== "symbols") return `${count} ${describeWrongNumbers(entry)}`;
  const first = live.find(each => !isRight(each));
  return first ? `${count} For example, ${describeTap(entry, first)}` : count;
}
function describeTap(entry, each) {
  const reads = `${nameOf("S", each.r)} reads ${nameOf("X", entry)} with ${nameOf("F", layer.M_F[each.r - 1][entry - 1])}`;
  return `${gradientName("G", each.r)} meets ${nameOf("F", each.c)}, ${isRight(each) ? "and" : "but"} ${reads}.`;
}
function describeWrongNumbers(entry) {
  const differ = numbers.VX.filter((value, i) => value !== numbers.right[i]).length;
  if (!differ)
    return "All numbers of ∂ℓ/∂X are right all the same, because these taps do not change when they are rotated. A test with them would not notice the mistake.";
  return `A tap is wrong by its place in F, even where its number is the same. ${gradientName("VX", entry)} is ${tidy(numbers.VX[entry - 1])}; right is ${tidy(numbers.right[entry - 1])}. Of the numbers of ∂ℓ/∂X, ${differ} of ${numbers.VX.length} are wrong.`;
}
