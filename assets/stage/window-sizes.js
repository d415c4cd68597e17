// Sizes of the window at which the layout changes, CSS px, as in stage.sizes.css and stage.sizes.low.css.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const LOW = 480;
  const ONE_COLUMN = 700;
  // Shares of the window's height for charts and walks, by its width.
  const SHARES = [[ONE_COLUMN, 0.16], [1200, 0.21], [Infinity, 0.19]];

  // Whether a window of this height has no room below the panes.
  S.isLow = (height = window.innerHeight) => height < LOW;

  // Whether a window of this width has one column of panes.
  S.isNarrow = (width = window.innerWidth) => width < ONE_COLUMN;

  S.usualLowerShare = () => SHARES.find(([width]) => window.innerWidth < width)[1];
})();
