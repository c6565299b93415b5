// What each button does, and where one is when the page opens.

const submits = (form, button, work) => byId(form).addEventListener("submit", (event) => {
  event.preventDefault();
  whileBusy(byId(button), work);
});

submits("sign-up", "sign-up-go", signUp);
submits("log-in", "log-in-go", logIn);
submits("forgot", "forgot-go", () => {
  clearFaults(byId("forgot"));
  return forgot(byId("forgot-email").value);
});
for (const [form, work] of [["code", activate], ["reset", changePassword]]) {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    work();
  });
}

const presses = {
  "resend": resend,
  "to-activate": activateLater,
  "reset-resend": () => whileBusy(byId("reset-resend"), () => forgot(resetOf)),
  "sign-out": signOut,
  "delete": () => byId("confirm-delete").showModal(),
  "delete-cancel": () => byId("confirm-delete").close(),
  "delete-go": erase,
  "start-over": forgetCode,
};
for (const [id, work] of Object.entries(presses)) byId(id).addEventListener("click", work);

// A view that has nothing to show is not shown.
function go(name, options) {
  const has = { "code": codeMinute.receipt(), "reset": resetMinute.receipt(), "welcome": token };
  const isThere = name in has ? has[name] : ["log-in", "forgot"].includes(name);
  show(isThere ? name : token ? "welcome" : "sign-up", options);
}

for (const link of document.querySelectorAll('[data-view] a[href^="#"]')) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    go(link.hash.slice(1));
  });
}
addEventListener("popstate", () => go(location.hash.slice(1), { isBack: true }));
addEventListener("online", () => isReachable(true));
addEventListener("offline", () => isReachable(false));
// What went wrong without anybody foreseeing it is said all the same.
addEventListener("unhandledrejection", () => complain(word("failed", { id: "?" })));
// A page that a browser kept as it was knows secrets of who was there before.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

// Whoever opens the page is where they were. Only the service says that a sign-up is over; until it does, it is asked.
async function resume(excused) {
  const remembered = recall();
  const answer = remembered ? await ask("GET", `/v1/registrations/${remembered}`) : { status: 404 };
  const isStill = excused === undefined || byId("problem").textContent === excused;
  // Whoever has gone on meanwhile is not called back.
  if (!isStill || recall() !== remembered) return;
  if (answer.ok && !["activated", "closed"].includes(answer.said.status)) return waitForCode(answer.said);
  if (excused === undefined) go(location.hash.slice(1), { moveFocus: false });
  if (answer.ok || answer.status === 404) {
    complain("");
    return remember();
  }
  const excuses = excused ?? excuse(answer);
  complain(excuses);
  setTimeout(resume, ASK_EVERY_MS, excuses);
}

isReachable(true);
// Without a script there would be nothing behind it.
document.querySelector("main").hidden = false;
resume();
