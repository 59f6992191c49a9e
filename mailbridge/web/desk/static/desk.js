// What the pages can do without, and do better with: a list that follows, and a menu that closes.
"use strict";
(function () {
  var live = document.querySelector("[data-live]");
  if (live && window.EventSource) {
    var waiting = null;
    var source = new EventSource("/feed");
    source.onmessage = function () {
      if (waiting === null && !document.hidden) {
        waiting = setTimeout(function () {
          waiting = null;
          htmx.trigger(live, "refresh");
        }, 300);
      }
    };
    source.onopen = function () { document.body.classList.add("is-live"); };
    source.onerror = function () { document.body.classList.remove("is-live"); };
    document.addEventListener("visibilitychange", function () {
      if (!document.hidden) { htmx.trigger(live, "refresh"); }
    });
  }
  document.addEventListener("keydown", function (event) {
    var typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "/" && !typing) {
      var search = document.getElementById("q");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
})();
