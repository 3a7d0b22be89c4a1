/** The Live tab: the webcam with every face named, drawn at display rate however slowly results come. */

import { cropped } from "../faces/crop.js";
import { summary, who } from "../faces/labels.js";
import { Motion } from "../faces/motion.js";
import { lettersFor, Overlay } from "../faces/overlay.js";
import { cameras, everyFrame, startCamera, stopCamera, whenCameraEnds } from "../service/camera.js";
import { Grabber } from "../service/grabber.js";
import { LiveLink } from "../service/live-link.js";
import { request } from "../service/service.js";
import { activity } from "../shell/activity.js";
import { announce, mention } from "../shell/announce.js";
import { make, partsOf, throttled } from "../shell/elements.js";
import { calm } from "../shell/theme.js";
import { formatted, onLanguage, say, word } from "../shell/words.js";
import { fitCanvas } from "./canvas.js";
import { correct } from "./correction.js";
import { FacesList } from "./faces-list.js";
import { showFault } from "./faults.js";
import { Meter } from "./meter.js";

/** @typedef {import("../types.js").Face} Face */
/** @typedef {import("../types.js").LiveRow} LiveRow */

const LONGEST_SIDE = 1280; // of the frames that are sent
const LIST_PAUSE = 500; // milliseconds between changes of the list: it is there to be read

export class LiveView {
  #parts = partsOf("live");
  #overlay = new Overlay(this.#parts.overlay);
  #motion = new Motion();
  #meter = new Meter();
  #grabber = new Grabber(LONGEST_SIDE);
  #list = new FacesList(this.#parts.list, (face) => this.#correct(face));
  /** @type {LiveLink | null} */
  #link = null;
  /** @type {() => void} */
  #stopFrames = () => {};
  /** @type {LiveRow | null} */
  #row = null;
  #paused = false;
  #encoding = false;

