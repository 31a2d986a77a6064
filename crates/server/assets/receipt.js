// Looks again, every three seconds, whether the last apps know. Nothing moves but the words that have changed; a page that reloads itself would
// take the place away from whoever reads it with a screen reader or a magnifier.
const look = async () => {
  const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) }).catch(() => undefined);
  if (answer?.status === 200) {
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("receipt");
    const shown = document.getElementById("receipt");
    if (fresh && fresh.innerHTML !== shown.innerHTML) shown.replaceChildren(...fresh.childNodes);
    if (!document.getElementById("pending")) return;
  }
  setTimeout(look, 3000);
};
setTimeout(look, 3000);
