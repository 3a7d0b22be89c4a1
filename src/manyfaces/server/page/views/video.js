/** The Video tab: rows as they stream, who was there when, and the moments worth jumping to. */

import { emotionColour, EMOTIONS } from "../faces/emotions.js";
import { momentsOf } from "../faces/moments.js";
import { lettersFor, Overlay } from "../faces/overlay.js";
import { Playback } from "../faces/playback.js";
import { Story } from "../faces/story.js";
import { asCsv, asJsonLines } from "../faces/table.js";
import { uploadVideo } from "../service/upload.js";
import { activity } from "../shell/activity.js";
import { announce } from "../shell/announce.js";
import { make, partsOf, saveText, swatch, takeFiles, throttled } from "../shell/elements.js";
import { clock, emotionWord, formatted, onLanguage, percent, say, word } from "../shell/words.js";
import { fitCanvas } from "./canvas.js";
import { showFault } from "./faults.js";
import { runPlayer } from "./player.js";
import { personName, timeline } from "./timeline.js";

/** @typedef {import("../types.js").Row} Row */
/** @typedef {import("../faces/moments.js").Moment} Moment */

const REDRAW_PAUSE = 700; // milliseconds between new timelines while rows stream in
const MOST_ROWS = 30;

export class VideoView {
  #parts = partsOf("video");
  #overlay = new Overlay(this.#parts.overlay);
  #story = new Story();
  #playback = new Playback();
  #breaker = new AbortController();
  #name = "video";
  #address = "";
  #sent = 0;
  #wanted = 0;
  #busy = false;

  constructor() {
    const parts = this.#parts;
    takeFiles(parts.drop, parts.input, ([file]) => file && this.#begin(file));
    parts.cancel.addEventListener("click", () => this.#breaker.abort());
    parts.json.addEventListener("click", () => saveText(asJsonLines(this.#playback.rows), `${this.#name}.jsonl`, "application/jsonl"));
    parts.csv.addEventListener("click", () => saveText(asCsv(this.#playback.rows), `${this.#name}.csv`, "text/csv"));
    runPlayer(/** @type {any} */ (parts));
    parts.video.addEventListener("error", () => (parts.unplayable.hidden = !this.#address));
    parts.video.addEventListener("loadedmetadata", () => this.#fitStage(parts.video.videoWidth, parts.video.videoHeight));
    onLanguage(() => this.#tell());
    const draw = () => {
      this.#draw();
      requestAnimationFrame(draw);
    };
    draw();
  }

  /** @param {File} file */
  async #begin(file) {
    this.#breaker.abort();
    const breaker = (this.#breaker = new AbortController());
    this.#open(file);
    const hear = {
      sent: (/** @type {number} */ share) => this.#progress(share),
      row: (/** @type {Row} */ row) => this.#breaker === breaker && this.#take(row),
    };
    try {
      await uploadVideo(file, hear, breaker.signal);
      announce(word("video.finished", { count: this.#story.frames }));
    } catch (error) {
      if (this.#breaker === breaker) showFault(this.#parts.fault, error);
    }
    if (this.#breaker !== breaker) return; // another video has begun
    this.#busy = false;
    this.#tell();
  }

  /** @param {File} file */
  #open(file) {
    URL.revokeObjectURL(this.#address);
    [this.#story, this.#playback] = [new Story(), new Playback()];
    [this.#sent, this.#wanted, this.#busy] = [0, 0, true];
    this.#name = file.name.replace(/\.[^.]*$/, "");
    this.#address = URL.createObjectURL(file);
    this.#parts.video.src = this.#address;
    this.#parts.unplayable.hidden = true;
    this.#parts.player.hidden = this.#parts.story.hidden = false;
    showFault(this.#parts.fault, null);
    this.#tell();
  }

  /** @param {number} width @param {number} height */
  #fitStage(width, height) {
    this.#parts.video.parentElement.style.aspectRatio = `${width} / ${height}`;
  }

  /** @param {number} share of the file that is sent */
  #progress(share) {
    this.#sent = share;
    this.#tellSoon();
  }

  /** @param {Row} row */
  #take(row) {
    if (row.error) {
      showFault(this.#parts.fault, { message: word("video.broken"), detail: row.error });
      return;
    }
    if (!this.#playback.rows.length) this.#fitStage(row.width, row.height);
    this.#playback.add(row);
    this.#story.see(row);
    this.#tellSoon();
  }

  #tellSoon = throttled(() => this.#tell(), REDRAW_PAUSE);

  #tell() {
    activity("video", this.#busy);
    this.#tellProgress();
    const people = this.#story.people();
    const span = Math.max(this.#story.end, this.#parts.video.duration || 0, 0.1);
    const seen = EMOTIONS.filter((emotion) => people.some((person) => person.segments.some((part) => part.emotion === emotion)));
    this.#parts.legend.replaceChildren(...seen.map((emotion) => make("li", {}, swatch(emotionColour(emotion)), emotionWord(emotion))));
    this.#parts.timeline.replaceChildren(...timeline(people.slice(0, MOST_ROWS), span, (seconds) => this.#jump(seconds)));
    this.#parts.more.hidden = people.length <= MOST_ROWS;
    say(this.#parts.more, "video.more", { count: people.length - MOST_ROWS });
    this.#tellMoments(momentsOf(people));
  }

  #tellProgress() {
    const { progress, progressBar, progressWords, video } = this.#parts;
    progress.hidden = !this.#busy;
    const looked = video.duration > 0 && Number.isFinite(video.duration) ? Math.min(1, this.#story.end / video.duration) : null;
    if (this.#sent < 1) {
      progressBar.value = this.#sent;
      say(progressWords, "video.sending", () => ({ share: percent(this.#sent) }));
      return;
    }
    if (looked === null) progressBar.removeAttribute("value");
    else progressBar.value = looked;
    say(progressWords, "video.looking", () => ({ frames: formatted(this.#story.frames), time: clock(this.#story.end) }));
  }

  /** @param {Moment[]} moments */
  #tellMoments(moments) {
    const { moments: list, noMoments } = this.#parts;
    // While rows stream in, the focus stays on the moment it is on.
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.moment;
    list.replaceChildren(...moments.map((moment) => make("li", {}, this.#momentButton(moment))));
    if (focused) list.querySelector(`[data-moment="${CSS.escape(focused)}"]`)?.focus();
    noMoments.hidden = moments.length > 0;
  }

  /** @param {Moment} moment */
  #momentButton({ seconds, kind, person, emotion }) {
    const values = { name: personName(person), emotion: emotion ? emotionWord(emotion) : "" };
    return make(
      "button",
      { type: "button", class: "moment", "data-moment": `${kind} ${person.key} ${seconds}`, onclick: () => this.#jump(seconds) },
      make("span", { class: "time" }, clock(seconds)),
      swatch(emotionColour(emotion)),
      make("span", {}, word(`video.moment.${kind}`, values)),
    );
  }

  /** @param {number} seconds */
  #jump(seconds) {
    this.#wanted = seconds;
    this.#parts.video.pause();
    this.#parts.video.currentTime = seconds;
  }

  #draw() {
    const { overlay, video, panel } = this.#parts;
    if (panel.hidden || !this.#address) return;
    fitCanvas(overlay);
    this.#overlay.clear();
    // A file that cannot be played has its boxes all the same: those of the moment that was jumped to.
    const now = this.#playback.at(video.error ? this.#wanted : video.currentTime);
    if (!now) return;
    this.#overlay.draw(now.faces, { scale: overlay.width / now.row.width, letters: lettersFor(overlay), colours: "emotion" });
  }
}
