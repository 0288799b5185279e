// The page reads well without this: it adds search, filters and order.
(() => {
  const finder = document.querySelector(".finder");
  const grid = document.querySelector(".grid");
  if (!finder || !grid) return;
  const cards = [...grid.children];
  const [search, filter, order] = ["search", "filter", "order"].map((id) => document.getElementById(id));
  const count = finder.querySelector("output");
  const clear = document.getElementById("clear");
  const words = cards.map((card) => card.dataset.words.toLowerCase());
  const by = {
    collection: (card) => Number(card.dataset.place),
    name: (card) => card.dataset.name,
    largest: (card) => -Number(card.dataset.area),
    slowest: (card) => -Number(card.dataset.seconds),
    warnings: (card) => -Number(card.dataset.warnings),
  };
  const wanted = (card, index, terms) => {
    const [kind, value] = [filter.value.slice(0, 1), filter.value.slice(2)];
    if (kind === "w" && card.dataset.warnings === "0") return false;
    if (kind === "s" && !JSON.parse(card.dataset.styles).includes(value)) return false;
    return terms.every((term) => words[index].includes(term));
  };
  const find = () => {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    cards.forEach((card, index) => {
      card.hidden = !wanted(card, index, terms);
      shown += !card.hidden;
    });
    count.textContent = shown === cards.length ? `${shown} shown` : `${shown} of ${cards.length} shown`;
    clear.hidden = shown === cards.length;
  };
  const sort = () => {
    const key = by[order.value];
    const compare = (a, b) => (typeof key(a) === "string" ? key(a).localeCompare(key(b)) : key(a) - key(b));
    grid.append(...[...cards].sort((a, b) => compare(a, b) || by.collection(a) - by.collection(b)));
  };
  search.addEventListener("input", find);
  filter.addEventListener("change", find);
  order.addEventListener("change", sort);
  clear.addEventListener("click", () => {
    search.value = "";
    filter.value = "a";
    find();
    search.focus();
  });
  finder.hidden = false;
  find();
  sort();
})();
