// The code input: one box per digit. Digits may be typed, pasted or filled in by the phone.

function codeInput(row, onComplete) {
  const boxes = () => [...row.children];
  // Boxes whose digit was not submitted yet. A code that is corrected after a submission is submitted by the button only.
  const unsubmitted = new Set();

  // No box has a maxlength: a phone fills the whole code into the first one.
  function setLength(length) {
    if (row.children.length === length) return;
    unsubmitted.clear();
    row.classList.toggle("many", length > 6);
    row.replaceChildren(...Array.from({ length }, (_, n) => {
      const box = document.createElement("input");
      const attributes = {
        type: "text", inputmode: "numeric", pattern: "[0-9]*", autocapitalize: "none", spellcheck: "false",
        autocomplete: n === 0 ? "one-time-code" : "off", "aria-label": message("digit", { n: n + 1, of: length }),
        "aria-describedby": `${row.id}-error`, enterkeyhint: n === length - 1 ? "go" : "next",
      };
      for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
      return box;
    }));
  }

  const value = () => boxes().map((box) => box.value).join("");
  const isFull = () => boxes().every((box) => box.value);

  function clear() {
    for (const box of boxes()) box.value = "";
    unsubmitted.clear();
  }

  function focus() {
    (boxes().find((box) => !box.value) ?? boxes()[0])?.focus();
  }

  // A whole code starts at the first box, wherever it was entered.
  function fill(index, digits) {
    const start = digits.length >= row.children.length ? 0 : index;
    const used = [...digits].slice(0, row.children.length - start);
    used.forEach((digit, n) => {
      boxes()[start + n].value = digit;
      unsubmitted.add(start + n);
    });
    boxes()[Math.min(start + used.length, row.children.length - 1)].focus();
    if (!isFull() || unsubmitted.size < row.children.length) return;
    unsubmitted.clear();
    onComplete();
  }

  const normalize = (text) => text.normalize("NFKC");
  const digitsOf = (text) => normalize(text).replace(/\D/g, "");

  // The code in a text: all digits of "Your code: 12 34"; among several numbers, the only one with the length of the code.
  // An ambiguous text (a telephone number, two codes) has none: a guess would use up an attempt.
  function findCode(text) {
    const length = row.children.length;
    const numbers = normalize(text).match(new RegExp(`(?<!\\d)\\d{${length}}(?!\\d)`, "g")) ?? [digitsOf(text)];
    return new Set(numbers).size === 1 && numbers[0].length === length ? numbers[0] : undefined;
  }

  row.addEventListener("input", ({ target }) => {
    const digits = digitsOf(target.value);
    // Two digits: the box was full, and the user typed another one.
    const typed = digits.length === 2 ? digits[1] : digits.length < row.children.length ? digits : findCode(target.value);
    target.value = "";
    setFieldError(row.id, "");
    if (typed) fill(boxes().indexOf(target), typed);
  });

  row.addEventListener("paste", (event) => {
    event.preventDefault();
    const code = findCode(event.clipboardData.getData("text"));
    setFieldError(row.id, code ? "" : message("incomplete"));
    if (code) fill(0, code);
  });

  row.addEventListener("keydown", (event) => {
    const index = boxes().indexOf(event.target);
    const last = row.children.length - 1;
    const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last }[event.key];
    if (event.key === "Backspace" && !event.target.value && index > 0) {
      event.preventDefault();
      boxes()[index - 1].value = "";
      boxes()[index - 1].focus();
    } else if (next !== undefined) {
      event.preventDefault();
      boxes()[Math.min(Math.max(next, 0), last)].focus();
    }
  });

  for (const event of ["focusin", "click"]) row.addEventListener(event, ({ target }) => target.select?.());
  return { setLength, value, isFull, clear, focus };
}
