// The map of posts: a canvas that is panned, zoomed and pointed at. All words come from the page.
"use strict";

(() => {
  const canvas = document.getElementById("map");
  if (!canvas) return;
  const context = canvas.getContext("2d");
  const frame = canvas.parentElement;
  const card = document.getElementById("map-card");
  const told = document.getElementById("map-told");
  const toggles = [...document.querySelectorAll("[data-category]")];
  const MARGIN = 0.94, MOST = 60, CELLS = 64, REACH = 14, THUMB = 52, THUMBS_FROM = 2.4, FEW = 40;
  const KEPT = 600, AT_ONCE = 8, STEP = 70;

  let points = [], photos = {}, grid = new Map();
  let width = 0, height = 0, zoom = 1, left = 0, top = 0;
  let looks = new Map(), ink = "#000", ground = "#fff";
  let chosen = null, pinned = false, drawn = 0;
  const images = new Map();
  let loading = 0, wanted = [], spaced = {};

  // Places: the unit square, scaled to the smaller side, zoomed and moved.
  const side = () => Math.min(width, height) * MARGIN * zoom;
  const toX = (point) => left + point.x * side();
  const toY = (point) => top + point.y * side();
  const isShown = (point) => looks.get(point.category)?.on;

  function fit() {
    zoom = 1;
    left = (width - side()) / 2;
    top = (height - side()) / 2;
    moved();
  }

  function zoomBy(factor, x = width / 2, y = height / 2) {
    const before = zoom;
    zoom = Math.min(MOST, Math.max(1, zoom * factor));
    left = x - (x - left) * (zoom / before);
    top = y - (y - top) * (zoom / before);
    moved();
  }

  function moved() {
    // A tenth of the map always stays in sight.
    const size = side();
    left = Math.min(width - 0.1 * size, Math.max(-0.9 * size, left));
    top = Math.min(height - 0.1 * size, Math.max(-0.9 * size, top));
    // Where nothing is zoomed, a finger on the map scrolls the page.
    canvas.classList.toggle("zoomed", zoom > 1);
    draw();
  }

  function readLooks() {
    for (const toggle of toggles) {
      const slug = toggle.dataset.category || null;
      const colour = getComputedStyle(toggle.querySelector(".mark")).color;
      looks.set(slug, {
        colour, slug, shape: toggle.dataset.shape, name: toggle.dataset.name,
        on: toggle.getAttribute("aria-pressed") === "true",
      });
    }
    const style = getComputedStyle(frame);
    ink = style.color;
    ground = style.backgroundColor;
    draw();
  }

  // One path for all marks of a category.
  const SHAPES = {
    circle: (path, x, y, r) => { path.moveTo(x + r, y); path.arc(x, y, r, 0, 2 * Math.PI); },
    ring: (path, x, y, r) => { path.moveTo(x + r * 0.7, y); path.arc(x, y, r * 0.7, 0, 2 * Math.PI); },
    square: (path, x, y, r) => path.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76),
    diamond: (path, x, y, r) => outline(path, x, y, r * 1.2, [[0, -1], [1, 0], [0, 1], [-1, 0]]),
    triangle: (path, x, y, r) => outline(path, x, y, r * 1.2, [[0, -1], [0.95, 0.75], [-0.95, 0.75]]),
    down: (path, x, y, r) => outline(path, x, y, r * 1.2, [[0, 1], [0.95, -0.75], [-0.95, -0.75]]),
    plus: (path, x, y, r) => outline(path, x, y, r * 1.1, [
      [-0.36, -1], [0.36, -1], [0.36, -0.36], [1, -0.36], [1, 0.36], [0.36, 0.36],
      [0.36, 1], [-0.36, 1], [-0.36, 0.36], [-1, 0.36], [-1, -0.36], [-0.36, -0.36]]),
  };

  function outline(path, x, y, r, corners) {
    corners.forEach(([dx, dy], place) => path[place ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
    path.closePath();
  }

  function draw() {
    if (!drawn) drawn = requestAnimationFrame(() => { drawn = 0; paint(); });
  }

  function paint() {
    const dense = window.devicePixelRatio || 1;
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, height);
    const radius = Math.min(8, 3.4 * zoom ** 0.3);
    const seen = points.filter((point) => {
      const x = toX(point), y = toY(point);
      return isShown(point) && x > -THUMB && y > -THUMB && x < width + THUMB && y < height + THUMB;
    });
    for (const look of looks.values()) {
      const path = new Path2D();
      for (const point of seen) {
        if (point.category === look.slug) SHAPES[look.shape](path, toX(point), toY(point), radius);
      }
      context.fillStyle = look.colour;
      context.globalAlpha = 0.88;
      if (look.shape === "ring") {
        context.lineWidth = 1.5;
        context.strokeStyle = look.colour;
        context.stroke(path);
      } else {
        context.fill(path);
        context.lineWidth = 0.4;
        context.strokeStyle = ground;
        context.stroke(path);
      }
    }
    context.globalAlpha = 1;
    paintPhotos(seen);
    if (chosen && isShown(chosen)) {
      context.strokeStyle = ink;
      context.lineWidth = 2.5;
      const path = new Path2D();
      SHAPES.circle(path, toX(chosen), toY(chosen), radius + 5);
      context.stroke(path);
    }
    canvas.dataset.shown = seen.length;
    if (told) told.textContent = told.dataset.words.replace("{count}", seen.length);
    place();
  }

  // Which photos have room, by zoom and categories: the same wherever the map is moved.
  function spread() {
    const key = `${Math.floor(Math.log(zoom) * 8)} ${width} ${[...looks.values()].map((one) => +one.on)}`;
    if (spaced.key === key) return spaced.points;
    const room = THUMB / (Math.min(width, height) * MARGIN * Math.exp(Math.floor(Math.log(zoom) * 8) / 8));
    const taken = new Map();
    spaced = { key, points: new Set() };
    const surest = points.filter((one) => one.photo && isShown(one));
    for (const point of surest.sort((one, other) => other.probability - one.probability)) {
      const column = Math.floor(point.x / room), row = Math.floor(point.y / room);
      let free = true;
      for (let place = 0; place < 9 && free; place += 1) {
        const there = taken.get(`${column + (place % 3) - 1} ${row + Math.floor(place / 3) - 1}`);
        free = !there?.some((one) => Math.max(Math.abs(one.x - point.x), Math.abs(one.y - point.y)) < room);
      }
      if (!free) continue;
      const own = `${column} ${row}`;
      if (!taken.has(own)) taken.set(own, []);
      taken.get(own).push(point);
      spaced.points.add(point);
    }
    return spaced.points;
  }

  function paintPhotos(seen) {
    wanted = [];
    let count = 0;
    if (zoom >= THUMBS_FROM || seen.length <= FEW) {
      const chosen = spread();
      for (const point of seen) {
        if (!chosen.has(point)) continue;
        const image = images.get(point.photo);
        if (!image) wanted.push(point.photo);
        else if (image.complete && image.naturalWidth) {
          paintPhoto(image, point);
          count += 1;
        }
      }
    }
    canvas.dataset.photos = count;
    load();
  }

  function paintPhoto(image, point) {
    const cut = Math.min(image.naturalWidth, image.naturalHeight), size = THUMB - 8;
    const x = toX(point) - size / 2, y = toY(point) - size / 2;
    context.fillStyle = looks.get(point.category).colour;
    context.beginPath();
    context.roundRect(x - 2.5, y - 2.5, size + 5, size + 5, 6);
    context.fill();
    context.save();
    context.beginPath();
    context.roundRect(x, y, size, size, 4);
    context.clip();
    context.drawImage(
      image, (image.naturalWidth - cut) / 2, (image.naturalHeight - cut) / 2, cut, cut, x, y, size, size);
    context.restore();
  }

  function address(photo) {
    return photos[photo] ?? `/photos/${photo}/small`;
  }

  function load() {
    while (loading < AT_ONCE && wanted.length) {
      const photo = wanted.shift();
      const image = new Image();
      const done = () => { loading -= 1; draw(); };
      image.addEventListener("load", done);
      image.addEventListener("error", done);
      loading += 1;
      image.src = address(photo);
      images.set(photo, image);
      if (images.size > KEPT) images.delete(images.keys().next().value);
    }
  }

  function find(x, y) {
    const size = side(), reach = zoom >= THUMBS_FROM ? THUMB / 2 : REACH;
    const px = (x - left) / size, py = (y - top) / size, far = reach / size;
    let best = null, least = far * far;
    for (let row = cell(py - far); row <= cell(py + far); row += 1) {
      for (let column = cell(px - far); column <= cell(px + far); column += 1) {
        for (const point of grid.get(row * CELLS + column) ?? []) {
          const away = (point.x - px) ** 2 + (point.y - py) ** 2;
          if (away <= least && isShown(point)) { best = point; least = away; }
        }
      }
    }
    return best;
  }

  const cell = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor(value * CELLS)));

  function choose(point, pin) {
    if (point === chosen && pin === pinned) return;
    const other = point !== chosen;
    chosen = point;
    pinned = pin && point !== null;
    canvas.classList.toggle("points", point !== null);
    if (point && other) fill(point);
    card.hidden = point === null;
    card.classList.toggle("pinned", pinned);
    draw();
  }

  function fill(point) {
    const look = looks.get(point.category);
    const link = card.querySelector(".map-account"), open = card.querySelector(".map-open");
    const photo = card.querySelector("img");
    link.textContent = point.username;
    const pill = card.querySelector(".pill");
    pill.className = `pill cat-${point.category ?? "unknown"}`;
    pill.textContent = look.name;
    // Of an unknown post it would be that of a category which it did not get.
    card.querySelector(".map-sure").textContent = point.category === null
      ? "" : `${Math.round(100 * point.probability)}\u00a0%`;
    photo.hidden = !point.photo;
    if (point.photo) photo.src = address(point.photo);
    if (open) {
      const account = `/accounts/${encodeURIComponent(point.username)}`;
      link.href = account;
      open.href = `${account}?all=1#post-${point.post}`;
    }
  }

  // Beside the point, on the side where there is room; narrow frames show it below the map.
  function place() {
    if (!chosen || card.hidden || width < 520) {
      card.style.transform = "";
      return;
    }
    const x = toX(chosen), y = toY(chosen);
    const across = x + 18 + card.offsetWidth > width ? x - 18 - card.offsetWidth : x + 18;
    const down = Math.max(8, Math.min(height - card.offsetHeight - 8, y - card.offsetHeight / 2));
    card.style.transform = `translate(${Math.max(8, across)}px, ${down}px)`;
  }

  function step(by) {
    const seen = points.filter((point) => isShown(point)
      && toX(point) >= 0 && toX(point) <= width && toY(point) >= 0 && toY(point) <= height);
    if (!seen.length) return;
    const here = seen.indexOf(chosen);
    choose(seen[(here < 0 ? (by > 0 ? 0 : seen.length - 1) : here + by + seen.length) % seen.length], true);
  }

  const held = new Map();
  let travelled = 0, apart = 0;

  function where(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, where(event));
    travelled = 0;
    apart = 0;
  });

  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = where(event);
    const before = held.get(event.pointerId);
    if (!before) {
      if (!pinned) choose(find(x, y), false);
      return;
    }
    held.set(event.pointerId, [x, y]);
    travelled += Math.hypot(x - before[0], y - before[1]);
    const fingers = [...held.values()];
    left += (x - before[0]) / fingers.length;
    top += (y - before[1]) / fingers.length;
    if (fingers.length === 2) {
      const [one, other] = fingers;
      const now = Math.hypot(one[0] - other[0], one[1] - other[1]);
      if (apart) zoomBy(now / apart, (one[0] + other[0]) / 2, (one[1] + other[1]) / 2);
      apart = now;
    }
    moved();
  });

  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      held.delete(event.pointerId);
      apart = 0;
      if (name === "pointerup" && travelled < 5) {
        const point = find(...where(event));
        choose(point, point !== null);
      }
    });
  }

  canvas.addEventListener("pointerleave", () => { if (!pinned) choose(null, false); });

  canvas.addEventListener("wheel", (event) => {
    // At the end of zooming out the page scrolls on.
    if (event.deltaY > 0 && zoom === 1) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoomBy(Math.exp(-event.deltaY * lines * 0.0018), ...where(event));
  }, { passive: false });

  const KEYS = {
    ArrowLeft: () => { left += STEP; moved(); },
    ArrowRight: () => { left -= STEP; moved(); },
    ArrowUp: () => { top += STEP; moved(); },
    ArrowDown: () => { top -= STEP; moved(); },
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: fit,
    n: () => step(1),
    p: () => step(-1),
    Enter: () => card.querySelector(".map-open")?.click(),
    Escape: () => choose(null, false),
  };

  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });

  card.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { choose(null, false); canvas.focus(); }
  });

  document.addEventListener("click", (event) => {
    const act = event.target.closest("[data-map]")?.dataset.map;
    if (act === "in") zoomBy(1.6);
    if (act === "out") zoomBy(1 / 1.6);
    if (act === "fit") fit();
    if (act === "all" || act === "none") {
      toggles.forEach((one) => one.setAttribute("aria-pressed", String(act === "all")));
      readLooks();
    }
    if (act === "close") { choose(null, false); canvas.focus(); }
    const toggle = event.target.closest("[data-category]");
    if (toggle) {
      toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
      readLooks();
    }
  });

  function resize() {
    const before = width > 0;
    const middle = before ? [(width / 2 - left) / side(), (height / 2 - top) / side()] : null;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    const dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    if (!middle || zoom === 1) return fit();
    left = width / 2 - middle[0] * side();
    top = height / 2 - middle[1] * side();
    moved();
  }

  function show(document_) {
    // In this order the keyboard goes through them.
    points = document_.points.sort((one, other) =>
      (one.category ?? "~").localeCompare(other.category ?? "~") || one.x - other.x);
    photos = document_.photos ?? {};
    grid = new Map();
    for (const point of points) {
      const key = cell(point.y) * CELLS + cell(point.x);
      if (!grid.has(key)) grid.set(key, []);
      grid.get(key).push(point);
    }
    readLooks();
    new ResizeObserver(resize).observe(canvas);
    canvas.dataset.ready = points.length;
  }

  function fail() {
    const note = document.getElementById("map-failed");
    if (note) note.hidden = false;
  }

  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readLooks);
  const inside = document.getElementById("map-data");
  if (inside) {
    show(JSON.parse(inside.textContent));
  } else {
    fetch(canvas.dataset.source, { headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
      .then(show, fail);
  }
})();
