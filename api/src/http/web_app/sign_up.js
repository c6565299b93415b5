// From an address and a password to a code, and from the code to the inside.

const REMEMBERED = "vestibule.registration";

// The password is nowhere but here, and only until the code was right. Of the sign-up, its id outlives a reload.
let person;
let stopWatching = () => {};
let sameRequest = {};

const codeMinute = minute("", "code");
const codeBoxes = boxes(byId("boxes"), () => activate());

// A browser may have been told to keep nothing at all.
function remember(registration) {
  try {
    if (registration) sessionStorage.setItem(REMEMBERED, registration);
    else sessionStorage.removeItem(REMEMBERED);
  } catch {
    // Then a reload begins anew.
  }
}

function recall() {
  try {
    return sessionStorage.getItem(REMEMBERED);
  } catch {
    return undefined;
  }
}

// The same request again, after a failure, is the same sign-up and no second mail.
function keyOf(given) {
  const request = `${given.email}\n${given.password}`;
  if (sameRequest.request !== request) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    sameRequest = { request, key: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
  }
  return sameRequest.key;
}

async function signUp() {
  clearFaults(byId("sign-up"));
  const given = { email: byId("email").value, password: byId("password").value };
  const answer = await ask("POST", "/v1/users", { body: given, key: keyOf(given) });
  if (answer.slug === "idempotency-mismatch") sameRequest = {};
  if (!answer.ok) return refuse(answer, { email: "email", password: "password" });
  sameRequest = {};
  empty("password");
  waitForCode(answer.said, given);
}

// `given` is missing after a reload.
function waitForCode(receipt, given) {
  person = given;
  remember(receipt.registration);
  byId("again").hidden = Boolean(given);
  byId("code-email").textContent = given ? given.email.trim() : word("code-somewhere");
  codeBoxes.make(receipt.code_length);
  codeBoxes.clear();
  clearFaults(byId("code"));
  codeMinute.forget();
  show("code");
  codeMinute.set(receipt);
  stopWatching();
  stopWatching = watch(`/v1/registrations/${receipt.registration}`, { hasEvents: true, view: "code" }, registrationChanged);
}

function registrationChanged(receipt) {
  if (!receipt) return leaveCode("sign-up", "gone");
  if (receipt.status === "closed") return leaveCode("sign-up", "closed");
  if (receipt.status === "activated") {
    // By us, just now: then the answer to that is on its way.
    if (!isBusy(byId("code-go"))) leaveCode("log-in", "already-active");
    return;
  }
  codeBoxes.make(receipt.code_length);
  codeMinute.set(receipt);
}

function leaveCode(view, why) {
  if (person) byId("log-in-email").value = person.email.trim();
  forgetCode();
  // Whoever has gone elsewhere meanwhile stays there.
  if (currentView() !== "code") return;
  show(view);
  complain(word(why));
}

function forgetCode() {
  stopWatching();
  person = undefined;
  codeMinute.forget();
  codeBoxes.clear();
  empty("password", "again-email", "again-password");
  remember();
}

// After a reload the password is asked for again.
function whose() {
  if (person) return person;
  const given = { email: byId("again-email").value, password: byId("again-password").value };
  const missing = ["email", "password"].filter((field) => !given[field].trim());
  if (!missing.length) return given;
  showFaults(missing.map((field) => ({ field, code: "required" })), { email: "again-email", password: "again-password" });
}

const activate = () => whileBusy(byId("code-go"), async () => {
  clearFaults(byId("code"));
  if (!codeBoxes.isFull()) {
    fault("boxes", word("incomplete"));
    return codeBoxes.focus();
  }
  const given = whose();
  if (!given) return;
  const registration = codeMinute.receipt()?.registration;
  if (!registration) return;
  const answer = await ask("POST", "/v1/users/activate", { body: { code: codeBoxes.value(), registration }, person: given });
  if (answer.ok) {
    forgetCode();
    return comeIn(given, "activated");
  }
  refuseCode(answer);
});

function refuseCode(answer) {
  if (answer.slug === "already-active") return leaveCode("log-in", "already-active");
  if (answer.slug === "registration-closed") return leaveCode("sign-up", "closed");
  const own = { "code-expired": "expired", "code-exhausted": "exhausted", unauthenticated: "no-such-registration" };
  refuse(answer, { code: "boxes", registration: "boxes" }, { ...own, "wrong-code": wrongCode(codeMinute, answer) });
  enterAnother(codeMinute, codeBoxes, answer);
}

// A code that is over is over now, and not only when the service tells of it: nothing moves later, under the finger.
function enterAnother(clock, row, { slug }) {
  if (!["wrong-code", "code-expired", "code-exhausted"].includes(slug)) return;
  row.clear();
  row.focus();
  const receipt = clock.receipt();
  if (!receipt || slug === "wrong-code") return;
  clock.set({ ...receipt, status: "expired", attempts_left: slug === "code-exhausted" ? 0 : receipt.attempts_left });
}

// Nothing is counted against a code that no mail server has yet.
function wrongCode(clock, { said, slug }) {
  const receipt = clock.receipt();
  if (!receipt || slug !== "wrong-code") return "wrong-code";
  clock.set({ ...receipt, attempts_left: said.attempts_left });
  // Where a try was counted, the mail has left, whatever was heard of it.
  if (receipt.status === "queued" && said.attempts_left === receipt.attempts_left) return "not-sent";
  return said.attempts_left === 0 ? "exhausted" : "wrong-code";
}

const resend = () => whileBusy(byId("resend"), async () => {
  clearFaults(byId("code"));
  const given = whose();
  if (!given) return;
  const registration = codeMinute.receipt()?.registration;
  if (!registration) return;
  const answer = await ask("POST", "/v1/users/resend", { body: { registration }, person: given });
  if (!answer.ok) return refuseCode(answer);
  waitForCode(answer.said, given);
  announce(word("resent"));
});
