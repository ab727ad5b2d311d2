// Keeps pages fresh. Everything works without it; see console/widgets.rs for the attributes it acts on.
"use strict";
(() => {
  const MAX_BACKOFF = 30000;

  // <time data-relative>: the same words as format::relative.
  const relative = (seconds) => {
    const distance = Math.abs(seconds);
    if (distance < 10) return "just now";
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const [size, unit] = units.find(([size]) => distance >= size);
    const text = `${Math.floor(distance / size)} ${unit}`;
    return seconds > 0 ? `${text} ago` : `in ${text}`;
  };
  const refreshTimes = () => {
    for (const element of document.querySelectorAll("time[data-relative]")) {
      const text = relative(Math.floor(Date.now() / 1000) - Math.floor(Date.parse(element.dateTime) / 1000));
      if (element.textContent !== text) element.textContent = text;
    }
  };

  // [data-live=MS]: fetch this page again, and take over the elements of the same ids. One fetch serves them all.
  const isBusy = (element) =>
    element.querySelector("details[open]") ||
    (element.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));
  const takeOver = (element, fresh) => {
    // A stream goes on in its own element, at its own place; only what surrounds it is new.
    const streams = [...element.querySelectorAll("[data-stream][id]")].map((kept) => [kept, kept.scrollTop]);
    for (const [kept] of streams) fresh.querySelector(`#${CSS.escape(kept.id)}`)?.replaceWith(kept);
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    element.replaceChildren(...fresh.childNodes);
    for (const [kept, top] of streams) kept.scrollTop = top;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    begin(element);
  };
  const seen = new WeakMap();
  const keepLive = () => {
    const live = () => [...document.querySelectorAll("[data-live][id]")];
    if (live().length === 0) return;
    const period = Math.max(500, Math.min(...live().map((element) => Number(element.dataset.live) || 5000)));
    let wait = period;
    const refresh = async () => {
      const elements = live().filter((element) => !isBusy(element));
      if (live().length === 0) return;
      if (!document.hidden && elements.length > 0) {
        try {
          const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
          if (!answer.ok) throw new Error(String(answer.status));
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          for (const element of elements) {
            const fresh = page.getElementById(element.id);
            if (!fresh || isBusy(element)) continue;
            if (!("live" in fresh.dataset)) element.removeAttribute("data-live");
            if (seen.get(element) === fresh.innerHTML) continue;
            seen.set(element, fresh.innerHTML);
            takeOver(element, fresh);
          }
          refreshTimes();
          wait = period;
          document.documentElement.classList.remove("offline");
        } catch {
          wait = Math.min(wait * 2, MAX_BACKOFF);
          document.documentElement.classList.add("offline");
        }
      }
      setTimeout(refresh, wait);
    };
    setTimeout(refresh, wait);
  };

  // [data-stream=URL]: `line` adds a line of text at the end, `row` puts a table row at the top.
  const follow = (element) => {
    const keep = Number(element.dataset.keep) || 1000;
    const isLog = element.matches("pre");
    const source = new EventSource(element.dataset.stream);
    const toEnd = () => { element.scrollTop = element.scrollHeight; };
    let queue = [];
    const flush = () => {
      const waiting = queue;
      queue = [];
      if (!element.isConnected) return source.close();
      if (isLog) {
        const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
        element.append(...waiting);
        while (element.childElementCount > keep) element.firstElementChild.remove();
        if (atEnd) toEnd();
      } else {
        element.prepend(...waiting.reverse());
        while (element.childElementCount > keep) element.lastElementChild.remove();
        refreshTimes();
      }
    };
    // Many messages, one layout.
    const add = (node) => {
      if (queue.push(node) === 1) setTimeout(flush, 50);
      if (queue.length > keep) queue.shift();
    };
    source.addEventListener("line", (message) => {
      const line = document.createElement("span");
      line.className = "line";
      line.textContent = `${message.data}\n`;
      add(line);
    });
    source.addEventListener("row", (message) => {
      const holder = document.createElement("template");
      holder.innerHTML = message.data;
      if (holder.content.firstElementChild) add(holder.content.firstElementChild);
    });
    source.addEventListener("end", () => source.close());
    addEventListener("pagehide", () => source.close(), { once: true });
    if (isLog) toEnd();
  };

  const begin = (root) => {
    for (const element of root.querySelectorAll("[data-stream]")) {
      if (element.dataset.following) continue;
      element.dataset.following = "yes";
      follow(element);
    }
  };

  // One open question at a time; Escape or a click elsewhere closes it.
  const closeQuestions = (except) => {
    for (const question of document.querySelectorAll("details.confirm[open]")) if (question !== except) question.open = false;
  };
  document.addEventListener("click", (event) => closeQuestions(event.target.closest?.("details.confirm")));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeQuestions(null); });

  // On a narrow screen the navigation is a row that may be longer than the screen.
  document.querySelector(".side nav [aria-current]")?.scrollIntoView({ inline: "nearest", block: "nearest" });
  for (const log of document.querySelectorAll("pre.log")) log.scrollTop = log.scrollHeight;
  keepLive();
  begin(document);
  refreshTimes();
  setInterval(refreshTimes, 10000);
})();
