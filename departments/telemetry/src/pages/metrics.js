// The expression editor: offers what fits where the cursor is (words, keys, values), draws while somebody types, and keeps graphs
// live.
(() => {
  "use strict";

  // A picture is one address in several sizes and colours; the browser has chosen one of them.
  const parts = (picture) => [...picture.querySelectorAll("[data-more]")];
  const chosen = (picture) => parts(picture).find((part) => !part.media || matchMedia(part.media).matches);
  const show = (picture, address, stamp = "") => {
    for (const part of parts(picture)) {
      part.setAttribute(part.media ? "srcset" : "src", `${address}${part.dataset.more}${stamp}`);
    }
  };

  // Graphs up to now are drawn again, once a step, while somebody looks.
  for (const picture of document.querySelectorAll("picture[data-every]")) {
    setInterval(() => {
      const { address } = picture.dataset;
      if (document.hidden || !address) return;
      const stamp = `&_=${Date.now()}`;
      // Fetched first, so that the one before stays until it is there.
      const next = new Image();
      next.addEventListener("load", () => {
        if (address === picture.dataset.address) show(picture, address, stamp);
      });
      next.src = `${address}${chosen(picture).dataset.more}${stamp}`;
    }, Number(picture.dataset.every));
  }

  const field = document.getElementById("expression");
  const words = document.getElementById("words");
  const image = document.getElementById("graph");
  if (!field || !words) return;
  const door = field.dataset.door;

  const ask = async (path, parameters) => {
    const answer = await fetch(`${door}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    return { ok: answer.ok, found: await answer.json() };
  };

  let keys;
  const tagKeys = async () => (keys ??= (await ask("tags", {})).found);

  // The text up to the token in which the cursor stands, and that token's beginning.
  const split = () => {
    const before = field.value.slice(0, field.selectionStart);
    const at = before.lastIndexOf(",") + 1;
    return { done: before.slice(0, at), begun: before.slice(at).trim(), at };
  };

  const put = (text) => {
    const { at } = split();
    const rest = field.value.slice(field.selectionStart).replace(/^[^,]*/, "");
    field.value = `${field.value.slice(0, at)}${text}${rest}`;
    field.focus();
    field.selectionStart = field.selectionEnd = at + text.length;
    changed();
  };

  const button = (text, title, inserted) => {
    const choice = document.createElement("button");
    choice.type = "button";
    choice.className = "button";
    choice.textContent = text;
    choice.title = title;
    choice.addEventListener("click", () => put(inserted));
    return choice;
  };

  // A text that would end a token, or be a word, is written with an escape.
  const escaped = (text) => text.replace(/^:|[,()]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);

  // Keys where a query begins, values behind a key.
  const texts = async (done, begun) => {
    if (begun.startsWith(":")) return [];
    const before = done.split(",").map((token) => token.trim()).filter(Boolean).pop() ?? "";
    const known = await tagKeys();
    if (!known.includes(before)) return known.filter((key) => key.startsWith(begun));
    const { found } = await ask(`tags/${encodeURIComponent(before)}`, { limit: 1000 });
    return found.filter((value) => value.startsWith(begun));
  };

  // On a telephone they would push the graph off the screen.
  const [mostTexts, mostWords] = matchMedia("(max-width: 640px)").matches ? [6, 6] : [20, 30];

  let turn = 0;
  const suggest = async () => {
    const mine = ++turn;
    const { done, begun } = split();
    const [{ ok, found }, plain] = await Promise.all([ask("expr/complete", { q: done }), texts(done, begun)]);
    if (mine !== turn) return;
    words.replaceChildren();
    if (!ok) {
      words.textContent = found.message;
      return;
    }
    for (const text of plain.slice(0, mostTexts)) words.append(button(text, "", `${escaped(text)},`), " ");
    const wanted = begun.replace(/^:/, "");
    // Words that work on something first: those that fit any stack say little.
    const rank = (word) => (word.signature.startsWith("--") ? 1 : 0);
    const fitting = found.filter((word) => word.name.startsWith(wanted)).sort((a, b) => rank(a) - rank(b));
    for (const word of fitting.slice(0, mostWords)) {
      words.append(button(`:${word.name}`, `${word.signature}\n${word.description}`, `:${word.name}`), " ");
    }
  };

  // Draws what is written, once it is an expression.
  let drawn = field.value;
  const draw = async () => {
    const text = field.value.trim().replace(/,$/, "");
    if (!image || text === "" || text === drawn) return;
    const { ok, found } = await ask("expr/normalize", { q: text });
    if (!ok || found.length === 0 || text !== field.value.trim().replace(/,$/, "")) return;
    drawn = text;
    const form = new FormData(field.form);
    const address = `${door}/api/v1/graph?${new URLSearchParams({ q: text, s: form.get("s"), e: form.get("e") })}`;
    image.parentElement.dataset.address = address;
    show(image.parentElement, address);
    image.alt = `Graph of ${text}`;
    image.closest("figure").hidden = false;
    history.replaceState(null, "", `?${new URLSearchParams({ q: text, s: form.get("s"), e: form.get("e") })}`);
    // What stands below is of the expression before.
    for (const stale of document.querySelectorAll("[data-drawn]")) stale.hidden = true;
  };

  let wait, pause;
  const changed = () => {
    clearTimeout(wait);
    clearTimeout(pause);
    wait = setTimeout(() => suggest().catch(() => {}), 150);
    pause = setTimeout(() => draw().catch(() => {}), 600);
  };
  for (const event of ["input", "click", "keyup"]) field.addEventListener(event, changed);
  changed();
})();
