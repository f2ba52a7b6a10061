# SPDX-License-Identifier: MIT
# Unusable free space index by order: a panel for each cell.
# Index 1: panel, series, order, middle, low, high in per cent; an empty line between
# allocators. 2: panel, title.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

set datafile separator tab
array PANEL_TITLE[20]
PANELS = 0
stats DATA index 2 using (PANELS = PANELS + 1, PANEL_TITLE[PANELS] = strcol(2), 1) nooutput
HEIGHT = int((PANELS + 1) / 2) * 245 + 190
HEIGHT = HEIGHT < 560 ? 560 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("frag-index.gp")]."common.gp"

@panels_layout
set multiplot
set xrange [-0.3:10.3]
set yrange [-2:103]
set xtics 1
set ytics 20
set format y "%g %%"
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 PANEL_TITLE[p] at graph 0, screen panel_top(p) + px(14) left textcolor rgb TEXT
    BELOW = p > PANELS - COLUMNS ? "order of the request" : ""
    set xlabel BELOW
    plot for [i = 1:SERIES] DATA index 1 using ($1 == p && $2 == i ? $3 : NaN):4:5:6 \
        with yerrorbars lc rgb S_COLOUR[i] lw 1.2 pt -1, \
        for [i = 1:SERIES] DATA index 1 using ($1 == p && $2 == i ? $3 : NaN):4 \
        with linespoints linetype (100 + i)
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
