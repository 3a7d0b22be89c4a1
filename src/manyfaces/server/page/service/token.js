/** The token that a server off this machine asks for. Kept for this tab only, and forgotten when it closes. */

import { asked } from "../shell/dialogs.js";
import { word } from "../shell/words.js";

const KEPT = "manyfaces.token";

/** @type {Promise<boolean> | null} one dialogue, however many requests were refused at once */
let asking = null;

export function token() {
  return sessionStorage.getItem(KEPT) ?? "";
}

/** Ask for a token; false when the user would rather not. */
export function askForToken() {
  asking ??= (async () => {
    const given = await asked(word("token.title"), word(token() ? "token.wrong" : "token.label"), "token.use", { type: "password" });
    if (given) sessionStorage.setItem(KEPT, given);
    return Boolean(given);
  })().finally(() => (asking = null));
  return asking;
}

/** As a WebSocket carries it, which can send no headers: among its subprotocols, in base64url. */
export function tokenAsSubprotocols() {
  if (!token()) return ["manyfaces"];
  const bytes = String.fromCharCode(...new TextEncoder().encode(token()));
  const encoded = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["manyfaces", `bearer.${encoded}`];
}
