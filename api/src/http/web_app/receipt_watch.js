// Follows a receipt by server-sent events, and by polling where these do not arrive.

const POLL_MS = 2_000;
// While the page is not visible, or no change is expected.
const SLOW_POLL_MS = 10_000;
// The server sends an event every 10 s. A stream that is silent for longer is broken.
const STREAM_TIMEOUT_MS = 15_000;
const RESUBSCRIBE_MS = 30_000;

const isExpired = (receipt) => ["expired", "undeliverable"].includes(receipt?.status);

// Calls `onChange` with each receipt, and with `undefined` when it no longer exists. Returns a function that stops.
function watchReceipt(path, { hasEvents, view }, onChange) {
  const abort = new AbortController();
  let timer;
  let receipt;
  let lastEventAt = -Infinity;

  const pollInterval = () => (document.hidden || currentView() !== view || isExpired(receipt) ? SLOW_POLL_MS : POLL_MS);

  function schedulePoll() {
    clearTimeout(timer);
    if (!abort.signal.aborted) timer = setTimeout(poll, pollInterval());
  }

  function notify(next) {
    receipt = next;
    onChange(next);
  }

  async function poll() {
    const sentAt = performance.now();
    if (sentAt - lastEventAt < STREAM_TIMEOUT_MS) return schedulePoll();
    const response = await request("GET", path);
    if (abort.signal.aborted) return;
    // An event that arrived meanwhile is newer.
    if (lastEventAt < sentAt && response.ok) notify(response.body);
    if (lastEventAt < sentAt && response.status === 404) notify(undefined);
    schedulePoll();
  }

  function recordEvent() {
    lastEventAt = performance.now();
    setReachable(true);
  }

  function subscribe() {
    if (abort.signal.aborted) return;
    const events = new EventSource(`${path}/events`);
    abort.signal.addEventListener("abort", () => events.close());
    events.addEventListener("receipt", ({ data }) => {
      recordEvent();
      notify(JSON.parse(data));
    });
    events.addEventListener("still", ({ data }) => {
      recordEvent();
      syncWithEvent(Number(data));
    });
    // The browser reconnects by itself, unless the server rejected it. Until an event arrives, the receipt is polled.
    events.addEventListener("error", () => {
      lastEventAt = -Infinity;
      if (events.readyState === 2) setTimeout(subscribe, RESUBSCRIBE_MS * (1 + Math.random()));
    });
  }

  // Polls at once when the user returns to the page, for example from the mail.
  document.addEventListener("visibilitychange", () => document.hidden || poll(), { signal: abort.signal });
  if (hasEvents && "EventSource" in window) subscribe();
  schedulePoll();
  return () => {
    abort.abort();
    clearTimeout(timer);
  };
}
