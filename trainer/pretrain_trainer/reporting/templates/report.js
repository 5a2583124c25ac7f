"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const axis = { automargin: true, gridwidth: 1, zerolinewidth: 1, tickfont: { size: 12 } };
  const base = {
    autosize: true,
    margin: { l: 56, r: 12, t: 8, b: 40 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12 },
    hovermode: "closest",
    hoverlabel: { bgcolor: "#2b313a", bordercolor: "#2b313a", font: { color: "#ffffff" } },
    legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom", traceorder: "normal" },
    bargap: 0.3,
    bargroupgap: 0.06,
  };
  const settings = { responsive: true, displaylogo: false, displayModeBar: false };
  const drawn = figures.map(({ id, data, layout }) => {
    const place = document.getElementById(`plot-${id}`);
    if (layout.height) place.style.height = `${layout.height}px`;
    const merged = { ...base, ...layout, xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis } };
    return Plotly.newPlot(place, data, merged, settings);
  });
  // Paper is narrower than the window that the plots were drawn for.
  const fit = () => document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot));
  addEventListener("beforeprint", fit);
  addEventListener("afterprint", fit);
  Promise.all(drawn).then(() => document.documentElement.setAttribute("data-drawn", String(drawn.length)));
})();
