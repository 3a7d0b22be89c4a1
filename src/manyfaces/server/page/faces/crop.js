/** Cuts one face out of a picture, with enough around it to be found again. */

const MARGIN = 0.5; // of the box's longer side, on every side

/**
 * @param {CanvasImageSource} source
 * @param {{width: number, height: number}} size of the source, in its own pixels
 * @param {number[]} box in the source's pixels
 * @param {number[][]} others boxes of other faces, which are painted over: nobody else is to be enrolled with this one
 * @returns {Promise<Blob>}
 */
export function cropped(source, size, box, others) {
  const [x1, y1, x2, y2] = box;
  const margin = MARGIN * Math.max(x2 - x1, y2 - y1);
  const left = Math.max(0, Math.floor(x1 - margin));
  const top = Math.max(0, Math.floor(y1 - margin));
  const wide = Math.min(size.width, Math.ceil(x2 + margin)) - left;
  const high = Math.min(size.height, Math.ceil(y2 + margin)) - top;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [wide, high];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(source, left, top, wide, high, 0, 0, wide, high);
  context.fillStyle = "#808080";
  for (const other of others) context.fillRect(other[0] - left, other[1] - top, other[2] - other[0], other[3] - other[1]);
  context.drawImage(source, x1, y1, x2 - x1, y2 - y1, x1 - left, y1 - top, x2 - x1, y2 - y1);
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
