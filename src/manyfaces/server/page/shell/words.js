/** The page's words: one file per language, and every text on the page remembers its key so that it can change. */

/** @typedef {Record<string, string | number>} Values */
/** @typedef {Values | (() => Values)} Filling a function where the values are words themselves */

const LANGUAGES = ["en", "vi", "zh"];
const KEPT = "manyfaces.language";
const LANGUAGE_TAGS = /** @type {Record<string, string>} */ ({ en: "en", vi: "vi", zh: "zh-Hans" });

/** @type {Record<string, string | Record<string, string>>} */
let table = {};
let language = "en";
/** @type {Array<() => void>} */
const listeners = [];
/** @type {WeakMap<Element, Map<string, [string, Filling]>>} */
const said = new WeakMap();

/** The language of last time, or the first of the browser's that we speak. */
export function preferredLanguage() {
  const wished = [localStorage.getItem(KEPT), ...navigator.languages].map((tag) => (tag ?? "").slice(0, 2));
  return wished.find((code) => LANGUAGES.includes(code)) ?? "en";
}

/**
 * Change the language of the page.
 * @param {string} code
 */
export async function speak(code) {
  const answer = await fetch(new URL(`../words/${code}.json`, import.meta.url));
  table = await answer.json();
  language = code;
  document.documentElement.lang = LANGUAGE_TAGS[code];
  for (const element of document.querySelectorAll("[data-words], [data-label], [data-said]")) resay(element);
  for (const listener of listeners) listener();
}

/** @param {string} code */
export function keepLanguage(code) {
  localStorage.setItem(KEPT, code);
}

/**
 * Hear of a new language: for what is drawn rather than written.
 * @param {() => void} listener
 */
export function onLanguage(listener) {
  listeners.push(listener);
}

/**
 * The text of a key. `{count}` chooses between plural forms where the language has them.
 * @param {string} key
 * @param {Filling} [filling]
 */
export function word(key, filling = {}) {
  const values = typeof filling === "function" ? filling() : filling;
  const entry = table[key] ?? key;
  const text = typeof entry === "string" ? entry : (entry[pluralForm(Number(values.count))] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/** @param {number} count */
function pluralForm(count) {
  return new Intl.PluralRules(language).select(count);
}

/** @param {string | number | undefined} value */
function shown(value) {
  return typeof value === "number" ? formatted(value) : String(value ?? "");
}

/** Whether there is a text for the key. @param {string} key */
export function knows(key) {
  return key in table;
}

/**
 * Write a text into an element, and write it again when the language changes.
 * @param {Element} element
 * @param {string} key
 * @param {Filling} [filling]
 * @param {string} [place] "text", or the attribute that takes it
 */
export function say(element, key, filling = {}, place = "text") {
  const places = said.get(element) ?? new Map();
  places.set(place, [key, filling]);
  said.set(element, places);
  element.setAttribute("data-said", "");
  put(element, place, word(key, filling));
}

/** @param {Element} element */
function resay(element) {
  const { words, label } = /** @type {HTMLElement} */ (element).dataset;
  if (words) put(element, "text", word(words));
  if (label) put(element, "aria-label", word(label));
  // What a view has said since comes last: it replaces what stood there at first.
  for (const [place, [key, filling]] of said.get(element) ?? []) put(element, place, word(key, filling));
}

/** @param {Element} element @param {string} place @param {string} text */
function put(element, place, text) {
  if (place !== "text") element.setAttribute(place, text);
  else if (element.textContent !== text) element.textContent = text;
}

/**
 * A number as the language writes it.
 * @param {number} value
 * @param {Intl.NumberFormatOptions} [options]
 */
export function formatted(value, options = {}) {
  return new Intl.NumberFormat(LANGUAGE_TAGS[language], options).format(value);
}

/**
 * A share as whole percents, or a dash where it is not known.
 * @param {number | null | undefined} share
 */
export function percent(share) {
  return share === null || share === undefined ? "–" : formatted(share, { style: "percent" });
}

/**
 * A length of time as 1:02:03 or 2:03.4.
 * @param {number} seconds
 */
export function clock(seconds) {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  const [hours, minutes, rest] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, (tenths % 600) / 10];
  const second = rest.toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${second}` : `${minutes}:${second}`;
}

/** An emotion's word; what only another model knows keeps its own. @param {string} emotion */
export function emotionWord(emotion) {
  return knows(`emotion.${emotion}`) ? word(`emotion.${emotion}`) : emotion;
}

/** Names joined as the language joins them. @param {string[]} items */
export function listed(items) {
  return new Intl.ListFormat(LANGUAGE_TAGS[language], { type: "unit", style: "short" }).format(items);
}
