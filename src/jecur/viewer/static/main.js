// The page: what the run says, the three views, keys, and what the address remembers.

import { json, picture, place, remember, say, token, tried } from "./api.js";
import { patientList, thumbnails } from "./patients.js";
import { slideView } from "./slide.js";

const byId = (id) => document.getElementById(id);
const VIEWS = ["patients", "slide", "top"];

// OpenSeadragon puts a style element of its own into the page unless one of this name is there; ours
// is of no namespace that styles, so that the policy of this page need not allow any.
const inert = document.createElementNS("urn:jecur", "style");
inert.setAttribute("data-openseadragon-mobile-css", "true");
document.head.append(inert);

async function start() {
  if (!token) { say("Open the address that jecur view printed: it holds the token of this server."); return; }
  const got = await tried(() => Promise.all(["run", "patients", "slides", "curves"].map((what) => json(`/api/${what}`))));
  if (!got) return;
  const [run, patients, slides, curves] = got;
  byId("title").textContent = run.title;
  byId("virtual").hidden = !run.virtual;
  byId("virtual-model").hidden = !run.virtual_model;
  let current = "patients", view = null, topLoaded = false;

  function show(name) {
    current = name;
    for (const other of VIEWS) {
      byId(`${other}-view`).hidden = other !== name;
      byId(`to-${other}`).setAttribute("aria-pressed", String(other === name));
    }
    say("");
  }

  function viewOfSlides() { // made once its element is on the page: it has a size then
    view ||= slideView({ run, slides, onMoved(held) { if (current === "slide") remember({ patient: slides[held.slide].patient, ...held }); } });
    return view;
  }

  async function openSlide(number, held) {
    show("slide");
    byId("to-slide").disabled = false;
    const row = slides[number];
    const own = patients[row.patient].slides;
    thumbnails(byId("siblings"), own.map((n) => slides[n]), (slide) => openSlide(slide.number), number);
    list.choose(row.patient);
    remember({ patient: row.patient, slide: number, ...held });
    await viewOfSlides().open(number, held);
  }

  const list = patientList({
    patients, slides, curves,
    onChoose(patient) { if (current === "patients") remember({ patient: patient.number }); },
    onOpen(patient, slide) {
      const number = slide ? slide.number : patient.slides.find((n) => slides[n].n_tiles > 0) ?? patient.slides[0];
      if (number === undefined) { say("This patient has no slide in the run."); return; }
      openSlide(number);
    },
  });

  async function showTop() {
    show("top");
    remember({ view: "top" });
    if (topLoaded) return;
    const tiles = await tried(() => json("/api/top"));
    if (!tiles) return;
    topLoaded = true;
    for (const end of ["high", "low"]) {
      byId(`top-${end}`).replaceChildren(...tiles.map((tile, i) => [tile, i]).filter(([tile]) => tile.end === end).map(([tile, i]) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        const name = `${patients[tile.patient].id}, score ${tile.score.toFixed(2)}`;
        button.append(picture(`/api/top/${i}/picture`, `Tile of ${name}`), name);
        button.addEventListener("click", async () => { await openSlide(tile.slide); viewOfSlides().flyTo(tile); });
        item.append(button);
        return item;
      }));
    }
    if (!tiles.length) say("This run has no tiles with pictures.");
  }

  function showPatients() { show("patients"); list.focus(); remember({ patient: place().patient }); }

  function step(by) {
    if (!view || view.state.number < 0) return;
    const next = view.state.number + by;
    if (next >= 0 && next < slides.length) openSlide(next);
  }

  byId("to-patients").addEventListener("click", showPatients);
  byId("to-slide").addEventListener("click", () => { if (view) { show("slide"); view.viewer.canvas.focus(); } });
  byId("to-top").addEventListener("click", showTop);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("copy-link").addEventListener("click", () => tried(async () => {
    await navigator.clipboard.writeText(location.href);
    say("The link holds slide, place and zoom; it works while this server runs.");
  }));

  const keys = { ",": () => step(-1), ".": () => step(1) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const typing = event.target.matches("input[type=search], select");
    if (event.key === "Escape") { if (typing) event.target.blur(); if (current !== "patients") showPatients(); return; }
    if (typing) return;
    if (event.key === "?") { byId("help").showModal(); return; }
    if (event.key === "/") { event.preventDefault(); if (current !== "patients") showPatients(); byId("search").focus(); return; }
    if (current !== "slide") return;
    const does = keys[event.key] || (view && view.keys[event.key]);
    if (does) { event.preventDefault(); event.stopPropagation(); does(); }
  }, true);

  async function fromAddress() {
    const held = place();
    if (held.slide >= 0 && held.slide < slides.length) await openSlide(held.slide, { x: held.x, y: held.y, zoom: held.zoom });
    else if (held.view === "top") await showTop();
    else if (held.patient >= 0 && held.patient < patients.length) list.choose(held.patient);
  }
  window.addEventListener("hashchange", fromAddress);
  await fromAddress();
  window.jecurView = { get view() { return view; }, get current() { return current; } }; // for tests that drive the page
}

start();
