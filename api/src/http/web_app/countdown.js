// The state of a code: delivery of its mail, seconds left, attempts left, and when a new code may be requested.

const LATE_AFTER_SECONDS = 20;
const LAST_SECONDS = 10;

// `idPrefix` begins the ids of its elements. It is rendered while `view` is shown.
function countdown(idPrefix, view) {
  const part = (id) => byId(`${idPrefix}${id}`);
  const [ring, circle, number] = [part("ring"), part("ring").querySelector(".left"), part("ring").querySelector("text")];
  let receipt;
  let phase = "";
  let shownDelivery = "";
  let shownError = "";

  function set(next) {
    receipt = next;
    render();
  }

  function reset() {
    [receipt, phase, shownDelivery, shownError] = [undefined, "", "", ""];
  }

  // Announces a new phase, once.
  function enterPhase(next, left) {
    if (phase === next) return;
    phase = next;
    // The error of the previous phase no longer applies.
    if (shownError && byId("problem").textContent === shownError) showError("");
    shownError = "";
    if (next === "sent") showStatus(message("sent", { left: duration(left) }), { unseen: true });
    else if (next === "last") showStatus(message("left", { left: duration(left) }), { unseen: true });
    else if (next !== "queued") showError((shownError = message(next)));
  }

  function phaseOf(left) {
    if (receipt.status === "undeliverable") return idPrefix ? "reset-undeliverable" : "undeliverable";
    const isSent = receipt.status === "sent";
    if (receipt.status === "expired" || (isSent && (left <= 0 || receipt.attempts_left === 0))) {
      return receipt.attempts_left === 0 ? "exhausted" : "expired";
    }
    return isSent && left <= LAST_SECONDS ? "last" : receipt.status;
  }

  const sentAgo = () => message("accepted-ago", { ago: duration(-secondsUntil(receipt.sent_at)) });
  const deliveryText = {
    queued: () => message(secondsUntil(receipt.requested_at) < -LATE_AFTER_SECONDS ? "late" : "on-its-way"),
    sent: sentAgo,
    last: sentAgo,
  };

  const lifetimeMs = () => Date.parse(receipt.expires_at) - Date.parse(receipt.sent_at);

  function render() {
    if (!receipt || currentView() !== view) return;
    // At most the lifetime of the code, whatever the estimate of the server's clock.
    const left = receipt.expires_at ? Math.ceil(Math.min(secondsUntil(receipt.expires_at), lifetimeMs() / 1000)) : 0;
    const next = phaseOf(left);
    enterPhase(next, left);
    const isValid = next === "sent" || next === "last";
    ring.toggleAttribute("hidden", !isValid);
    if (isValid) renderRing(left);
    const text = (deliveryText[next] ?? (() => message(receipt.status === "undeliverable" ? "not-delivered" : "code-ended")))();
    if (text !== shownDelivery) part("delivery").textContent = shownDelivery = text;
    const attempts = isValid || next === "queued" ? message("attempts-left", { n: receipt.attempts_left }) : "";
    if (part("attempts").textContent !== attempts) part("attempts").textContent = attempts;
    renderResend();
  }

  function renderRing(left) {
    const leftMs = Date.parse(receipt.expires_at) - serverNow();
    circle.style.strokeDashoffset = 1 - Math.min(1, Math.max(0, leftMs / lifetimeMs()));
    ring.toggleAttribute("data-late", phase === "last");
    if (ring.dataset.left === String(left)) return;
    ring.dataset.left = left;
    ring.setAttribute("aria-label", message("left", { left: duration(left) }));
    number.textContent = left < 100 ? left : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }

  function renderResend() {
    const wait = Math.ceil(maxSecondsUntil(receipt.resend_at));
    part("resend").disabled = wait > 0;
    const text = wait > 0 ? message("resend-in", { wait: duration(wait) }) : "";
    if (part("resend-when").textContent !== text) part("resend-when").textContent = text;
  }

  setInterval(render, 250);
  return { set, reset, receipt: () => receipt };
}
