# SPDX-License-Identifier: MIT
# Every block as a dot over a box of the quartiles, a panel for each cell.
# Index 1: panel titles. 2: panel, series, quartile, median, quartile. 3: panel, series,
# place of the block from 0 to 1, ns, 1 where it is an outlier. 4: 1 where the axis is
# logarithmic.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

set datafile separator tab
array PANEL_TITLE[40]
PANELS = 0
stats DATA index 1 using (PANELS = PANELS + 1, PANEL_TITLE[PANELS] = strcol(1), 1) nooutput
NR_SERIES = 0
stats DATA index 0 using (NR_SERIES = NR_SERIES + 1, 1) nooutput
HEIGHT = int((PANELS + 1) / 2) * (NR_SERIES * 40 + 90) + 160
load ARG0[1:strlen(ARG0) - strlen("blocks.gp")]."common.gp"

array LARGEST[40]
array SMALLEST[40]
do for [p = 1:PANELS] {
    stats DATA index 3 using ($1 == p ? $4 : NaN) nooutput
    LARGEST[p] = STATS_max
    SMALLEST[p] = STATS_min
}
LOGARITHMIC = 0
stats DATA index 4 using (LOGARITHMIC = int($1), 1) nooutput

# Names stand at the left of each row of panels: no key.
NAMES_PX = NAME_CHARS * 7.4 + 20
NAMES_PX = NAMES_PX > 330 ? 330 : NAMES_PX
LEFT = wpx(NAMES_PX + 20)
GAP_X = wpx(48)
RIGHT = 1 - wpx(36)
GAP_Y = px(64)
PANEL_BOTTOM = BOTTOM + px(60)
@panels_layout
SHOWN_SUBTITLE = LOGARITHMIC ? SUBTITLE."; logarithmic" : SUBTITLE
set label 1002 SHOWN_SUBTITLE
set multiplot
set yrange [SERIES + 0.6:0.4]
set ytics scale 0
set grid noytics
set style fill transparent solid 0.3 noborder
if (LOGARITHMIC) { set logscale x }
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 PANEL_TITLE[p] at graph 0, screen panel_top(p) + px(12) left textcolor rgb TEXT
    set ytics () textcolor rgb TEXT
    do for [i = 1:SERIES] {
        NAME = p % 2 == 1 ? S_NAME[i] : ""
        set ytics add (NAME i)
    }
    BELOW = p <= PANELS - COLUMNS ? "" : LOGARITHMIC ? "time per operation" : "ns per operation"
    set xlabel BELOW
    if (LOGARITHMIC) {
        set xrange [SMALLEST[p] / 1.1:LARGEST[p] * 1.1]
        set xtics ()
        do for [e = -2:9] {
            do for [m in steps(LARGEST[p] / SMALLEST[p])] { set xtics add (ns(m * 10.0**e) m * 10.0**e) }
        }
    } else {
        SPAN = LARGEST[p] - SMALLEST[p]
        SPAN = SPAN > LARGEST[p] * 0.01 ? SPAN : LARGEST[p] * 0.01
        FROM = SMALLEST[p] - 0.06 * SPAN
        set xrange [FROM > 0 ? FROM : 0:LARGEST[p] + 0.06 * SPAN]
        set xtics autofreq
    }
    plot for [i = 1:SERIES] DATA index 2 using ($1 == p && $2 == i ? $4 : NaN):2:3:5:($2 - 0.4):($2 + 0.4) \
            with boxxyerror lc rgb S_COLOUR[i], \
        for [i = 1:SERIES] DATA index 2 using ($1 == p && $2 == i ? $4 : NaN):($2 - 0.4):(0):(0.8) \
            with vectors nohead lc rgb S_COLOUR[i] lw 2.5, \
        for [i = 1:SERIES] DATA index 3 using ($1 == p && $2 == i && $5 == 0 ? $4 : NaN):($2 + ($3 - 0.5) * 0.7) \
            with points pt 7 ps 0.55 * POINT_SCALE lc rgb S_COLOUR[i], \
        DATA index 3 using ($1 == p && $5 == 1 ? $4 : NaN):($2 + ($3 - 0.5) * 0.7) \
            with points pt 6 ps 1.1 * POINT_SCALE lw 1.6 lc rgb "#b00020"
    do for [l = 1001:1003] { unset label l }
}
unset multiplot
