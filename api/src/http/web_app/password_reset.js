// Forgotten password: request a reset code, then enter it together with a new password.

let resetEmail;
let stopWatchingReset = () => {};

const resetCountdown = countdown("reset-", "reset");
const resetBoxes = codeInput(byId("reset-boxes"), () => (byId("reset-password").value ? resetPassword() : byId("reset-password").focus()));

async function requestReset(email) {
  const response = await request("POST", "/v1/users/password/forgot", { body: { email } });
  if (!response.ok) {
    if (currentView() === "reset" && response.slug === "invalid-input") showView("forgot");
    return showProblem(response, { email: "forgot-email" });
  }
  resetEmail = email;
  byId("reset-email").textContent = email.trim();
  // For password managers, which store the new password.
  byId("reset-username").value = email.trim();
  resetBoxes.setLength(response.body.code_length);
  resetBoxes.clear();
  clearErrors(byId("reset"));
  resetCountdown.reset();
  showView("reset");
  resetCountdown.set(response.body);
  stopWatchingReset();
  const path = `/v1/users/password/forgot/${response.body.receipt}`;
  stopWatchingReset = watchReceipt(path, { hasEvents: false, view: "reset" }, resetChanged);
}

function resetChanged(receipt) {
  if (receipt && receipt.status !== "used") {
    resetCountdown.set(receipt);
    if (isExpired(receipt)) stopWatchingReset();
  } else if (!isBusy(byId("reset-go"))) {
    leaveResetView(Boolean(receipt));
  }
  // While this page resets the password, the response to that is on its way.
}

// The password was changed, or the reset no longer exists.
function leaveResetView(isChanged) {
  if (isChanged && resetEmail) byId("log-in-email").value = resetEmail.trim();
  discardReset();
  // The user may have gone to another view.
  if (currentView() !== "reset") return;
  showView(isChanged ? "log-in" : "forgot");
  if (isChanged) showStatus(message("changed"));
  else showError(message("expired"));
}

function discardReset() {
  stopWatchingReset();
  resetCountdown.reset();
  resetBoxes.clear();
  clearInputs("reset-password");
  resetEmail = undefined;
}

const resetPassword = () => whileBusy(byId("reset-go"), async () => {
  clearErrors(byId("reset"));
  const receipt = resetCountdown.receipt()?.receipt;
  if (!receipt) return;
  const body = { receipt, code: resetBoxes.value(), password: byId("reset-password").value };
  if (!resetBoxes.isFull()) {
    setFieldError("reset-boxes", message("incomplete"));
    return resetBoxes.focus();
  }
  const response = await request("POST", "/v1/users/password/reset", { body });
  if (response.ok || response.slug === "not-found") return leaveResetView(response.ok);
  const own = { "code-expired": "expired", "code-exhausted": "exhausted" };
  own["wrong-code"] = wrongCodeMessage(resetCountdown, response);
  showProblem(response, { code: "reset-boxes", password: "reset-password" }, own);
  clearRejectedCode(resetCountdown, resetBoxes, response);
});
