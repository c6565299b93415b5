// Access to the page: messages, views, errors. All text comes from the page, which the server rendered in the user's language.

const byId = (id) => document.getElementById(id);
const language = document.documentElement.lang;
const messages = {};
for (const { dataset, textContent } of byId("messages").content.children) messages[dataset.message] = textContent;

function message(name, values = {}) {
  return messages[name].replace(/\{(\w+)\}/g, (_, value) => values[value]);
}

// The two largest units: "42 s", "9 min 50 s", "2 h 5 min".
function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const units = [["hours", Math.floor(whole / 3600)], ["minutes", Math.floor(whole / 60) % 60], ["seconds", whole % 60]];
  const shown = units.filter(([, n]) => n > 0).slice(0, 2);
  return (shown.length ? shown : [["seconds", 0]]).map(([unit, n]) => message(unit, { n })).join(" ");
}

// For screen readers, and on the screen unless it is `unseen` because the page shows the same elsewhere.
function showStatus(text, { unseen = false } = {}) {
  byId("status").classList.toggle("unseen", unseen);
  byId("status").textContent = text;
}

function showError(text) {
  byId("problem").textContent = text;
}

// The error line below an input.
function setFieldError(id, text) {
  byId(`${id}-error`).textContent = text;
  const inputs = byId(id).matches("input") ? [byId(id)] : byId(id).children;
  for (const input of inputs) {
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
}

function clearErrors(form) {
  showError("");
  for (const line of form.querySelectorAll(".fault")) setFieldError(line.id.replace(/-error$/, ""), "");
}

// Shows each error at its field, and focuses the first. `fields` maps names in the API to ids in the page.
function showFieldErrors(errors, fields) {
  const known = errors.filter(({ field }) => fields[field]);
  for (const { field, code, message } of known) setFieldError(fields[field], messages[`${field}-${code}`] ?? message);
  if (known.length < errors.length) showError(errors.find(({ field }) => !fields[field]).message);
  const first = byId(fields[known[0]?.field] ?? "problem");
  (first.matches("input") ? first : first.querySelector("input"))?.focus();
}

const isBusy = (button) => button.getAttribute("aria-busy") === "true";

// Runs `work` unless it is already running: a double click has one effect.
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

function clearInputs(...ids) {
  for (const id of ids) byId(id).value = "";
}

// Shows a view and puts its name into the URL, so that the back button works. Going back adds no history entry.
function showView(name, { moveFocus = true, isBack = false } = {}) {
  if (currentView() === "log-in" && name !== "log-in") clearInputs("log-in-password");
  for (const view of document.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== name;
  const view = document.querySelector(`[data-view="${name}"]`);
  document.body.dataset.at = name;
  document.title = `${view.querySelector("h1").textContent} · Vestibule`;
  showError("");
  showStatus("");
  const hash = name === "sign-up" ? "" : `#${name}`;
  const url = location.pathname + location.search + hash;
  if (location.hash !== hash) history[isBack ? "replaceState" : "pushState"](null, "", url);
  for (const link of document.querySelectorAll("#language a")) link.hash = hash;
  if (!moveFocus) return;
  const field = [...view.querySelectorAll("input")].find((input) => input.offsetParent && !input.value);
  (field ?? view.querySelector("h1")).focus();
}
