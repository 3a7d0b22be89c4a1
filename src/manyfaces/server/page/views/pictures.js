/** The Pictures tab: drop many, watch them come back, look at each, take the results along. */

import { cropped, asBlob } from "../faces/crop.js";
import { summary, who } from "../faces/labels.js";
import { asCsv, asJsonLines } from "../faces/table.js";
import { analyze } from "../service/service.js";
import { activity } from "../shell/activity.js";
import { announce } from "../shell/announce.js";
import { make, partsOf, save, saveText, takeFiles } from "../shell/elements.js";
import { onLanguage, say, word } from "../shell/words.js";
import { correct } from "./correction.js";
import { showFault } from "./faults.js";
import { faceRows } from "./faces-table.js";
import { drawPicture, thumbnail } from "./picture.js";

/** @typedef {import("../types.js").Row} Row */
/** @typedef {import("../types.js").Face} Face */
/** @typedef {{file: File, button: HTMLButtonElement, row: Row | null, error: unknown}} Item */

const AT_ONCE = 3; // requests under way: their pictures share the server's batches
const LARGEST_SHOWN = 1600; // pixels of the longer side on the page; the download has all of them

export class PicturesView {
  #parts = partsOf("pictures");
  /** @type {Item[]} */
  #items = [];
  /** @type {Item[]} */
  #waiting = [];
  #underWay = 0;
  /** @type {Item | null} */
  #chosen = null;
  #breaker = new AbortController();

