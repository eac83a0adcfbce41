// Requests to this server alone: the token goes out as a header, an error comes back as a sentence.

const fragment = () => new URLSearchParams(location.hash.slice(1));
export const token = fragment().get("token") || "";

export class Refused extends Error {}

async function answer(path) {
  let got;
  try {
    got = await fetch(path, { headers: { "X-Jecur-Token": token } });
  } catch {
    throw new Refused("The server has ended; start jecur view again.");
  }
  if (got.ok) return got;
  let said = "";
  try { said = (await got.json()).error; } catch { /* no JSON: said below */ }
  throw new Refused(said || `The server refused (${got.status}).`);
}

export const json = async (path) => (await answer(path)).json();
export const blob = async (path) => (await answer(path)).blob();

const waiting = [];
let running = 0;
function next() {
  while (running < 4 && waiting.length) {
    running += 1;
    waiting.shift()().finally(() => { running -= 1; next(); });
  }
}

/** Show a picture once it comes into view; a few at a time. */
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    const image = entry.target;
    waiting.push(async () => {
      try {
        const url = URL.createObjectURL(await blob(image.dataset.path));
        image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
        image.src = url;
      } catch (error) {
        image.alt = error.message;
      }
    });
    next();
  }
});

export function picture(path, alt) {
  const image = document.createElement("img");
  image.alt = alt;
  image.dataset.path = path;
  seen.observe(image);
  return image;
}

/** What the address holds besides the token: slide, place and zoom. */
export function place() {
  const held = fragment();
  const number = (name) => (held.has(name) && held.get(name) !== "" ? Number(held.get(name)) : NaN);
  return { slide: number("slide"), x: number("x"), y: number("y"), zoom: number("zoom"), patient: number("patient"), view: held.get("view") || "" };
}

export function remember(values) {
  const held = new URLSearchParams({ token });
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && value !== null && value !== undefined && !Number.isNaN(value)) held.set(name, String(value));
  }
  history.replaceState(null, "", `#${held}`);
}

let hiding = 0;
export function say(sentence) {
  const line = document.getElementById("message");
  clearTimeout(hiding);
  line.textContent = sentence;
  line.hidden = !sentence;
  if (sentence) hiding = setTimeout(() => { line.hidden = true; }, 12000);
}

/** Run something that may be refused; the sentence is shown. */
export async function tried(work) {
  try { return await work(); } catch (error) {
    say(error.message);
    if (!(error instanceof Refused)) throw error;
    return null;
  }
}

export function download(data, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
