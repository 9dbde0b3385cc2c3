// Opens what a link leads to, and narrows the page to what the box asks for. The page is whole without it.
const reach = () => {
  let at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!at) return;
  for (let up = at; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
  at.scrollIntoView();
};
addEventListener("hashchange", reach);
reach();
const box = document.getElementById("find");
box.closest("form").hidden = false;
box.closest("form").addEventListener("submit", (event) => event.preventDefault());
const all = [...document.querySelectorAll("[data-find]")];
const groups = [...document.querySelectorAll(".family, .topic")];
let wait;
box.addEventListener("input", () => {
  clearTimeout(wait);
  wait = setTimeout(() => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const one of all) {
      const text = one.dataset.find.toLowerCase();
      one.hidden = !words.every((word) => text.includes(word));
      found += one.hidden ? 0 : 1;
    }
    for (const group of groups) {
      const some = group.querySelector("[data-find]:not([hidden])");
      group.hidden = !some;
      group.open = words.length > 0 && !!some;
    }
    document.getElementById("found").textContent = words.length ? `${found} found` : "";
  }, 120);
});
