/** Rows as files: the same columns as the command line's CSV, and JSON lines. */

import { EMOTIONS } from "./emotions.js";

/** @typedef {import("../types.js").Row} Row */
/** @typedef {import("../types.js").Face} Face */

const POINTS = ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"];
const PLACE = ["stream", "index", "seconds", "width", "height"];
const FACE = ["track", "x1", "y1", "x2", "y2", "score", "emotion", "emotion_confidence"];
const WHO = ["identity", "identity_confidence", "similarity"];

/**
 * One line per face; a picture that could not be read has one with its error.
 * @param {Row[]} rows
 */
export function asCsv(rows) {
  const labels = labelsOf(rows);
  const points = POINTS.flatMap((name) => [`${name}_x`, `${name}_y`]);
  const heading = [...PLACE, ...FACE, ...labels.map((label) => `emotion_${label}`), ...WHO, ...points, "error"];
  const lines = rows.flatMap((row) => lineTexts(row, labels, heading.length));
  return [heading, ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n";
}

/** @param {Row[]} rows */
export function asJsonLines(rows) {
  return rows.map((row) => JSON.stringify(row)).join("\n") + "\n";
}

/** @param {Row[]} rows */
function labelsOf(rows) {
  const face = rows.flatMap((row) => row.faces ?? []).find((each) => Object.keys(each.emotions).length);
  return face ? Object.keys(face.emotions) : EMOTIONS;
}

/** @param {Row} row @param {string[]} labels @param {number} length */
function lineTexts(row, labels, length) {
  const place = [row.stream, row.index, row.seconds, row.width, row.height];
  if (row.error) return [[...place, ...new Array(length - place.length - 1).fill(null), row.error]];
  return row.faces.map((face) => [...place, ...faceCells(face, labels), null]);
}

/** @param {Face} face @param {string[]} labels */
function faceCells(face, labels) {
  const known = [face.track, ...face.box, face.score, face.emotion, face.emotion_confidence];
  const shares = labels.map((label) => face.emotions[label] ?? null);
  const points = POINTS.flatMap((_, point) => face.landmarks[point] ?? [null, null]);
  return [...known, ...shares, face.identity, face.identity_confidence, face.similarity, ...points];
}

/** @param {unknown} value */
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
