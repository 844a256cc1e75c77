// Sets the theme before the first paint. A file of its own, since the page allows no inline script.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("aibox.theme");
  } catch {
    // Storage may be blocked; the system's preference then decides.
  }
  if (theme !== "light" && theme !== "dark") {
    theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.dataset.theme = theme;
})();
