// One reviewer, one tile at a time. Nothing is kept here: the server writes every answer before it
// shows the next tile, so this page may be closed, or killed, at any time.

const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
const byId = (id) => document.getElementById(id);
const ANSWERS = ["present", "absent", "cannot judge"];
const views = ["tile", "around", "normalized"];

let state = null;      // what the server said last
let current = 0;       // feature the keys speak of
let view = "tile";
let busy = false;
let asked = 0;         // number of the picture asked for last
let url = "";
let running = null;    // when the clock was started; null while it stands
let elapsed = 0;       // milliseconds of this look so far
let paused = false;

async function ask(path, body) {
  const options = { headers: { "X-Jecur-Token": token } };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let got;
  try {
    got = await fetch(path, options);
  } catch {
    throw new Error("The server has ended. Nothing you answered is lost: start jecur review again to go on.");
  }
  if (got.ok) return got;
  let said = "";
  try { said = (await got.json()).error; } catch { /* no JSON: said below */ }
  throw new Error(said || `The server refused (${got.status}).`);
}

function say(sentence) {
  byId("message").textContent = sentence;
  byId("message").hidden = !sentence;
}

// --- the clock -----------------------------------------------------------------------------------

function startClock() { if (running === null && !paused && !document.hidden) running = performance.now(); }
function stopClock() {
  if (running !== null) elapsed += performance.now() - running;
  running = null;
}
function pause(on) {
  paused = on;
  byId("pause-cover").hidden = !on;
  if (on) { stopClock(); byId("go-on").focus(); } else { startClock(); focusFeature(current); }
}
document.addEventListener("visibilitychange", () => (document.hidden ? stopClock() : startClock()));

// --- the form ------------------------------------------------------------------------------------

function radios(index) { return [...document.querySelectorAll(`input[name="feature-${index}"]`)]; }
function chosen(index) { return radios(index).find((input) => input.checked)?.value; }
function complete() { return state.features.every((_, index) => chosen(index)); }
function renewNext() { byId("next").disabled = busy || !complete(); }

function buildForm() {
  const place = byId("features");
  place.replaceChildren(...state.features.map((feature, index) => {
    const set = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = feature.replaceAll("_", " ");
    const choices = document.createElement("div");
    choices.className = "choices";
    for (const [k, answer] of ANSWERS.entries()) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "radio";
      input.name = `feature-${index}`;
      input.value = answer;
      input.setAttribute("aria-keyshortcuts", String(k + 1));
      input.addEventListener("change", renewNext);
      input.addEventListener("focus", () => mark(index));
      label.append(input, answer);
      choices.append(label);
    }
    set.append(legend, choices);
    return set;
  }));
}

function mark(index) {
  current = index;
  [...byId("features").children].forEach((set, k) => set.classList.toggle("current", k === index));
}

function focusFeature(index) {
  mark(index);
  const inputs = radios(index);
  (inputs.find((input) => input.checked) || inputs[0])?.focus({ preventScroll: true });
}

function choose(number) {
  const input = radios(current)[number];
  if (!input) return;
  input.checked = true;
  renewNext();
  const open = state.features.findIndex((_, index) => index > current && !chosen(index));
  if (open >= 0) focusFeature(open);
  else if (complete()) byId("next").focus({ preventScroll: true });
}

function fill(before) {
  state.features.forEach((feature, index) => {
    for (const input of radios(index)) input.checked = before?.answers[feature] === input.value;
  });
  byId("comment").value = before?.comment || "";
  renewNext();
}

// --- one look ------------------------------------------------------------------------------------

