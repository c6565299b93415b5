// Keeps an eye on a receipt: by the events that the service sends, and where they do not come, by asking.

const ASK_EVERY_MS = 2_000;
// When nobody looks, or nothing is expected any more.
const ASK_RARELY_MS = 10_000;
// The service says something every 10 s. A stream that is open and silent leads nowhere.
const SILENT_AFTER_MS = 15_000;
const LISTEN_AGAIN_AFTER_MS = 30_000;

const isOver = (receipt) => ["expired", "undeliverable"].includes(receipt?.status);

// `changed` is told each receipt, and nothing when there is none any more. Returns how to stop.
function watch(path, { hasEvents, view }, changed) {
  const end = new AbortController();
  let timer;
  let last;
  let heard = -Infinity;

  const pace = () => (document.hidden || currentView() !== view || isOver(last) ? ASK_RARELY_MS : ASK_EVERY_MS);

  function later() {
    clearTimeout(timer);
    if (!end.signal.aborted) timer = setTimeout(look, pace());
  }

  function tell(receipt) {
    last = receipt;
    changed(receipt);
  }

  async function look() {
    const asked = performance.now();
    if (asked - heard < SILENT_AFTER_MS) return later();
    const answer = await ask("GET", path);
    if (end.signal.aborted) return;
    // What was heard meanwhile is newer.
    if (heard < asked && answer.ok) tell(answer.said);
    if (heard < asked && answer.status === 404) tell(undefined);
    later();
  }

  function hear() {
    heard = performance.now();
    isReachable(true);
  }

  function listen() {
    if (end.signal.aborted) return;
    const events = new EventSource(`${path}/events`);
    end.signal.addEventListener("abort", () => events.close());
    events.addEventListener("receipt", ({ data }) => {
      hear();
      tell(JSON.parse(data));
    });
    events.addEventListener("still", ({ data }) => {
      hear();
      hearTime(Number(data));
    });
    // The browser tries again by itself, unless it was refused; until it gets through, we ask.
    events.addEventListener("error", () => {
      heard = -Infinity;
      if (events.readyState === 2) setTimeout(listen, LISTEN_AGAIN_AFTER_MS * (1 + Math.random()));
    });
  }

  // Whoever comes back from their mail does not wait.
  document.addEventListener("visibilitychange", () => document.hidden || look(), { signal: end.signal });
  if (hasEvents && "EventSource" in window) listen();
  later();
  return () => {
    end.abort();
    clearTimeout(timer);
  };
}
