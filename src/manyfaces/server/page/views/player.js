/** The controls of the video: below it, where they hide no face, and in the page's language. */

import { clock, say } from "../shell/words.js";

/** @typedef {{video: HTMLVideoElement, play: HTMLButtonElement, seek: HTMLInputElement, time: HTMLElement}} Parts */

/** @param {Parts} parts */
export function runPlayer({ video, play, seek, time }) {
  const show = () => {
    say(play, video.paused ? "video.play" : "video.pause");
    seek.max = String(video.duration || 0);
    seek.value = String(video.currentTime);
    time.textContent = `${clock(video.currentTime)} / ${clock(video.duration || 0)}`;
    seek.setAttribute("aria-valuetext", clock(video.currentTime));
  };
  play.addEventListener("click", () => (video.paused ? video.play() : video.pause()));
  seek.addEventListener("input", () => (video.currentTime = Number(seek.value)));
  for (const event of ["play", "pause", "timeupdate", "seeked", "loadedmetadata", "emptied"]) video.addEventListener(event, show);
}
