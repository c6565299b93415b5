// Shows the mails and keeps them up to date. What a mail says is only ever text here: nothing of it is parsed as HTML.

const byId = (id) => document.getElementById(id);
const wide = matchMedia("(min-width: 46.01rem)");
const tabs = ["text", "html", "source"].map((name) => byId(`tab-${name}`));

let mails = new Map(); // oldest first, by id
const rows = new Map();
let shown = null; // the id of the mail in the reading pane
let tab = "text";

// --- the list

async function fetchMails() {
  const answer = await fetch("/email");
  if (!answer.ok) throw new Error(`/email answers ${answer.status}`);
  const first = rows.size === 0 && byId("empty").hidden;
  mails = new Map((await answer.json()).map((mail) => [mail.id, mail]));
  for (const [id, row] of rows) {
    if (!mails.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  const fresh = [...mails.values()].filter((mail) => !rows.has(mail.id));
  for (const mail of fresh) {
    rows.set(mail.id, rowOf(mail));
    byId("list").prepend(rows.get(mail.id)); // the others stay where they are, and keep the focus
  }
  if (!first && fresh.length) byId("news").textContent = `New mail: ${fresh.at(-1).subject}`;
  for (const [id, row] of rows) row.firstChild.classList.toggle("unread", !mails.get(id).read);
  byId("empty").hidden = mails.size > 0;
  document.body.classList.toggle("empty", mails.size === 0);
  byId("clear").disabled = mails.size === 0;
  byId("count").textContent = mails.size || "";
  const unread = [...mails.values()].filter((mail) => !mail.read).length;
  document.title = unread ? `(${unread}) Inbox` : "Inbox";
  showChosen();
}

function rowOf(mail) {
  const link = element("a", "");
  link.href = `#${mail.id}`;
  const time = element("time", "");
  time.dateTime = mail.time;
  const subject = element("span", "subject", mail.subject || "(no subject)");
  link.append(element("span", "sender", nameOf(mail.from[0])), time, subject, element("span", "to", receivers(mail)));
  const row = element("li", "");
  row.append(link);
  tellTime(time);
  return row;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

const nameOf = (person) => person?.name || person?.address || "(nobody)";
const fullName = (person) => (person.name ? `${person.name} <${person.address}>` : person.address);

// Whom the envelope names is who gets it.
const receivers = (mail) => mail.envelope.to.map((to) => to.address).join(", ") || mail.to.map(fullName).join(", ");

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });

function tellTime(time) {
  const came = new Date(time.dateTime);
  const seconds = Math.max(0, (Date.now() - came) / 1000);
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"]];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [];
  time.textContent = unit ? relative.format(-Math.floor(seconds / size), unit) : "just now";
  time.title = came.toLocaleString();
}

// --- the reading pane

// What the person has chosen; with room for both panes, until they choose, the newest.
function showChosen() {
  const chosen = location.hash.slice(1);
  const id = mails.has(chosen) ? chosen : wide.matches ? [...mails.keys()].at(-1) : undefined;
  document.body.classList.toggle("reading", mails.has(chosen));
  if (id !== shown) show(id ?? null, id === chosen);
}

function show(id, byChoice) {
  rows.get(shown)?.firstChild.removeAttribute("aria-current");
  shown = id;
  const mail = mails.get(id);
  byId("mail").hidden = !mail;
  byId("nothing").hidden = Boolean(mail) || mails.size === 0;
  if (!mail) return;
  rows.get(id).firstChild.setAttribute("aria-current", "true");
  byId("subject").textContent = mail.subject || "(no subject)";
  byId("from").textContent = mail.from.map(fullName).join(", ") || mail.envelope.from.address;
  byId("to").textContent = receivers(mail);
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
  select(byId(`tab-${tab}`).disabled ? tabs.find((tab) => !tab.disabled) : byId(`tab-${tab}`));
  if (byChoice) byId("subject").focus({ preventScroll: true });
  document.querySelector("main").scrollTop = 0;
  if (!mail.read) fetch(`/email/${id}`).catch(() => {}); // asking for one mail is what marks it as read
}

function select(chosen) {
  for (const tab of tabs) {
    const selected = tab === chosen;
    tab.ariaSelected = String(selected);
    tab.tabIndex = selected ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !selected;
  }
  if (chosen.id === "tab-html") showHtml();
  if (chosen.id === "tab-source") showSource();
}

function showHtml() {
  if (byId("panel-html").firstChild) return;
  const frame = element("iframe", "");
  frame.setAttribute("sandbox", "");
  frame.title = "The mail as HTML";
  frame.src = `/email/${shown}/html`;
  byId("panel-html").append(frame);
}

async function showSource() {
  const id = shown;
  const answer = await fetch(`/email/${id}/source`).catch(() => null);
  const source = answer?.ok ? await answer.text() : "The source cannot be had just now.";
  if (id === shown) byId("panel-source").textContent = source;
}

// --- what a person can do

for (const [index, one] of tabs.entries()) {
  one.addEventListener("click", () => {
    tab = one.id.slice("tab-".length);
    select(one);
  });
  one.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const around = [1, 2].map((far) => tabs.at((index + step * far + tabs.length) % tabs.length));
    const next = around.find((tab) => !tab.disabled);
    next?.focus();
    next?.click();
  });
}

byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("digits").textContent);
    byId("copy").textContent = "Copied";
    byId("news").textContent = "The code is copied.";
  } catch {
    getSelection().selectAllChildren(byId("digits")); // without a secure context there is no clipboard
    byId("copy").textContent = "Selected";
  }
});

byId("remove").addEventListener("click", () => change(`/email/${shown}`));
byId("clear").addEventListener("click", () => {
  if (confirm("Delete all mails?")) change("/email/all");
});

async function change(path) {
  const answer = await fetch(path, { method: "DELETE" }).catch(() => null);
  if (!answer?.ok && answer?.status !== 404) byId("news").textContent = "That did not work.";
  byId("mails").focus(); // the button that was pressed may be gone with its mail
}

addEventListener("hashchange", showChosen);
wide.addEventListener("change", showChosen);

// --- staying up to date

let events = null;
let fetching = null;
let missed = false;

// However many changes come while the mails are on their way, they are fetched once more.
function refresh() {
  missed = Boolean(fetching);
  fetching ??= fetchMails()
    .then(() => tellConnection("Live", true))
    .catch(() => {
      tellConnection("Not connected; trying again…", false);
      setTimeout(refresh, 3000);
    })
    .finally(() => {
      fetching = null;
      if (missed) refresh();
    });
}

function tellConnection(text, live) {
  byId("connection").textContent = text;
  byId("connection").classList.toggle("live", live);
}

function listen() {
  if (document.hidden || (events && events.readyState !== EventSource.CLOSED)) return;
  events = new EventSource("/events");
  events.onmessage = refresh;
  events.onerror = () => {
    tellConnection("Not connected; trying again…", false);
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000); // refused: by itself it would not try again
  };
}

// A browser has few connections to one server: a page that nobody sees holds none.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) events?.close();
  else listen();
});

setInterval(() => rows.forEach((row) => tellTime(row.querySelector("time"))), 10_000);
listen();
