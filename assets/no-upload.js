// Plotly's toolbar can offer to send a chart to a server of its maker. Naming no valid server here makes that refuse,
// whatever a chart's own settings say: nothing shown in MMUViz leaves the machine.
window.PLOTLYENV = { BASE_URL: "none" };