  constructor() {
    const parts = this.#parts;
    takeFiles(parts.drop, parts.input, (files) => this.#add(files));
    parts.cancel.addEventListener("click", () => this.#cancel());
    parts.clear.addEventListener("click", () => this.#clear());
    parts.strip.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#walk(event));
    parts.allJson.addEventListener("click", () => saveText(asJsonLines(this.#rows()), "manyfaces.jsonl", "application/jsonl"));
    parts.allCsv.addEventListener("click", () => saveText(asCsv(this.#rows()), "manyfaces.csv", "text/csv"));
    parts.png.addEventListener("click", () => this.#savePng());
    parts.json.addEventListener("click", () => this.#saveOne("json", (rows) => JSON.stringify(rows[0], null, 2)));
    parts.csv.addEventListener("click", () => this.#saveOne("csv", asCsv));
    onLanguage(() => {
      this.#showProgress();
      if (this.#chosen) this.#show(this.#chosen);
    });
  }

  /** @param {File[]} files */
  #add(files) {
    const items = files.map((file) => this.#item(file));
    this.#items.push(...items);
    this.#waiting.push(...items);
    this.#parts.strip.append(...items.map((item) => make("li", {}, item.button)));
    this.#fill();
  }

  /** @param {File} file @returns {Item} */
  #item(file) {
    const button = make("button", { type: "button", class: "thumb", "aria-pressed": "false" }, make("span", { class: "thumb-name" }, file.name));
    const item = { file, button, row: null, error: null };
    button.addEventListener("click", () => this.#show(item));
    mark(item, "waiting");
    return item;
  }

  #fill() {
    while (this.#waiting.length && this.#underWay < AT_ONCE) this.#work(/** @type {Item} */ (this.#waiting.shift()));
    this.#showProgress();
  }

  /** @param {Item} item */
  async #work(item) {
    this.#underWay += 1;
    mark(item, "working");
    try {
      item.row = await analyze(item.file, this.#breaker.signal);
      item.error = item.row.error ? { message: word("pictures.broken"), detail: item.row.error } : null;
      if (!item.error) item.button.prepend(await thumbnail(item.file, item.row));
    } catch (error) {
      item.error = error;
    }
    this.#underWay -= 1;
    if (!this.#items.includes(item)) return; // cleared meanwhile
    mark(item, item.error ? "failed" : "done");
    const isLast = !this.#waiting.length && !this.#underWay;
    if (!this.#chosen && (!item.error || isLast)) await this.#show(item);
    this.#fill();
  }

  #cancel() {
    const undone = this.#items.filter((item) => !item.row && !item.error);
    this.#breaker.abort();
    this.#breaker = new AbortController();
    this.#waiting = [];
    for (const item of undone) item.button.parentElement?.remove();
    this.#items = this.#items.filter((item) => !undone.includes(item));
    this.#showProgress();
  }

  #clear() {
    this.#cancel();
    this.#items = [];
    this.#chosen = null;
    this.#parts.strip.replaceChildren();
    this.#parts.viewer.hidden = true;
    this.#showProgress();
    this.#parts.input.focus();
  }

  #showProgress() {
    const { progress, progressBar, progressWords, downloads, summary: place } = this.#parts;
    const done = this.#items.filter((item) => item.row || item.error);
    const busy = done.length < this.#items.length;
    if (!busy && !progress.hidden && done.length) announce(this.#summary());
    progress.hidden = !busy;
    progressBar.max = this.#items.length || 1;
    progressBar.value = done.length;
    say(progressWords, "pictures.done", { done: done.length, all: this.#items.length });
    downloads.hidden = done.length === 0;
    place.textContent = this.#summary();
    activity("pictures", busy);
  }

  #summary() {
    const failed = this.#items.filter((item) => item.error).length;
    const faces = this.#rows().reduce((sum, row) => sum + row.faces.length, 0);
    const pictures = word("pictures.count", { count: this.#items.length });
    const parts = [pictures, word("faces.count", { count: faces }), failed ? word("pictures.failed", { count: failed }) : ""];
    return parts.filter(Boolean).join(" · ");
  }

  #rows() {
    return this.#items.flatMap((item) => (item.row ? [item.row] : []));
  }

  /** Arrow keys go through the strip. @param {KeyboardEvent} event */
  #walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const here = this.#items.findIndex((item) => item.button === document.activeElement);
    const next = step && this.#items[here + step];
    if (here < 0 || !next) return;
    event.preventDefault();
    next.button.focus();
  }

  /** @param {Item} item */
  async #show(item) {
    const { viewer, title, fault, canvas, pictureDownloads, tableScroll, rows } = this.#parts;
    this.#chosen = item;
    for (const each of this.#items) each.button.setAttribute("aria-pressed", String(each === item));
    viewer.hidden = false;
    title.textContent = item.file.name;
    showFault(fault, item.error);
    canvas.hidden = pictureDownloads.hidden = tableScroll.hidden = !item.row || Boolean(item.error);
    if (!item.row || item.error) return;
    await drawPicture(canvas, item.file, item.row, LARGEST_SHOWN);
    canvas.setAttribute("aria-label", `${item.file.name}: ${summary(item.row.faces, false)}`);
    rows.replaceChildren(...faceRows(item.row.faces, (face) => this.#correct(item, face)));
  }

  async #savePng() {
    const canvas = document.createElement("canvas");
    const item = /** @type {Item} */ (this.#chosen);
    await drawPicture(canvas, item.file, /** @type {Row} */ (item.row), Infinity);
    save(await asBlob(canvas, "image/png"), `${stem(item.file.name)}-annotated.png`);
  }

  /** @param {string} suffix @param {(rows: Row[]) => string} write */
  #saveOne(suffix, write) {
    const item = /** @type {Item} */ (this.#chosen);
    saveText(write([/** @type {Row} */ (item.row)]), `${stem(item.file.name)}.${suffix}`, suffix === "csv" ? "text/csv" : "application/json");
  }

  /** @param {Item} item @param {Face} face */
  async #correct(item, face) {
    try {
      const bitmap = await createImageBitmap(item.file);
      const { faces, width } = /** @type {Row} */ (item.row);
      const enlarged = (/** @type {Face} */ { box }) => box.map((edge) => (edge * bitmap.width) / width);
      const crop = await cropped(bitmap, bitmap, enlarged(face), faces.filter((other) => other !== face).map(enlarged));
      const correction = await correct(crop, who(face) || word("face.unknown"));
      if (!correction) return;
      // The user knows better than any network; what is downloaded says so too.
      Object.assign(face, { identity: correction.name, identity_confidence: correction.name ? 1 : null });
      await this.#show(item);
    } catch (error) {
      showFault(this.#parts.fault, error);
    }
  }
}

/** @param {Item} item @param {"waiting" | "working" | "done" | "failed"} state */
function mark(item, state) {
  item.button.dataset.state = state;
  say(item.button, "pictures.item", () => ({ name: item.file.name, state: word(`pictures.state.${state}`) }), "aria-label");
}

/** @param {string} name */
function stem(name) {
  return name.replace(/\.[^.]*$/, "");
}
