/** Cuts one face out of a picture, with enough around it to be found again. */

const MARGIN = 0.55; // of the box's longer side, on every side

/**
 * @param {CanvasImageSource} source
 * @param {{width: number, height: number}} size of the source, in its own pixels
 * @param {number[]} box in the source's pixels
 * @returns {Promise<Blob>}
 */
export function cropped(source, size, [x1, y1, x2, y2]) {
  const margin = MARGIN * Math.max(x2 - x1, y2 - y1);
  const left = Math.max(0, Math.floor(x1 - margin));
  const top = Math.max(0, Math.floor(y1 - margin));
  const wide = Math.min(size.width, Math.ceil(x2 + margin)) - left;
  const high = Math.min(size.height, Math.ceil(y2 + margin)) - top;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [wide, high];
  canvas.getContext("2d")?.drawImage(source, left, top, wide, high, 0, 0, wide, high);
  return asBlob(canvas, "image/png"); // nothing more is lost of a small face
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {string} type
 * @param {number} [quality]
 * @returns {Promise<Blob>}
 */
export function asBlob(canvas, type, quality) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture cannot be encoded"))), type, quality);
  });
}
