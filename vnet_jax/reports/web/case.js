// Looks through a case: the CT and its mask in NiiVue, the page's controls around it.
"use strict";

(async () => {
  const at = (id) => document.getElementById(id);
  const told = JSON.parse(at("settings").textContent);
  const AXIAL = 0, CORONAL = 1, SAGITTAL = 2, PLANES = 3, SOLID = 4;
  const PLANE_NAMES = ["Axial", "Coronal", "Sagittal"];
  const ALONG = [2, 1, 0]; // the axis (x, y, z) along which each plane's slices lie
  const box = at("viewer"), canvas = at("canvas"), slice = at("slice");

  const { Niivue, NVImage, NVMesh, DRAG_MODE } = globalThis.niivue;
  let nv, ct, mask, classes;
  let view = PLANES, plane = AXIAL, shown = true, outlined = true, opacity = 0.15;
  const hidden = new Set();

  function giveUp(reason) {
    box.hidden = true;
    const note = at("no-viewer");
    note.textContent = `${reason} A picture stands in the viewer's place.`;
    note.hidden = false;
    document.body.dataset.viewer = "none";
  }

  // ---- what is drawn ----

  function colours() {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (const { number, colour } of told.classes) {
      const rgb = parseInt(colour.slice(1), 16);
      table.R.push(rgb >> 16);
      table.G.push((rgb >> 8) & 255);
      table.B.push(rgb & 255);
      table.A.push(255);
      table.I.push(number);
      table.labels.push(told.names[number]);
    }
    return table;
  }

  // NiiVue computes and draws everything at each change; here, once for all of them.
  function together(change) {
    nv.updateGLVolume = nv.drawScene = () => {};
    change();
    delete nv.updateGLVolume;
    delete nv.drawScene;
  }

  // NiiVue prepares the light of a volume rendering at each change. Nothing here is
  // rendered so, and without a GPU it would take most of the time: its draws are left
  // out, from the shader that begins it to the end of the layer.
  function leaveLightOut() {
    const { gl } = nv, draw = gl.drawArrays, refresh = nv.refreshLayers;
    for (const shader of [nv.blurShader, nv.gradientPrePassShader]) {
      const use = shader.use;
      shader.use = function (context) {
        use.call(this, context);
        gl.drawArrays = () => {};
      };
    }
    nv.refreshLayers = function (...layer) {
      refresh.apply(nv, layer);
      gl.drawArrays = draw;
    };
  }

  function recolour() {
    // An outline is drawn whatever the opacity: what is hidden must not be there.
    mask.img = classes.map((number) => (shown && !hidden.has(number) ? number : 0));
    nv.opts.atlasOutline = outlined ? 1 : 0;
    mask.opacity = opacity;
    nv.refreshLayers(mask, 1);
    for (const mesh of nv.meshes) mesh.visible = shown && !hidden.has(mesh.number);
    nv.drawScene();
  }

  function setWindow(name) {
    const [level, width] = told.windows[name];
    at("window").value = name;
    ct.cal_min = level - width / 2;
    ct.cal_max = level + width / 2;
    nv.updateGLVolume();
  }

  // The 3-D view shows surfaces: rays through the CT take a minute without a GPU.
  async function loadSurfaces() {
    const meshes = [];
    for (const { number, colour } of told.classes.toReversed()) {
      const bytes = Uint8Array.from(atob(at(`surface${number}`).textContent),
        (sign) => sign.charCodeAt(0));
      const rgb = parseInt(colour.slice(1), 16);
      const rgba = new Uint8Array([rgb >> 16, (rgb >> 8) & 255, rgb & 255, 255]);
      const mesh = await NVMesh.readMesh(
        bytes.buffer, `${number}.mz3`, nv.gl, 1, rgba);
      mesh.number = number;
      meshes.push(mesh);
    }
    nv.meshes = meshes;
    recolour();
  }

  function setView(next) {
    view = next;
    if (view < PLANES) plane = view;
    for (const button of box.querySelectorAll("[data-view]")) {
      pressed(button, Number(button.dataset.view) === view);
    }
    if (view === SOLID && !nv.meshes.length) loadSurfaces();
    nv.opts.isOrientCube = view === SOLID;
    nv.setSliceType(view);
    follow();
  }

  // ---- where one is ----

  const voxel = () => nv.frac2vox(nv.scene.crosshairPos);
  const count = () => ct.dimsRAS[ALONG[plane] + 1];

  function follow() {
    const here = Math.min(Math.max(Math.round(voxel()[ALONG[plane]]), 0), count() - 1);
    slice.max = count();
    slice.value = here + 1;
    at("slice-name").textContent = `${PLANE_NAMES[plane]} slice ${here + 1} of ${count()}`;
    slice.setAttribute("aria-valuetext", at("slice-name").textContent);
  }

  function go(steps) {
    const move = [0, 0, 0];
    move[ALONG[plane]] = steps;
    nv.moveCrosshairInVox(...move);
    follow();
  }

  function jump(place) {
    nv.scene.crosshairPos = nv.mm2frac(place);
    nv.createOnLocationChange();
    nv.drawScene();
    follow();
  }

  function located({ axCorSag, mm, values }) {
    if (axCorSag >= AXIAL && axCorSag <= SAGITTAL && view === PLANES) plane = axCorSag;
    const [x, y, z] = Array.from(mm).map((value) => value.toFixed(0));
    const hu = values[0] ? values[0].value : NaN;
    const label = told.names[values[1] ? Math.round(values[1].value) : 0];
    at("readout").textContent =
      `${Math.round(hu)} HU${label ? `, ${label}` : ""} at x ${x}, y ${y}, z ${z} mm`;
    follow();
  }

  // ---- the controls ----

  function pressed(button, on) {
    button.setAttribute("aria-pressed", String(on));
  }

  function showMask(on) {
    shown = on;
    pressed(at("mask"), on);
    recolour();
  }

  function setOutline(on) {
    outlined = on;
    pressed(at("outline"), on);
    recolour();
  }

  function nextWindow() {
    const names = Object.keys(told.windows);
    setWindow(names[(names.indexOf(at("window").value) + 1) % names.length]);
  }

  function home() {
    nv.setScale(1);
    nv.setPan2Dxyzmm([0, 0, 0, 1]);
    nv.setRenderAzimuthElevation(180, 10);
    jump(told.first);
  }

  function turn(sideways, upwards) {
    const { renderAzimuth, renderElevation } = nv.scene;
    nv.setRenderAzimuthElevation(renderAzimuth + sideways, renderElevation + upwards);
  }

  function arrow(sideways, upwards) {
    if (view === SOLID) turn(10 * sideways, 10 * upwards);
    else go(sideways + upwards);
  }

  const KEYS = {
    ArrowUp: () => arrow(0, 1),
    ArrowDown: () => arrow(0, -1),
    ArrowRight: () => arrow(1, 0),
    ArrowLeft: () => arrow(-1, 0),
    PageUp: () => go(10),
    PageDown: () => go(-10),
    Home: home,
    w: nextWindow,
    m: () => showMask(!shown),
    o: () => setOutline(!outlined),
  };
  for (const one of [AXIAL, CORONAL, SAGITTAL, PLANES, SOLID]) {
    KEYS[String(one + 1)] = () => setView(one);
  }

  function listen() {
    // Before NiiVue, whose own keys mean other things.
    canvas.parentElement.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
      event.stopPropagation();
      const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }, true);
    canvas.parentElement.addEventListener("keyup", (e) => e.stopPropagation(), true);
    canvas.parentElement.addEventListener("dblclick", (event) => {
      event.stopPropagation();
      setWindow(at("window").value);
    }, true);
    for (const button of box.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => setView(Number(button.dataset.view)));
    }
    for (const button of box.querySelectorAll("[data-class]")) {
      button.addEventListener("click", () => {
        const number = Number(button.dataset.class);
        if (!hidden.delete(number)) hidden.add(number);
        pressed(button, !hidden.has(number));
        recolour();
      });
    }
    at("window").addEventListener("change", () => setWindow(at("window").value));
    at("mask").addEventListener("click", () => showMask(!shown));
    at("outline").addEventListener("click", () => setOutline(!outlined));
    at("opacity").addEventListener("input", () => {
      opacity = at("opacity").value / 100;
      recolour();
    });
    slice.addEventListener("input", () => {
      go(Number(slice.value) - 1 - Math.round(voxel()[ALONG[plane]]));
    });
  }

  // A row of a table whose place is known becomes a button that jumps there.
  function offerJumps() {
    for (const [id, places] of Object.entries(told.targets)) {
      const heads = at(id) ? at(id).querySelectorAll("[data-jump], tbody th") : [];
      heads.forEach((head, row) => {
        if (!places[row]) return;
        const button = document.createElement("button");
        button.type = "button";
        button.className = "jump";
        button.title = "Show in the viewer";
        button.append(...head.childNodes);
        head.append(button);
        button.addEventListener("click", () => {
          if (view === SOLID) setView(PLANES);
          jump(places[row]);
          box.scrollIntoView({ block: "start" });
          canvas.focus({ preventScroll: true });
        });
      });
    }
  }

  // ---- the beginning ----

  if (!document.createElement("canvas").getContext("webgl2")) {
    giveUp("This browser has no WebGL 2, which the viewer draws with.");
    return;
  }
  try {
    box.hidden = false; // the canvas needs its size
    nv = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.95, 0.72, 0.29, 0.8],
      crosshairWidth: 0.5,
      crosshairGap: 8,
      showAllOrientationMarkers: true,
      meshXRay: 0.2,
      show3Dcrosshair: false,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isColorbar: false,
      isOrientCube: false,
      dragMode: DRAG_MODE.windowing,
      dragAndDropEnabled: false,
      multiplanarShowRender: 0,
      multiplanarPadPixels: 4,
      fontMinPx: 11,
      fontColor: [0.9, 0.9, 0.9, 1],
      loadingText: "",
      logLevel: "silent",
    });
    nv.onLocationChange = located;
    await nv.attachToCanvas(canvas);
    leaveLightOut();
    const start = told.windows[at("window").value];
    const load = (id, more) => NVImage.loadFromBase64({
      base64: at(id).textContent, name: `${id}.nii.gz`, colorbarVisible: false, ...more,
    });
    ct = await load("ct", {
      colormap: "gray", cal_min: start[0] - start[1] / 2, cal_max: start[0] + start[1] / 2,
    });
    mask = await load("labels", { colormap: "red", opacity });
    mask.setColormapLabel(colours());
    classes = mask.img.slice();
    nv.opts.atlasOutline = 1;
    together(() => {
      nv.addVolume(ct);
      nv.addVolume(mask);
      nv.opts.meshThicknessOn2D = 0;
      nv.drawImage3D = () => {};
    });
    nv.updateGLVolume();
    listen();
    offerJumps();
    together(() => {
      setView(canvas.clientWidth < 600 ? AXIAL : PLANES);
      home();
    });
    nv.drawScene();
    document.body.dataset.viewer = "ready";
  } catch (error) {
    giveUp(`The viewer could not start (${error.message}).`);
  }
})();
