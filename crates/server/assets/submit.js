// Sends the page's one form without a click.
document.getElementById("submit").submit();
