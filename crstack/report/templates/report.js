"use strict";
(async () => {
  const $ = id => document.getElementById(id);
  const R = JSON.parse($("data").textContent), S = R.scale, B = R.block, [ny, nx] = R.shape;
  const SIDE = R.tiles.side, AREA = SIDE * SIDE, WIDE = 64, PITCH = WIDE * SIDE, ACROSS = Math.ceil(nx / SIDE);
  const CIVIDIS = [[0, 34, 78], [33, 59, 110], [76, 84, 108], [108, 109, 114], [142, 136, 120], [184, 166, 107], [220, 196, 87], [254, 232, 56]];
  const NONE = [204, 121, 167, 255]; // a pixel without a value
  const image = $("image"), table = document.querySelector("#hits tbody");
  const view = { x: nx / 2, y: ny / 2, zoom: 1 };
  let shown = 0, before = Math.min(1, R.layers.length - 1), overlay = "own", visible = true, timer = 0, chosen = null, pointed = null, asked = false;

  // what the page holds: bytes of the overviews, and tiles side by side in one array for each layer

  async function overview(png) {
    const picture = new Image();
    picture.src = "data:image/png;base64," + png;
    await picture.decode();
    const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    pen.drawImage(picture, 0, 0);
    const pixels = pen.getImageData(0, 0, picture.width, picture.height).data;
    return { width: picture.width, height: picture.height, values: Uint8Array.from({ length: pixels.length / 4 }, (_, i) => pixels[4 * i]) };
  }

  async function unpack(text) {
    const packed = new Blob([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))]);
    return new Uint8Array(await new Response(packed.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
  }

  const planes = [...R.masks.map(mask => mask.png), ...R.probabilities];
  const layers = await Promise.all(R.layers.map(async layer => ({ over: await overview(layer.png) })));
  const over = await Promise.all(planes.map(async png => ({ over: await overview(png) })));
  const place = new Map(R.tiles.numbers.map((number, i) => [number, i]));
  const height = Math.ceil(place.size / WIDE) * SIDE;
  for (const [all, kind] of [[layers, Uint16Array], [over, Uint8Array]])
    for (const one of all) one.tiles = { width: PITCH, height, values: new kind(PITCH * height) };
  const at = (i, p) => (Math.floor(i / WIDE) * SIDE + Math.floor(p / SIDE)) * PITCH + (i % WIDE) * SIDE + p % SIDE;
  for (const [k, text] of R.tiles.chunks.entries()) {
    const bytes = await unpack(text), first = k * R.tiles.together;
    const n = Math.min(R.tiles.together, place.size - first), size = n * AREA, low = layers.length * size;
    for (let i = 0; i < n; i++)
      for (let p = 0; p < AREA; p++) {
        const to = at(first + i, p), from = i * AREA + p;
        layers.forEach((one, j) => { one.tiles.values[to] = bytes[j * size + from] << 8 | bytes[low + j * size + from]; });
        over.forEach((one, j) => { one.tiles.values[to] = bytes[2 * low + j * size + from]; });
      }
  }

  // values and colours

  const ofByte = byte => S.zero + S.noise * Math.sinh(S.low + (byte - 1) * (S.high - S.low) / S.steps);
  const ofWord = word => S.zero + S.noise * Math.sinh((word - S.mid) / S.fine);

  function colour(value) {
    const all = $("contrast").value === "asinh", [low, high] = all ? [S.low, S.high] : limits;
    const part = all ? Math.asinh((value - S.zero) / S.noise) : value;
    const f = Math.min(Math.max((part - low) / (high - low), 0), 1), kind = $("colours").value;
    if (kind !== "cividis") return Array(3).fill(255 * (kind === "dark" ? 1 - f : f)).concat(255);
    const i = Math.min(Math.floor(f * 7), 6), t = f * 7 - i;
    return CIVIDIS[i].map((from, j) => from + t * (CIVIDIS[i + 1][j] - from)).concat(255);
  }

  const packed = ([r, g, b, a]) => (a << 24 | b << 16 | g << 8 | r) >>> 0;
  const rgb = text => [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16));
  const lut = (n, of) => Uint32Array.from({ length: n }, (_, i) => packed(i ? of(i) : NONE));
  const codeColours = new Uint32Array(256);
  for (const one of R.codes) codeColours[one.code] = packed([...rgb(one.colour), 150]);
  const chanceColours = Uint32Array.from({ length: 256 }, (_, i) => packed([213, 94, 0, 0.8 * i]));
  let bytes, words, limits = R.limits;

  function inSight() { // 1 to 99 % of the values that the image shows
    const found = [], wide = image.clientWidth / view.zoom / 2, high = image.clientHeight / view.zoom / 2, step = Math.max(1, Math.round(wide / 60));
    for (let y = Math.max(0, Math.ceil(view.y - high)); y < Math.min(ny, view.y + high); y += step)
      for (let x = Math.max(0, Math.ceil(view.x - wide)); x < Math.min(nx, view.x + wide); x += step) {
        const [code, exact] = codeAt(layers[shown], x, y);
        if (code) found.push(exact ? ofWord(code) : ofByte(code));
      }
    found.sort((a, b) => a - b);
    const low = found[Math.floor(0.01 * found.length)], high_ = found[Math.floor(0.99 * found.length)];
    return high_ > low ? [low, high_] : R.limits;
  }

  function recolour() {
    limits = $("contrast").value === "region" ? inSight() : R.limits;
    bytes = lut(256, i => colour(ofByte(i)));
    words = lut(65536, i => colour(ofWord(i)));
    for (const one of layers) one.over.canvas = one.tiles.canvas = null;
    draw();
  }

  function painted(source, colours) {
    if (!source.canvas && source.height) {
      source.canvas = new OffscreenCanvas(source.width, source.height);
      const data = new ImageData(source.width, source.height), to = new Uint32Array(data.data.buffer);
      source.values.forEach((value, i) => { to[i] = colours[value]; });
      source.canvas.getContext("2d").putImageData(data, 0, 0);
    }
    return source.canvas;
  }

  // drawing: every canvas shows the same region

  function overlayOf(layer) {
    if (!visible || overlay === "none") return -1;
    const name = overlay === "own" ? R.layers[layer].mask : overlay;
    const exposure = R.layers[layer].exposure;
    if (name === "probability") return exposure ? R.masks.length + exposure - 1 : -1;
    return R.masks.findIndex(mask => mask.name === name);
  }

  const outlines = zoom => zoom >= 6; // then a flagged pixel gets a frame, and its value stays in sight

  function outline(pen, one, colours, left, top, wide, high) {
    pen.lineWidth = 0.14;
    for (let y = Math.max(0, Math.floor(top)); y < Math.min(ny, top + high); y++)
      for (let x = Math.max(0, Math.floor(left)); x < Math.min(nx, left + wide); x++) {
        const packed = colours[codeAt(one, x, y)[0]];
        if (!(packed >>> 24)) continue;
        pen.strokeStyle = `rgb(${packed & 255} ${packed >> 8 & 255} ${packed >> 16 & 255} / ${Math.min(1, 1.6 * (packed >>> 24) / 255)})`;
        pen.strokeRect(x + 0.1, y + 0.1, 0.8, 0.8);
      }
  }

  function drawOn(canvas, layer) {
    const ratio = devicePixelRatio, wide = canvas.clientWidth, high = canvas.clientHeight;
    const size = view.zoom * Math.min(wide / image.clientWidth, high / image.clientHeight) * ratio;
    canvas.width = wide * ratio;
    canvas.height = high * ratio;
    const pen = canvas.getContext("2d"), left = view.x - canvas.width / 2 / size, top = view.y - canvas.height / 2 / size;
    pen.setTransform(size, 0, 0, size, -left * size, -top * size);
    pen.imageSmoothingEnabled = size * B < 1;
    pen.beginPath();
    pen.rect(0, 0, nx, ny);
    pen.clip();
    const j = overlayOf(layer), sources = [[layers[layer], bytes, words]];
    if (j >= 0 && !outlines(size / ratio)) sources.push([over[j], ...Array(2).fill(j < R.masks.length ? codeColours : chanceColours)]);
    for (const [one, colours] of sources) pen.drawImage(painted(one.over, colours), 0, 0, one.over.width * B, one.over.height * B);
    if (B > 1 && size * B > 1.5)
      for (const [one, , colours] of sources) {
        const atlas = painted(one.tiles, colours), end = { x: left + canvas.width / size, y: top + canvas.height / size };
        for (let row = Math.max(0, Math.floor(top / SIDE)); row * SIDE < Math.min(end.y, ny); row++)
          for (let column = Math.max(0, Math.floor(left / SIDE)); column * SIDE < Math.min(end.x, nx); column++) {
            const i = place.get(row * ACROSS + column);
            if (i !== undefined) pen.drawImage(atlas, (i % WIDE) * SIDE, Math.floor(i / WIDE) * SIDE, SIDE, SIDE, column * SIDE, row * SIDE, SIDE, SIDE);
          }
      }
    if (j >= 0 && outlines(size / ratio)) outline(pen, over[j], j < R.masks.length ? codeColours : chanceColours, left, top, canvas.width / size, canvas.height / size);
    if (chosen)
      for (const [style, width] of [["#fff", 4], ["#000", 1.5]]) {
        const [x0, x1, y0, y1] = boxOf(chosen), apart = 3 * ratio / size;
        pen.strokeStyle = style;
        pen.lineWidth = width * ratio / size;
        pen.strokeRect(x0 - 1 - apart, ny - y1 - apart, x1 - x0 + 1 + 2 * apart, y1 - y0 + 1 + 2 * apart);
      }
  }

  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      drawOn(image, shown);
      thumbs.forEach((thumb, i) => {
        drawOn(thumb.firstChild, i);
        thumb.setAttribute("aria-pressed", i === shown);
      });
      Object.assign(image.dataset, { layer: R.layers[shown].name, x: view.x + 0.5, y: ny - view.y + 0.5, zoom: view.zoom });
      $("what").textContent = R.layers[shown].name + ": " + R.layers[shown].words;
      const wide = Math.min(image.clientWidth / view.zoom, nx);
      $("scale").textContent = "view " + wide.toFixed(0) + (wide < nx ? " of " + nx : "") + " pixels wide" + (view.zoom * B < 1.5 ? "" : ", " + view.zoom.toFixed(1) + " times");
      values();
    });
  }

  // the pixel under the cursor, or the one in the middle

  function codeAt(one, x, y) {
    const i = place.get(Math.floor(y / SIDE) * ACROSS + Math.floor(x / SIDE));
    if (i !== undefined) return [one.tiles.values[at(i, y % SIDE * SIDE + x % SIDE)], true];
    return [one.over.values[Math.floor(y / B) * one.over.width + Math.floor(x / B)], false];
  }

  function words4(value) { return Math.abs(value) >= 1e5 ? value.toExponential(3) : String(Number(value.toPrecision(4))); }

  function values() {
    const spot = pointed || view, x = Math.floor(spot.x), y = Math.floor(spot.y);
    const inside = x >= 0 && y >= 0 && x < nx && y < ny;
    thumbs.forEach((thumb, i) => {
      const [code, exact] = inside ? codeAt(layers[i], x, y) : [0, true];
      thumb.lastChild.textContent = !inside ? "" : code ? (exact ? "" : "\u2248 ") + words4(exact ? ofWord(code) : ofByte(code)) + " " + R.unit : "no value";
    });
    if (!inside) { $("where").textContent = ""; return; }
    const told = new Map(R.codes.map(one => [one.code, one.words])), lines = ["X " + (x + 1) + ", Y " + (ny - y)];
    R.masks.forEach((mask, j) => {
      const [code, exact] = codeAt(over[j], x, y);
      if (code) lines.push(mask.name + ": " + told.get(code) + (exact || B === 1 ? "" : " (in this block)"));
    });
    const chances = R.probabilities.map((_, i) => codeAt(over[R.masks.length + i], x, y)[0] / 255);
    if (chances.some(chance => chance > 0.005)) lines.push("probability to be hit: " + chances.map(chance => chance.toFixed(2)).join(", "));
    $("where").textContent = lines.length > 1 ? lines.join("\n") : lines[0] + "\nin no mask";
  }

  // moves

  const boxOf = row => row.dataset.box.split(" ").map(Number);
  const fit = () => Math.min(image.clientWidth / nx, image.clientHeight / ny);
  // the short side of a long image fills a quarter of the view at first, so that its pixels can be seen
  const first = () => Math.max(fit(), 0.25 * Math.max(image.clientWidth / nx, image.clientHeight / ny));

  function zoom(factor, spot = view) {
    const next = Math.min(Math.max(view.zoom * factor, 0.8 * fit()), 48), part = view.zoom / next;
    view.x = spot.x + (view.x - spot.x) * part;
    view.y = spot.y + (view.y - spot.y) * part;
    view.zoom = next;
    draw();
  }

  function whole() { Object.assign(view, { x: nx / 2, y: ny / 2, zoom: fit() }); draw(); }

  function show(i) {
    if (i === shown || i < 0 || i >= layers.length) return;
    before = shown;
    shown = i;
    draw();
  }

  function blink() {
    timer = timer ? clearInterval(timer) : setInterval(() => show(before), 600);
    $("blink").setAttribute("aria-pressed", Boolean(timer));
  }

  function go(row) {
    if (!row) return;
    if (chosen) chosen.removeAttribute("aria-current");
    chosen = row;
    row.setAttribute("aria-current", "true");
    const [x0, x1, y0, y1] = boxOf(row), size = Math.max(x1 - x0, y1 - y0) + 1;
    const zoom = Math.min(Math.min(image.clientWidth, image.clientHeight) / Math.max(32, 1.5 * size + 8), 24);
    Object.assign(view, { x: (x0 - 1 + x1) / 2, y: ny - (y0 - 1 + y1) / 2, zoom });
    pointed = null;
    if ($("contrast").value === "region") recolour();
    const frame = table.closest(".scroll"), top = row.offsetTop;
    if (top < frame.scrollTop + 40 || top > frame.scrollTop + frame.clientHeight - 40) frame.scrollTop = top - frame.clientHeight / 2;
    draw();
  }

  function step(by) {
    const rows = [...table.rows], i = chosen ? rows.indexOf(chosen) + by : 0;
    go(rows[Math.min(Math.max(i, 0), rows.length - 1)]);
  }

  function seeViewer() {
    const box = image.getBoundingClientRect();
    if (box.top < 0 || box.bottom > innerHeight) image.scrollIntoView({ block: "start" });
  }

  function sort(button) {
    const head = button.parentNode, column = Number(button.dataset.column), up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.value || row.cells[column].textContent;
    const rows = [...table.rows].sort((a, b) => key(a).localeCompare(key(b), "en", { numeric: true }) || 0);
    if (rows.every(row => !isNaN(key(row)))) rows.sort((a, b) => key(a) - key(b));
    table.append(...(up ? rows : rows.reverse()));
  }

  // mouse, fingers and keys

  function spotOf(event) {
    const box = image.getBoundingClientRect();
    return { x: view.x + (event.clientX - box.left - box.width / 2) / view.zoom, y: view.y + (event.clientY - box.top - box.height / 2) / view.zoom };
  }

  const fingers = new Map();
  image.addEventListener("pointerdown", event => { fingers.set(event.pointerId, event); image.setPointerCapture(event.pointerId); });
  for (const end of ["pointerup", "pointercancel"]) image.addEventListener(end, event => fingers.delete(event.pointerId));
  image.addEventListener("pointerleave", () => { pointed = null; values(); });
  image.addEventListener("pointermove", event => {
    const last = fingers.get(event.pointerId);
    if (last) {
      view.x -= (event.clientX - last.clientX) / view.zoom / fingers.size;
      view.y -= (event.clientY - last.clientY) / view.zoom / fingers.size;
      const apart = () => { const [a, b] = fingers.values(); return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
      const from = fingers.size === 2 ? apart() : 0;
      fingers.set(event.pointerId, event);
      if (from) zoom(apart() / from);
      draw();
    }
    pointed = spotOf(event);
    values();
  });
  image.addEventListener("wheel", event => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8, spotOf(event)); }, { passive: false });
  image.addEventListener("dblclick", event => { Object.assign(view, spotOf(event)); draw(); });
  const far = () => 40 / view.zoom;
  const keys = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": whole, b: blink, n: () => step(1), p: () => step(-1),
    "[": () => show(shown - 1), "]": () => show(shown + 1), m: () => { visible = !visible; draw(); },
    ArrowLeft: () => { view.x -= far(); draw(); }, ArrowRight: () => { view.x += far(); draw(); },
    ArrowUp: () => { view.y -= far(); draw(); }, ArrowDown: () => { view.y += far(); draw(); },
  };
  $("viewer").addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
    const act = keys[event.key] || (/^[1-9]$/.test(event.key) && (() => show(Number(event.key) - 1)));
    if (act) { event.preventDefault(); act(); }
  });

  // controls

  const thumbs = R.layers.map((layer, i) => {
    const button = document.createElement("button"), name = document.createElement("small"), value = document.createElement("small");
    button.type = "button";
    button.title = layer.words;
    name.textContent = layer.name;
    button.append(document.createElement("canvas"), name, value);
    button.addEventListener("click", () => show(i));
    $("layers").append(button);
    return button;
  });
  const choices = [["own", "mask of the layer"], ...R.masks.map(mask => [mask.name, mask.name]), ["none", "nothing"]];
  if (R.probabilities.length) choices.splice(1, 0, ["probability", "probability"]);
  for (const [value, text] of choices) $("overlay").append(new Option(text, value));
  for (const one of R.codes) {
    const item = document.createElement("li"), box = document.createElement("i");
    box.style.background = one.colour;
    item.append(box, one.words);
    $("legend").append(item);
  }
  $("overlay").addEventListener("change", () => { overlay = $("overlay").value; visible = true; draw(); });
  for (const id of ["contrast", "colours"]) $(id).addEventListener("change", recolour);
  for (const [id, act] of [["blink", blink], ["in", () => zoom(1.5)], ["out", () => zoom(1 / 1.5)], ["whole", whole], ["next", () => step(1)], ["previous", () => step(-1)]])
    $(id).addEventListener("click", act);
  table.addEventListener("click", event => { go(event.target.closest("tr")); seeViewer(); });
  for (const button of document.querySelectorAll("#hits th button")) button.addEventListener("click", () => sort(button));
  new ResizeObserver(() => { view.zoom = Math.max(view.zoom, 0.8 * fit()); draw(); }).observe(image);
  view.zoom = first();
  recolour();
  $("wait").remove();
  document.documentElement.dataset.ready = "yes";
})().catch(error => {
  document.getElementById("wait")?.remove();
  document.getElementById("what").textContent = `The viewer needs a browser of 2023 or later: ${error.message}`;
});
