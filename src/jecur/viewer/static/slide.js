// One slide: deep zoom over the server's own reader, layers, readouts, export.

import { blob, download, json, say, token, tried } from "./api.js";
import { Overlay } from "./overlay.js";

const byId = (id) => document.getElementById(id);
const LAYERS = ["heat", "tissue", "regions", "left-out"];

function deepZoom(element, navigator) {
  return OpenSeadragon({
    element,
    drawer: "canvas", // the WebGL one takes seconds where there is no graphics card
    showNavigationControl: false,
    showNavigator: navigator,
    navigatorPosition: "BOTTOM_RIGHT",
    navigatorSizeRatio: 0.16,
    loadTilesWithAjax: true,
    ajaxHeaders: { "X-Jecur-Token": token },
    imageLoaderLimit: 6,
    maxImageCacheCount: 400,
    maxZoomPixelRatio: 4,
    minZoomImageRatio: 0.7,
    visibilityRatio: 0.4,
    animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.4,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    keyboardNavEnabled: true,
  });
}

function source(number, colors, about) {
  return {
    width: about.width,
    height: about.height,
    tileSize: 256,
    tileOverlap: 0,
    minLevel: Math.max(0, Math.min(about.last, 8)), // one tile holds it all
    maxLevel: about.last,
    getTileUrl: (level, x, y) => `/api/slides/${number}/tiles/${colors}/${level}/${x}/${y}`,
  };
}

