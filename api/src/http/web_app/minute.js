// The time of a code: how far its mail is, how many seconds are left, and when there may be another.

const LATE_AFTER_SECONDS = 20;
const LAST_SECONDS = 10;

// `name` is what the ids of its parts begin with, `view` where they are seen.
function minute(name, view) {
  const part = (id) => byId(`${name}${id}`);
  const [ring, circle, number] = [part("ring"), part("ring").querySelector(".left"), part("ring").querySelector("text")];
  let receipt;
  let phase = "";
  let said = "";
  let complaint = "";

  function set(next) {
    receipt = next;
    paint();
  }

  function forget() {
    [receipt, phase, said, complaint] = [undefined, "", "", ""];
  }

  // Says aloud what is new, once.
  function enter(next, left) {
    if (phase === next) return;
    phase = next;
    // What was wrong is not any more.
    if (complaint && byId("problem").textContent === complaint) complain("");
    complaint = "";
    if (next === "sent") announce(word("sent", { left: duration(left) }), { unseen: true });
    else if (next === "last") announce(word("left", { left: duration(left) }), { unseen: true });
    else if (next !== "queued") complain((complaint = word(next)));
  }

  function phaseOf(left) {
    if (receipt.status === "undeliverable") return name ? "reset-undeliverable" : "undeliverable";
    const isSent = receipt.status === "sent";
    if (receipt.status === "expired" || (isSent && (left <= 0 || receipt.attempts_left === 0))) {
      return receipt.attempts_left === 0 ? "exhausted" : "expired";
    }
    return isSent && left <= LAST_SECONDS ? "last" : receipt.status;
  }

  const sentence = {
    queued: () => word(secondsUntil(receipt.requested_at) < -LATE_AFTER_SECONDS ? "late" : "on-its-way"),
    sent: () => word("handed", { ago: duration(-secondsUntil(receipt.sent_at)) }),
    last: () => word("handed", { ago: duration(-secondsUntil(receipt.sent_at)) }),
  };

  // It has never more than it began with, whatever our idea of the server's clock.
  const wholeSeconds = () => (Date.parse(receipt.expires_at) - Date.parse(receipt.sent_at)) / 1000;

  function paint() {
    if (!receipt || currentView() !== view) return;
    const left = receipt.expires_at ? Math.ceil(Math.min(secondsUntil(receipt.expires_at), wholeSeconds())) : 0;
    const next = phaseOf(left);
    enter(next, left);
    const isLive = next === "sent" || next === "last";
    ring.toggleAttribute("hidden", !isLive);
    if (isLive) paintRing(left);
    const text = (sentence[next] ?? (() => word(receipt.status === "undeliverable" ? "not-delivered" : "over")))();
    if (text !== said) part("delivery").textContent = said = text;
    const tries = isLive || next === "queued" ? word("tries", { n: receipt.attempts_left }) : "";
    if (part("tries").textContent !== tries) part("tries").textContent = tries;
    paintResend();
  }

  function paintRing(left) {
    const whole = Date.parse(receipt.expires_at) - Date.parse(receipt.sent_at);
    circle.style.strokeDashoffset = 1 - Math.min(1, Math.max(0, (Date.parse(receipt.expires_at) - now()) / whole));
    ring.toggleAttribute("data-late", phase === "last");
    if (ring.dataset.left === String(left)) return;
    ring.dataset.left = left;
    ring.setAttribute("aria-label", word("left", { left: duration(left) }));
    number.textContent = left < 100 ? left : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }

  function paintResend() {
    const wait = Math.ceil(mostSecondsUntil(receipt.resend_at));
    part("resend").disabled = wait > 0;
    const text = wait > 0 ? word("resend-in", { wait: duration(wait) }) : "";
    if (part("resend-when").textContent !== text) part("resend-when").textContent = text;
  }

  setInterval(paint, 250);
  return { set, forget, receipt: () => receipt };
}
