// Takes the browser to the next zone of a chain, unless that zone does not answer. An address that refuses connections would end this page
// without a way on, so it is asked first, for a second; one that hangs is left after two and a half. What is left of the whole chain's time
// is the limit of both.
const { check, go, skip, left } = document.getElementById("chain").dataset;
const onward = () => location.replace(skip);
const atMost = (milliseconds) => Math.max(0, Math.min(milliseconds, Number(left) - performance.now()));
fetch(check, { credentials: "omit", cache: "no-store", redirect: "error", signal: AbortSignal.timeout(atMost(1000)) }).then(
  (answer) => {
    if (!answer.ok) return onward();
    setTimeout(onward, atMost(2500));
    location.replace(go);
  },
  onward,
);
