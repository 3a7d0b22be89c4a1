/** A little photo booth: the webcam with advice as you go, until the picture is good enough to take. */

import { startCamera, stopCamera, whenCameraEnds } from "../service/camera.js";
import { Grabber } from "../service/grabber.js";
import { advise } from "../service/service.js";
import { activity } from "../shell/activity.js";
import { fitCanvas } from "./canvas.js";
import { adviceText } from "./tray.js";

/** @typedef {import("../types.js").Advice} Advice */

const PAUSE = 700; // milliseconds between two pieces of advice: one must be able to follow it
const GOOD = "#8ce99a";
const POOR = "#ffd166";

export class Booth {
  #grabber = new Grabber(1280);
  #running = false;
  #parts;

  /** @param {{video: HTMLVideoElement, overlay: HTMLCanvasElement, advice: HTMLElement}} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  async open() {
    await startCamera(this.#parts.video);
    whenCameraEnds(this.#parts.video, () => this.close());
    const { video } = this.#parts;
    const stage = /** @type {HTMLElement} */ (video.parentElement);
    stage.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
    this.#running = true;
    activity("booth", true);
    this.#advise();
  }

  close() {
    this.#running = false;
    activity("booth", false);
    stopCamera(this.#parts.video);
    this.#parts.advice.textContent = "";
  }

  /** @returns {Promise<Blob>} */
  snap() {
    return this.#grabber.grab(this.#parts.video);
  }

  async #advise() {
    while (this.#running) {
      try {
        this.#show(await advise(await this.snap()));
      } catch {
        this.#parts.advice.textContent = ""; // a photo may be taken without advice
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  /** @param {Advice} advice */
  #show(advice) {
    if (!this.#running) return;
    const { advice: place, overlay, video } = this.#parts;
    const text = adviceText(advice);
    if (place.textContent !== text) place.textContent = text;
    place.dataset.verdict = advice.good ? "good" : "poor";
    fitCanvas(overlay);
    drawBox(overlay, advice, overlay.width / Math.min(1280, video.videoWidth));
  }
}

/** @param {HTMLCanvasElement} overlay @param {Advice} advice @param {number} scale */
function drawBox(overlay, { box, good }, scale) {
  const context = /** @type {CanvasRenderingContext2D} */ (overlay.getContext("2d"));
  context.clearRect(0, 0, overlay.width, overlay.height);
  if (!box) return;
  const [x1, y1, x2, y2] = box.map((edge) => edge * scale);
  context.strokeStyle = good ? GOOD : POOR;
  context.lineWidth = 3 * devicePixelRatio;
  context.setLineDash(good ? [] : [8, 6]); // not by colour alone
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
}
