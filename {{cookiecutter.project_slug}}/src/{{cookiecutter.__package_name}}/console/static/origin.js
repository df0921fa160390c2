// The lines for a terminal name the address under which this page was reached.
for (const place of document.querySelectorAll("[data-origin]")) {
  place.textContent = location.origin;
}
