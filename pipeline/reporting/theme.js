// Light, dark, or as the system has it; remembered where the browser lets a page remember.
const button = document.querySelector("button.theme");
const order = ["system", "light", "dark"];
const remembered = () => { try { return localStorage.getItem("impasto-theme"); } catch { return null; } };
const apply = (theme) => {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.dataset.now = theme;
  button.textContent = `Colours: ${theme}`;
};
apply(order.includes(remembered()) ? remembered() : "system");
button.hidden = false;
button.addEventListener("click", () => {
  const next = order[(order.indexOf(button.dataset.now) + 1) % order.length];
  apply(next);
  try { localStorage.setItem("impasto-theme", next); } catch { /* Only this page then. */ }
});
