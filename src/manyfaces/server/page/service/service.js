/** The server, as functions. Every failure is a `Fault` whose text can be shown. */

import { word } from "../shell/words.js";
import { askForToken, token } from "./token.js";

/** @typedef {import("../types.js").Row} Row */
/** @typedef {import("../types.js").Advice} Advice */
/** @typedef {import("../types.js").Person} Person */

const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

/** What went wrong. `detail` is the server's own sentence, in English. */
export class Fault extends Error {
  /** @param {string} message @param {string} [detail] @param {number} [status] */
  constructor(message, detail = "", status = 0) {
    super(message);
    this.detail = detail;
    this.status = status;
  }
}

/** An address of the server, also where a proxy serves it under a path of its own. @param {string} path */
export function address(path) {
  return new URL(path, new URL("./", document.baseURI));
}

/** @returns {Record<string, string>} */
export function authorization() {
  return token() ? { Authorization: `Bearer ${token()}` } : {};
}

/**
 * Ask the server; ask the user for a token when the server wants one.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function request(path, options = {}) {
  const response = await sent(path, options);
  if (response.ok) return response;
  if (asksForToken(response.status, path, options) && (await askForToken())) return request(path, options);
  throw await faultOf(response.status, await response.text());
}

/** A token that may do too little is asked about only where the user wanted to change something, never in passing.
 * @param {number} status @param {string} path @param {RequestInit} options */
function asksForToken(status, path, { method = "GET" }) {
  return status === UNAUTHORIZED || (status === FORBIDDEN && token() !== "" && method !== "GET" && path.startsWith("v1/people"));
}

/** @param {string} path @param {RequestInit} options */
async function sent(path, options) {
  try {
    return await fetch(address(path), { ...options, headers: { ...authorization(), ...options.headers } });
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") throw error;
    throw new Fault(word("fault.unreachable"));
  }
}

/**
 * The fault that an answer speaks of: a problem document, or whatever a proxy says instead.
 * @param {number} status
 * @param {string} text
 */
export function faultOf(status, text) {
  let detail = "";
  try {
    detail = JSON.parse(text).detail ?? "";
  } catch {
    // not the server's own words, so nothing to show
  }
  const message = status === 401 || status === 403 ? "fault.forbidden" : status === 503 || status === 429 ? "fault.busy" : "fault.refused";
  return new Fault(word(message), typeof detail === "string" ? detail : "", status);
}

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
async function json(path, options) {
  return (await request(path, options)).json();
}

/** @param {Record<string, string | Blob | Blob[]>} fields */
function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const part of Array.isArray(value) ? value : [value]) {
      if (part instanceof Blob) data.append(name, part, part instanceof File ? part.name : "photo.png");
      else data.append(name, part);
    }
  }
  return data;
}

/** @param {File} picture @param {AbortSignal} [signal] @returns {Promise<Row>} */
export async function analyze(picture, signal) {
  const answer = await json("v1/analyze", { method: "POST", body: form({ pictures: picture }), signal });
  return answer.results[0];
}

/** @param {Blob} picture @param {AbortSignal} [signal] @returns {Promise<Advice>} */
export async function advise(picture, signal) {
  return json("v1/faces/quality", { method: "POST", body: form({ picture }), signal });
}

/** @returns {Promise<{people: Person[], gallery: Record<string, any>}>} */
export function listPeople() {
  return json("v1/people");
}

/**
 * Add photos of somebody who has agreed.
 * @param {string} name
 * @param {Blob[]} photos
 * @returns {Promise<{added: number, refused: {photo: string, reason: string}[]}>}
 */
export function addPhotos(name, photos) {
  return json(personPath(name), { method: "POST", body: form({ photos, consent: "true" }) });
}

/** @param {string} name @param {string} to */
export function renamePerson(name, to) {
  const body = JSON.stringify({ to });
  return request(`${personPath(name)}/rename`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
}

/** @param {string} name */
export function removePerson(name) {
  return request(personPath(name), { method: "DELETE" });
}

/** @returns {Promise<Record<string, any>>} */
export function calibrate() {
  return json("v1/people/calibrate", { method: "POST" });
}

/** @returns {Promise<Record<string, any>>} */
export function system() {
  return json("v1/system");
}

/** Not ready is an answer too, so this one does not fail on it. @returns {Promise<Record<string, any>>} */
export async function health() {
  return (await sent("v1/health", {})).json();
}

/** @returns {Promise<string>} */
export async function metrics() {
  return (await request("metrics")).text();
}

/** @param {string} name */
function personPath(name) {
  return `v1/people/${encodeURIComponent(name)}`;
}
