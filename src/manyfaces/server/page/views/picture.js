/** Draws a picture with its faces, at the size that is wanted. */

import { Overlay } from "../faces/overlay.js";
import { make } from "../shell/elements.js";

/** @typedef {import("../types.js").Row} Row */

const THUMBNAIL = 240; // pixels of the longer side

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Blob} file
 * @param {Row} row
 * @param {number} longest pixels of the longer side, at most
 * @param {boolean} [bare] boxes without labels
 */
export async function drawPicture(canvas, file, row, longest, bare = false) {
  const bitmap = await createImageBitmap(file); // turned upright by its EXIF mark, as the server does it
  const factor = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  [canvas.width, canvas.height] = [Math.round(bitmap.width * factor), Math.round(bitmap.height * factor)];
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  // Letters follow the picture, so that a selfie of 12 megapixels and a thumbnail both stay legible.
  const letters = Math.max(11, Math.round(0.022 * Math.min(canvas.width, canvas.height)));
  new Overlay(canvas).draw(row.faces, { scale: canvas.width / row.width, letters, colours: "emotion", bare });
}

/** @param {Blob} file @param {Row} row @returns {Promise<HTMLCanvasElement>} */
export async function thumbnail(file, row) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  await drawPicture(canvas, file, row, THUMBNAIL, true);
  return canvas;
}
