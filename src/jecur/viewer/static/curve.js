// Kaplan-Meier curves one can ask: a curve filters the list, a tick is a patient.

const NS = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT] = [560, 300, 58, 26, 62, 12];
const NAMES = { high: "High risk", low: "Low risk" };

function add(parent, name, attributes, text) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function tickStep(last) {
  return [1, 2, 3, 6, 12, 24, 36, 60, 120].find((step) => last / step <= 8) || Math.ceil(last / 8);
}

function steps(x, y, times, values) {
  let path = `M${x(0)},${y(1)}`;
  times.forEach((time, i) => { path += `H${x(time)}V${y(values[i])}`; });
  return path;
}

function band(x, y, curve) {
  const rows = curve.time.map((time, i) => [time, curve.lower[i], curve.upper[i]]).filter((row) => row[1] !== null && row[2] !== null);
  if (!rows.length) return "";
  let path = `M${x(0)},${y(1)}`;
  for (const [time, , upper] of rows) path += `H${x(time)}V${y(upper)}`;
  for (let i = rows.length - 1; i >= 0; i -= 1) path += `V${y(rows[i][1])}H${x(i ? rows[i][0] : rows[0][0])}`;
  return `${path}V${y(1)}Z`;
}

function atRisk(curve, month) {
  const row = curve.time.findIndex((time) => time >= month);
  return row < 0 ? 0 : curve.at_risk[row];
}

export function drawCurves(host, curves, { onGroup, onPatient, nameOf }) {
  host.replaceChildren();
  if (!curves.length) return { mark() {}, show() {} };
  const last = Math.max(...curves.flatMap((c) => c.time), 1);
  const x = (month) => LEFT + ((WIDTH - LEFT - RIGHT) * month) / last;
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
  const said = curves.map((c) => `${NAMES[c.group]}: ${c.n} patients, ${c.events} events`).join("; ");
  const svg = add(host, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": `Kaplan-Meier curves. ${said}.` });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    add(svg, "path", { class: "grid", d: `M${LEFT},${y(share)}H${WIDTH - RIGHT}` });
    add(svg, "text", { class: "soft", x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${share * 100} %`);
  }
  const axis = y(0);
  add(svg, "path", { class: "axis", d: `M${LEFT},${TOP}V${axis}H${WIDTH - RIGHT}` });
  const step = tickStep(last);
  for (let month = 0; month <= last; month += step) {
    add(svg, "path", { class: "axis", d: `M${x(month)},${axis}v4` });
    add(svg, "text", { class: "soft", x: x(month), y: axis + 16, "text-anchor": "middle" }, String(month));
    curves.forEach((curve, i) => {
      add(svg, "text", { x: x(month), y: axis + 31 + 14 * i, "text-anchor": "middle" }, String(atRisk(curve, month))).style.fill = `var(--${curve.group})`;
    });
  }
  add(svg, "text", { class: "soft", x: WIDTH - RIGHT, y: axis - 5, "text-anchor": "end" }, "months");
  add(svg, "text", { class: "soft", x: 2, y: axis + 31 }, "at risk");
  const groups = {};
  curves.forEach((curve, i) => {
    const group = add(svg, "g", {});
    groups[curve.group] = group;
    const label = `${NAMES[curve.group]}: ${curve.n} patients, ${curve.events} events`;
    add(group, "path", { class: "band", d: band(x, y, curve), fill: curve.color });
    add(group, "path", { class: "line", d: steps(x, y, curve.time, curve.survival), stroke: curve.color });
    const hit = add(group, "path", { class: "hit", "data-group": curve.group, d: steps(x, y, curve.time, curve.survival) });
    add(hit, "title", {}, `${label}. Click to list them.`);
    hit.addEventListener("click", () => onGroup(curve.group));
    const legend = add(svg, "text", { class: "legend", x: LEFT + 250 * i, y: 15, tabindex: 0, role: "button", "data-group": curve.group, "aria-label": `${label}. List them.` }, label);
    legend.style.fill = `var(--${curve.group})`;
    legend.addEventListener("click", () => onGroup(curve.group));
    legend.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); onGroup(curve.group); }
    });
    for (const patient of curve.patients) {
      const tick = add(group, "g", { class: "tick", "data-patient": patient.number });
      const [px, py] = [x(patient.months), y(patient.height)];
      if (patient.event) add(tick, "circle", { cx: px, cy: py, r: 2.6, fill: curve.color });
      else add(tick, "path", { d: `M${px},${py - 5}V${py + 5}`, stroke: curve.color, "stroke-width": 1.6 });
      add(tick, "circle", { class: "tick-target", cx: px, cy: py, r: 7 });
      const what = { 0: "without event", 1: "with event", 2: "competing event" }[patient.event];
      add(tick, "title", {}, `${nameOf(patient.number)}: ${patient.months} months, ${what}`);
      tick.addEventListener("click", () => onPatient(patient.number));
    }
  });
  const ring = add(svg, "circle", { class: "marked", r: 8, visibility: "hidden" });
  const found = new Map(curves.flatMap((c) => c.patients.map((p) => [p.number, p])));
  return {
    mark(number) {
      const patient = found.get(number);
      ring.setAttribute("visibility", patient ? "visible" : "hidden");
      if (!patient) return;
      ring.setAttribute("cx", x(patient.months));
      ring.setAttribute("cy", y(patient.height));
    },
    show(group) {
      for (const [name, node] of Object.entries(groups)) node.classList.toggle("faded", Boolean(group) && group !== "none" && name !== group);
    },
  };
}
