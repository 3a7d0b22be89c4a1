/** What may be said beside a face, and in a sentence about many. */

import { emotionWord, listed, percent, word } from "../shell/words.js";

/** @typedef {import("../types.js").Face} Face */

const LONGEST_NAME = 32;
const MOST_NAMED = 6; // more than this nobody wants to hear

/**
 * Who it is: a name, "unknown" where it was compared with people and matched none, else nothing.
 * @param {Face} face
 * @param {boolean} hideNames
 */
export function who(face, hideNames = false) {
  if (hideNames) return "";
  if (face.identity) return face.identity;
  return face.similarity === null || face.similarity === undefined ? "" : word("face.unknown");
}

/** @param {Face} face */
export function expression(face) {
  return face.emotion ? emotionWord(face.emotion) : "";
}

/**
 * The texts for a label, the fullest first; later ones are for where there is less room.
 * @param {Face} face
 * @param {boolean} hideNames
 */
export function labelTexts(face, hideNames) {
  const name = shortened(who(face, hideNames));
  const named = hideNames || !face.identity ? "" : name;
  const what = expression(face);
  const sure = what && face.emotion_confidence !== null ? `${what} ${percent(face.emotion_confidence)}` : what;
  const texts = [joined(name, sure), joined(named, sure), joined(named, what), named || what];
  return [...new Set(texts)].filter(Boolean);
}

/** @param {string} name */
function shortened(name) {
  const letters = [...name];
  return letters.length > LONGEST_NAME ? `${letters.slice(0, LONGEST_NAME - 1).join("")}…` : name;
}

/** @param {...string} parts */
function joined(...parts) {
  return parts.filter(Boolean).join(" · ");
}

/**
 * All faces in one sentence.
 * @param {Face[]} faces
 * @param {boolean} hideNames
 */
export function summary(faces, hideNames) {
  if (!faces.length) return word("faces.none");
  const each = faces.slice(0, MOST_NAMED).map((face) => [who(face, hideNames), expression(face)].filter(Boolean).join(" "));
  const said = each.filter(Boolean);
  const count = word("faces.count", { count: faces.length });
  if (!said.length) return count;
  const more = faces.length > MOST_NAMED ? [word("faces.more", { count: faces.length - MOST_NAMED })] : [];
  return `${count}: ${listed([...said, ...more])}`;
}
