/** The webcam: asked for only when the user starts it, and given back when it is stopped. */

import { Fault } from "./service.js";
import { word } from "../shell/words.js";

/**
 * Start a camera and show it.
 * @param {HTMLVideoElement} video
 * @param {string} deviceId "" for whichever the browser prefers
 */
export async function startCamera(video, deviceId = "") {
  if (!navigator.mediaDevices) throw new Fault(word("camera.insecure")); // http from another machine
  const wish = { width: { ideal: 1280 }, height: { ideal: 720 }, ...(deviceId ? { deviceId: { exact: deviceId } } : {}) };
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
    await video.play();
  } catch (error) {
    stopCamera(video);
    throw new Fault(word(reasonOf(/** @type {Error} */ (error).name)));
  }
}

/** @param {HTMLVideoElement} video */
export function stopCamera(video) {
  const stream = /** @type {MediaStream | null} */ (video.srcObject);
  for (const track of stream?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

/** Called when the camera goes by itself: unplugged, or taken back in the browser's settings.
 * @param {HTMLVideoElement} video @param {() => void} act */
export function whenCameraEnds(video, act) {
  const stream = /** @type {MediaStream | null} */ (video.srcObject);
  for (const track of stream?.getVideoTracks() ?? []) track.addEventListener("ended", act, { once: true });
}

/** The cameras there are; they have names only after the user has allowed one. */
export async function cameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((device) => device.kind === "videoinput");
}

/** @param {string} name */
function reasonOf(name) {
  if (name === "NotAllowedError" || name === "SecurityError") return "camera.denied";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "camera.missing";
  return "camera.busy"; // most often another program has it
}

/**
 * Call for every new frame of a video; the answer stops it.
 * @param {HTMLVideoElement} video
 * @param {() => void} act
 */
export function everyFrame(video, act) {
  let running = true;
  let lastTime = -1;
  const ask = () =>
    "requestVideoFrameCallback" in video ? video.requestVideoFrameCallback(step) : requestAnimationFrame(onDisplay);
  const onDisplay = () => (video.currentTime === lastTime ? running && ask() : step()); // Firefox before 132
  const step = () => {
    if (!running) return;
    lastTime = video.currentTime;
    act();
    ask();
  };
  ask();
  return () => {
    running = false;
  };
}
