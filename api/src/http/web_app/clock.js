// The time of the server. A device's clock may be wrong by hours; an answer's `Date` has only whole seconds, but each one
// narrows down how far off the device can be.

const LONGEST_WAY_MS = 10_000;

let least = -Infinity;
let most = Infinity;

function narrow([low, high], anew) {
  [least, most] = [Math.max(least, low), Math.min(most, high)];
  // Somebody has set the device's clock meanwhile.
  if (least > most) [least, most] = anew;
}

function hearDate(date, asked, answered) {
  const said = Date.parse(date);
  if (Number.isNaN(said)) return;
  const bounds = [said - answered, said + 1000 - asked];
  narrow(bounds, bounds);
}

// What an event says was so when it left. How long it was on its way, nobody knows.
function hearTime(time) {
  if (!Number.isFinite(time)) return;
  const low = time - Date.now();
  narrow([low, low + LONGEST_WAY_MS], [low, low + 1000]);
}

const now = () => Date.now() + (least === -Infinity ? 0 : (least + most) / 2);
const secondsUntil = (time) => (Date.parse(time) - now()) / 1000;
// When it is certainly time there as well.
const mostSecondsUntil = (time) => (Date.parse(time) - Date.now() - (least === -Infinity ? 0 : least)) / 1000;
