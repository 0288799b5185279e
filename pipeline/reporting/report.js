// The page reads well without this: it adds the comparison with the content and shows masks over the content.
for (const artwork of document.querySelectorAll("article")) {
  const content = artwork.querySelector("img.content");
  artwork.style.setProperty("--content", `url("${content.src}")`);
  artwork.classList.add("live");
  const frame = artwork.querySelector(".compare");
  const range = artwork.querySelector("input[type=range]");
  const show = () => {
    frame.style.setProperty("--shown", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % content, ${100 - range.value} % result`);
  };
  range.addEventListener("input", show);
  artwork.querySelector(".slider").hidden = false;
  show();
}
