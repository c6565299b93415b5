// Connects buttons, links and forms, and restores the state when the page opens.

const onSubmit = (form, button, work) => byId(form).addEventListener("submit", (event) => {
  event.preventDefault();
  whileBusy(byId(button), work);
});

onSubmit("sign-up", "sign-up-go", signUp);
onSubmit("log-in", "log-in-go", logIn);
onSubmit("forgot", "forgot-go", () => {
  clearErrors(byId("forgot"));
  return requestReset(byId("forgot-email").value);
});
onSubmit("delete-form", "delete-go", deleteAccount);
byId("confirm-delete").addEventListener("close", () => clearInputs("delete-password"));
for (const [form, work] of [["code", activate], ["reset", resetPassword]]) {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    work();
  });
}

const clickHandlers = {
  "resend": resend,
  "to-activate": activateLater,
  "reset-resend": () => whileBusy(byId("reset-resend"), () => requestReset(resetEmail)),
  "sign-out": signOut,
  "delete": openDeleteDialog,
  "delete-cancel": () => byId("confirm-delete").close(),
  "start-over": discardRegistration,
};
for (const [id, handler] of Object.entries(clickHandlers)) byId(id).addEventListener("click", handler);

// Shows a view, or a fallback if the view has no data.
function navigate(name, options) {
  const data = { "code": codeCountdown.receipt(), "reset": resetCountdown.receipt(), "welcome": token };
  const isAvailable = name in data ? data[name] : ["log-in", "forgot"].includes(name);
  showView(isAvailable ? name : token ? "welcome" : "sign-up", options);
}

for (const link of document.querySelectorAll('[data-view] a[href^="#"]')) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    navigate(link.hash.slice(1));
  });
}
addEventListener("popstate", () => navigate(location.hash.slice(1), { isBack: true }));
addEventListener("online", () => setReachable(true));
addEventListener("offline", () => setReachable(false));
// Unexpected errors are shown, too.
addEventListener("unhandledrejection", () => showError(message("failed", { id: "?" })));
// A page from the back/forward cache may contain secrets of an earlier user.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

// Continues a registration after a reload. Retries until the server says whether it still exists.
async function resume(lastError) {
  const registration = storedRegistration();
  const response = registration ? await request("GET", `/v1/registrations/${registration}`) : { status: 404 };
  const isErrorShown = lastError === undefined || byId("problem").textContent === lastError;
  // Stops if the user has done something else meanwhile.
  if (!isErrorShown || storedRegistration() !== registration) return;
  if (response.ok && !["activated", "closed"].includes(response.body.status)) return enterCodeView(response.body);
  if (lastError === undefined) navigate(location.hash.slice(1), { moveFocus: false });
  if (response.ok || response.status === 404) {
    showError("");
    return storeRegistration();
  }
  const error = lastError ?? commonMessage(response);
  showError(error);
  setTimeout(resume, POLL_MS, error);
}

setReachable(true);
// Hidden until now: without the script it would do nothing.
document.querySelector("main").hidden = false;
resume();
