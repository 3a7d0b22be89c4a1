/** The photos that somebody is to be enrolled from, each with what could be better about it. */

import { advise } from "../service/service.js";
import { make } from "../shell/elements.js";
import { knows, onLanguage, say, word } from "../shell/words.js";

/** @typedef {import("../types.js").Advice} Advice */
/** @typedef {{photo: Blob, entry: HTMLElement, verdict: HTMLElement, advice: Advice | null, picture: string}} Held */

export class Tray {
  /** @type {Held[]} */
  #held = [];
  #list;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
    onLanguage(() => this.#held.forEach(showAdvice));
  }

  get photos() {
    return this.#held.map((held) => held.photo);
  }

  /** @param {Blob} photo @param {string} name */
  async add(photo, name) {
    const held = this.#shown(photo, name);
    try {
      held.advice = await advise(photo);
    } catch {
      return; // no advice, then; the server judges again when the photo is added
    }
    showAdvice(held);
  }

  /** @param {Blob} photo @param {string} name @returns {Held} */
  #shown(photo, name) {
    const picture = URL.createObjectURL(photo);
    const verdict = make("span", { class: "soft" });
    const remove = make("button", { type: "button", class: "quiet", onclick: () => this.#remove(held) });
    say(remove, "people.leaveOut");
    say(remove, "people.leaveOutOf", { name }, "aria-label");
    say(verdict, "people.judging");
    const entry = make("li", {}, make("img", { src: picture, alt: name }), verdict, remove);
    const held = { photo, entry, verdict, advice: null, picture };
    this.#held.push(held);
    this.#list.append(entry);
    return held;
  }

  /** @param {Held} held */
  #remove(held) {
    URL.revokeObjectURL(held.picture);
    this.#held = this.#held.filter((each) => each !== held);
    const next = /** @type {HTMLElement | null} */ ((held.entry.nextElementSibling ?? held.entry.previousElementSibling)?.querySelector("button"));
    held.entry.remove();
    next?.focus();
  }

  clear() {
    for (const held of [...this.#held]) this.#remove(held);
  }
}

/** @param {Held} held */
function showAdvice({ advice, verdict, entry }) {
  if (!advice) return;
  entry.dataset.verdict = advice.good ? "good" : "poor";
  verdict.textContent = adviceText(advice);
}

/**
 * The advice in the user's language where we know the word, else the server's own sentence.
 * @param {Advice} advice
 */
export function adviceText(advice) {
  if (advice.good) return word("advice.good");
  return advice.advice.map((sentence, at) => translated(advice.codes?.[at], sentence)).join(" ");
}

/** @param {string | undefined} code @param {string} sentence */
function translated(code, sentence) {
  return code && knows(`advice.${code}`) ? word(`advice.${code}`) : sentence;
}
