/** The System tab: what this machine does, how busy it is, and which models under which terms do the work. */

import { sparkline } from "../charts.js";
import { parseMetrics, total } from "../service/prometheus.js";
import { health, metrics, system } from "../service/service.js";
import { make, partsOf } from "../shell/elements.js";
import { clock, formatted, knows, onLanguage, word } from "../shell/words.js";
import { showFault } from "./faults.js";

/** @typedef {import("../service/prometheus.js").Sample} Sample */
/** @typedef {{key: string, of: (now: Sample[], before: Sample[], seconds: number) => number | null, digits: number, unit?: string}} Figure */

const PAUSE = 2000; // milliseconds between two looks
const FINGERPRINT = 12; // letters of a hash that are shown
const PLACES = 60; // looks that a chart shows: two minutes

/** @type {Figure[]} */
const FIGURES = [
  { key: "frames", of: rate("manyfaces_frames_total"), digits: 1 },
  { key: "faces", of: rate("manyfaces_faces_total"), digits: 1 },
  { key: "waiting", of: (now) => total(now, "manyfaces_queue_depth"), digits: 0 },
  { key: "dropped", of: rate("manyfaces_dropped_total"), digits: 1 },
  { key: "detect", of: meanMilliseconds("detect"), digits: 1, unit: "ms" },
  { key: "emotion", of: meanMilliseconds("emotion"), digits: 1, unit: "ms" },
  { key: "identity", of: meanMilliseconds("identity"), digits: 1, unit: "ms" },
  { key: "clients", of: (now) => total(now, "manyfaces_clients"), digits: 0 },
];

export class SystemView {
  #parts = partsOf("system");
  /** @type {Map<string, (number | null)[]>} */
  #history = new Map(FIGURES.map(({ key }) => [key, []]));
  /** @type {Sample[]} */
  #before = [];
  #beforeAt = 0;
  #timer = 0;
  /** @type {Record<string, any> | null} */
  #about = null;

  constructor() {
    onLanguage(() => this.#showAll());
  }

  shown() {
    this.#look();
    this.#timer = window.setInterval(() => document.hidden || this.#look(), PAUSE);
  }

  hidden() {
    clearInterval(this.#timer);
  }

  async #look() {
    try {
      const [about, state, text] = await Promise.all([system(), health(), metrics()]);
      this.#about = { ...about, health: state };
      this.#remember(parseMetrics(text), performance.now());
      showFault(this.#parts.fault, null);
    } catch (error) {
      showFault(this.#parts.fault, error);
    }
    this.#showAll();
  }

  /** @param {Sample[]} now @param {number} time */
  #remember(now, time) {
    const seconds = (time - this.#beforeAt) / 1000;
    for (const { key, of } of FIGURES) {
      const values = /** @type {(number | null)[]} */ (this.#history.get(key));
      values.push(this.#before.length ? of(now, this.#before, seconds) : null);
      if (values.length > PLACES) values.shift();
    }
    [this.#before, this.#beforeAt] = [now, time];
  }

  #showAll() {
    if (!this.#about) return;
    const { tiles, models, ...places } = this.#parts;
    tiles.replaceChildren(...FIGURES.map((figure) => this.#tile(figure)));
    const { version, uptime, role, tokens, health: state, ...parts } = this.#about;
    fillPairs(places.health, { version, ...state, uptime: clock(uptime), role, tokens });
    for (const part of ["gallery", "plan", "options", "queues", "limits"]) fillPairs(places[part], parts[part] ?? {}, `${part}.`);
    models.replaceChildren(...(parts.models ?? []).map(modelRow));
  }

  /** @param {Figure} figure */
  #tile({ key, digits, unit }) {
    const values = /** @type {(number | null)[]} */ (this.#history.get(key));
    const newest = values.findLast((value) => value !== null) ?? null;
    const figure = newest === null ? "–" : formatted(newest, { maximumFractionDigits: digits });
    const label = word(`system.${key}`);
    const shown = unit && newest !== null ? `${figure} ${unit}` : figure;
    return make("div", { class: "tile" }, make("span", { class: "soft" }, label), make("b", {}, shown), sparkline(values, PLACES, `${label}: ${shown}`));
  }
}

/** How fast a counter grows. @param {string} name @returns {Figure["of"]} */
function rate(name) {
  return (now, before, seconds) => {
    const [newer, older] = [total(now, name), total(before, name)];
    return newer === null ? null : Math.max(0, newer - (older ?? 0)) / seconds;
  };
}

/** What one call of a stage took since the last look; null where there was none. @param {string} stage @returns {Figure["of"]} */
function meanMilliseconds(stage) {
  return (now, before) => {
    const grown = (/** @type {string} */ name) => (total(now, name, { stage }) ?? 0) - (total(before, name, { stage }) ?? 0);
    const calls = grown("manyfaces_stage_seconds_count");
    return calls > 0 ? (1000 * grown("manyfaces_stage_seconds_sum")) / calls : null;
  };
}

/** @param {HTMLElement} list @param {Record<string, unknown>} values @param {string} [part] of the system they belong to */
function fillPairs(list, values, part = "") {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  list.replaceChildren(...pairs.flatMap(([name, value]) => [make("dt", {}, named(part + name)), make("dd", {}, written(value))]));
}

/** What the server calls something, in the user's words where we have them. @param {string} name */
function named(name) {
  const bare = name.slice(name.indexOf(".") + 1);
  return knows(`system.name.${name}`) ? word(`system.name.${name}`) : bare.replaceAll("_", " ");
}

/** @param {unknown} value @returns {string} */
function written(value) {
  if (typeof value === "boolean") return word(value ? "yes" : "no");
  if (typeof value === "number") return formatted(value, { maximumFractionDigits: 3 });
  if (Array.isArray(value)) return value.map(written).join(", ") || "–";
  if (value && typeof value === "object") {
    return Object.entries(value).map(([name, inner]) => `${named(name)} ${written(inner)}`).join(" · ");
  }
  return String(value);
}

/** @param {Record<string, any>} model */
function modelRow(model) {
  return make(
    "tr",
    {},
    make("td", {}, model.name),
    make("td", {}, named(`task.${model.task}`)),
    make("td", { lang: "en" }, model.licence),
    make("td", {}, make("code", { title: model.sha256 }, model.sha256.slice(0, FINGERPRINT))),
  );
}
