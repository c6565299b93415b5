// A box for each digit of a code. Whatever way the digits come, typed, pasted, filled in by the phone, they end up there.

function boxes(row, full) {
  const all = () => [...row.children];
  // Those with a digit that was never sent. An old code that is mended here and there is sent by the button.
  const fresh = new Set();

  // A phone fills the whole code into the first box, so no box limits what it takes.
  function make(length) {
    if (row.children.length === length) return;
    fresh.clear();
    row.classList.toggle("many", length > 6);
    row.replaceChildren(...Array.from({ length }, (_, n) => {
      const box = document.createElement("input");
      const attributes = {
        type: "text", inputmode: "numeric", pattern: "[0-9]*", autocapitalize: "none", spellcheck: "false",
        autocomplete: n === 0 ? "one-time-code" : "off", "aria-label": word("digit", { n: n + 1, of: length }),
        "aria-describedby": `${row.id}-error`, enterkeyhint: n === length - 1 ? "go" : "next",
      };
      for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
      return box;
    }));
  }

  const value = () => all().map((box) => box.value).join("");
  const isFull = () => all().every((box) => box.value);

  function clear() {
    for (const box of all()) box.value = "";
    fresh.clear();
  }

  function focus() {
    (all().find((box) => !box.value) ?? all()[0])?.focus();
  }

  // A whole code goes from the first box on, wherever it was put.
  function fill(from, digits) {
    const start = digits.length >= row.children.length ? 0 : from;
    const taken = [...digits].slice(0, row.children.length - start);
    taken.forEach((digit, n) => {
      all()[start + n].value = digit;
      fresh.add(start + n);
    });
    all()[Math.min(start + taken.length, row.children.length - 1)].focus();
    if (!isFull() || fresh.size < row.children.length) return;
    fresh.clear();
    full();
  }

  const plainOf = (text) => text.normalize("NFKC");
  const digitsOf = (text) => plainOf(text).replace(/\D/g, "");

  // Of "Your code: 12 34" the digits; of a text with other numbers in it the only one that is as long as the code. What may
  // be something else, a telephone number or two codes, is none: a try is not for guessing.
  function codeIn(text) {
    const length = row.children.length;
    const numbers = plainOf(text).match(new RegExp(`(?<!\\d)\\d{${length}}(?!\\d)`, "g")) ?? [digitsOf(text)];
    return new Set(numbers).size === 1 && numbers[0].length === length ? numbers[0] : undefined;
  }

  row.addEventListener("input", ({ target }) => {
    const digits = digitsOf(target.value);
    // Two digits in a box: it was full, and somebody typed another one.
    const typed = digits.length === 2 ? digits[1] : digits.length < row.children.length ? digits : codeIn(target.value);
    target.value = "";
    fault(row.id, "");
    if (typed) fill(all().indexOf(target), typed);
  });

  row.addEventListener("paste", (event) => {
    event.preventDefault();
    const code = codeIn(event.clipboardData.getData("text"));
    fault(row.id, code ? "" : word("incomplete"));
    if (code) fill(0, code);
  });

  row.addEventListener("keydown", (event) => {
    const at = all().indexOf(event.target);
    const last = row.children.length - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (event.key === "Backspace" && !event.target.value && at > 0) {
      event.preventDefault();
      all()[at - 1].value = "";
      all()[at - 1].focus();
    } else if (to !== undefined) {
      event.preventDefault();
      all()[Math.min(Math.max(to, 0), last)].focus();
    }
  });

  for (const event of ["focusin", "click"]) row.addEventListener(event, ({ target }) => target.select?.());
  return { make, value, isFull, clear, focus };
}
