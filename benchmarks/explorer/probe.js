// Runs in every page and frame before anything else. It notes when a change was asked for and when it could be seen.
{
  const now = () => performance.timeOrigin + performance.now();
  const bench = (window.bench = { painted: null, asked: null, shown: [], output: null });
  // A message posted in the frame that draws is read when that frame has been handed to the compositor.
  const afterPaint = (note) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => note(now());
    channel.port2.postMessage(0);
  };
  const seen = () =>
    afterPaint((at) => {
      if (bench.asked === null) return;
      bench.shown.push(at - bench.asked);
      bench.asked = null;
    });
  for (const type of ["keydown", "pointerdown"])
    addEventListener(
      type,
      (event) => {
        bench.asked = performance.timeOrigin + event.timeStamp;
      },
      true
    );

  // Our explorer: `data-ready` goes away in the event handler, and comes back when everything is drawn.
  new MutationObserver((records) => {
    if (!records.some(({ target }) => /** @type {HTMLElement} */ (target).matches(".normviz[data-ready]"))) return;
    seen();
    afterPaint((at) => {
      bench.painted ??= at;
    });
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });

  // The frame of `nv.show` writes its document anew, which an observer of the old one may not outlive.
  if (window !== window.top) {
    const look = () => {
      if (document.querySelector(".normviz[data-ready]"))
        setTimeout(() => {
          bench.painted ??= now();
        });
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }

  // plotly: it tells when it has drawn.
  const watched = new WeakSet();
  new MutationObserver(() => {
    for (const plot of document.querySelectorAll(".js-plotly-plot"))
      if (!watched.has(plot) && plot.on) {
        watched.add(plot);
        const drawn = () => {
          if (bench.painted === null)
            requestAnimationFrame(() =>
              afterPaint((at) => {
                bench.painted ??= at;
              })
            );
          requestAnimationFrame(seen);
        };
        if (plot.querySelector(".gl-container canvas")) drawn();
        plot.on("plotly_afterplot", drawn);
      }
  }).observe(document, { subtree: true, childList: true });

  // When the kernel's output reaches the page.
  bench.listen = () => {
    jupyterapp.shell.currentWidget.sessionContext.session.kernel.iopubMessage.connect((_, { header }) => {
      if (["display_data", "execute_result"].includes(header.msg_type)) bench.output ??= now();
    });
  };
  bench.restart = () => Object.assign(bench, { painted: null, asked: null, shown: [], output: null, ran: now() });
}
