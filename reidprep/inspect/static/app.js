"use strict";

const token = document.querySelector('meta[name="token"]').content;
const status = document.getElementById("status");
const undoButton = document.getElementById("undo");
const help = document.getElementById("help");

// What the browser may refuse to keep is kept for this page only.
function load(storage, name, fallback) {
  try {
    return JSON.parse(storage.getItem(name)) ?? fallback;
  } catch {
    return fallback;
  }
}
function save(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
  } catch {}
}

let hush;
function say(text) {
  status.textContent = text;
  clearTimeout(hush);
  hush = setTimeout(() => { status.textContent = ""; }, 4000);
}

// Layers stay hidden from one sample to the next.
const hidden = new Set(load(localStorage, "hidden-layers", []));
for (const box of document.querySelectorAll(".toggles input")) {
  if (box.name === "lines") continue;
  box.checked = !hidden.has(box.name);
  box.addEventListener("change", () => {
    box.checked ? hidden.delete(box.name) : hidden.add(box.name);
    save(localStorage, "hidden-layers", [...hidden]);
  });
}

// The filter: empty fields have no place in the address.
const filter = document.getElementById("filter");
if (filter) {
  const standard = { sort: filter.dataset.sort ?? "index", order: "asc", per_page: "60", show: "all" };
  filter.addEventListener("submit", () => {
    for (const field of filter.elements) {
      if (field.name && (field.value === "" || standard[field.name] === field.value)) field.disabled = true;
    }
  });
  filter.addEventListener("change", (event) => {
    if (event.target.matches('select, input[type="checkbox"]')) filter.requestSubmit();
  });
  // Back from another page, the browser shows the form as it was left.
  addEventListener("pageshow", () => {
    for (const field of filter.elements) field.disabled = false;
  });
}

// Excluding.
// Under a name of their own for each directory: another one may be served at the same address later.
const marks = `marks-${document.querySelector('meta[name="version"]').content}`;
let done = load(sessionStorage, marks, []);
function remember(entries) {
  done = entries.slice(-200);
  save(sessionStorage, marks, done);
  undoButton.disabled = !done.length;
}
remember(done);

function show(index, excluded) {
  for (const card of document.querySelectorAll(`article.sample[data-index="${index}"]`)) {
    card.classList.toggle("excluded", excluded);
    card.querySelector(".exclude")?.setAttribute("aria-pressed", String(excluded));
  }
}

async function ask(content) {
  const answer = await fetch("/exclude", {
    method: "POST",
    keepalive: true,
    headers: { "Content-Type": "application/json", "X-Token": token },
    body: JSON.stringify(content),
  });
  const result = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(result.error), { status: answer.status });
  document.getElementById("excluded-count").textContent = result.excluded;
  return result;
}

async function send(index, excluded, reason) {
  show(index, excluded);
  try {
    const content = await ask({ index, excluded, reason });
    say(`Sample ${index} is ${excluded ? "excluded" : "back in"}`);
    return content;
  } catch (error) {
    show(index, !excluded);
    say(`Not marked: ${error.message}`);
    return null;
  }
}

// After many marks the page is asked for again: it may show any of them.
function reloadAnd(text) {
  save(sessionStorage, "said", text);
  location.reload();
}
const samples = (number) => `${number.toLocaleString("en")} ${number === 1 ? "sample" : "samples"}`;

async function markAll(button) {
  const excluded = button.dataset.excluded === "true";
  try {
    const content = await ask({ filter: button.dataset.filter, excluded, reason: reason?.value ?? "" });
    if (content.samples) remember([...done, { undo: content.undo }]);
    reloadAnd(`${samples(content.samples)} ${excluded ? "excluded" : "taken back in"}`);
  } catch (error) {
    say(`Not marked: ${error.message}`);
  }
}

// A reason that was typed stays for the samples that are excluded next; that of an excluded sample is its own, if it has none too.
const reason = document.getElementById("reason");
const own = Boolean(reason?.closest("article.sample.excluded"));
if (reason && !own) reason.value = load(sessionStorage, "reason", "");
reason?.addEventListener("input", () => own || save(sessionStorage, "reason", reason.value));

// What is pressed fast happens in its order, and before the page is left.
let turn = Promise.resolve();
function inTurn(task) {
  turn = turn.then(task);
}

async function mark(card) {
  const button = card.querySelector(".exclude");
  if (!button) return;
  const index = Number(card.dataset.index);
  const excluded = button.getAttribute("aria-pressed") !== "true";
  // A card may suggest one.
  const answer = await send(index, excluded, reason?.value || card.dataset.reason);
  // Another page may have marked it meanwhile.
  if (answer) remember([...done, { index, before: answer.reason }]);
}

