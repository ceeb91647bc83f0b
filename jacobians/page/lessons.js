// A lesson is a state to begin with, and words for it. Some ask before they answer: which tap reads this pixel for this
// response? ([response, pixel], counted from 1 in vec order.)
const LESSONS = [
  {
    name: "Two taps",
    link: "layer=1d&mode=S&matrix=MF&entry=1&step=0",
    asks: [
      [1, 2],
      [2, 2],
    ],
    text: "X is a signal of four pixels. F is a filter of two numbers, its taps. F lies on the framed pixels: each tap reads the pixel below it, and pixel times tap, added up, is a response.",
    after:
      "S1 reads X2 with its second tap; S2, one place further on, reads it with its first. The later the response, the earlier the tap that reads the same pixel. That is all there is behind the rotation.",
  },
  {
    name: "Backward",
    link: "layer=1d&mode=X&entry=2&step=0",
    text: "g1, g2, g3 tell how the loss changes with S1, S2, S3. M_F (“filter” is a name, no power) has a row per response and a column per pixel: column X2 lists who reads X2, and with which tap. Press Play: each tap goes to the g of its response.",
  },
  {
    name: "Forward",
    link: "layer=6x6&mode=S&entry=1&by=entries",
    text: "The same in two dimensions. F lies on the framed patch of X; pixel times tap, added up, is one response. A row of M_X (“im” is a name too) is such a patch, written in one line. Press Play: the window slides.",
  },
  {
    name: "Which tap?",
    link: "layer=6x6&mode=S&matrix=MF&entry=1&step=0",
    asks: [
      [1, 15],
      [11, 15],
    ],
    text: "Before we go backward: think of one pixel, X33, and of the responses that read it.",
    after:
      "S11 reads X33 with the last tap, F33, and S33 with the first, F11. In M_F each row holds the same taps, moved to the right: so down column X33 the taps come in reverse order.",
  },
  {
    name: "The rotation",
    link: "layer=6x6&mode=X&entry=15&step=0",
    text: "Column X33 of M_F lists the responses that read X33, and with which tap. Press Play: each tap goes to the g of its response, and the column folds up into the framed 3×3 window on G. Entries of g and v are counted row by row: g5 = ∂ℓ/∂S21, v15 = ∂ℓ/∂X33.",
  },
  { name: "Not rotated", link: "layer=6x6&mode=X&entry=15&rotate=no" },
  {
    name: "∂ℓ/∂F",
    link: "layer=6x6&mode=F&entry=2&step=0",
    text: "∂ℓ/∂F12 adds up g times the pixel that F12 lay on, over all responses; column F12 of M_X lists these pixels. Press Play: they fold up on X in the shape of G, and in its order. Nothing is rotated here.",
  },
  {
    name: "Stride 2",
    link: "layer=6x6&stride=2&padding=1&mode=X&entry=22&step=0",
    text: "With stride 2 the window moves by two pixels, and the rows of M_F by two columns: only four responses read X44. Padding is 1, so that there are 3×3 responses and not only 2×2. G has zeros between its entries now. Press Play, and see whether the rotated F fits again.",
  },
  {
    name: "A digit",
    link: "layer=digit&show=pictures&taps=Sobel&mode=S&by=entries&step=0",
    text: "A handwritten seven and a Sobel filter, which answers to edges between left and right. Press Play, choose or type other taps, and look at ∂ℓ/∂X, rotated and not.",
  },
];

const lessonShown = () => LESSONS[state.lesson - 1];
/** Whether a lesson is where it began. */
function atItsBeginning() {
  const begun = readLink(lessonShown().link);
  return ["entry", "step", "show"].every(field => begun[field] === state[field]);
}
/** A lesson begins as its link says, whatever was shown before. */
function begin(lesson) {
  stop();
  ask();
  show(readLink(`lesson=${lesson}`));
  remember();
}

// Questions: how many of the lesson's are answered, what was said to the last answer, and at which step.
let answered = 0;
let reply = "";
let answeredAt = "";
function ask() {
  answered = 0;
  reply = "";
  answeredAt = "";
}
/** Whether this is where the last question was answered. */
const isAnsweredHere = () => answeredAt === `${state.entry} ${state.step}`;
const openQuestion = () => lessonShown()?.asks?.[answered];
/** While a question is open, nothing on the page gives the answer away. */
const asking = () => state.mode === "S" && openQuestion()?.[0] === state.entry;
function questionText() {
  const [r, p] = openQuestion();
  return `${reply || lessonShown().text} Which tap reads ${nameOf("X", p)} for ${nameOf("S", r)}?`;
}
function answer(c) {
  const [r, p] = openQuestion();
  const tap = nameOf("F", c);
  const response = nameOf("S", r);
  if (isRight({ r, c, p })) {
    reply = `Yes, for ${response} tap ${tap} lies on ${nameOf("X", p)}.`;
    answered += 1;
    const next = openQuestion();
    const step = next ? 0 : 1 + products("S", r).findIndex(each => each.p === p);
    if (!next) answeredAt = `${r} ${step}`;
    update({ entry: next ? next[0] : r, step });
  } else {
    reply = `No: for ${response} tap ${tap} lies on ${nameOf("X", layer.M_X[r - 1][c - 1])}. Count from where the frame begins to ${nameOf("X", p)}, which is outlined.`;
    paint();
  }
}
