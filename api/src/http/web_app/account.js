// The inside: who has a session, and how it begins and ends. The token is nowhere but here.

let token;

// Logs in, and says why one is in.
async function comeIn(given, why) {
  const answer = await ask("POST", "/v1/users/login", { person: given });
  if (!answer.ok) {
    byId("log-in-email").value = given.email.trim();
    if (currentView() !== "log-in") {
      show("log-in");
      announce(word("activated-log-in"));
    }
    byId("unactivated").hidden = answer.slug !== "not-activated";
    return refuse(answer, {}, { unauthenticated: "wrong-password", "not-activated": "not-activated" });
  }
  token = answer.said.token;
  // Who is in waits for no code any more.
  forgetCode();
  forgetReset();
  empty("email", "log-in-password");
  byId("log-in-email").value = given.email.trim();
  await showProfile(why);
}

async function showProfile(why) {
  const { ok, said, ...rest } = await ask("GET", "/v1/users/me", { token });
  if (!ok) {
    token = undefined;
    // Nothing is left to do in the view of the code.
    if (currentView() !== "log-in") {
      show("log-in");
      announce(word("activated-log-in"));
    }
    return leave("session-over", { said, ...rest });
  }
  byId("profile-email").textContent = said.email;
  const day = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
  byId("profile-since").textContent = day.format(new Date(said.activated_at));
  show("welcome");
  announce(word(why));
}

const logIn = () => {
  clearFaults(byId("log-in"));
  byId("unactivated").hidden = true;
  const given = { email: byId("log-in-email").value, password: byId("log-in-password").value };
  const missing = ["email", "password"].filter((field) => !given[field].trim());
  if (!missing.length) return comeIn(given, "signed-in");
  showFaults(missing.map((field) => ({ field, code: "required" })), { email: "log-in-email", password: "log-in-password" });
};

// Who has not activated gets another code, and goes on from there.
const activateLater = () => whileBusy(byId("to-activate"), async () => {
  const given = { email: byId("log-in-email").value, password: byId("log-in-password").value };
  const answer = await ask("POST", "/v1/users/resend", { body: {}, person: given });
  const own = { unauthenticated: "wrong-password", "already-active": "already-active", "registration-closed": "closed" };
  if (!answer.ok) return refuse(answer, {}, own);
  empty("log-in-password");
  waitForCode(answer.said, given);
});

// A session that is over is over; anything else is said, and one may try again.
function leave(why, { status, ...answer }) {
  if (status && status !== 401 && status !== 204) return complain(excuse(answer));
  if (!status) return complain(word("unreachable"));
  token = undefined;
  if (why === "deleted") forgetAddress();
  show(why === "deleted" && status !== 401 ? "sign-up" : "log-in");
  const text = word(status === 401 ? "session-over" : why);
  if (status === 401) complain(text);
  else announce(text);
}

// Whoever sits there next does not read whose account it was.
function forgetAddress() {
  empty("log-in-email", "forgot-email", "reset-username");
  for (const id of ["profile-email", "code-email", "reset-email"]) byId(id).textContent = "";
}

const signOut = () => whileBusy(byId("sign-out"), async () => {
  leave("signed-out", await ask("POST", "/v1/users/logout", { token }));
});

const erase = () => whileBusy(byId("delete-go"), async () => {
  const answer = await ask("DELETE", "/v1/users/me", { token });
  byId("confirm-delete").close();
  leave("deleted", answer);
});
