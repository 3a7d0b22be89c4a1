/**
 * Sends a video and hands its rows on as they come. `fetch` cannot tell how much has been sent, XMLHttpRequest can, and
 * it gives an answer's beginning before its end.
 */

import { address, authorization, Fault, faultOf, request } from "./service.js";
import { word } from "../shell/words.js";

/** @typedef {import("../types.js").Row} Row */

const LONGEST_NAME = 120; // letters of a stream's name that the server takes

/**
 * @param {File} file
 * @param {{sent: (share: number) => void, row: (row: Row) => void}} hear
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export async function uploadVideo(file, hear, signal) {
  await request("v1/people", { signal }); // a token is asked for now, not after a gigabyte has been sent
  await send(file, hear, signal);
}

/** @param {File} file @param {{sent: (share: number) => void, row: (row: Row) => void}} hear @param {AbortSignal} signal
 * @returns {Promise<void>} */
function send(file, hear, signal) {
  const call = new XMLHttpRequest();
  const read = lineReader((line) => hear.row(JSON.parse(line)));
  call.open("POST", address(`v1/videos?stream=${encodeURIComponent(file.name.slice(-LONGEST_NAME))}`));
  for (const [name, value] of Object.entries(authorization())) call.setRequestHeader(name, value);
  call.setRequestHeader("Content-Type", file.type || "application/octet-stream");
  call.upload.addEventListener("progress", (event) => event.lengthComputable && hear.sent(event.loaded / event.total));
  call.addEventListener("progress", () => call.status === 200 && read(call.responseText));
  signal.addEventListener("abort", () => call.abort());
  return new Promise((resolve, reject) => {
    call.addEventListener("load", () => (call.status === 200 ? resolve(read(call.responseText)) : reject(faultOf(call.status, call.responseText))));
    call.addEventListener("error", () => reject(new Fault(word("fault.broken"))));
    call.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    call.send(file);
  });
}

/**
 * Takes a text that grows and gives each whole line once.
 * @param {(line: string) => void} take
 */
export function lineReader(take) {
  let done = 0;
  return (/** @type {string} */ text) => {
    for (let end = text.indexOf("\n", done); end >= 0; end = text.indexOf("\n", done)) {
      const line = text.slice(done, end).trim();
      done = end + 1;
      if (line) take(line);
    }
  };
}
