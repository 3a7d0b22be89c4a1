/** The faces in view as a list that can be read and worked with while it changes: an entry stays where its face does. */

import { expression, who } from "../faces/labels.js";
import { trackColour } from "../faces/emotions.js";
import { make, swatch } from "../shell/elements.js";
import { percent, say, word } from "../shell/words.js";

/** @typedef {import("../types.js").Face} Face */
/** @typedef {{entry: HTMLElement, name: HTMLElement, what: HTMLElement, face: Face}} Line */

export class FacesList {
  /** @type {Map<number, Line>} */
  #lines = new Map();
  #list;
  #correct;

  /** @param {HTMLElement} list @param {(face: Face) => void} correct */
  constructor(list, correct) {
    this.#list = list;
    this.#correct = correct;
  }

  /** @param {Face[]} faces @param {boolean} hideNames */
  show(faces, hideNames) {
    const here = new Set(faces.map((face) => face.track));
    for (const [track, line] of this.#lines) {
      // An entry in which the focus is stays until the focus has gone elsewhere.
      if (here.has(track) || line.entry.contains(document.activeElement)) continue;
      line.entry.remove();
      this.#lines.delete(track);
    }
    for (const face of faces) fill(this.#line(face), face, hideNames);
  }

  /** @param {Face} face @returns {Line} */
  #line(face) {
    const known = this.#lines.get(face.track);
    if (known) return Object.assign(known, { face });
    const [name, what] = [make("b"), make("span", { class: "soft" })];
    const button = make("button", { type: "button", class: "quiet", onclick: () => this.#correct(line.face) });
    say(button, "correct.open");
    const entry = make("li", {}, swatch(trackColour(face.track)), make("span", { class: "grow" }, name, " ", what), button);
    const line = { entry, name, what, face };
    this.#lines.set(face.track, line);
    this.#list.append(entry);
    return line;
  }
}

/** @param {Line} line @param {Face} face @param {boolean} hideNames */
function fill(line, face, hideNames) {
  const name = who(face, hideNames) || word("face.numbered", { number: face.track });
  const sure = face.identity && !hideNames ? ` ${percent(face.identity_confidence)}` : "";
  write(line.name, name + sure);
  write(line.what, [expression(face), face.emotion ? percent(face.emotion_confidence) : ""].join(" "));
  const button = /** @type {HTMLElement} */ (line.entry.querySelector("button"));
  say(button, "correct.openFor", { name }, "aria-label");
}

/** Only what has changed is written: an assistive reader looks at every writing. @param {HTMLElement} place @param {string} text */
function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
