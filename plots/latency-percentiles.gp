# SPDX-License-Identifier: MIT
# Time of one operation by percentile, a panel for alloc, free and whatever else was timed.
# Both axes are logarithmic, that of percentiles in 1 / (1 - quantile), as HdrHistogram's.
# Index 1: series, panel, 1 / (1 - quantile), ns; what the clock cannot tell apart is at
# half its step. 2: the clock's step, ns. 3: panel titles.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

set datafile separator tab
array OPERATION[10]
PANELS = 0
stats DATA index 3 using (PANELS = PANELS + 1, OPERATION[PANELS] = strcol(1), 1) nooutput
HEIGHT = PANELS > 2 ? 480 * int((PANELS + 1) / 2) + 140 : 800
load ARG0[1:strlen(ARG0) - strlen("latency-percentiles.gp")]."common.gp"

STEP = 1.0
stats DATA index 2 using (STEP = $1, 1) nooutput
stats DATA index 1 using 3 nooutput
X_MAX = STATS_max
stats DATA index 1 using 4 nooutput
Y_MIN = STATS_min * 0.8
Y_MAX = (STATS_max > STEP * 4 ? STATS_max : STEP * 4) * 1.3

@panels_layout
set multiplot
set logscale xy
set xrange [1:X_MAX * 1.05]
set yrange [Y_MIN:Y_MAX]
set xtics ("0" 1, "50" 2, "90" 10, "99" 100, "99.9" 1000, "99.99" 10000, "99.999" 100000, "99.9999" 1000000)
set xlabel "percentile"
set ytics ()
TIC_STEPS = steps(Y_MAX / Y_MIN / 40)
do for [e = -1:9] {
    do for [m in TIC_STEPS] {
        if (m * 10.0**e >= STEP * 0.97) { set ytics add (ns(m * 10.0**e) m * 10.0**e) }
    }
}
if (Y_MIN < STEP / 2) { set ytics add (sprintf("<%.3g ns", STEP) STEP / 2) }
if (STEP > Y_MIN) {
    set object 1 rectangle from graph 0, graph 0 to graph 1, first STEP behind fillcolor rgb "#f0f0f2" fillstyle solid 1 noborder
}
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 OPERATION[p] at graph 0, screen panel_top(p) + px(14) left textcolor rgb TEXT
    # Every series has points at the same x: the first mark of each is moved on a little.
    plot for [i = 1:SERIES] DATA index 1 using ($1 == i && $2 == p ? $3 : NaN):4 \
        with lines linetype (100 + i), \
        for [i = 1:SERIES] DATA index 1 using \
        ($1 == i && $2 == p && int(column(0) + i * 5) % 24 == 0 ? $3 : NaN):4 \
        with points linetype (100 + i)
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
