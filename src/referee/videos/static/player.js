// The player of clips: skeleton on a canvas, events, plots with a cursor, frames by step, two clips on one clock.
(() => {
  "use strict";

  const MIN_CONFIDENCE = 0.3;
  const NEAR_S = 0.05;
  const STALE_S = 0.25; // a sample further away than this is not drawn
  const BONES = [
    [11, 12], [11, 13], [13, 15], [12, 14], [14, 16], [11, 23], [12, 24], [23, 24], [23, 25], [25, 27],
    [24, 26], [26, 28], [27, 29], [29, 31], [27, 31], [28, 30], [30, 32], [28, 32], [15, 19], [16, 20], [0, 7], [0, 8],
  ];
  const findAll = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const find = (selector, root = document) => root.querySelector(selector);

  async function readGzip(url) {
    const answer = await fetch(url);
    if (!answer.ok) return null;
    const body = answer.body.pipeThrough(new DecompressionStream("gzip"));
    return new Response(body).json();
  }

  // Differences become positions once; 120 s of 30 frames are 120,000 numbers.
  function decode(overlay) {
    const count = overlay.landmarks_count;
    const times = [];
    const points = new Float32Array(overlay.xy.length);
    let t = 0;
    overlay.t_ms.forEach((step) => { t += step; times.push(t / 1000); });
    for (let i = 0; i < overlay.xy.length; i += 1) {
      const before = i >= count * 2 ? points[i - count * 2] : 0;
      points[i] = before + overlay.xy[i] / overlay.scale;
    }
    return { times, points, confidence: overlay.confidence, count };
  }

  function nearest(times, t) {
    let low = 0;
    let high = times.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < t) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && t - times[low - 1] < times[low] - t) low -= 1;
    return low;
  }

  // The ball where it is at an instant, by its points before and after; null where it was not followed.
  function locateBall(points, t) {
    const after = points.findIndex((one) => one.t_s >= t - 1e-6);
    if (after < 0 || (after === 0 && points[0].t_s - t > NEAR_S)) return null;
    const [first, second] = [points[Math.max(0, after - 1)], points[after]];
    const gap = second.t_s - first.t_s;
    if (gap > STALE_S) return null;
    const share = gap > 0 ? Math.min(1, Math.max(0, (t - first.t_s) / gap)) : 1;
    const between = (name) => first[name] + share * (second[name] - first[name]);
    return { x: between("x_px"), y: between("y_px"), radius: between("radius_px") };
  }

  class Player {
    constructor(root) {
      this.root = root;
      this.clip = find("video", root);
      this.canvas = find("canvas", root);
      this.isShown = true;
      this.isBallShown = true;
      this.ball = null;
      this.track = null;
      this.watchers = [];
      this.clip.addEventListener("loadedmetadata", () => {
        const start = Number(root.dataset.start) || 0;
        const named = new URLSearchParams(location.search).get("t");
        if (named !== null && Number.isFinite(Number(named))) this.seek(Number(named));
        else if (start) this.seek(start);
        this.draw();
      });
      ["seeked", "timeupdate", "loadeddata"].forEach((name) => this.clip.addEventListener(name, () => this.draw()));
      new ResizeObserver(() => this.draw()).observe(this.clip);
      this.follow();
      if (root.dataset.overlay) {
        readGzip(root.dataset.overlay).then((overlay) => {
          if (overlay) this.track = decode(overlay);
          this.draw();
        }).catch(() => {});
      }
    }

    // Each shown frame, where the browser tells; else the clock of the clip.
    follow() {
      if (!this.clip.requestVideoFrameCallback) return;
      const onFrame = (_, frame) => {
        this.draw(frame.mediaTime);
        this.clip.requestVideoFrameCallback(onFrame);
      };
      this.clip.requestVideoFrameCallback(onFrame);
    }

    seek(t) {
      this.clip.pause();
      this.clip.currentTime = Math.max(0, t);
    }

    step(direction) {
      const t = this.clip.currentTime;
      const times = this.track ? this.track.times : [];
      const gap = times.length > 1 ? (times[times.length - 1] - times[0]) / (times.length - 1) : 1 / 30;
      this.seek(t + direction * Math.min(gap, 1 / 24));
    }

    draw(mediaTime) {
      const t = mediaTime === undefined ? this.clip.currentTime : mediaTime;
      const label = find("[data-time]", this.root);
      if (label) label.textContent = `${t.toFixed(3)} s`;
      findAll(".event", this.root).forEach((event) => {
        event.classList.toggle("is-near", Math.abs(Number(event.dataset.seek) - t) < NEAR_S);
      });
      this.watchers.forEach((watch) => watch(t));
      this.drawSkeleton(t);
    }

    drawSkeleton(t) {
      const box = this.clip.getBoundingClientRect();
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
      if (this.canvas.width !== width || this.canvas.height !== height) {
        this.canvas.width = width;
        this.canvas.height = height;
        this.canvas.style.width = `${box.width}px`;
        this.canvas.style.height = `${box.height}px`;
      }
      const context = this.canvas.getContext("2d");
      context.clearRect(0, 0, width, height);
      if (this.isBallShown && this.ball) this.paintBall(context, t, width, height, ratio);
      if (!this.isShown || !this.track || !this.track.times.length) return;
      const row = nearest(this.track.times, t);
      if (Math.abs(this.track.times[row] - t) > STALE_S) return;
      this.paint(context, row, width, height, ratio);
    }

    place(width, height) {
      const sourceWidth = Number(this.root.dataset.width) || this.clip.videoWidth || 1;
      const sourceHeight = Number(this.root.dataset.height) || this.clip.videoHeight || 1;
      const scale = Math.min(width / sourceWidth, height / sourceHeight);
      return { scale, left: (width - sourceWidth * scale) / 2, top: (height - sourceHeight * scale) / 2 };
    }

    paint(context, row, width, height, ratio) {
      const { points, confidence, count } = this.track;
      const { scale, left, top } = this.place(width, height);
      const style = getComputedStyle(this.canvas);
      const isSure = (index) => confidence[row * count + index] / 100 >= MIN_CONFIDENCE;
      const at = (index) => {
        const offset = (row * count + index) * 2;
        return [left + points[offset] * scale, top + points[offset + 1] * scale];
      };
      context.lineWidth = 3 * ratio;
      context.lineCap = "round";
      // Properties of colours are resolved for the theme; custom ones would be told as they are written.
      context.strokeStyle = style.color;
      context.fillStyle = style.outlineColor;
      for (const [from, to] of BONES) {
        if (!isSure(from) || !isSure(to)) continue;
        context.beginPath();
        context.moveTo(...at(from));
        context.lineTo(...at(to));
        context.stroke();
      }
      for (let index = 11; index < count; index += 1) {
        if (!isSure(index)) continue;
        context.beginPath();
        context.arc(...at(index), 4 * ratio, 0, 2 * Math.PI);
        context.fill();
      }
    }

    // The way of the ball up to now as a line, the ball as a ring, release and bounce as crosses.
    paintBall(context, t, width, height, ratio) {
      const { scale, left, top } = this.place(width, height);
      const at = (x, y) => [left + x * scale, top + y * scale];
      context.strokeStyle = getComputedStyle(this.canvas).caretColor;
      context.lineCap = "round";
      context.lineWidth = 2 * ratio;
      context.beginPath();
      this.ball.points.filter((one) => one.t_s <= t + 1e-3)
        .forEach((one, index) => context[index ? "lineTo" : "moveTo"](...at(one.x_px, one.y_px)));
      context.stroke();
      for (const mark of [this.ball.release, this.ball.bounce]) {
        if (!mark || mark.t_s > t + 1e-3) continue;
        const [x, y] = at(mark.x_px, mark.y_px);
        const arm = 6 * ratio;
        context.beginPath();
        context.moveTo(x - arm, y - arm);
        context.lineTo(x + arm, y + arm);
        context.moveTo(x - arm, y + arm);
        context.lineTo(x + arm, y - arm);
        context.stroke();
      }
      const now = locateBall(this.ball.points, t);
      if (!now) return;
      context.lineWidth = 3 * ratio;
      context.beginPath();
      context.arc(...at(now.x, now.y), Math.max(6 * ratio, now.radius * scale + 3 * ratio), 0, 2 * Math.PI);
      context.stroke();
    }

    // Position on the upright picture, in its pixels, of a click.
    locate(event) {
      const box = this.clip.getBoundingClientRect();
      const { scale, left, top } = this.place(box.width, box.height);
      return [(event.clientX - box.left - left) / scale, (event.clientY - box.top - top) / scale];
    }
  }

  // Plots: each metric's series under a cursor that follows the clip.

  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 480;
  const HEIGHT = 140;
  const LEFT = 48;

  function make(name, attributes, text = "") {
    const element = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    if (text) element.textContent = text;
    return element;
  }

  function plot(player, metric, events, duration) {
    const values = metric.series.map(([, value]) => value).filter((value) => Number.isFinite(value));
    if (values.length < 2) return null;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const x = (t) => LEFT + (t / duration) * (WIDTH - LEFT - 8);
    const y = (value) => HEIGHT - 24 - ((value - low) / (high - low || 1)) * (HEIGHT - 40);
    const name = metric.code.replaceAll("_", " ");
    const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${name} over time` });
    // As many digits as tell the two ends apart.
    const digits = Math.min(3, Math.max(0, 1 - Math.floor(Math.log10(high - low || 1))));
    for (const value of [low, high]) {
      svg.append(make("line", { class: "chart-grid", x1: LEFT, x2: WIDTH - 8, y1: y(value), y2: y(value) }));
      svg.append(make("text", { class: "chart-tick is-end", x: LEFT - 4, y: y(value) + 4 }, value.toFixed(digits)));
    }
    svg.append(make("text", { class: "chart-tick", x: LEFT, y: HEIGHT - 6 }, "0 s"));
    svg.append(make("text", { class: "chart-tick is-end", x: WIDTH - 8, y: HEIGHT - 6 }, `${duration.toFixed(1)} s`));
    for (const event of events) {
      svg.append(make("line", { class: "plot-event", x1: x(event.t_s), x2: x(event.t_s), y1: 8, y2: HEIGHT - 24 }));
    }
    const path = metric.series.filter(([, value]) => Number.isFinite(value))
      .map(([t, value], index) => `${index ? "L" : "M"}${x(t).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    svg.append(make("path", { class: "chart-line tone-series-1", d: path }));
    const cursor = make("line", { class: "plot-cursor", x1: LEFT, x2: LEFT, y1: 4, y2: HEIGHT - 20 });
    svg.append(cursor);
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT - 8);
      player.seek(Math.min(1, Math.max(0, share)) * duration);
    });
    player.watchers.push((t) => { cursor.setAttribute("x1", x(t)); cursor.setAttribute("x2", x(t)); });
    const figure = document.createElement("figure");
    figure.className = "plot";
    const caption = document.createElement("figcaption");
    caption.textContent = `${name[0].toUpperCase()}${name.slice(1)}${metric.unit ? ` (${metric.unit})` : ""}`;
    figure.append(caption, svg);
    return figure;
  }

  function takeBall(player, results) {
    const ball = results.measurement.ball;
    if (ball && ball.points.length) player.ball = ball;
    player.draw();
  }

  async function readBall(player) {
    if (!player.root.dataset.results) return;
    const answer = await fetch(player.root.dataset.results);
    if (answer.ok) takeBall(player, await answer.json());
  }

  async function drawPlots(player) {
    const place = find("[data-plots]");
    if (!player.root.dataset.results) return;
    const answer = await fetch(player.root.dataset.results);
    if (!answer.ok) return;
    const results = await answer.json();
    takeBall(player, results);
    if (!place) return;
    const measured = results.measurement.metrics.filter((metric) => metric.series && metric.series.length);
    const figures = measured.map((metric) => plot(player, metric, results.measurement.events, results.probe.duration_s));
    place.replaceChildren(...figures.filter(Boolean));
    if (!place.childElementCount) place.textContent = "Nothing could be measured over time.";
    player.draw();
  }

  const players = findAll("[data-player]").map((root) => new Player(root));
  const main = players[0];
  if (!main) return;
  drawPlots(main).catch(() => {});
  players.slice(1).forEach((one) => readBall(one).catch(() => {}));

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-seek], [data-step], [data-skeleton], [data-ball], [data-take], [data-click]");
    if (!button) return;
    const owner = players.find((one) => one.root.contains(button)) || main;
    if (button.dataset.seek !== undefined) {
      owner.seek(Number(button.dataset.seek));
      remember(Number(button.dataset.seek));
      owner.root.scrollIntoView({ block: "nearest" });
    } else if (button.dataset.step) owner.step(Number(button.dataset.step));
    else if (button.dataset.skeleton !== undefined) toggle(button, "isShown");
    else if (button.dataset.ball !== undefined) toggle(button, "isBallShown");
    else if (button.dataset.take) document.getElementById(button.dataset.take).value = main.clip.currentTime.toFixed(3);
    else if (button.dataset.click) awaitClicks(document.getElementById(button.dataset.click), Number(button.dataset.clicks) || 1);
  });

  // The instant is part of the address, so a copied link opens there.
  function remember(t) {
    const url = new URL(location.href);
    url.searchParams.set("t", t.toFixed(3));
    history.replaceState(history.state, "", url);
  }

  function toggle(button, name) {
    const isShown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isShown));
    const owners = players.filter((one) => one.root.contains(button));
    (owners.length ? owners : players).forEach((one) => { one[name] = isShown; one.draw(); });
  }

  // One click is an instant and a place; several are places alone.
  function awaitClicks(input, count) {
    const stage = find(".player-stage", main.root);
    main.clip.pause();
    stage.classList.add("is-clicking");
    main.root.scrollIntoView({ block: "center" });
    const places = [];
    const take = (event) => {
      const [x, y] = main.locate(event);
      places.push(`${x.toFixed(0)} ${y.toFixed(0)}`);
      input.value = count > 1 ? places.join(" ") : `${main.clip.currentTime.toFixed(3)} ${places[0]}`;
      if (places.length < count) return;
      main.canvas.removeEventListener("click", take);
      stage.classList.remove("is-clicking");
      input.focus();
    };
    main.canvas.addEventListener("click", take);
  }

  findAll("[data-speed]").forEach((choice) => {
    choice.addEventListener("change", () => { main.clip.playbackRate = Number(choice.value); });
  });

  // Two clips on one clock that counts from their event.

  const pair = find("[data-pair]");
  if (pair && players.length === 2) {
    const range = find("[data-pair-range]", pair);
    const label = find("[data-pair-time]", pair);
    const starts = players.map((one) => Number(one.root.dataset.start) || 0);
    const play = find("[data-pair-play]", pair);
    let timer = 0;
    const show = (offset) => {
      label.textContent = `${offset >= 0 ? "+" : ""}${offset.toFixed(2)} s from the event`;
      players.forEach((one, index) => one.seek(starts[index] + offset));
    };
    range.addEventListener("input", () => { stop(); show(Number(range.value)); });
    const stop = () => { clearInterval(timer); timer = 0; players.forEach((one) => one.clip.pause()); };
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      players.forEach((one) => one.clip.play());
      timer = setInterval(() => {
        const offset = players[0].clip.currentTime - starts[0];
        const drift = players[1].clip.currentTime - starts[1] - offset;
        if (Math.abs(drift) > 0.04) players[1].clip.currentTime = starts[1] + offset;
        range.value = String(offset);
        label.textContent = `${offset >= 0 ? "+" : ""}${offset.toFixed(2)} s from the event`;
        if (players.some((one) => one.clip.ended)) stop();
      }, 100);
    });
  }

  // When the analysis has more to show than the page, show it.
  const state = () => { const mark = find("[data-results-state]"); return mark ? mark.dataset.resultsState : ""; };
  const shown = state();
  setInterval(() => { if (shown && state() && state() !== shown) location.reload(); }, 1000);
})();
