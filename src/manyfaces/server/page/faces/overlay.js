/** Draws boxes and labels: over the camera, over a video, onto a picture. */

import { emotionColour, inkOn, trackColour, UNKNOWN } from "./emotions.js";
import { labelTexts } from "./labels.js";
import { LabelLayout } from "./layout.js";

/** @typedef {import("../types.js").Face} Face */
/** @typedef {import("./layout.js").Rectangle} Rectangle */

/**
 * @typedef {object} Look
 * @property {number} scale canvas pixels per pixel of the faces' boxes
 * @property {number} letters the smallest letters, in canvas pixels
 * @property {"track" | "emotion"} [colours] what the boxes' colours tell
 * @property {boolean} [mirrored]
 * @property {boolean} [hideNames]
 * @property {boolean} [bare] boxes without labels
 */

const NARROW = 600; // CSS pixels
const FONT = 'system-ui, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans SC", sans-serif';

/** The smallest letters for an overlay of a width, in its own pixels; on a phone there is room for less.
 * @param {HTMLCanvasElement} canvas */
export function lettersFor(canvas) {
  return (canvas.clientWidth < NARROW ? 11 : 13) * devicePixelRatio;
}

export class Overlay {
  #layout = new LabelLayout();
  /** @type {Map<string, number>} widths of texts: measuring is the slow part of a crowd */
  #widths = new Map();
  #context;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  }

  clear() {
    this.#context.clearRect(0, 0, this.#context.canvas.width, this.#context.canvas.height);
  }

  /**
   * Draw all faces on what is there. One that fades away is not named any more.
   * @param {(Face & {fade?: number})[]} faces
   * @param {Look} look
   */
  draw(faces, look) {
    const { width, height } = this.#context.canvas;
    const wanted = faces.map((face, key) => ({
      key: face.track >= 0 ? face.track : key,
      face,
      box: placed(face.box, look, width),
      texts: look.bare || (face.fade ?? 1) < 1 ? [] : labelTexts(face, look.hideNames ?? false),
    }));
    for (const { face, box } of wanted) this.#box(box, colourOf(face, look), look.letters, face.fade ?? 1);
    const byKey = new Map(wanted.map((each) => [each.key, each]));
    const labels = this.#layout.place(wanted, { width, height, smallest: look.letters }, this.#measure);
    for (const label of labels) {
      const face = /** @type {{face: Face}} */ (byKey.get(label.key)).face;
      this.#label(label, plateOf(face, look), face, look);
    }
  }

  /** @type {import("./layout.js").Measure} */
  #measure = (text, size) => {
    const key = `${size} ${text}`;
    const known = this.#widths.get(key);
    if (known !== undefined) return known;
    if (this.#widths.size > 2000) this.#widths.clear(); // percents change all the time
    this.#context.font = font(size);
    const { width } = this.#context.measureText(text);
    this.#widths.set(key, width);
    return width;
  };

  /** A dark rim makes the box show on any background. @param {Rectangle} box @param {string} colour
   * @param {number} letters @param {number} fade */
  #box(box, colour, letters, fade) {
    const context = this.#context;
    const line = Math.max(1.5, Math.min(letters / 5, box.width / 12));
    context.globalAlpha = fade;
    context.beginPath();
    rounded(context, box, Math.min(letters / 2, box.width / 8));
    context.strokeStyle = "rgb(0 0 0 / 0.65)";
    context.lineWidth = 2 * line;
    context.stroke();
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.stroke();
    context.globalAlpha = 1;
  }

  /** @param {import("./layout.js").Label} label @param {string} plate @param {Face} face @param {Look} look */
  #label({ text, size, place }, plate, face, look) {
    const context = this.#context;
    context.fillStyle = plate;
    context.beginPath();
    rounded(context, place, size / 4);
    context.fill();
    if (look.colours === "track" && face.emotion) this.#stripe(place, emotionColour(face.emotion), size);
    context.font = font(size);
    context.textBaseline = "middle";
    context.fillStyle = inkOn(plate);
    context.fillText(text, place.x + 0.35 * size, place.y + place.height / 2 + 0.04 * size);
  }

  /** Where the plate's colour tells the person, a stripe along it tells the expression.
   * @param {Rectangle} place @param {string} colour @param {number} size */
  #stripe(place, colour, size) {
    const high = Math.max(2, size / 6);
    this.#context.fillStyle = colour;
    this.#context.fillRect(place.x + size / 4, place.y + place.height - high, place.width - size / 2, high);
  }
}

/** @param {number[]} box @param {Look} look @param {number} width @returns {Rectangle} */
function placed([x1, y1, x2, y2], { scale, mirrored }, width) {
  const left = mirrored ? width - x2 * scale : x1 * scale;
  return { x: left, y: y1 * scale, width: (x2 - x1) * scale, height: (y2 - y1) * scale };
}

/** @param {Face} face @param {Look} look */
function colourOf(face, look) {
  return look.colours === "track" ? trackColour(face.track) : emotionColour(face.emotion);
}

/** Strangers get a grey plate in pictures, as everywhere in the project. @param {Face} face @param {Look} look */
function plateOf(face, look) {
  const stranger = face.identity === null && face.similarity !== null;
  return look.colours !== "track" && stranger ? UNKNOWN : colourOf(face, look);
}

/** @param {number} size */
function font(size) {
  return `600 ${size}px ${FONT}`;
}

/** @param {CanvasRenderingContext2D} context @param {Rectangle} box @param {number} radius */
function rounded(context, { x, y, width, height }, radius) {
  if (context.roundRect) context.roundRect(x, y, width, height, Math.max(0, radius));
  else context.rect(x, y, width, height); // Firefox before 112
}
