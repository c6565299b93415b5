// Lists the mails, shows the selected one, and follows changes. Content of mails is inserted as text only, never parsed as HTML.

const byId = (id) => document.getElementById(id);
const twoPanes = matchMedia("(min-width: 46.01rem)");
const tabs = ["text", "html", "source"].map((name) => byId(`tab-${name}`));

let mails = new Map(); // by id, oldest first
const rows = new Map(); // list items by mail id
let shownId = null; // of the mail in the reading pane
let preferredTab = "text";

// --- List of mails

async function fetchMails() {
  const response = await fetch("/email");
  if (!response.ok) throw new Error(`GET /email returned ${response.status}`);
  const isFirstFetch = rows.size === 0 && byId("empty").hidden;
  mails = new Map((await response.json()).map((mail) => [mail.id, mail]));
  for (const [id, row] of rows) {
    if (!mails.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  const newMails = [...mails.values()].filter((mail) => !rows.has(mail.id));
  for (const mail of newMails) {
    rows.set(mail.id, createRow(mail));
    byId("list").prepend(rows.get(mail.id)); // the other rows are not touched, so that the focus stays
  }
  if (!isFirstFetch && newMails.length) byId("status").textContent = `New mail: ${newMails.at(-1).subject}`;
  for (const [id, row] of rows) row.firstChild.classList.toggle("unread", !mails.get(id).read);
  byId("empty").hidden = mails.size > 0;
  document.body.classList.toggle("empty", mails.size === 0);
  byId("clear").disabled = mails.size === 0;
  byId("count").textContent = mails.size || "";
  const unread = [...mails.values()].filter((mail) => !mail.read).length;
  document.title = unread ? `(${unread}) Inbox` : "Inbox";
  showSelected();
}

function createRow(mail) {
  const link = element("a", "");
  link.href = `#${mail.id}`;
  const time = element("time", "");
  time.dateTime = mail.time;
  const subject = element("span", "subject", mail.subject || "(no subject)");
  link.append(element("span", "sender", nameOf(mail.from[0])), time, subject, element("span", "to", recipients(mail)));
  const row = element("li", "");
  row.append(link);
  updateAge(time);
  return row;
}

function element(tag, className, text = "") {
  const created = document.createElement(tag);
  created.className = className;
  created.textContent = text;
  return created;
}

const nameOf = (person) => person?.name || person?.address || "(no sender)";
const fullName = (person) => (person.name ? `${person.name} <${person.address}>` : person.address);

// The envelope names the actual recipients; the To header is only used if there is no envelope.
const recipients = (mail) => mail.envelope.to.map((to) => to.address).join(", ") || mail.to.map(fullName).join(", ");

const relativeTime = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });

function updateAge(time) {
  const received = new Date(time.dateTime);
  const seconds = Math.max(0, (Date.now() - received) / 1000);
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"]];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [];
  time.textContent = unit ? relativeTime.format(-Math.floor(seconds / size), unit) : "just now";
  time.title = received.toLocaleString();
}

// --- Reading pane

// Shows the mail in the URL fragment. Without one, the newest if both panes are visible.
function showSelected() {
  const selected = location.hash.slice(1);
  const id = mails.has(selected) ? selected : twoPanes.matches ? [...mails.keys()].at(-1) : undefined;
  document.body.classList.toggle("reading", mails.has(selected));
  if (id !== shownId) show(id ?? null, id === selected);
}

function show(id, isSelectedByUser) {
  rows.get(shownId)?.firstChild.removeAttribute("aria-current");
  shownId = id;
  const mail = mails.get(id);
  byId("mail").hidden = !mail;
  byId("none-selected").hidden = Boolean(mail) || mails.size === 0;
  if (!mail) return;
  rows.get(id).firstChild.setAttribute("aria-current", "true");
  byId("subject").textContent = mail.subject || "(no subject)";
  byId("from").textContent = mail.from.map(fullName).join(", ") || mail.envelope.from.address;
  byId("to").textContent = recipients(mail);
  byId("time").textContent = `${new Date(mail.time).toLocaleString()} · ${mail.sizeHuman}`;
  const code = mail.text?.match(/^[ \t]*(\d{4,10})[ \t]*$/m)?.[1];
  byId("code").hidden = !code;
  byId("digits").textContent = code ?? "";
  byId("copy").textContent = "Copy";
  byId("tab-text").disabled = !mail.text;
  byId("tab-html").disabled = !mail.html;
  byId("panel-text").textContent = mail.text ?? "";
  byId("panel-html").replaceChildren();
  byId("panel-source").textContent = "";
  const preferred = byId(`tab-${preferredTab}`);
  selectTab(preferred.disabled ? tabs.find((tab) => !tab.disabled) : preferred);
  if (isSelectedByUser) byId("subject").focus({ preventScroll: true });
  document.querySelector("main").scrollTop = 0;
  if (!mail.read) fetch(`/email/${id}`).catch(() => {}); // fetching a single mail marks it as read
}

