// The session and the account. The token is kept in memory only.

let token;

// Logs in, and shows the account with a status message.
async function startSession(entered, status) {
  const response = await request("POST", "/v1/users/login", { credentials: entered });
  if (!response.ok) {
    byId("log-in-email").value = entered.email.trim();
    if (currentView() !== "log-in") {
      showView("log-in");
      showStatus(message("activated-log-in"));
    }
    byId("unactivated").hidden = response.slug !== "not-activated";
    return showProblem(response, {}, { unauthenticated: "wrong-password", "not-activated": "not-activated" });
  }
  token = response.body.token;
  // A pending code is no longer needed.
  discardRegistration();
  discardReset();
  clearInputs("email", "log-in-password");
  byId("log-in-email").value = entered.email.trim();
  await showAccount(status);
}

async function showAccount(status) {
  const response = await request("GET", "/v1/users/me", { token });
  if (!response.ok) {
    token = undefined;
    // The code view has nothing left to do.
    if (currentView() !== "log-in") {
      showView("log-in");
      showStatus(message("activated-log-in"));
    }
    return endSession("session-ended", response);
  }
  byId("profile-email").textContent = response.body.email;
  const format = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
  byId("profile-since").textContent = format.format(new Date(response.body.activated_at));
  showView("welcome");
  showStatus(message(status));
}

const logIn = () => {
  clearErrors(byId("log-in"));
  byId("unactivated").hidden = true;
  const entered = { email: byId("log-in-email").value, password: byId("log-in-password").value };
  const missing = ["email", "password"].filter((field) => !entered[field].trim());
  if (!missing.length) return startSession(entered, "signed-in");
  showFieldErrors(missing.map((field) => ({ field, code: "required" })), { email: "log-in-email", password: "log-in-password" });
};

// For a login before the activation: requests a new code and shows the code view.
const activateLater = () => whileBusy(byId("to-activate"), async () => {
  const entered = { email: byId("log-in-email").value, password: byId("log-in-password").value };
  const response = await request("POST", "/v1/users/resend", { body: {}, credentials: entered });
  const own = { unauthenticated: "wrong-password", "already-active": "already-active", "registration-closed": "closed" };
  if (!response.ok) return showProblem(response, {}, own);
  clearInputs("log-in-password");
  enterCodeView(response.body, entered);
});

// Ends the session after a success or a 401. Any other error is shown, and the user may try again.
function endSession(reason, response) {
  const { status } = response;
  if (status && status !== 401 && status !== 204) return showError(commonMessage(response));
  if (!status) return showError(message("unreachable"));
  token = undefined;
  if (reason === "deleted") clearEmails();
  showView(reason === "deleted" && status !== 401 ? "sign-up" : "log-in");
  const text = message(status === 401 ? "session-ended" : reason);
  if (status === 401) showError(text);
  else showStatus(text);
}

// The next user of the device must not see whose account it was.
function clearEmails() {
  clearInputs("log-in-email", "forgot-email", "reset-username");
  for (const id of ["profile-email", "code-email", "reset-email"]) byId(id).textContent = "";
}

const signOut = () => whileBusy(byId("sign-out"), async () => {
  endSession("signed-out", await request("POST", "/v1/users/logout", { token }));
});

function openDeleteDialog() {
  clearErrors(byId("confirm-delete"));
  byId("confirm-delete").showModal();
}

// A session is not enough: a person who finds the page open must not be able to delete the account. Errors are shown in the
// dialog, because the page behind it cannot be reached.
async function deleteAccount() {
  clearErrors(byId("confirm-delete"));
  const entered = { email: byId("profile-email").textContent, password: byId("delete-password").value };
  if (!entered.password) return showFieldErrors([{ field: "password", code: "required" }], { password: "delete-password" });
  const response = await request("DELETE", "/v1/users/me", { credentials: entered });
  if (response.ok) {
    byId("confirm-delete").close();
    return endSession("deleted", response);
  }
  const isWrong = response.slug === "unauthenticated";
  setFieldError("delete-password", isWrong ? message("wrong-own-password") : commonMessage(response));
  byId("delete-password").focus();
}
