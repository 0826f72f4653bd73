// Balls and sticks on a canvas: drag to turn, wheel or pinch to zoom, arrow keys to turn without a mouse.
"use strict";
(() => {
  const root = document.querySelector(".viewer");
  if (!root) return;
  const scenes = JSON.parse(document.getElementById("scenes").textContent);
  const canvas = root.querySelector("canvas"), pen = canvas.getContext("2d");
  const list = root.querySelector("ol"), caption = root.querySelector(".caption");
  const variant = document.getElementById("variant"), split = document.getElementById("split");
  const letters = document.getElementById("letters"), arrows = document.getElementById("arrows");
  // Lightness as well as hue differs, and letters can be switched on: element is never told by colour alone.
  const looks = {
    H: ["#ffffff", 0.32], C: ["#5b6570", 0.72], N: ["#2f6fd0", 0.7], O: ["#d1442f", 0.68], F: ["#7fd6b0", 0.62],
    P: ["#e69f00", 0.95], S: ["#f0d442", 0.95], Cl: ["#1f9d6b", 0.9], Br: ["#8a4b2a", 1.0],
  };
  const look = (symbol) => looks[symbol] || ["#cc79a7", 0.85];
  let scene = null, turn = [1, 0, 0, 0, 1, 0, 0, 0, 1], zoom = 1;

  const product = (a, b) => {
    const out = new Array(9).fill(0);
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) out[3 * i + j] += a[3 * i + k] * b[3 * k + j];
    return out;
  };
  const rotate = (dx, dy) => {
    const [cx, sx, cy, sy] = [Math.cos(dy), Math.sin(dy), Math.cos(dx), Math.sin(dx)];
    turn = product(product([1, 0, 0, 0, cx, -sx, 0, sx, cx], [cy, 0, sy, 0, 1, 0, -sy, 0, cy]), turn);
    draw();
  };

  function draw() {
    if (!scene) return;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const reach = Math.max(...scene.positions.map((p) => Math.hypot(...p))) + 0.6, shown = Math.max(reach, 2.5);
    const scale = (zoom * Math.min(width, height)) / 2 / shown * 1.05;
    const project = ([x, y, z]) => {
      const rx = turn[0] * x + turn[1] * y + turn[2] * z, ry = turn[3] * x + turn[4] * y + turn[5] * z;
      const rz = turn[6] * x + turn[7] * y + turn[8] * z, near = 1 / (1 - rz / (reach * 6));
      return [width / 2 + rx * scale * near, height / 2 - ry * scale * near, rz, near];
    };
    const points = scene.positions.map(project);
    const radius = (k) => look(scene.symbols[k])[1] * 0.58 * scale * points[k][3];
    const marks = points.map((p, k) => ({ z: p[2], draw: () => ball(p, radius(k), scene.symbols[k], p[2] / reach) }));
    // Half a bond at a time, from the surface of its atom, so that it passes in front of or behind the atom.
    for (const pair of scene.bonds) for (const [a, b] of [pair, [...pair].reverse()]) {
      const [from, to] = [scene.positions[a], scene.positions[b]];
      const start = (0.8 * look(scene.symbols[a])[1] * 0.58) / Math.hypot(...from.map((x, k) => to[k] - x));
      const at = (t) => points[a].map((x, k) => x + t * (points[b][k] - x));
      if (start < 0.5) marks.push({ z: at(0.25)[2], draw: () => bond(at(start), at(0.5), scale) });
    }
    if (arrows.checked && scene.force_errors) {
      const longest = Math.max(...scene.force_errors.map((f) => Math.hypot(...f)), 1e-9);
      scene.force_errors.forEach((f, k) => {
        const length = Math.hypot(...f) / longest;
        if (length < 0.05) return;
        const tip = project(scene.positions[k].map((x, i) => x + (1.8 * f[i]) / longest));
        marks.push({ z: Math.max(tip[2], points[k][2]) + 0.4, draw: () => arrow(points[k], tip, scale) });
      });
    }
    marks.sort((one, other) => one.z - other.z).forEach((mark) => mark.draw());
  }
  function bond(a, b, scale) {
    for (const [width, color] of [[0.2, "#6d7883"], [0.13, "#b9c2ca"]]) {
      pen.beginPath();
      pen.moveTo(a[0], a[1]);
      pen.lineTo(b[0], b[1]);
      pen.lineWidth = Math.max(1, width * scale);
      pen.strokeStyle = color;
      pen.stroke();
    }
  }
  function arrow(a, b, scale) {
    const angle = Math.atan2(b[1] - a[1], b[0] - a[0]), head = Math.max(6, 0.2 * scale);
    pen.strokeStyle = pen.fillStyle = "#d55e00";
    pen.lineWidth = Math.max(2, 0.06 * scale);
    pen.beginPath();
    pen.moveTo(a[0], a[1]);
    pen.lineTo(b[0] - head * 0.8 * Math.cos(angle), b[1] - head * 0.8 * Math.sin(angle));
    pen.stroke();
    pen.beginPath();
    pen.moveTo(b[0], b[1]);
    for (const side of [0.45, -0.45]) pen.lineTo(b[0] - head * Math.cos(angle + side), b[1] - head * Math.sin(angle + side));
    pen.fill();
  }
  function ball(p, r, symbol, depth) {
    const shade = pen.createRadialGradient(p[0] - r * 0.35, p[1] - r * 0.4, r * 0.1, p[0], p[1], r);
    shade.addColorStop(0, "#ffffff");
    shade.addColorStop(0.35, look(symbol)[0]);
    shade.addColorStop(1, look(symbol)[0]);
    pen.beginPath();
    pen.arc(p[0], p[1], r, 0, 2 * Math.PI);
    pen.fillStyle = shade;
    pen.fill();
    pen.lineWidth = 1;
    pen.strokeStyle = "rgba(28, 39, 51, " + (0.55 + 0.35 * depth) + ")";
    pen.stroke();
    if (letters.checked && symbol !== "H") {
      pen.fillStyle = ["C", "N", "O", "Cl", "Br"].includes(symbol) ? "#fff" : "#1c2733";
      pen.font = "600 " + Math.max(9, r) + "px sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(symbol, p[0], p[1] + 0.5);
    }
  }

  function show(index, button) {
    scene = scenes[variant.value][index];
    turn = product([1, 0, 0, 0, 0.94, -0.34, 0, 0.34, 0.94], [0.97, 0, 0.26, 0, 1, 0, -0.26, 0, 0.97]);
    zoom = 1;
    list.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    caption.textContent = scene.formula + " (" + scene.name + "), " + scene.symbols.length + " atoms: force RMSE " +
      scene.force_rmse_eV_per_A.toPrecision(3) + " eV/Å, energy error " +
      (1000 * scene.energy_error_eV_per_atom).toPrecision(3) + " meV per atom";
    canvas.setAttribute("aria-label", caption.textContent);
    draw();
  }
  function fill() {
    const own = scenes[variant.value].map((one) => one.split);
    for (const option of split.options) option.disabled = !own.includes(option.value);
    if (!own.includes(split.value)) split.value = own[0];
    list.replaceChildren();
    scenes[variant.value].forEach((one, index) => {
      if (one.split !== split.value) return;
      const button = document.createElement("button"), name = document.createElement("span"), error = document.createElement("span");
      name.textContent = one.formula + "  " + one.name;
      error.textContent = one.force_rmse_eV_per_A.toPrecision(3) + " eV/Å";
      button.append(name, error);
      button.addEventListener("click", () => show(index, button));
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
    });
    const first = list.querySelector("button");
    if (first) first.click();
  }

  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const others = [...pointers.values()].filter((p) => p.pointerId !== event.pointerId);
    if (others.length) {
      const apart = (p) => Math.hypot(p.clientX - others[0].clientX, p.clientY - others[0].clientY);
      zoom = Math.min(6, Math.max(0.4, (zoom * apart(event)) / Math.max(1, apart(last))));
    }
    pointers.set(event.pointerId, event);
    if (others.length) draw();
    else rotate((event.clientX - last.clientX) * 0.01, (event.clientY - last.clientY) * 0.01);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    zoom = Math.min(6, Math.max(0.4, zoom * Math.exp(-event.deltaY * 0.0015)));
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    const factor = { "+": 1.15, "-": 1 / 1.15 }[event.key];
    if (step) rotate(...step);
    else if (factor) { zoom *= factor; draw(); }
    else return;
    event.preventDefault();
  });
  variant.addEventListener("change", fill);
  split.addEventListener("change", fill);
  for (const box of [letters, arrows]) box.addEventListener("change", draw);
  window.addEventListener("resize", draw);
  window.addEventListener("beforeprint", draw);
  fill();
})();
