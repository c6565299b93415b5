// What is on the page, and how it says things. Every word comes from the page, which was made in the reader's language.

const byId = (id) => document.getElementById(id);
const language = document.documentElement.lang;
const words = {};
for (const { dataset, textContent } of byId("words").content.children) words[dataset.word] = textContent;

function word(name, values = {}) {
  return words[name].replace(/\{(\w+)\}/g, (_, value) => values[value]);
}

// The two largest units: "42 s", "9 min 50 s", "2 h 5 min".
function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const units = [["hours", Math.floor(whole / 3600)], ["minutes", Math.floor(whole / 60) % 60], ["seconds", whole % 60]];
  const some = units.filter(([, n]) => n > 0).slice(0, 2);
  return (some.length ? some : [["seconds", 0]]).map(([unit, n]) => word(unit, { n })).join(" ");
}

// For the eyes as well, unless they see the same elsewhere.
function announce(text, { unseen = false } = {}) {
  byId("status").classList.toggle("unseen", unseen);
  byId("status").textContent = text;
}

function complain(text) {
  byId("problem").textContent = text;
}

// The input's own line below it.
function fault(id, text) {
  byId(`${id}-error`).textContent = text;
  const inputs = byId(id).matches("input") ? [byId(id)] : byId(id).children;
  for (const input of inputs) {
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
}

function clearFaults(form) {
  complain("");
  for (const line of form.querySelectorAll(".fault")) fault(line.id.replace(/-error$/, ""), "");
}

// Shows what is wrong at each field, and goes to the first.
function showFaults(errors, fields) {
  const known = errors.filter(({ field }) => fields[field]);
  for (const { field, code, message } of known) fault(fields[field], words[`${field}-${code}`] ?? message);
  if (known.length < errors.length) complain(errors.find(({ field }) => !fields[field]).message);
  const first = byId(fields[known[0]?.field] ?? "problem");
  (first.matches("input") ? first : first.querySelector("input"))?.focus();
}

const isBusy = (button) => button.getAttribute("aria-busy") === "true";

// One at a time: what is pressed twice is done once.
async function whileBusy(button, work) {
  if (isBusy(button)) return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

const currentView = () => document.body.dataset.at;

function empty(...ids) {
  for (const id of ids) byId(id).value = "";
}

// The address keeps the view, so that going back does what it does elsewhere. Who goes back leaves no new place behind.
function show(name, { moveFocus = true, isBack = false } = {}) {
  if (currentView() === "log-in" && name !== "log-in") empty("log-in-password");
  for (const view of document.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== name;
  const view = document.querySelector(`[data-view="${name}"]`);
  document.body.dataset.at = name;
  document.title = `${view.querySelector("h1").textContent} · Vestibule`;
  complain("");
  announce("");
  const hash = name === "sign-up" ? "" : `#${name}`;
  const address = location.pathname + location.search + hash;
  if (location.hash !== hash) history[isBack ? "replaceState" : "pushState"](null, "", address);
  for (const link of document.querySelectorAll("#language a")) link.hash = hash;
  if (!moveFocus) return;
  const field = [...view.querySelectorAll("input")].find((input) => input.offsetParent && !input.value);
  (field ?? view.querySelector("h1")).focus();
}
