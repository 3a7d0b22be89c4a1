/** Questions that must be answered before going on. The browser's own dialog keeps the focus and gives it back. */

import { make } from "./elements.js";
import { word } from "./words.js";

/**
 * Show a dialog and wait for its answer: the value of the button that closed it, "" when it was dismissed.
 * @param {string} title
 * @param {Node[]} content
 * @param {HTMLButtonElement[]} buttons
 * @returns {Promise<string>}
 */
export function ask(title, content, buttons) {
  const heading = make("h2", { id: `dialog-${crypto.getRandomValues(new Uint32Array(1))[0]}` }, title);
  const form = make("form", { method: "dialog" }, heading, ...content, make("div", { class: "controls end" }, ...buttons));
  const dialog = /** @type {HTMLDialogElement} */ (make("dialog", { "aria-labelledby": heading.id }, form));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

/**
 * A button that closes the dialog with an answer. The one with a kind is what Enter means, and asks for the fields to be
 * filled; the others must be no submit buttons, for Enter takes the first of those.
 * @param {string} key of its word
 * @param {string} value
 * @param {string} [kind] "primary" or "danger"
 * @returns {HTMLButtonElement}
 */
export function answer(key, value, kind) {
  if (kind) return make("button", { value, class: kind }, word(key));
  const close = (/** @type {Event} */ event) => /** @type {HTMLElement} */ (event.currentTarget).closest("dialog")?.close(value);
  return make("button", { type: "button", onclick: close }, word(key));
}

/**
 * Yes or no.
 * @param {string} title
 * @param {string} text
 * @param {string} action key of the word on the button that goes on
 */
export async function confirmed(title, text, action) {
  return (await ask(title, [make("p", {}, text)], [answer("cancel", ""), answer(action, "yes", "danger")])) === "yes";
}

/**
 * A line of text, or null when it was dismissed.
 * @param {string} title
 * @param {string} label
 * @param {string} action
 * @param {{value?: string, type?: string}} [options]
 */
export async function asked(title, label, action, { value = "", type = "text" } = {}) {
  const input = make("input", { type, value, required: true, maxlength: 4096, autofocus: true, autocomplete: "off" });
  const field = make("label", { class: "field" }, make("span", {}, label), input);
  const chosen = await ask(title, [field], [answer("cancel", ""), answer(action, "yes", "primary")]);
  return chosen === "yes" ? input.value.trim() : null;
}
