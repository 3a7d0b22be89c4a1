/** Takes frames from a video as small JPEGs. */

import { asBlob } from "../faces/crop.js";

const QUALITY = 0.85;

export class Grabber {
  #canvas = document.createElement("canvas");
  #context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d", { alpha: false }));

  /** @param {number} longest the longer side that a frame may have; more costs time on the way and finds little more */
  constructor(longest) {
    this.longest = longest;
  }

  /** @param {HTMLVideoElement} video @returns {Promise<Blob>} */
  grab(video) {
    const factor = Math.min(1, this.longest / Math.max(video.videoWidth, video.videoHeight));
    const [width, height] = [Math.round(video.videoWidth * factor), Math.round(video.videoHeight * factor)];
    if (this.#canvas.width !== width || this.#canvas.height !== height) [this.#canvas.width, this.#canvas.height] = [width, height];
    this.#context.drawImage(video, 0, 0, width, height);
    return asBlob(this.#canvas, "image/jpeg", QUALITY);
  }
}
