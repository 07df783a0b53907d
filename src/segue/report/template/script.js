"use strict";
(() => {
  const viewer = document.getElementById("viewer");
  const scenes = [...document.querySelectorAll(".scene")].filter((scene) => scene.querySelectorAll("img").length > 1);
  if (!viewer || !viewer.showModal || !scenes.length) return;

  const [left, right] = [viewer.querySelector("[name=left]"), viewer.querySelector("[name=right]")];
  const [slider, stage] = [viewer.querySelector("input"), viewer.querySelector(".stage")];
  const [over, under] = ["over", "under"].map((name) => Object.assign(new Image(), { className: name }));
  stage.prepend(under, over);
  let current = 0;

  const layers = () => [...scenes[current].querySelectorAll("img")];
  const layer = (number) => layers().find((image) => image.dataset.layer === number);

  const put = (target, source) => {
    target.src = source.src;
    target.alt = source.alt;
    target.className = target.className.split(" ")[0] + " " + source.className;
  };

  const wipe = () => stage.style.setProperty("--seam", slider.value + "%");

  const draw = () => {
    const [before, after] = [layer(left.value), layer(right.value)];
    if (before) put(over, before);
    if (after) put(under, after);
  };

  const fill = (select, preferred) => {
    const images = layers();
    select.replaceChildren(...images.map((image) => new Option(image.dataset.title, image.dataset.layer)));
    select.value = images.some((image) => image.dataset.layer === preferred) ? preferred : images[0].dataset.layer;
  };

  const show = (index, keepLeft, keepRight) => {
    current = (index + scenes.length) % scenes.length;
    viewer.querySelector("h3").textContent = scenes[current].querySelector("h3").textContent;
    fill(left, keepLeft);
    fill(right, keepRight);
    draw();
  };

  const open = (index, chosen) => {
    current = index;
    const judged = scenes[index].querySelector("[data-judged]");
    const first = layers()[0].dataset.layer;
    const last = judged ? judged.dataset.layer : layers().at(-1).dataset.layer;
    show(index, first, chosen && chosen !== first ? chosen : last);
    wipe();
    viewer.showModal();
    slider.focus();
  };

  scenes.forEach((scene, index) => {
    const button = scene.querySelector(".compare");
    button.hidden = false;
    button.addEventListener("click", () => open(index));
    for (const image of scene.querySelectorAll("img")) {
      image.classList.add("opens");
      image.addEventListener("click", () => open(index, image.dataset.layer));
    }
  });

  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    wipe();
  };
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  slider.addEventListener("input", wipe);
  left.addEventListener("change", draw);
  right.addEventListener("change", draw);
  for (const button of viewer.querySelectorAll("[data-go]")) {
    button.addEventListener("click", () => show(current + Number(button.dataset.go), left.value, right.value));
  }
  viewer.querySelector("[data-close]").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
})();
