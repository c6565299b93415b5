// Sign-up: register, enter the code, activate.

const STORAGE_KEY = "vestibule.registration";

// The credentials are kept in memory only, until the account is active. Only the registration id survives a reload.
let credentials;
let stopWatchingCode = () => {};
let lastRequest = {};

const codeCountdown = countdown("", "code");
const codeBoxes = codeInput(byId("boxes"), () => activate());

function storeRegistration(registration) {
  try {
    if (registration) sessionStorage.setItem(STORAGE_KEY, registration);
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // The browser forbids storage: a reload starts anew.
  }
}

function storedRegistration() {
  try {
    return sessionStorage.getItem(STORAGE_KEY);
  } catch {
    return undefined;
  }
}

// Retrying the same request after a failure reuses the key: it creates no second registration and no second mail.
function idempotencyKey({ email, password }) {
  const contents = `${email}\n${password}`;
  if (lastRequest.contents !== contents) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    lastRequest = { contents, key: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
  }
  return lastRequest.key;
}

async function signUp() {
  clearErrors(byId("sign-up"));
  const entered = { email: byId("email").value, password: byId("password").value };
  const response = await request("POST", "/v1/users", { body: entered, key: idempotencyKey(entered) });
  if (response.slug === "idempotency-mismatch") lastRequest = {};
  if (!response.ok) return showProblem(response, { email: "email", password: "password" });
  lastRequest = {};
  clearInputs("password");
  enterCodeView(response.body, entered);
}

// `entered` is missing after a reload.
function enterCodeView(receipt, entered) {
  credentials = entered;
  storeRegistration(receipt.registration);
  byId("again").hidden = Boolean(entered);
  byId("code-email").textContent = entered ? entered.email.trim() : message("code-unknown-email");
  codeBoxes.setLength(receipt.code_length);
  codeBoxes.clear();
  clearErrors(byId("code"));
  codeCountdown.reset();
  showView("code");
  codeCountdown.set(receipt);
  stopWatchingCode();
  const path = `/v1/registrations/${receipt.registration}`;
  stopWatchingCode = watchReceipt(path, { hasEvents: true, view: "code" }, registrationChanged);
}

function registrationChanged(receipt) {
  if (!receipt) return leaveCodeView("sign-up", "registration-not-found");
  if (receipt.status === "closed") return leaveCodeView("sign-up", "closed");
  if (receipt.status === "activated") {
    // While this page activates, the response to that is on its way.
    if (!isBusy(byId("code-go"))) leaveCodeView("log-in", "already-active");
    return;
  }
  codeBoxes.setLength(receipt.code_length);
  codeCountdown.set(receipt);
}

function leaveCodeView(view, error) {
  if (credentials) byId("log-in-email").value = credentials.email.trim();
  discardRegistration();
  // The user may have gone to another view.
  if (currentView() !== "code") return;
  showView(view);
  showError(message(error));
}

function discardRegistration() {
  stopWatchingCode();
  credentials = undefined;
  codeCountdown.reset();
  codeBoxes.clear();
  clearInputs("password", "again-email", "again-password");
  storeRegistration();
}

// After a reload the user has to enter the credentials again.
function currentCredentials() {
  if (credentials) return credentials;
  const entered = { email: byId("again-email").value, password: byId("again-password").value };
  const missing = ["email", "password"].filter((field) => !entered[field].trim());
  if (!missing.length) return entered;
  showFieldErrors(missing.map((field) => ({ field, code: "required" })), { email: "again-email", password: "again-password" });
}

const activate = () => whileBusy(byId("code-go"), async () => {
  clearErrors(byId("code"));
  if (!codeBoxes.isFull()) {
    setFieldError("boxes", message("incomplete"));
    return codeBoxes.focus();
  }
  const entered = currentCredentials();
  if (!entered) return;
  const registration = codeCountdown.receipt()?.registration;
  if (!registration) return;
  const body = { code: codeBoxes.value(), registration };
  const response = await request("POST", "/v1/users/activate", { body, credentials: entered });
  if (response.ok) {
    discardRegistration();
    return startSession(entered, "activated");
  }
  showCodeProblem(response);
});

function showCodeProblem(response) {
  if (response.slug === "already-active") return leaveCodeView("log-in", "already-active");
  if (response.slug === "registration-closed") return leaveCodeView("sign-up", "closed");
  const own = { "code-expired": "expired", "code-exhausted": "exhausted", unauthenticated: "no-such-registration" };
  own["wrong-code"] = wrongCodeMessage(codeCountdown, response);
  showProblem(response, { code: "boxes", registration: "boxes" }, own);
  clearRejectedCode(codeCountdown, codeBoxes, response);
}

// Shows an invalid code as expired now, not at the next receipt: a later change would move buttons under the user's finger.
function clearRejectedCode(countdown, boxes, { slug }) {
  if (!["wrong-code", "code-expired", "code-exhausted"].includes(slug)) return;
  boxes.clear();
  boxes.focus();
  const receipt = countdown.receipt();
  if (!receipt || slug === "wrong-code") return;
  countdown.set({ ...receipt, status: "expired", attempts_left: slug === "code-exhausted" ? 0 : receipt.attempts_left });
}

// No attempt is counted for a code that no mail server has accepted yet.
function wrongCodeMessage(countdown, { body, slug }) {
  const receipt = countdown.receipt();
  if (!receipt || slug !== "wrong-code") return "wrong-code";
  countdown.set({ ...receipt, attempts_left: body.attempts_left });
  // If the attempt was counted, the mail has been sent, even if this page has not received that receipt yet.
  if (receipt.status === "queued" && body.attempts_left === receipt.attempts_left) return "not-sent";
  return body.attempts_left === 0 ? "exhausted" : "wrong-code";
}

const resend = () => whileBusy(byId("resend"), async () => {
  clearErrors(byId("code"));
  const entered = currentCredentials();
  if (!entered) return;
  const registration = codeCountdown.receipt()?.registration;
  if (!registration) return;
  const response = await request("POST", "/v1/users/resend", { body: { registration }, credentials: entered });
  if (!response.ok) return showCodeProblem(response);
  enterCodeView(response.body, entered);
  showStatus(message("resent"));
});
