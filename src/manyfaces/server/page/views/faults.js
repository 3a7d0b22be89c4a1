/** How a view says that something failed: our sentence in the user's language, the server's own after it. */

import { make } from "../shell/elements.js";
import { word } from "../shell/words.js";

/**
 * Show a fault, or take it away with null. A request that the user broke off is none.
 * @param {HTMLElement} place
 * @param {unknown} error
 */
export function showFault(place, error) {
  const failure = /** @type {{name?: string, message?: string, detail?: string} | null} */ (error);
  if (failure?.name === "AbortError") return;
  place.hidden = !failure;
  if (!failure) return;
  const message = failure.message || word("fault.refused");
  place.replaceChildren(message, ...(failure.detail ? [" ", make("span", { lang: "en" }, failure.detail)] : []));
}
