// A forgotten password: a code goes to the address, and with it comes a new one.

let resetOf;
let stopWatchingReset = () => {};

const resetMinute = minute("reset-", "reset");
const resetBoxes = boxes(byId("reset-boxes"), () => (byId("reset-password").value ? changePassword() : byId("reset-password").focus()));

async function forgot(email) {
  const answer = await ask("POST", "/v1/users/password/forgot", { body: { email } });
  if (!answer.ok) {
    if (currentView() === "reset" && answer.slug === "invalid-input") show("forgot");
    return refuse(answer, { email: "forgot-email" });
  }
  resetOf = email;
  byId("reset-email").textContent = email.trim();
  // For whoever's browser keeps the new password.
  byId("reset-username").value = email.trim();
  resetBoxes.make(answer.said.code_length);
  resetBoxes.clear();
  clearFaults(byId("reset"));
  resetMinute.forget();
  show("reset");
  resetMinute.set(answer.said);
  stopWatchingReset();
  const path = `/v1/users/password/forgot/${answer.said.receipt}`;
  stopWatchingReset = watch(path, { hasEvents: false, view: "reset" }, resetChanged);
}

function resetChanged(receipt) {
  if (receipt && receipt.status !== "used") {
    resetMinute.set(receipt);
    if (isOver(receipt)) stopWatchingReset();
  } else if (!isBusy(byId("reset-go"))) {
    leaveReset(Boolean(receipt));
  }
  // Else it was us, just now: then the answer to that is on its way.
}

// The password is changed, or there is no such code any more.
function leaveReset(isChanged) {
  if (isChanged && resetOf) byId("log-in-email").value = resetOf.trim();
  forgetReset();
  // Whoever has gone elsewhere meanwhile stays there.
  if (currentView() !== "reset") return;
  show(isChanged ? "log-in" : "forgot");
  if (isChanged) announce(word("changed"));
  else complain(word("expired"));
}

function forgetReset() {
  stopWatchingReset();
  resetMinute.forget();
  resetBoxes.clear();
  empty("reset-password");
  resetOf = undefined;
}

const changePassword = () => whileBusy(byId("reset-go"), async () => {
  clearFaults(byId("reset"));
  const receipt = resetMinute.receipt()?.receipt;
  if (!receipt) return;
  const body = { receipt, code: resetBoxes.value(), password: byId("reset-password").value };
  if (!resetBoxes.isFull()) {
    fault("reset-boxes", word("incomplete"));
    return resetBoxes.focus();
  }
  const answer = await ask("POST", "/v1/users/password/reset", { body });
  if (answer.ok || answer.slug === "not-found") return leaveReset(answer.ok);
  const own = { "code-expired": "expired", "code-exhausted": "exhausted" };
  refuse(answer, { code: "reset-boxes", password: "reset-password" }, { ...own, "wrong-code": wrongCode(resetMinute, answer) });
  enterAnother(resetMinute, resetBoxes, answer);
});
