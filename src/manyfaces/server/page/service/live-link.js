/** The line to the server that frames go out on and rows come back on. It comes back by itself when it breaks. */

import { address } from "./service.js";
import { tokenAsSubprotocols } from "./token.js";

/** @typedef {import("../types.js").LiveRow} LiveRow */
/** @typedef {"connecting" | "open" | "lost" | "closed"} LinkState */

const MOST_UNDER_WAY = 2; // one being read while the next is on its way; more would only be older
const GIVEN_UP = 4000; // milliseconds after which an unanswered frame is not waited for
const PAUSES = [500, 1000, 2000, 4000, 8000];

export class LiveLink {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {number[]} when the frames were taken that are not answered yet */
  #underWay = [];
  #failures = 0;
  #closed = false;
  #hear;

  /** @param {{row: (row: LiveRow) => void, state: (state: LinkState) => void, refused?: (reason: string) => void}} hear */
  constructor(hear) {
    this.#hear = hear;
  }

  open() {
    if (this.#closed) return;
    this.#hear.state("connecting");
    const url = address("v1/live");
    url.protocol = url.protocol.replace("http", "ws");
    this.#underWay = [];
    const socket = new WebSocket(url, tokenAsSubprotocols());
    socket.addEventListener("open", () => this.#hear.state("open"));
    socket.addEventListener("message", (event) => this.#take(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => this.#again(event));
    this.#socket = socket;
  }

  close() {
    this.#closed = true;
    this.#socket?.close(1000);
    this.#hear.state("closed");
  }

  /** Whether another frame is worth sending now. @param {number} now */
  isReady(now) {
    this.#underWay = this.#underWay.filter((sent) => now - sent < GIVEN_UP);
    return this.#socket?.readyState === WebSocket.OPEN && this.#underWay.length < MOST_UNDER_WAY;
  }

  /** @param {Blob} frame @param {number} sent when it was taken */
  send(frame, sent) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#underWay.push(sent);
    this.#socket.send(JSON.stringify({ sent }));
    this.#socket.send(frame);
  }

  /** The newest frame wins, so an answer settles all frames before it. @param {LiveRow} row */
  #take(row) {
    this.#failures = 0;
    this.#underWay = this.#underWay.filter((sent) => sent > (row.sent ?? Infinity));
    this.#hear.row(row);
  }

  /** @param {CloseEvent} event */
  #again(event) {
    if (this.#closed) return;
    if (event.reason) this.#hear.refused?.(event.reason);
    this.#hear.state("lost");
    const pause = PAUSES[Math.min(this.#failures, PAUSES.length - 1)];
    this.#failures += 1;
    setTimeout(() => this.open(), pause);
  }
}
