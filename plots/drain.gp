# SPDX-License-Identifier: MIT
# Resident bytes after a drain, time logarithmic, a panel for each cell.
# Index 1: panel, series, seconds, resident (middle, low, high); an empty line between
# lines. 2: panel, live bytes, title.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

set datafile separator tab
array LIVE[20]
array PANEL_TITLE[20]
PANELS = 0
stats DATA index 2 using (PANELS = PANELS + 1, LIVE[PANELS] = $2, PANEL_TITLE[PANELS] = strcol(3), 1) nooutput
HEIGHT = int((PANELS + 1) / 2) * 300 + 200
HEIGHT = HEIGHT < 560 ? 560 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("drain.gp")]."common.gp"

stats DATA index 1 using 3 nooutput
T_MIN = STATS_min
T_MAX = STATS_max
array LARGEST[20]
do for [p = 1:PANELS] {
    stats DATA index 1 using ($1 == p ? $6 : NaN) nooutput
    LARGEST[p] = STATS_max > LIVE[p] ? STATS_max : LIVE[p]
}
LEFT = wpx(96)
GAP_X = wpx(96)
GAP_Y = px(64)
@panels_layout
set multiplot
set logscale x
set xrange [T_MIN:T_MAX * 1.02]
set xtics ("10 ms" 0.01, "0.1 s" 0.1, "1 s" 1, "5 s" 5, "50 s" 50)
if (T_MAX < 3) { set xtics add ("20 ms" 0.02, "50 ms" 0.05, "0.2 s" 0.2, "0.5 s" 0.5) }
set style fill transparent solid 0.18 noborder
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 PANEL_TITLE[p] at graph 0, screen panel_top(p) + px(12) left textcolor rgb TEXT
    BELOW = p > PANELS - COLUMNS ? "time since the last free (logarithmic)" : ""
    set xlabel BELOW
    MAX = LARGEST[p]
    set yrange [0:MAX * 1.06]
    STEP = byte_step(MAX)
    set ytics ()
    do for [t = 0:8] { if (STEP * t <= MAX * 1.06) { set ytics add (bytes(STEP * t) STEP * t) } }
    set arrow 1 from graph 0, first LIVE[p] to graph 1, first LIVE[p] nohead front dashtype 2 lw 1.5 lc rgb "#000000"
    plot for [i = 1:SERIES] DATA index 1 using ($1 == p && $2 == i ? $3 : NaN):5:6 with filledcurves lc rgb S_COLOUR[i], \
        for [i = 1:SERIES] DATA index 1 using ($1 == p && $2 == i ? $3 : NaN):4 with lines linetype (100 + i), \
        for [i = 1:SERIES] DATA index 1 using \
            ($1 == p && $2 == i && int(column(0) + i * 5) % 20 == 0 ? $3 : NaN):4 with points linetype (100 + i)
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