async function show(which) {
  view = which;
  for (const name of views) byId(`view-${name}`).setAttribute("aria-pressed", String(name === which));
  asked += 1;
  const mine = asked;
  const got = await ask(`/api/look/${state.look}/${which}`);
  const data = await got.blob();
  if (mine !== asked) return;
  const picture = byId("picture");
  URL.revokeObjectURL(url);
  url = URL.createObjectURL(data);
  picture.src = url;
  await picture.decode();
  byId("outline").hidden = which !== "around";
  const scanned = got.headers.get("X-Jecur-Colors") === "scanned";
  const side = state.side_um ? ` ${state.side_um * (which === "around" ? 2 : 1)} µm across.` : "";
  let colors = "Colors as scanned.";
  if (which === "around") colors = "Colors as scanned; the frame is the tile to judge.";
  else if (!scanned) colors = which === "tile" ? "Normalized colors: the scan of this tile cannot be read." : "Normalized colors, as the network saw them.";
  byId("colors").textContent = colors + side;
}

async function take(next, before) {
  state = next;
  const finished = state.look === null;
  byId("work").hidden = finished;
  byId("end").hidden = !finished;
  if (finished) {
    stopClock();
    byId("end-text").textContent = `${state.total} looks of reviewer ${state.reviewer}, all on the disk.`;
    byId("end-undo").focus();
    return;
  }
  if (byId("features").children.length !== state.features.length) buildForm();
  byId("progress").max = state.total;
  byId("progress").value = state.done;
  byId("progress-text").textContent = `Reviewer ${state.reviewer}: tile ${state.done + 1} of ${state.total}`;
  byId("view-around").disabled = !state.scanned;
  byId("undo").disabled = state.done === 0;
  stopClock();
  elapsed = 0;
  fill(before);
  byId("picture").removeAttribute("src");
  focusFeature(0);
  try { await show("tile"); } finally { startClock(); }
}

/** One thing at a time; what is refused is a sentence on the page. */
async function alone(work) {
  if (busy) return;
  busy = true;
  say("");
  try { await work(); } catch (error) { say(error.message); }
  busy = false;
  if (state && state.look !== null) renewNext();
}

const submit = () => alone(async () => {
  if (!complete()) return;
  stopClock();
  const answers = Object.fromEntries(state.features.map((feature, index) => [feature, chosen(index)]));
  const body = { answers, comment: byId("comment").value, seconds: Math.min(elapsed / 1000, 86400) };
  try {
    const got = await ask(`/api/look/${state.look}/answer`, body);
    await take(await got.json());
  } catch (error) { startClock(); throw error; }
});

const undo = () => alone(async () => {
  const said = await (await ask("/api/undo", {})).json();
  await take(said, said.before);
});

byId("form").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
byId("undo").addEventListener("click", undo);
byId("end-undo").addEventListener("click", undo);
byId("pause").addEventListener("click", () => pause(true));
byId("go-on").addEventListener("click", () => pause(false));
for (const name of views) byId(`view-${name}`).addEventListener("click", () => alone(() => show(name)));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !state) return;
  const typing = event.target === byId("comment");
  if (typing) {
    if (event.key === "Escape") { event.preventDefault(); focusFeature(current); }
    return;
  }
  const key = event.key.toLowerCase();
  const act = (work) => { event.preventDefault(); work(); };
  if (state.look === null) {
    if (key === "u") act(undo);
    return;
  }
  if (key === "p") act(() => pause(!paused));
  else if (paused) return;
  else if ("123".includes(key) && key.length === 1) act(() => choose(Number(key) - 1));
  else if (key === "arrowdown") act(() => focusFeature(Math.min(current + 1, state.features.length - 1)));
  else if (key === "arrowup") act(() => focusFeature(Math.max(current - 1, 0)));
  else if (key === "t") act(() => alone(() => show("tile")));
  else if (key === "s" && state.scanned) act(() => alone(() => show(view === "around" ? "tile" : "around")));
  else if (key === "n") act(() => alone(() => show(view === "normalized" ? "tile" : "normalized")));
  else if (key === "u" && state.done > 0) act(undo);
  else if (key === "m") act(() => byId("comment").focus());
  else if (key === "enter" && event.target.tagName !== "BUTTON") act(submit);
});

alone(async () => take(await (await ask("/api/state")).json()));
