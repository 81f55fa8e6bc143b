// What htmx leaves unsaid: that the server did not answer at all, and that all is well again.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const problem = document.getElementById("problem");
  const say = () => { problem.innerHTML = '<p class="problem">The server does not answer; try again in a moment.</p>'; };
  document.body.addEventListener("htmx:sendError", say);
  document.body.addEventListener("htmx:timeout", say);
  document.body.addEventListener("htmx:beforeRequest", () => { problem.innerHTML = ""; });
});