function selectTab(selectedTab) {
  for (const tab of tabs) {
    const selected = tab === selectedTab;
    tab.ariaSelected = String(selected);
    tab.tabIndex = selected ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !selected;
  }
  if (selectedTab.id === "tab-html") showHtml();
  if (selectedTab.id === "tab-source") showSource();
}

function showHtml() {
  if (byId("panel-html").firstChild) return;
  const frame = element("iframe", "");
  frame.setAttribute("sandbox", "");
  frame.title = "The mail as HTML";
  frame.src = `/email/${shownId}/html`;
  byId("panel-html").append(frame);
}

async function showSource() {
  const id = shownId;
  const response = await fetch(`/email/${id}/source`).catch(() => null);
  const source = response?.ok ? await response.text() : "The source could not be loaded. Try again.";
  if (id === shownId) byId("panel-source").textContent = source;
}

// --- User actions

for (const [index, button] of tabs.entries()) {
  button.addEventListener("click", () => {
    preferredTab = button.id.slice("tab-".length);
    selectTab(button);
  });
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const others = [1, 2].map((distance) => tabs.at((index + step * distance + tabs.length) % tabs.length));
    const next = others.find((tab) => !tab.disabled);
    next?.focus();
    next?.click();
  });
}

byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("digits").textContent);
    byId("copy").textContent = "Copied";
    byId("status").textContent = "The code was copied.";
  } catch {
    getSelection().selectAllChildren(byId("digits")); // the clipboard needs a secure context; the user can copy the selection instead
    byId("copy").textContent = "Selected";
  }
});

byId("remove").addEventListener("click", () => deleteAt(`/email/${shownId}`));
byId("clear").addEventListener("click", () => {
  if (confirm("Delete all mails?")) deleteAt("/email/all");
});

async function deleteAt(path) {
  const response = await fetch(path, { method: "DELETE" }).catch(() => null);
  if (!response?.ok && response?.status !== 404) byId("status").textContent = "Deleting failed. Try again.";
  byId("mails").focus(); // the pressed button may have been removed together with its mail
}

addEventListener("hashchange", showSelected);
twoPanes.addEventListener("change", showSelected);

// --- Following changes

let events = null;
let fetching = null;
let changedMeanwhile = false;

// Fetches the list. Changes reported while a fetch is in progress cause one more fetch afterwards.
function refresh() {
  changedMeanwhile = Boolean(fetching);
  fetching ??= fetchMails()
    .then(() => showConnection("Live", true))
    .catch(() => {
      showConnection("Not connected. Retrying…", false);
      setTimeout(refresh, 3000);
    })
    .finally(() => {
      fetching = null;
      if (changedMeanwhile) refresh();
    });
}

function showConnection(text, live) {
  byId("connection").textContent = text;
  byId("connection").classList.toggle("live", live);
}

function subscribe() {
  if (document.hidden || (events && events.readyState !== EventSource.CLOSED)) return;
  events = new EventSource("/events");
  events.onmessage = refresh;
  events.onerror = () => {
    showConnection("Not connected. Retrying…", false);
    if (events.readyState === EventSource.CLOSED) setTimeout(subscribe, 3000); // an EventSource does not retry after an HTTP error
  };
}

// Browsers limit the connections per server, so a hidden page closes its event stream.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) events?.close();
  else subscribe();
});

setInterval(() => rows.forEach((row) => updateAge(row.querySelector("time"))), 10_000);
subscribe();
