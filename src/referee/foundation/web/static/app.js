/* The pages' own script: keys, "Jump to", copying, live blocks. Every page works without it. */
(() => {
  "use strict";

  const POLL_MS = 5000; // while something runs and no stream is open
  const REFRESH_MS = 1000; // blocks are fetched at most this often
  const RECONNECT_MS = 3000;
  const RELATIVE_MS = 30000;
  const GO_MS = 1500; // a key after "g" counts this long
  const JUMP_DELAY_MS = 120;

  const find = (selector, root = document) => root.querySelector(selector);
  const findAll = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  function announce(text) {
    const announcer = find("#announcer");
    if (announcer && text && announcer.textContent !== text) announcer.textContent = text;
  }

  // Failures of a request in the background: code, sentence, hint, request id, retry.

  function showFailure(problem) {
    const box = find("#failure");
    if (!box) return;
    box.replaceChildren();
    const add = (tag, text) => {
      const element = document.createElement(tag);
      element.textContent = text;
      box.append(element);
      return element;
    };
    add("p", problem.detail || "The server does not answer.").className = "notice-title";
    if (problem.hint) add("p", problem.hint);
    if (problem.code) add("p", `${problem.code} · request ${problem.request_id || "unknown"}`).className = "quiet";
    const actions = add("p", "");
    const retry = document.createElement("button");
    retry.type = "button";
    retry.className = "button";
    retry.textContent = "Retry";
    retry.addEventListener("click", () => location.reload());
    const close = document.createElement("button");
    close.type = "button";
    close.className = "button is-quiet";
    close.textContent = "Close";
    close.addEventListener("click", () => { box.hidden = true; });
    actions.append(retry, close);
    box.hidden = false;
  }

  document.addEventListener("htmx:responseError", (event) => {
    let problem = {};
    try {
      problem = JSON.parse(event.detail.xhr.responseText);
    } catch {
      problem = { detail: `The server answered with status ${event.detail.xhr.status}.` };
    }
    showFailure(problem);
  });
  document.addEventListener("htmx:sendError", () => showFailure({}));
  document.addEventListener("htmx:configRequest", (event) => {
    const token = find('meta[name="csrf-token"]');
    if (token) event.detail.headers["X-CSRF-Token"] = token.content;
    keepParameters(event.detail);
  });

  // Where two parts of a page change by themselves, a link of one keeps what the address says of the other.
  function keepParameters(request) {
    const keeper = request.elt.closest("[data-keep]");
    if (!keeper) return;
    const url = new URL(request.path, location.href);
    const current = new URLSearchParams(location.search);
    for (const name of keeper.dataset.keep.split(" ")) {
      url.searchParams.delete(name);
      current.getAll(name).forEach((value) => url.searchParams.append(name, value));
    }
    request.path = url.pathname + url.search;
  }

  // Copying

  async function copyText(text, button) {
    try {
      await navigator.clipboard.writeText(text);
      announce("Copied");
    } catch {
      announce("The browser does not allow copying here");
      return;
    }
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), 1000);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-link], [data-open], [data-live-bar]");
    if (button) {
      if (button.dataset.copy !== undefined) copyText(button.dataset.copy, button);
      else if (button.dataset.copyLink !== undefined) copyText(location.href, button);
      else if (button.dataset.open) openDialog(button.dataset.open);
      else if (button.dataset.liveBar !== undefined) {
        event.preventDefault();
        showNewRows(button);
      }
      return;
    }
    previewRow(event);
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // A click on a row, besides its links, shows the preview where there is one.
  function previewRow(event) {
    const row = event.target.closest("tr[data-row]");
    if (row && event.target.closest(".row-preview")) markRow(row);
    if (!row || event.target.closest("a, button, input, label, select, summary")) return;
    if (String(window.getSelection())) return;
    const preview = find(".row-preview", row);
    if (!preview) return;
    markRow(row);
    preview.click();
  }

  function markRow(row) {
    findAll("tr[data-row][aria-current]").forEach((other) => other.removeAttribute("aria-current"));
    row.setAttribute("aria-current", "true");
  }

  // Dialogs

  function openDialog(name) {
    const dialog = find(`#${name}`);
    if (!dialog || dialog.open) return;
    if (name === "help") listPageKeys();
    dialog.showModal();
    if (name === "jump") startJump();
  }

  document.addEventListener("click", (event) => {
    if (event.target instanceof HTMLDialogElement) event.target.close();
  });

  function listPageKeys() {
    const list = find("#page-keys");
    list.replaceChildren();
    const known = new Set(["/", "?", "f", "[", "]", "Escape"]);
    for (const element of findAll("[aria-keyshortcuts]")) {
      const key = element.getAttribute("aria-keyshortcuts");
      if (known.has(key)) continue;
      known.add(key);
      const line = document.createElement("div");
      const term = document.createElement("dt");
      const shown = document.createElement("kbd");
      shown.textContent = key;
      term.append(shown);
      const meaning = document.createElement("dd");
      meaning.textContent = element.getAttribute("aria-label") || element.textContent.trim();
      line.append(term, meaning);
      list.append(line);
    }
  }

  // Jump to: a combobox whose list the server fills.

  let jumpTimer = 0;
  let jumpRequest = null;

  function startJump() {
    const input = find("#jump-input");
    input.value = "";
    loadHits("");
    input.focus();
  }

  async function loadHits(text) {
    if (jumpRequest) jumpRequest.abort();
    jumpRequest = new AbortController();
    try {
      const answer = await fetch(`/ui/jump?q=${encodeURIComponent(text)}`, { signal: jumpRequest.signal });
      if (answer.ok) showHits(await answer.json());
      else showHits([]);
    } catch (error) {
      if (error.name !== "AbortError") showHits([]);
    }
  }

  function showHits(hits) {
    const list = find("#jump-hits");
    list.replaceChildren(...hits.map(makeHit));
    find("#jump-input").setAttribute("aria-expanded", String(hits.length > 0));
    find(".jump-empty").hidden = hits.length > 0;
    selectHit(0);
  }

  function makeHit(hit, index) {
    const option = document.createElement("li");
    option.id = `jump-hit-${index}`;
    option.setAttribute("role", "option");
    option.dataset.url = hit.url;
    const label = document.createElement("span");
    label.className = "jump-hit-label";
    label.textContent = hit.label;
    const kind = document.createElement("span");
    kind.className = "jump-hit-kind";
    kind.textContent = [hit.detail, hit.kind].filter(Boolean).join(" · ");
    option.append(label, kind);
    option.addEventListener("click", () => location.assign(hit.url));
    return option;
  }

  function selectHit(index) {
    const options = findAll("#jump-hits [role=option]");
    const input = find("#jump-input");
    input.removeAttribute("aria-activedescendant");
    if (!options.length) return;
    const chosen = options[(index + options.length) % options.length];
    options.forEach((option) => option.setAttribute("aria-selected", String(option === chosen)));
    input.setAttribute("aria-activedescendant", chosen.id);
    chosen.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("input", (event) => {
    if (event.target.id !== "jump-input") return;
    clearTimeout(jumpTimer);
    jumpTimer = setTimeout(() => loadHits(event.target.value), JUMP_DELAY_MS);
  });

  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "jump-input") return;
    const options = findAll("#jump-hits [role=option]");
    const index = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown") selectHit(index + 1);
    else if (event.key === "ArrowUp") selectHit(index - 1);
    else if (event.key === "Enter" && index >= 0) location.assign(options[index].dataset.url);
    else return;
    event.preventDefault();
  });

  // Keys. A key of a page is the aria-keyshortcuts of something visible on it.

  let goUntil = 0;

  function isTyping(target) {
    if (!(target instanceof Element)) return false;
    if (target.closest("select, textarea, [contenteditable=true]")) return true;
    return target.matches("input") && !["checkbox", "radio", "button", "submit"].includes(target.type);
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (find("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (goUntil > event.timeStamp) {
      goUntil = 0;
      const link = find(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) {
        event.preventDefault();
        link.click();
      }
      return;
    }
    if (pressKey(event)) event.preventDefault();
  });

  function pressKey(event) {
    switch (event.key) {
      case "g":
        goUntil = event.timeStamp + GO_MS;
        return true;
      case "j":
        return moveRow(1);
      case "k":
        return moveRow(-1);
      case "p":
        return clickInRow(".row-preview");
      case "x":
        return clickInRow("input[type=checkbox]");
      default:
        return pressShortcut(event.key);
    }
  }

  function pressShortcut(key) {
    const isShown = (element) => element.getClientRects().length > 0;
    const element = findAll(`[aria-keyshortcuts="${CSS.escape(key)}"]`).find(isShown);
    if (!element) return false;
    if (element.matches("input, select, textarea")) {
      element.focus();
      if (element.select) element.select();
    } else {
      element.click();
    }
    return true;
  }

  function currentRow() {
    const focused = document.activeElement && document.activeElement.closest("tr[data-row]");
    return focused || find('tr[data-row][aria-current="true"]');
  }

  function moveRow(step) {
    const rows = findAll("tr[data-row]");
    if (!rows.length) return false;
    const index = rows.indexOf(currentRow());
    const next = rows[Math.min(rows.length - 1, Math.max(0, index < 0 ? 0 : index + step))];
    const link = find(".row-link, a, button", next);
    if (link) link.focus();
    next.scrollIntoView({ block: "nearest" });
    return true;
  }

  function clickInRow(selector) {
    const row = currentRow();
    const element = row && find(selector, row);
    if (!element) return false;
    if (selector === ".row-preview") markRow(row);
    element.click();
    return true;
  }

  // Relative times grow older while the page is open.

  function formatRelative(instant) {
    const seconds = (Date.now() - instant) / 1000;
    const distance = Math.abs(seconds);
    if (distance < 10) return "just now";
    if (distance >= 30 * 86400) return null;
    const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([length]) => distance >= length);
    const amount = `${Math.floor(distance / size)} ${unit}`;
    return seconds > 0 ? `${amount} ago` : `in ${amount}`;
  }

  setInterval(() => {
    for (const element of findAll("time[data-relative]")) {
      const text = formatRelative(Date.parse(element.dateTime));
      if (text && element.textContent !== text) element.textContent = text;
    }
  }, RELATIVE_MS);

  // Live blocks: an event says that a topic changed; the blocks that name it are fetched and morphed.

  let source = null;
  let sourceTopics = "";
  let isOpen = false;
  let lastRefresh = 0;
  let refreshTimer = 0;
  let reconnectTimer = 0;
  let staleTopics = new Set();

  const POLLED = "poll"; // the topic of blocks that no event tells about
  const liveBlocks = () => findAll("[data-live]");
  const topicsOf = (block) => block.dataset.live.split(/[\s,]+/).filter(Boolean);

  function connect() {
    const named = new Set(liveBlocks().flatMap(topicsOf));
    named.delete(POLLED);
    const topics = Array.from(named).sort().join(",");
    if (document.hidden || !topics) return disconnect();
    if (source && topics === sourceTopics) return;
    disconnect();
    sourceTopics = topics;
    source = new EventSource(`/ui/live?topics=${encodeURIComponent(topics)}`);
    // From "ready" on nothing is missed; what came before it is fetched now.
    source.addEventListener("ready", () => { isOpen = true; refreshAll(); });
    source.addEventListener("resync", refreshAll);
    source.addEventListener("change", (event) => queueRefresh([JSON.parse(event.data).topic]));
    source.addEventListener("error", () => {
      isOpen = false;
      if (source && source.readyState === EventSource.CLOSED) {
        disconnect();
        reconnectTimer = setTimeout(connect, RECONNECT_MS * 5);
      }
    });
  }

  function disconnect() {
    clearTimeout(reconnectTimer);
    if (source) source.close();
    source = null;
    isOpen = false;
  }

  function refreshAll() {
    queueRefresh(liveBlocks().flatMap(topicsOf));
  }

  function queueRefresh(topics) {
    topics.forEach((topic) => staleTopics.add(topic));
    if (refreshTimer || !staleTopics.size) return;
    const delay = Math.max(0, lastRefresh + REFRESH_MS - Date.now());
    refreshTimer = setTimeout(refresh, delay);
  }

  async function refresh() {
    const topics = staleTopics;
    staleTopics = new Set();
    lastRefresh = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok) {
        const fetched = new DOMParser().parseFromString(await answer.text(), "text/html");
        liveBlocks().filter((block) => topicsOf(block).some((topic) => topics.has(topic))).forEach((block) => {
          const fresh = block.id && fetched.getElementById(block.id);
          if (fresh) updateBlock(block, fresh);
        });
      }
    } catch {
      // The next event, or the poll, tries again.
    }
    refreshTimer = 0;
    if (staleTopics.size) queueRefresh([]);
    connect();
  }

  function updateBlock(block, fresh) {
    if (block.dataset.liveRows !== undefined) {
      updateRows(block, fresh);
    } else {
      morph(block, fresh);
    }
    const said = find("[data-live-announce]", fresh);
    if (said) announce(said.textContent.trim());
  }

  function morph(element, fresh) {
    window.Idiomorph.morph(element, fresh, {
      morphStyle: "outerHTML",
      ignoreActiveValue: true,
      // What a person has unfolded stays so.
      callbacks: { beforeAttributeUpdated: (name, node) => !(name === "open" && node.matches("details")) },
    });
    if (window.htmx) window.htmx.process(document.getElementById(fresh.id) || element);
  }

  // Rows that are shown change in place; new ones wait behind a bar, so nothing moves under the cursor.
  function updateRows(block, fresh) {
    let newCount = 0;
    for (const row of findAll("tr[data-row]", fresh)) {
      const shown = row.id && find(`#${CSS.escape(row.id)}`, block);
      if (shown) morph(shown, row);
      else newCount += 1;
    }
    const bar = find("[data-live-bar]", block);
    if (!bar) return;
    bar.hidden = newCount === 0;
    const text = `${newCount} new - show`;
    if (newCount && bar.textContent !== text) {
      bar.textContent = text;
      announce(`${newCount} new`);
    }
    block.freshRows = newCount ? fresh : null;
  }

  function showNewRows(bar) {
    const block = bar.closest("[data-live-rows]");
    if (block && block.freshRows) morph(block, block.freshRows);
    else location.reload();
  }

  setInterval(() => {
    if (document.hidden || !find("[data-live-active]")) return;
    if (!isOpen) refreshAll();
    else if (find(`[data-live~="${POLLED}"]`)) queueRefresh([POLLED]);
  }, POLL_MS);
  document.addEventListener("visibilitychange", connect);
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", connect);
  document.addEventListener("htmx:afterSettle", connect);
})();
