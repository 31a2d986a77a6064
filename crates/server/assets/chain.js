// Takes the browser to the next zone of a chain, unless that zone does not answer. An address that refuses connections would end this page
// without a way on, so it is asked first; one that hangs is left by the timer.
const { check, go, skip } = document.getElementById("chain").dataset;
const onward = () => location.replace(skip);
fetch(check, { credentials: "omit", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(1000) }).then(
  (answer) => {
    if (!answer.ok) return onward();
    setTimeout(onward, 2500);
    location.replace(go);
  },
  onward,
);
