/** The faces of a picture as rows of a table, from left to right. */

import { stackedBar } from "../charts.js";
import { emotionColour } from "../faces/emotions.js";
import { expression, who } from "../faces/labels.js";
import { make, swatch } from "../shell/elements.js";
import { emotionWord, percent, word } from "../shell/words.js";

/** @typedef {import("../types.js").Face} Face */

/**
 * @param {Face[]} faces
 * @param {(face: Face) => void} correct
 * @returns {HTMLElement[]}
 */
export function faceRows(faces, correct) {
  const ordered = [...faces].sort((one, other) => one.box[0] - other.box[0]);
  return ordered.map((face, at) => faceRow(face, at + 1, correct));
}

/** @param {Face} face @param {number} number @param {(face: Face) => void} correct */
function faceRow(face, number, correct) {
  const name = who(face) || "–";
  const sure = face.identity ? make("span", { class: "soft" }, ` ${percent(face.identity_confidence)}`) : "";
  const label = word("correct.openFor", { name: who(face) || word("face.numbered", { number }) });
  const button = make("button", { type: "button", class: "quiet", "aria-label": label, onclick: () => correct(face) }, word("correct.open"));
  return make(
    "tr",
    {},
    make("td", { class: "number" }, String(number)),
    make("td", {}, name, sure),
    make("td", {}, ...expressionCell(face)),
    make("td", { class: "wide" }, shares(face)),
    make("td", { class: "end" }, button),
  );
}

/** @param {Face} face */
function expressionCell(face) {
  if (!face.emotion) return ["–"];
  return [swatch(emotionColour(face.emotion)), `${expression(face)} `, make("span", { class: "soft" }, percent(face.emotion_confidence))];
}

/** @param {Face} face */
function shares(face) {
  const parts = Object.entries(face.emotions).map(([emotion, share]) => {
    const words = `${emotionWord(emotion)} ${percent(share)}`;
    return { share, colour: emotionColour(emotion), label: words };
  });
  if (!parts.length) return "–";
  const largest = [...parts].sort((one, other) => other.share - one.share).slice(0, 3);
  return stackedBar(parts, largest.map((part) => part.label).join(", "));
}