  constructor() {
    const parts = this.#parts;
    parts.start.addEventListener("click", () => this.#start());
    parts.stop.addEventListener("click", () => this.#stop());
    parts.pause.addEventListener("click", () => this.#pause(!this.#paused));
    parts.camera.addEventListener("change", () => this.#link && this.#start());
    for (const name of ["mirror", "hideNames"]) keepChecked(parts[name], `manyfaces.${name}`);
    parts.mirror.addEventListener("change", () => this.#mirror());
    parts.hideNames.addEventListener("change", () => this.#showList());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#listCameras());
    onLanguage(() => this.#listCameras());
    this.#mirror();
    this.#listCameras();
  }

  async #start() {
    this.#stop();
    showFault(this.#parts.fault, null);
    try {
      await request("v1/system"); // a token is asked for before the camera is
      await startCamera(this.#parts.video, this.#parts.camera.value);
    } catch (error) {
      showFault(this.#parts.fault, error);
      return;
    }
    whenCameraEnds(this.#parts.video, () => this.#stop());
    this.#run();
    this.#listCameras();
  }

  #run() {
    const { stage, video } = this.#parts;
    stage.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
    this.#meter = new Meter();
    this.#link = new LiveLink({
      row: (row) => this.#take(row),
      state: (state) => this.#showState(state),
      refused: (reason) => showFault(this.#parts.fault, { message: word("fault.refused"), detail: reason }),
    });
    this.#link.open();
    this.#stopFrames = everyFrame(video, () => this.#send());
    this.#showControls(true);
    activity("live", true);
    requestAnimationFrame(() => this.#draw());
  }

  #stop() {
    if (!this.#link) return;
    this.#stopFrames();
    this.#link.close();
    this.#link = null;
    this.#row = null;
    stopCamera(this.#parts.video);
    this.#motion.forget();
    this.#overlay.clear();
    this.#pause(false);
    this.#showControls(false);
    this.#showList();
    activity("live", false);
    announce(word("live.stopped"));
  }

  /** @param {boolean} paused */
  #pause(paused) {
    this.#paused = paused;
    this.#parts.pause.setAttribute("aria-pressed", String(paused));
    say(this.#parts.pause, paused ? "live.resume" : "live.pause");
    if (!this.#link) return;
    if (paused) this.#parts.video.pause();
    else this.#parts.video.play();
    activity("live", !paused);
    this.#showState(paused ? "paused" : "open");
  }

  /** Send the frame on display, if the server has room for one more. */
  async #send() {
    const now = performance.now();
    if (this.#paused || this.#encoding || !this.#link?.isReady(now)) return;
    this.#encoding = true;
    try {
      this.#link.send(await this.#grabber.grab(this.#parts.video), now);
    } finally {
      this.#encoding = false;
    }
  }

  /** @param {LiveRow} row */
  #take(row) {
    if (!this.#link || this.#paused) return;
    const now = performance.now();
    this.#meter.see(now, row);
    if (!row.error) {
      this.#row = row;
      this.#motion.see(row.faces, row.sent, now);
      mention(summary(row.faces, this.#parts.hideNames.checked));
    }
    this.#showList();
  }

  #draw() {
    if (!this.#link) return;
    requestAnimationFrame(() => this.#draw());
    const { overlay, mirror, hideNames } = this.#parts;
    fitCanvas(overlay);
    this.#overlay.clear();
    if (!this.#row) return;
    const now = performance.now();
    // A paused picture stands still, and so do the boxes on it.
    const faces = this.#motion.at(this.#paused ? this.#row.sent : now, calm());
    const scale = overlay.width / this.#row.width;
    this.#overlay.draw(faces, { scale, letters: lettersFor(overlay), colours: "track", mirrored: mirror.checked, hideNames: hideNames.checked });
    // What stands on the picture, for whoever wants to follow along: a test, an extension.
    overlay.dispatchEvent(new CustomEvent("drawn", { detail: { faces, width: this.#row.width, height: this.#row.height } }));
  }

  #showList = throttled(() => {
    const { overlay, hideNames, nobody, fps, latency, count, dropped } = this.#parts;
    const faces = this.#row?.faces ?? [];
    this.#list.show(faces, hideNames.checked);
    nobody.hidden = faces.length > 0;
    say(overlay, "live.overlayOf", () => ({ summary: summary(faces, hideNames.checked) }), "aria-label");
    const figures = this.#link ? this.#meter.figures(performance.now()) : null;
    fps.textContent = figures ? formatted(figures.rate, { maximumFractionDigits: 1 }) : "–";
    latency.textContent = figures?.latency ? `${formatted(figures.latency, { maximumFractionDigits: 0 })} ms` : "–";
    count.textContent = figures ? formatted(faces.length) : "–";
    dropped.textContent = figures ? formatted(figures.dropped) : "–";
  }, LIST_PAUSE);

  /** @param {string} state */
  #showState(state) {
    const { stage, signWords } = this.#parts;
    stage.dataset.state = state;
    say(signWords, `live.state.${state}`);
    if (state === "lost") announce(word("live.state.lost"));
  }

  /** @param {boolean} running */
  #showControls(running) {
    const { start, stop, pause, invitation, sign } = this.#parts;
    const moveFocus = document.activeElement === start || document.activeElement === stop;
    start.hidden = running;
    invitation.hidden = running;
    stop.hidden = pause.hidden = sign.hidden = !running;
    if (moveFocus) (running ? stop : start).focus(); // the button that had it is gone
  }

  #mirror() {
    this.#parts.video.classList.toggle("mirrored", this.#parts.mirror.checked);
  }

  async #listCameras() {
    const { camera } = this.#parts;
    const chosen = camera.value;
    const found = await cameras();
    const options = found.map((device, at) => make("option", { value: device.deviceId }, device.label || word("camera.numbered", { number: at + 1 })));
    camera.replaceChildren(...(options.length ? options : [make("option", { value: "" }, word("camera.any"))]));
    if (found.some((device) => device.deviceId === chosen)) camera.value = chosen;
  }

  /** @param {Face} face */
  async #correct(face) {
    const { video } = this.#parts;
    if (!this.#row || !video.videoWidth) return;
    const scale = video.videoWidth / this.#row.width;
    const shown = this.#motion.at(performance.now(), true);
    const enlarged = (/** @type {Face[]} */ faces) => faces.map(({ box }) => box.map((edge) => edge * scale));
    const [box = face.box] = enlarged(shown.filter((each) => each.track === face.track));
    const others = enlarged(shown.filter((each) => each.track !== face.track));
    const size = { width: video.videoWidth, height: video.videoHeight };
    try {
      await correct(await cropped(video, size, box, others), who(face) || word("face.unknown"));
    } catch (error) {
      showFault(this.#parts.fault, error);
    }
  }
}

/** @param {HTMLInputElement} box @param {string} key */
function keepChecked(box, key) {
  box.checked = localStorage.getItem(key) === "yes";
  box.addEventListener("change", () => localStorage.setItem(key, box.checked ? "yes" : "no"));
}