async function undo() {
  const last = done.at(-1);
  if (!last) return;
  if (last.undo === undefined) {
    if (await send(last.index, last.before !== null, last.before ?? "")) remember(done.slice(0, -1));
    return;
  }
  try {
    const content = await ask({ undo: last.undo });
    remember(done.slice(0, -1));
    reloadAnd(`${samples(content.samples)} as before`);
  } catch (error) {
    if (error.status === 410) remember(done.slice(0, -1));
    say(`Not undone: ${error.message}`);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.exclude");
  if (button) inTurn(() => mark(button.closest("article.sample")));
});
undoButton.addEventListener("click", () => inTurn(undo));
document.getElementById("mark-all")?.addEventListener("click", (event) => {
  const button = event.currentTarget;
  inTurn(() => markAll(button));
});
reason?.addEventListener("change", () => {
  const card = reason.closest("article.sample");
  inTurn(() => card?.classList.contains("excluded") && send(Number(card.dataset.index), true, reason.value));
});
const said = load(sessionStorage, "said", "");
if (said) say(said);
save(sessionStorage, "said", "");

// Keys.
document.getElementById("help-button").addEventListener("click", () => help.showModal());

const opens = [...document.querySelectorAll(".grid .open")];
function chosen() {
  return opens.indexOf(document.activeElement?.closest("article.sample")?.querySelector(".open"));
}
function follow(relation) {
  // A person with many images has pages, and neighbours: pages come first.
  const link = document.querySelector(`nav[aria-label="Pages"] a[rel="${relation}"], .detail a[rel="${relation}"]`)
    ?? document.querySelector(`a[rel="${relation}"]`);
  if (link) inTurn(() => link.click());
  return Boolean(link);
}
function choose(position) {
  opens[position].focus();
  opens[position].scrollIntoView({ block: "nearest" });
}
function move(step) {
  const at = chosen();
  const to = at < 0 ? (step > 0 ? 0 : opens.length - 1) : at + step;
  if (to >= 0 && to < opens.length) choose(to);
  else if (follow(step > 0 ? "next" : "prev")) save(sessionStorage, "arrive", step > 0 ? "first" : "last");
}
function moveRow(step) {
  const at = Math.max(0, chosen());
  const here = opens[at].getBoundingClientRect();
  let best = -1;
  for (let to = at + step; to >= 0 && to < opens.length; to += step) {
    const there = opens[to].getBoundingClientRect();
    if (Math.abs(there.top - here.top) < 4) continue;
    if (best >= 0 && Math.abs(there.top - opens[best].getBoundingClientRect().top) > 4) break;
    const nearer = (other) => Math.abs(opens[other].getBoundingClientRect().left - here.left);
    if (best < 0 || nearer(to) < nearer(best)) best = to;
  }
  if (best >= 0) choose(best);
}
const arrive = load(sessionStorage, "arrive", null);
const returned = opens.findIndex((open) => `#${open.closest("article.sample").id}` === location.hash);
if (arrive && opens.length) choose(arrive === "first" ? 0 : opens.length - 1);
else if (returned >= 0) {
  // Until the page is loaded, the browser takes the focus away again as it scrolls to the place in the address.
  const again = () => { if (document.activeElement === document.body) choose(returned); };
  again();
  addEventListener("load", () => setTimeout(again));
}
save(sessionStorage, "arrive", null);

const large = document.querySelector("article.large");
const keys = {
  // What is not done here is left to the browser: arrows scroll.
  j: () => (large ? follow("next") : opens.length > 0 && move(1)),
  k: () => (large ? follow("prev") : opens.length > 0 && move(-1)),
  n: () => follow("next"),
  p: () => follow("prev"),
  g: () => { document.querySelector("a.back")?.click(); },
  u: () => inTurn(undo),
  x: () => {
    const card = large ?? document.activeElement?.closest("article.sample");
    if (card) inTurn(() => mark(card));
    else say("Choose a sample first, with j or a click");
  },
  "/": () => document.querySelector('#filter input[name="path"]')?.focus(),
  "?": () => help.showModal(),
};
keys.ArrowRight = keys.j;
keys.ArrowLeft = keys.k;
keys.ArrowDown = () => !large && chosen() >= 0 && moveRow(1);
keys.ArrowUp = () => !large && chosen() >= 0 && moveRow(-1);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.matches('input:not([type="checkbox"]), select, textarea')) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const action = keys[event.key];
  if (action && action() !== false) event.preventDefault();
});
