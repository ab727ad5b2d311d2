// The expression editor: offers the words that fit what is on the stack where the cursor is, and keeps the graph live.
(() => {
  "use strict";
  const field = document.getElementById("expression");
  const words = document.getElementById("words");
  const picture = document.getElementById("graph");
  if (!field || !words) return;
  const door = field.dataset.door;

  // The text up to the token in which the cursor stands, and that token's beginning.
  const split = () => {
    const before = field.value.slice(0, field.selectionStart);
    const at = before.lastIndexOf(",") + 1;
    return { done: before.slice(0, at), begun: before.slice(at).trim(), at };
  };

  let turn = 0;
  const suggest = async () => {
    const mine = ++turn;
    const { done, begun } = split();
    const answer = await fetch(`${door}/api/v1/expr/complete?q=${encodeURIComponent(done)}`);
    const found = await answer.json();
    if (mine !== turn) return;
    words.replaceChildren();
    if (!answer.ok) {
      words.textContent = found.message;
      return;
    }
    const wanted = begun.replace(/^:/, "");
    // Words that work on something first: those that fit any stack say little.
    const rank = (word) => (word.signature.startsWith("--") ? 1 : 0);
    const fitting = found.filter((word) => word.name.startsWith(wanted)).sort((a, b) => rank(a) - rank(b));
    for (const word of fitting.slice(0, 40)) {
      const choice = document.createElement("button");
      choice.type = "button";
      choice.className = "button";
      choice.textContent = `:${word.name}`;
      choice.title = `${word.signature}\n${word.description}`;
      choice.addEventListener("click", () => {
        const { at } = split();
        const rest = field.value.slice(field.selectionStart).replace(/^[^,]*/, "");
        field.value = `${field.value.slice(0, at)}:${word.name}${rest}`;
        field.focus();
        field.selectionStart = field.selectionEnd = at + word.name.length + 1;
        suggest();
      });
      words.append(choice, " ");
    }
  };

  let wait;
  const soon = () => {
    clearTimeout(wait);
    wait = setTimeout(() => suggest().catch(() => {}), 150);
  };
  for (const event of ["input", "click", "keyup"]) field.addEventListener(event, soon);
  soon();

  // A graph up to now is drawn again, once a step, while somebody looks.
  if (picture && picture.dataset.every) {
    const address = picture.getAttribute("src");
    setInterval(() => {
      if (document.hidden) return;
      const next = new Image();
      next.addEventListener("load", () => picture.setAttribute("src", next.getAttribute("src")));
      next.src = `${address}&_=${Date.now()}`;
    }, Number(picture.dataset.every));
  }
})();
