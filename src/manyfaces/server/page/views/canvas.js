/** Canvases that lie over something else. */

/** As many pixels as the display has there. @param {HTMLCanvasElement} canvas */
export function fitCanvas(canvas) {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
}
