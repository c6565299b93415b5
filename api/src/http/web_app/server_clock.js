// The server's clock. A device's clock may be off by hours. A `Date` header has only whole seconds, but each one narrows
// the bounds of the offset between the two clocks.

const MAX_TRANSIT_MS = 10_000;

let minOffset = -Infinity;
let maxOffset = Infinity;

function narrowOffset([low, high], boundsAfterReset) {
  [minOffset, maxOffset] = [Math.max(minOffset, low), Math.min(maxOffset, high)];
  // Contradictory bounds: the device's clock has been set.
  if (minOffset > maxOffset) [minOffset, maxOffset] = boundsAfterReset;
}

function syncWithDate(date, sentAt, receivedAt) {
  const serverTime = Date.parse(date);
  if (Number.isNaN(serverTime)) return;
  const bounds = [serverTime - receivedAt, serverTime + 1000 - sentAt];
  narrowOffset(bounds, bounds);
}

// The time in an event is when it was sent. How long it was in transit is unknown.
function syncWithEvent(serverTime) {
  if (!Number.isFinite(serverTime)) return;
  const low = serverTime - Date.now();
  narrowOffset([low, low + MAX_TRANSIT_MS], [low, low + 1000]);
}

const serverNow = () => Date.now() + (minOffset === -Infinity ? 0 : (minOffset + maxOffset) / 2);
const secondsUntil = (time) => (Date.parse(time) - serverNow()) / 1000;
// Until the time has certainly come on the server, too.
const maxSecondsUntil = (time) => (Date.parse(time) - Date.now() - (minOffset === -Infinity ? 0 : minOffset)) / 1000;
