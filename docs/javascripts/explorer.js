// The explorer in a frame: as high as it asks for, and light or dark as the page around it is. Pages that are opened
// from disk may not look into each other, so they send messages.
const explorers = () => [...document.querySelectorAll("iframe.explorer")];
const told = new WeakSet();
function tell(frame) {
  const scheme = document.body.dataset.mdColorScheme === "slate" ? "dark" : "light";
  frame.contentWindow.postMessage({ scheme }, "*");
}
addEventListener("message", event => {
  const frame = explorers().find(each => each.contentWindow === event.source);
  if (!frame || !Number.isFinite(event.data?.explorer)) return;
  frame.style.height = `${event.data.explorer}px`;
  if (!told.has(frame)) tell(frame);
  told.add(frame);
});
new MutationObserver(() => explorers().forEach(tell)).observe(document.body, {
  attributeFilter: ["data-md-color-scheme"],
});
explorers().forEach(tell);
