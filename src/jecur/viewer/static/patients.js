// The list of patients: search, filter, sort; the curve beside it, and the slides of who is chosen.

import { picture } from "./api.js";
import { drawCurves } from "./curve.js";

const byId = (id) => document.getElementById(id);
const EVENTS = { 0: "no", 1: "yes", 2: "competing" };

export function patientList({ patients, slides, curves, onOpen, onChoose }) {
  const state = { sort: "risk", down: true, chosen: -1, shown: [] };
  const body = byId("patients").tBodies[0];
  for (const flag of [...new Set(patients.flatMap((p) => p.flags))].sort()) {
    byId("flag").append(new Option(flag, flag));
  }
  byId("patients").classList.toggle("scores-alone", patients.every((p) => p.months === null && p.event === null));
  const curve = drawCurves(byId("curve"), curves, {
    nameOf: (number) => patients[number].id,
    onGroup(group) { byId("group").value = byId("group").value === group ? "" : group; draw(); },
    onPatient(number) { choose(number, true); },
  });
  byId("curve-note").textContent = curves.length
    ? "Event-free: where another event competes, free of both. Dots are events, ticks the end of follow-up. A click on a curve lists its patients; on a dot or tick, chooses the patient."
    : "This run knows no follow-up.";

  const value = (patient, key) => {
    if (key === "flags") return patient.flags.join(" ");
    return patient[key] === null ? "" : patient[key];
  };

  function compare(a, b) {
    const [left, right] = [value(a, state.sort), value(b, state.sort)];
    if (left === "" || right === "") return (left === "") - (right === "") || a.number - b.number;
    const order = typeof left === "number" ? left - right : String(left).localeCompare(String(right), undefined, { numeric: true });
    return (state.down ? -order : order) || a.number - b.number;
  }

  function cell(row, text, kind) {
    const made = row.insertCell();
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function line(patient) {
    const row = document.createElement("tr");
    row.dataset.number = patient.number;
    row.tabIndex = -1;
    cell(row, patient.id);
    cell(row, patient.risk === null ? "" : patient.risk.toFixed(3), "num");
    const group = cell(row, "");
    if (patient.group) {
      const tag = document.createElement("span");
      tag.className = `tag ${patient.group}`;
      tag.textContent = patient.group;
      group.append(tag);
    } else { group.textContent = "not scored"; }
    cell(row, patient.months === null ? "" : patient.months.toFixed(1), "num");
    cell(row, patient.event === null ? "" : EVENTS[patient.event]);
    cell(row, [patient.reason, ...patient.flags].filter(Boolean).join(", "), "flags");
    row.addEventListener("click", () => { if (state.chosen === patient.number) onOpen(patient); else choose(patient.number); });
    row.addEventListener("dblclick", () => onOpen(patient));
    row.addEventListener("mouseenter", () => curve.mark(patient.number));
    row.addEventListener("mouseleave", () => curve.mark(state.chosen));
    return row;
  }

  function draw() {
    const plain = (text) => text.normalize("NFC").toLowerCase();
    const words = plain(byId("search").value.trim());
    const [group, flag] = [byId("group").value, byId("flag").value];
    const fits = (patient) =>
      (!group || (group === "none" ? !patient.group : patient.group === group)) &&
      (!flag || patient.flags.includes(flag)) &&
      (!words || plain(patient.id).includes(words) || patient.slides.some((n) => plain(slides[n].slide).includes(words)));
    state.shown = patients.filter(fits).sort(compare);
    body.replaceChildren(...state.shown.map(line));
    byId("count").textContent = `${state.shown.length} of ${patients.length} patients`;
    for (const button of byId("patients").tHead.querySelectorAll("button")) {
      const own = button.dataset.sort === state.sort;
      button.parentElement.setAttribute("aria-sort", own ? (state.down ? "descending" : "ascending") : "none");
    }
    curve.show(group);
    mark();
  }

  function mark(focus) {
    const rows = [...body.rows];
    for (const row of rows) row.setAttribute("aria-selected", String(Number(row.dataset.number) === state.chosen));
    const own = rows.find((row) => Number(row.dataset.number) === state.chosen) || rows[0];
    for (const row of rows) row.tabIndex = row === own ? 0 : -1;
    if (own && focus) { own.focus(); own.scrollIntoView({ block: "nearest" }); }
    curve.mark(state.chosen);
  }

  function choose(number, focus = false) {
    state.chosen = number;
    if (focus && !state.shown.some((p) => p.number === number)) { clear(); return; }
    mark(focus);
    const patient = patients[number];
    byId("chosen").hidden = false;
    byId("chosen-heading").textContent = `Slides of ${patient.id}`;
    const facts = [
      patient.risk === null ? `not scored${patient.reason ? `: ${patient.reason}` : ""}` : `risk ${patient.risk.toFixed(3)}, ${patient.group}`,
      patient.months === null ? "" : `${patient.months.toFixed(1)} months, event: ${EVENTS[patient.event]}`,
      patient.flags.join(", "),
    ];
    byId("chosen-facts").textContent = facts.filter(Boolean).join(" · ");
    thumbnails(byId("thumbnails"), patient.slides.map((n) => slides[n]), (slide) => onOpen(patient, slide));
    onChoose(patient);
  }

  function clear() {
    byId("filters").reset();
    draw();
    if (state.chosen >= 0) choose(state.chosen);
    mark(true);
  }

  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", clear);
  for (const id of ["search", "group", "flag"]) byId(id).addEventListener("input", draw);
  for (const button of byId("patients").tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      state.down = state.sort === button.dataset.sort ? !state.down : button.dataset.sort === "risk";
      state.sort = button.dataset.sort;
      draw();
    });
  }
  body.addEventListener("keydown", (event) => {
    const at = state.shown.findIndex((p) => p.number === state.chosen);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: state.shown.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      const next = state.shown[Math.min(Math.max(to, 0), state.shown.length - 1)];
      if (next) choose(next.number, true);
    } else if (event.key === "Enter" && state.shown.length) {
      event.preventDefault();
      onOpen(state.shown[Math.max(at, 0)]);
    }
  });
  draw();
  return { choose, draw, focus: () => mark(true) };
}

export function thumbnails(host, rows, onOpen, current = -1) {
  host.replaceChildren(...rows.map((slide) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    if (slide.number === current) button.setAttribute("aria-current", "true");
    if (slide.pictured) button.append(picture(`/api/slides/${slide.number}/thumbnail`, ""));
    const name = document.createElement("span");
    name.textContent = slide.status === "ok" ? slide.slide : `${slide.slide}: ${slide.status} ${slide.code}`;
    button.append(name);
    button.title = slide.reason;
    button.addEventListener("click", () => onOpen(slide));
    item.append(button);
    return item;
  }));
}
