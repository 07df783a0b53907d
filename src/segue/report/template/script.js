"use strict";
(() => {
  const viewer = document.getElementById("viewer");
  const rows = [...document.querySelectorAll(".compared")].filter((row) => row.querySelectorAll("img").length > 1);
  if (!viewer || !viewer.showModal || !rows.length) return;

  const [left, right] = [viewer.querySelector("[name=left]"), viewer.querySelector("[name=right]")];
  const [slider, stage] = [viewer.querySelector("input"), viewer.querySelector(".stage")];
  const [over, under] = ["over", "under"].map((name) => Object.assign(new Image(), { className: name }));
  stage.prepend(under, over);
  let current = 0;

  const items = () => [...rows[current].querySelectorAll("img")];
  const item = (number) => items().find((image) => image.dataset.item === number);

  const put = (target, source) => {
    target.src = source.src;
    target.alt = source.alt;
    target.className = target.className.split(" ")[0] + " " + source.className;
  };

  const wipe = () => stage.style.setProperty("--seam", slider.value + "%");

  const draw = () => {
    const [before, after] = [item(left.value), item(right.value)];
    if (before) put(over, before);
    if (after) put(under, after);
  };

  const fill = (select, preferred) => {
    const images = items();
    select.replaceChildren(...images.map((image) => new Option(image.dataset.title, image.dataset.item)));
    select.value = images.some((image) => image.dataset.item === preferred) ? preferred : images[0].dataset.item;
  };

  const show = (index, keepLeft, keepRight) => {
    current = (index + rows.length) % rows.length;
    viewer.querySelector("h3").textContent = rows[current].querySelector("h3").textContent;
    fill(left, keepLeft);
    fill(right, keepRight);
    draw();
  };

  const open = (index, chosen) => {
    current = index;
    const judged = rows[index].querySelector("[data-judged]");
    const first = (rows[index].querySelector("[data-before]") || items()[0]).dataset.item;
    const last = judged ? judged.dataset.item : items().at(-1).dataset.item;
    show(index, first, chosen && chosen !== first ? chosen : last);
    wipe();
    viewer.showModal();
    slider.focus();
  };

  rows.forEach((row, index) => {
    const button = row.querySelector(".compare");
    button.hidden = false;
    button.addEventListener("click", () => open(index));
    for (const image of row.querySelectorAll("img")) {
      image.classList.add("opens");
      image.addEventListener("click", () => open(index, image.dataset.item));
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
