// The page reads well without this: it adds zooming, comparisons, masks over the picture, and copying.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const stage = document.querySelector(".stage");
  const frame = stage.querySelector(".frame");
  const tools = stage.querySelector(".tools");
  const swipe = document.getElementById("swipe");
  const choose = Object.fromEntries(["left", "right", "mask"].map((id) => [id, document.getElementById(id)]));
  const DEEPEST = 16;

  // What is seen: the scale over fitting the pane, and the point of the picture, from 0 to 1, at its centre.
  const view = { scale: 1, x: 0.5, y: 0.5 };
  let panes = [];
  let viewer = null;

  const mode = () => tools.querySelector(".modes input:checked").value;
  const between = (low, value, high) => Math.min(high, Math.max(low, value));

  const image = (source, name, kind) => {
    const element = document.createElement("img");
    element.src = source;
    element.alt = name;
    element.className = kind;
    element.draggable = false;
    return element;
  };
  const mask = () => data.masks[Number(choose.mask.value)];

  const fitted = (pane) => {
    const { clientWidth, clientHeight } = pane.element;
    const width = Math.min(clientWidth, clientHeight * data.width / data.height);
    return { width, height: width * data.height / data.width, clientWidth, clientHeight };
  };
  const place = () => {
    for (const pane of panes) {
      const { width, height, clientWidth, clientHeight } = fitted(pane);
      const half = (side, room) => Math.min(0.5, room / (2 * side * view.scale));
      view.x = between(half(width, clientWidth), view.x, 1 - half(width, clientWidth));
      view.y = between(half(height, clientHeight), view.y, 1 - half(height, clientHeight));
      const left = clientWidth / 2 - view.x * width * view.scale;
      const top = clientHeight / 2 - view.y * height * view.scale;
      for (const layer of pane.layers) {
        layer.style.width = `${width}px`;
        layer.style.height = `${height}px`;
        layer.style.transform = `translate(${left}px, ${top}px) scale(${view.scale})`;
      }
      pane.element.classList.toggle("zoomed", view.scale > 1);
    }
    curtain();
  };
  const curtain = () => {
    const pane = panes[0];
    if (!pane || !pane.clip) return;
    pane.clip.style.clipPath = `inset(0 ${100 - swipe.value}% 0 0)`;
    pane.handle.style.left = `${swipe.value}%`;
    swipe.setAttribute("aria-valuetext", `${swipe.value} % ${data.pictures[choose.left.value].name}`);
  };
  const zoom = (factor, pane, x, y) => {
    const before = view.scale;
    view.scale = between(1, view.scale * factor, DEEPEST);
    if (pane) {
      // The point under the pointer stays there.
      const { width, height, clientWidth, clientHeight } = fitted(pane);
      const gain = 1 / before - 1 / view.scale;
      view.x += (x - clientWidth / 2) / width * gain;
      view.y += (y - clientHeight / 2) / height * gain;
    }
    place();
  };
  const move = (x, y) => {
    const { width, height } = fitted(panes[0]);
    view.x -= x / (width * view.scale);
    view.y -= y / (height * view.scale);
    place();
  };

  const listen = (pane) => {
    const held = new Map();
    const { element } = pane;
    const here = (event) => {
      const box = element.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const spread = () => {
      const [a, b] = [...held.values()];
      return { apart: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.target === pane.handle) return;
      held.set(event.pointerId, here(event));
      element.setPointerCapture(event.pointerId);
      element.classList.add("held");
    });
    element.addEventListener("pointermove", (event) => {
      if (!held.has(event.pointerId)) return;
      const before = held.get(event.pointerId);
      if (held.size === 2) {
        const old = spread();
        held.set(event.pointerId, here(event));
        const now = spread();
        move(now.x - old.x, now.y - old.y);
        zoom(now.apart / Math.max(1, old.apart), pane, now.x, now.y);
      } else {
        held.set(event.pointerId, here(event));
        const now = held.get(event.pointerId);
        move(now.x - before.x, now.y - before.y);
      }
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      element.addEventListener(end, (event) => {
        held.delete(event.pointerId);
        if (!held.size) element.classList.remove("held");
      });
    }
    element.addEventListener("dblclick", (event) => {
      const { x, y } = here(event);
      zoom(2, pane, x, y);
    });
    element.addEventListener("wheel", (event) => {
      // A page is scrolled by the wheel until its picture is picked.
      if (!frame.contains(document.activeElement) && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { x, y } = here(event);
      zoom(Math.exp(-event.deltaY / 400), pane, x, y);
    }, { passive: false });
    if (pane.handle) {
      const drag = (event) => {
        swipe.value = between(0, 100 * here(event).x / element.clientWidth, 100);
        curtain();
      };
      pane.handle.addEventListener("pointerdown", (event) => pane.handle.setPointerCapture(event.pointerId));
      pane.handle.addEventListener("pointermove", (event) => {
        if (pane.handle.hasPointerCapture(event.pointerId)) drag(event);
      });
    }
  };
  const label = (element, name, side = "") => {
    const text = document.createElement("span");
    text.className = `name ${side}`;
    text.textContent = name;
    element.append(text);
  };
  const pane = (shown, covering) => {
    const element = document.createElement("div");
    element.className = "pane";
    const made = { element, layers: [image(shown.source, shown.name, "layer")] };
    element.append(made.layers[0]);
    if (mask()) {
      made.layers.push(image(mask().source, "", "layer mask"));
      element.append(made.layers[1]);
    }
    if (covering) {
      made.clip = document.createElement("div");
      made.clip.className = "clip";
      const over = image(covering.source, covering.name, "layer");
      made.clip.append(over);
      made.layers.push(over);
      made.handle = document.createElement("div");
      made.handle.className = "handle";
      element.append(made.clip, made.handle);
      label(element, covering.name);
    }
    if (mode() !== "zoom") label(element, shown.name, covering ? "right" : "");
    frame.append(element);
    listen(made);
    return made;
  };

  if (window.OpenSeadragon) {
    // It warns of each tile that comes in after another picture was chosen, which is nobody's fault.
    const silent = () => {};
    OpenSeadragon.console = {
      log: silent, debug: silent, info: silent, warn: silent, assert: silent, error: (...words) => console.error(...words),
    };
  }
  const deep = (shown) => {
    const element = document.createElement("div");
    element.className = "openseadragon";
    frame.append(element);
    viewer = OpenSeadragon({
      element,
      drawer: "canvas",
      tileSources: shown.tiles || { type: "image", url: shown.source, buildPyramid: false },
      showNavigationControl: false,
      showNavigator: true,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorAutoFade: true,
      animationTime: 0.4,
      maxZoomPixelRatio: 4,
      visibilityRatio: 1,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, scrollToZoom: false },
    });
    viewer.canvas.tabIndex = -1;
    viewer.addHandler("open", () => {
      const { x, y } = viewer.world.getItemAt(0).getContentSize();
      if (mask()) {
        const over = image(mask().source, "", "mask");
        viewer.addOverlay({ element: over, location: new OpenSeadragon.Rect(0, 0, 1, y / x) });
      }
      frame.dataset.opened = "yes";
    });
    // The small map is in the way while all of the picture is seen.
    const map = () => {
      const home = viewer.viewport.getHomeZoom();
      viewer.navigator.element.style.visibility = viewer.viewport.getZoom() > 1.05 * home ? "" : "hidden";
    };
    viewer.addHandler("zoom", map);
    viewer.addHandler("open", map);
    viewer.addHandler("tile-load-failed", () => {
      // The tiles were not handed on with the page: the preview is.
      if (!shown.tiles) return;
      delete shown.tiles;
      setTimeout(show);
    });
    viewer.addHandler("open-failed", () => { frame.dataset.opened = "failed"; });
    const wheel = (on) => { if (viewer) viewer.gestureSettingsMouse.scrollToZoom = on; };
    element.addEventListener("pointerdown", () => { frame.focus({ preventScroll: true }); wheel(true); });
    frame.addEventListener("blur", () => wheel(false));
  };

  const show = () => {
    if (viewer) viewer.destroy();
    viewer = null;
    delete frame.dataset.opened;
    frame.replaceChildren();
    panes = [];
    const [left, right] = [choose.left, choose.right].map((select) => data.pictures[select.value]);
    stage.querySelector(".swiping").hidden = mode() !== "swipe";
    choose.left.closest(".pick").hidden = mode() === "zoom";
    tools.querySelector("#right-is").textContent = mode() === "zoom" ? "Picture" : "with";
    if (mode() === "zoom" && window.OpenSeadragon) {
      deep(right);
      return;
    }
    if (mode() === "side") panes = [pane(left), pane(right)];
    else panes = [pane(right, mode() === "swipe" ? left : null)];
    place();
  };
  const act = {
    in: () => (viewer ? viewer.viewport.zoomBy(1.6) : zoom(1.6)),
    out: () => (viewer ? viewer.viewport.zoomBy(1 / 1.6) : zoom(1 / 1.6)),
    fit: () => (viewer ? viewer.viewport.goHome() : (view.scale = 1, place())),
    full: () => (document.fullscreenElement ? document.exitFullscreen() : frame.requestFullscreen()),
  };
  const step = (x, y) => {
    if (viewer) viewer.viewport.panBy(viewer.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(-x, -y)));
    else move(x, y);
  };
  const keys = {
    "+": act.in, "=": act.in, "-": act.out, 0: act.fit, f: act.full,
    ArrowLeft: () => step(60, 0), ArrowRight: () => step(-60, 0),
    ArrowUp: () => step(0, 60), ArrowDown: () => step(0, -60),
  };
  frame.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
    if (viewer) viewer.viewport.applyConstraints();
  }, { capture: true });
  for (const button of tools.querySelectorAll(".zooming button")) {
    button.addEventListener("click", () => act[button.dataset.act]());
  }
  for (const control of [...tools.querySelectorAll(".modes input"), ...Object.values(choose)]) {
    control.addEventListener("change", show);
  }
  swipe.addEventListener("input", curtain);
  new ResizeObserver(place).observe(frame);
  tools.querySelector("[data-act=full]").hidden = !document.fullscreenEnabled;
  tools.hidden = false;
  show();

  // Curves: which layers and regions of the loss are drawn.
  const curve = document.querySelector(".terms");
  if (curve) {
    const lines = data.terms.map((term, index) => ({
      ...term, groups: [...curve.querySelectorAll(`g[id^="terms-term-${index + 1}-level-"]`)],
    }));
    const boxes = [...curve.querySelectorAll("input")];
    const draw = () => {
      const on = (kind, value) => boxes.every((box) => box.name !== kind || box.value !== value || box.checked);
      for (const line of lines) {
        const off = !on("layer", line.layer) || !on("region", line.region);
        for (const group of line.groups) group.classList.toggle("off", off);
      }
    };
    for (const box of boxes) {
      box.disabled = false;
      box.addEventListener("change", draw);
    }
    draw();
  }

  for (const button of document.querySelectorAll("button.copy")) {
    const text = button.parentElement.querySelector("pre");
    const words = button.textContent;
    button.addEventListener("click", async () => {
      let done = true;
      try {
        await navigator.clipboard.writeText(text.textContent);
      } catch {
        const selection = getSelection();
        selection.selectAllChildren(text);
        done = document.execCommand("copy");
        selection.removeAllRanges();
      }
      button.textContent = done ? "Copied" : "Not copied";
      setTimeout(() => { button.textContent = words; }, 2000);
    });
    button.hidden = false;
  }
})();