export function slideView({ run, slides, onMoved }) {
  const viewer = deepZoom(byId("scanned"), true);
  let second = null;
  const overlay = new Overlay(viewer, run.colors);
  const state = { number: -1, about: null, colors: "scanned", leading: null, nuclei: null, asked: 0, failed: false };

  viewer.canvas.setAttribute("aria-label", "Slide: arrows move, plus and minus zoom");
  viewer.canvas.setAttribute("role", "application");
  viewer.addHandler("tile-load-failed", (event) => {
    if (state.failed) return;
    state.failed = true;
    tried(() => json(event.tile.getUrl()));
  });
  viewer.addHandler("canvas-key", (event) => { // no turning, no mirroring: outlines would not follow
    if (["r", "f"].includes(event.originalEvent.key.toLowerCase())) event.preventDefaultAction = true;
  });
  viewer.addHandler("update-viewport", readouts);
  viewer.addHandler("animation-finish", () => { moved(); nuclei(); });
  viewer.addHandler("animation", () => follow(viewer, second));

  /** Keep the other picture at the same place. */
  function follow(from, to) {
    if (!to || state.leading || !to.world.getItemCount()) return;
    state.leading = from;
    to.viewport.zoomTo(from.viewport.getZoom(), null, true);
    to.viewport.panTo(from.viewport.getCenter(), true);
    state.leading = null;
  }

  const perPixel = () => { // level-0 pixels per CSS pixel
    const place = overlay.transform();
    return place ? 1 / place[2] : NaN;
  };

  function readouts() {
    if (!state.about) return;
    const um = perPixel() * state.about.mpp;
    if (!(um > 0)) return;
    const power = 10 ** Math.floor(Math.log10(140 * um));
    const length = [5, 2, 1].map((k) => k * power).find((k) => k <= 140 * um);
    byId("bar").style.width = `${length / um}px`;
    byId("bar-text").textContent = length >= 1000 ? `${length / 1000} mm` : `${length} um`;
    const zoom = 10 / um;
    byId("readout").textContent = `${zoom >= 10 ? zoom.toFixed(0) : zoom.toFixed(1)}x, ${um.toFixed(um < 10 ? 2 : 0)} um per pixel`;
  }

  function center() {
    const [left, top, scale] = overlay.transform();
    return { x: (viewer.canvas.clientWidth / 2 - left) / scale, y: (viewer.canvas.clientHeight / 2 - top) / scale };
  }

  function moved() {
    if (!state.about || !overlay.transform()) return;
    const { x, y } = center();
    onMoved({ slide: state.number, x: Math.round(x), y: Math.round(y), zoom: Number(perPixel().toFixed(4)) });
  }

  /** Go to a place, level-0 pixels; `zoom` is level-0 pixels per CSS pixel. */
  function goTo(x, y, zoom, immediately = false) {
    const item = viewer.world.getItemAt(0);
    if (!item) return;
    const size = new OpenSeadragon.Point(viewer.canvas.clientWidth, viewer.canvas.clientHeight);
    if (!viewer.viewport.getContainerSize().equals(size)) viewer.viewport.resize(size); // just shown
    const width = size.x * zoom, height = size.y * zoom;
    viewer.viewport.fitBounds(item.imageToViewportRectangle(x - width / 2, y - height / 2, width, height), immediately);
    if (second) follow(viewer, second);
  }

  async function put(into, colors) {
    await new Promise((resolve, reject) => {
      into.addOnceHandler("open", resolve);
      into.addOnceHandler("open-failed", (event) => reject(new Error(event.message)));
      into.open(source(state.number, colors, state.about));
    });
  }

  async function open(number, place = {}) {
    const asked = (state.asked += 1);
    const row = slides[number];
    state.number = number;
    state.about = null;
    state.failed = false;
    overlay.clear();
    forgetNuclei();
    viewer.close();
    byId("slide-name").textContent = row.slide;
    byId("slide-facts").textContent = [row.status, row.code, row.reason].filter(Boolean).join(": ");
    byId("bar-text").textContent = "";
    byId("readout").textContent = "";
    say("");
    const about = await tried(() => json(`/api/slides/${number}`));
    if (asked !== state.asked || !about) return;
    state.about = about;
    byId("slide-facts").textContent = [
      `${about.width} x ${about.height} px, ${about.mpp.toFixed(3)} um per pixel${about.objective ? `, ${about.objective}x` : ""}`,
      `${about.vendor}, read by ${about.reader}`,
      `${row.n_tiles} tiles scored`,
      row.flags.length ? `flags: ${row.flags.join(", ")}` : "",
      row.reason,
      ...about.notes,
    ].filter(Boolean).join(". ");
    await showColors();
    if (asked !== state.asked) return;
    viewer.canvas.focus({ preventScroll: true });
    if (place.x >= -1e7 && place.zoom > 0) goTo(place.x, place.y, place.zoom, true);
    loadLayers(asked);
  }

  async function loadLayers(asked) {
    const number = state.number;
    const tiles = await tried(() => json(`/api/slides/${number}/scores`));
    if (asked !== state.asked || !tiles) return;
    overlay.setTiles(tiles);
    legend(tiles.scale);
    byId("highest").disabled = !tiles.score.length || !tiles.side;
    byId("save-geojson").disabled = !tiles.score.length;
    await Promise.all(LAYERS.filter((name) => name !== "heat" && byId(name).checked).map(load));
    overlay.draw();
    nuclei();
  }

  const LOADERS = {
    tissue: async (path) => { overlay.tissue ||= await json(`${path}/tissue`); },
    regions: async (path) => {
      overlay.regions ||= await json(`${path}/regions`);
      if (!overlay.regions.length) say("No drawing of this slide is known here.");
    },
    "left-out": async (path) => {
      if (overlay.leftOut) return;
      say("Looking again for the tiles that were left out ...");
      const number = state.number;
      const found = await json(`${path}/left-out`);
      if (number !== state.number) return;
      overlay.setLeftOut(found);
      say(`${found.x.length} tiles over tissue were not scored; point at one for the reason.`);
    },
  };

  async function load(name) {
    const made = await tried(async () => { await LOADERS[name](`/api/slides/${state.number}`); return true; });
    if (!made) { byId(name).checked = false; overlay.layers[name] = false; }
    overlay.draw();
  }

  function legend(scale) {
    byId("legend").hidden = !scale;
    if (!scale) return;
    const context = byId("legend-bar").getContext("2d");
    run.colors.forEach((color, i) => { context.fillStyle = `rgb(${color.join(" ")})`; context.fillRect(i, 0, 1, 12); });
    const [low, cut, high] = [scale.low, scale.center, scale.high].map((v) => v.toFixed(2));
    byId("legend-low").textContent = `${low}\nlater or none`;
    byId("legend-cut").textContent = `${cut}\ncut-off`;
    byId("legend-high").textContent = `${high}\nearlier`;
    byId("legend-bar").setAttribute("aria-label", `Colors of the tile scores, from ${low} (violet) over the cut-off at ${cut} (white) to ${high} (orange)`);
  }

  async function showColors() {
    const both = state.colors === "both";
    byId("normalized-pane").hidden = !both;
    if (both && !second) {
      second = deepZoom(byId("normalized"), false);
      second.canvas.setAttribute("aria-label", "The same place in normalized colors");
      second.addHandler("animation", () => follow(second, viewer));
    }
    if (!both && second) { second.destroy(); second = null; }
    const main = state.colors === "normalized" ? "normalized" : "scanned";
    await tried(() => put(viewer, main));
    if (both && second) { // not closed meanwhile
      await tried(() => put(second, "normalized"));
      follow(viewer, second);
    }
  }

  async function setColors(colors) {
    const place = state.about && overlay.transform() ? { ...center(), zoom: perPixel() } : null;
    state.colors = colors;
    document.querySelector(`input[name=colors][value=${colors}]`).checked = true;
    if (!state.about) return;
    if (colors !== "scanned") { // its own sentence, before hundreds of tiles are refused
      const fits = await tried(() => blob(`/api/slides/${state.number}/tiles/normalized/0/0/0`));
      if (!fits) { await setColors("scanned"); return; }
    }
    state.failed = false;
    await showColors();
    if (place) goTo(place.x, place.y, place.zoom, true);
  }

  function forgetNuclei() {
    state.field = "";
    if (state.nuclei) { viewer.world.removeItem(state.nuclei); state.nuclei = null; }
  }

  async function nuclei() {
    if (!byId("nuclei").checked || !state.about || !overlay.transform()) { if (state.nuclei) forgetNuclei(); return; }
    const place = overlay.transform();
    const width = Math.round(viewer.canvas.clientWidth / place[2]), height = Math.round(viewer.canvas.clientHeight / place[2]);
    if (!width || !height) return; // another view is shown
    const x = Math.round(-place[0] / place[2]), y = Math.round(-place[1] / place[2]);
    const field = `${state.number}/nuclei/${x}/${y}/${width}/${height}`;
    if (field === state.field) return;
    state.field = field;
    if (Math.max(width, height) * state.about.mpp > state.about.field_um) {
      forgetNuclei();
      say(`The nuclei map takes fields up to ${state.about.field_um} um; zoom in.`);
      return;
    }
    const picture = await tried(() => blob(`/api/slides/${field}`));
    if (!picture || field !== state.field) return;
    const url = URL.createObjectURL(picture);
    const old = state.nuclei;
    const where = viewer.world.getItemAt(0).imageToViewportRectangle(x, y, width, height);
    viewer.addSimpleImage({ url, x: where.x, y: where.y, width: where.width, opacity: 0.6, success(event) {
      URL.revokeObjectURL(url);
      if (old) viewer.world.removeItem(old);
      state.nuclei = event.item;
    } });
  }

  function tip(event) {
    const line = byId("tip");
    const place = overlay.transform();
    line.hidden = true;
    if (!place || !state.about) return;
    const box = viewer.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left - place[0]) / place[2], (event.clientY - box.top - place[1]) / place[2]];
    const said = describe(x, y);
    if (!said) return;
    line.textContent = said;
    line.hidden = false;
    line.style.left = `${Math.min(event.clientX - box.left + 14, box.width - 190)}px`;
    line.style.top = `${event.clientY - box.top + 16}px`;
  }

  function describe(x, y) {
    const i = overlay.layers.heat ? overlay.at(x, y) : -1;
    if (i >= 0) {
      const { score, contribution, scale } = overlay.tiles;
      const side = scale ? (score[i] > scale.center ? ", above the cut-off" : ", below the cut-off") : "";
      return `score ${score[i].toFixed(2)}${side}; contribution ${contribution[i].toPrecision(3)}`;
    }
    const j = overlay.layers["left-out"] ? overlay.at(x, y, "leftOut") : -1;
    return j >= 0 ? `not scored: ${overlay.leftOut.reason[j]}` : "";
  }

  function setLayer(name, on) {
    byId(name).checked = on;
    overlay.layers[name] = on;
    if (on && name !== "heat" && state.about) load(name); else overlay.draw();
  }

  function setOpacity(percent) {
    const value = Math.min(Math.max(percent, 0), 100);
    byId("opacity").value = value;
    byId("opacity-value").textContent = `${value} %`;
    overlay.opacity = value / 100;
    overlay.draw();
  }

  function flyTo(tile) {
    overlay.chosen = tile;
    goTo(tile.x + tile.side / 2, tile.y + tile.side / 2, (tile.side * 3) / Math.min(viewer.canvas.clientWidth, viewer.canvas.clientHeight));
    overlay.draw();
  }

  function highest() {
    const tiles = overlay.tiles;
    if (!tiles || !tiles.score.length || !tiles.side) return;
    const i = tiles.score.indexOf(Math.max(...tiles.score));
    flyTo({ x: tiles.x[i], y: tiles.y[i], side: tiles.side });
    say(describe(tiles.x[i] + 1, tiles.y[i] + 1));
  }

  function savePng() {
    if (!state.about) return;
    const below = viewer.drawer.canvas;
    const sheet = document.createElement("canvas");
    sheet.width = overlay.canvas.width;
    sheet.height = overlay.canvas.height;
    const context = sheet.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.drawImage(below, 0, 0, sheet.width, sheet.height);
    context.drawImage(overlay.canvas, 0, 0);
    const ratio = window.devicePixelRatio || 1;
    const length = byId("bar").getBoundingClientRect().width * ratio;
    const [left, bottom] = [14 * ratio, sheet.height - 14 * ratio];
    context.fillStyle = "rgb(255 255 255 / .9)";
    context.fillRect(left - 6 * ratio, bottom - 26 * ratio, length + 12 * ratio, 34 * ratio);
    context.fillStyle = "#111";
    context.fillRect(left, bottom, length, 5 * ratio);
    context.font = `${13 * ratio}px sans-serif`;
    context.fillText(byId("bar-text").textContent, left, bottom - 7 * ratio);
    sheet.toBlob((data) => download(data, `slide-${state.number + 1}.png`), "image/png");
  }

  for (const name of LAYERS) byId(name).addEventListener("change", () => setLayer(name, byId(name).checked));
  byId("nuclei").addEventListener("change", nuclei);
  byId("opacity").addEventListener("input", () => setOpacity(Number(byId("opacity").value)));
  for (const input of document.querySelectorAll("input[name=colors]")) input.addEventListener("change", () => setColors(input.value));
  byId("whole").addEventListener("click", () => viewer.viewport.goHome());
  byId("native").addEventListener("click", () => { const { x, y } = center(); goTo(x, y, 1); });
  byId("highest").addEventListener("click", highest);
  byId("save-png").addEventListener("click", savePng);
  byId("save-geojson").addEventListener("click", () => tried(async () => {
    download(await blob(`/api/slides/${state.number}/geojson`), `slide-${state.number + 1}.geojson`);
  }));
  viewer.canvas.addEventListener("pointermove", tip);
  viewer.canvas.addEventListener("pointerleave", () => { byId("tip").hidden = true; });

  const next = { scanned: "normalized", normalized: "both", both: "scanned" };
  const keys = {
    h: () => setLayer("heat", !byId("heat").checked),
    t: () => setLayer("tissue", !byId("tissue").checked),
    r: () => setLayer("regions", !byId("regions").checked),
    x: () => setLayer("left-out", !byId("left-out").checked),
    n: () => { byId("nuclei").checked = !byId("nuclei").checked; nuclei(); },
    c: () => setColors(next[state.colors]),
    "[": () => setOpacity(Number(byId("opacity").value) - 5),
    "]": () => setOpacity(Number(byId("opacity").value) + 5),
    0: () => byId("whole").click(),
    1: () => byId("native").click(),
    g: highest,
  };
  return { open, flyTo, keys, overlay, viewer, state, setOpacity };
}
